#!/usr/bin/env python3
"""elbo and PyTorch in turns on one machine: best, median and ratio.

  ELBO_DATA=FOLDER python3 bench/compare.py [WORKLOAD ...] [--pairs 3] [--seconds 6] [--torch PYTHON] [--out FILE]

FOLDER holds mnist/. PYTHON is an interpreter with torch, and jax if that is to be compared (default: the one that runs
this). Each pair runs elbo in float32 and, for training where the processor can, with `--precision bf16`, then PyTorch eager,
compile and bf16 autocast, for the mlp workloads also JAX and stock Burn (`cargo build --release --example stock_burn`). Ratios of
bests: elbo in float32 over PyTorch of any mode, over PyTorch in float32, and bf16 over bf16. All repetitions are written to FILE
(default bench/results/compare.json) with machine and date, after each workload. Only the standard library.
"""
import argparse, json, os, sys, time

from machine import processor
from turns import in_turns, ratio, rounded

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.path.join(HERE, "..", "target", "release", "elbo")
MODES = ("eager", "compile", "bf16")


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
    runs, summary = in_turns(sides, arguments.pairs)
    ratios = {
        "ratio_of_bests": rounded(ratio(summary, "elbo", MODES)),
        "ratio_float32": rounded(ratio(summary, "elbo", MODES[:2])),
        "ratio_bf16": rounded(ratio(summary, "elbo-bf16", MODES[2:])),
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
