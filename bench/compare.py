#!/usr/bin/env python3
"""elbo and PyTorch in turns on one machine: best, median and ratio.

  ELBO_DATA=FOLDER python3 bench/compare.py [WORKLOAD ...] [--pairs 3] [--seconds 6] [--torch PYTHON] [--out FILE]

FOLDER holds mnist/. PYTHON is an interpreter with torch, and jax if that is to be compared (default: the one that runs
this). Each pair runs elbo in float32 and, for training where the processor can, with `--precision bf16`, then PyTorch eager,
compile and bf16 autocast, for the mlp workloads also JAX and stock Burn (`cargo build --release --example stock_burn`). Ratios of
bests: elbo in float32 over PyTorch of any mode, over PyTorch in float32, and bf16 over bf16. All repetitions are written to FILE
(default bench/results/compare.json) with machine and date, after each workload. Only the standard library.
"""
import argparse, json, os, statistics, subprocess, sys, time

from machine import processor

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.path.join(HERE, "..", "target", "release", "elbo")
MODES = ("eager", "compile", "bf16")


def measure(command):
    if not os.path.exists(command[0]):
        return {"error": f"{command[0]} is not built"}
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        # A mode that this machine cannot run (no C++ compiler for torch.compile) is left out, and said to be.
        return {"error": done.stderr.strip().splitlines()[-1:] or ["failed"]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def compare(workload, arguments):
    common = [workload, "--seconds", str(arguments.seconds)]
    sides = {"elbo": [BINARY, "bench", *common, "--data", "mnist", "--json"]}
    if not workload.endswith("code"):
        sides["elbo-bf16"] = [*sides["elbo"], "--precision", "bf16"]
    peer = [arguments.torch, os.path.join(HERE, "peer_torch.py"), *common]
    sides |= {mode: [*peer, "--mode", mode] for mode in MODES}
    if workload.startswith("mlp"):
        sides["jax"] = [arguments.torch, os.path.join(HERE, "peer_jax.py"), *common]
        sides["stock-burn"] = [os.path.join(os.path.dirname(BINARY), "examples", "stock_burn"), workload, str(arguments.seconds)]
    runs = {side: [] for side in sides}
    for _ in range(arguments.pairs):
        for side, command in sides.items():
            runs[side].append(measure(command))
    summary = {}
    for side, results in runs.items():
        reps = [rep for result in results for rep in result.get("reps", [])]
        if reps:
            summary[side] = {"best": round(max(reps), 1), "median": round(statistics.median(reps), 1)}

    def ratio(ours, modes):
        theirs = [summary[mode]["best"] for mode in modes if mode in summary]
        return round(summary[ours]["best"] / max(theirs), 2) if theirs and ours in summary else None

    ratios = {
        "ratio_of_bests": ratio("elbo", MODES),
        "ratio_float32": ratio("elbo", MODES[:2]),
        "ratio_bf16": ratio("elbo-bf16", MODES[2:]),
    }
    return {"workload": workload, **ratios, "summary": summary, "runs": runs}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=["mlp", "mlp512", "conv-s", "conv-m", "encode", "decode"])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--torch", default=sys.executable)
    parser.add_argument("--out", default=os.path.join(HERE, "results", "compare.json"))
    arguments = parser.parse_args()
    rows = []
    machine = {"processor": processor(), "cores": os.cpu_count(), "load": os.getloadavg()}
    for workload in arguments.workloads:
        row = compare(workload, arguments)
        rows.append(row)
        record = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "comparisons": rows}
        json.dump(record, open(arguments.out, "w"), indent=1)
        numbers = "  ".join(f"{side} {s['best']:.0f} (median {s['median']:.0f})" for side, s in row["summary"].items())
        ratios = "  ".join(f"{key} {value}" for key, value in row.items() if key.startswith("ratio"))
        print(f"{workload:<8} {ratios}  images/s: {numbers}", flush=True)


if __name__ == "__main__":
    main()
