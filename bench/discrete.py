#!/usr/bin/env python3
"""Discrete codes: `elbo bench` and PyTorch in turns on one machine.

  python3 bench/discrete.py [WORKLOAD ...] [--rounds 5] [--seconds 2] [--threads 2] [--without MODE ...] [--torch PYTHON] [--out FILE]

Each round runs elbo and then each mode of `peer_discrete.py`. A ratio is of bests: elbo's over PyTorch's of any mode; of
`prior-sample-uncached`, which PyTorch does not have, that of `prior-sample` over it. All repetitions are written to FILE (default
bench/results/discrete.json) with machine, load and date, after each workload; rows of other workloads stay. Only the standard library.
"""
import argparse, json, os, sys, time

from machine import processor
from turns import in_turns, ratio, rounded

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.path.join(HERE, "..", "target", "release", "elbo")
MODES = {"cifar10-vq": ["eager", "channels-last", "compile"], "prior": ["eager", "compile"], "prior-sample": ["eager"], "prior-sample-uncached": []}
# What each must reach.
BARS = {"cifar10-vq": 1.5, "prior": 1.5, "prior-sample": 3.0, "prior-sample-uncached": 10.0}


def compare(workload, arguments, rows):
    common = [workload, "--seconds", str(arguments.seconds), "--threads", str(arguments.threads)]
    sides = {"elbo": [arguments.binary, "bench", *common, "--json"]}
    sides |= {mode: [arguments.torch, os.path.join(HERE, "peer_discrete.py"), *common, "--mode", mode] for mode in MODES[workload] if mode not in arguments.without}
    runs, summary = in_turns(sides, arguments.rounds)
    if workload == "prior-sample-uncached":
        cached = rows.get("prior-sample", {}).get("summary", {}).get("elbo")
        found = ratio({**summary, **({"cached": cached} if cached else {})}, "cached", ["elbo"])
    else:
        found = ratio(summary, "elbo", MODES[workload])
    bar = BARS[workload]
    torch = next((result["torch"] for results in runs.values() for result in results if "torch" in result), None)
    condition = dict(machine=processor(), cores=os.cpu_count(), load=os.getloadavg(), date=time.strftime("%Y-%m-%d"), torch=torch)
    return condition | dict(without=arguments.without, ratio=rounded(found), bar=bar, reached=found and found >= bar, summary=summary, runs=runs)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=list(MODES))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=2.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without", nargs="*", default=[], help="modes of PyTorch to leave out")
    parser.add_argument("--binary", default=BINARY)
    parser.add_argument("--torch", default=sys.executable)
    parser.add_argument("--out", default=os.path.join(HERE, "results", "discrete.json"))
    arguments = parser.parse_args()
    rows = json.load(open(arguments.out))["workloads"] if os.path.exists(arguments.out) else {}
    for workload in arguments.workloads:
        row = rows[workload] = compare(workload, arguments, rows)
        with open(arguments.out, "w") as out:
            json.dump(dict(unit="images a second, float32; the best repetition", workloads=rows), out, indent=1)
            out.write("\n")
        numbers = "  ".join(f"{side} {s['best']:.0f} (median {s['median']:.0f})" for side, s in row["summary"].items())
        print(f"{workload:<22} {row['ratio']} (bar {row['bar']})  {numbers}", flush=True)


if __name__ == "__main__":
    main()
