#!/usr/bin/env python3
"""Trains every MNIST recipe with the release binary and sets its test losses beside PyTorch's.

  ELBO_DATA=FOLDER python3 bench/recipes.py [OUT.json]

FOLDER holds mnist/ (without it the set is downloaded once). Writes all numbers, the bounds they must keep and the
machine to OUT (default bench/results/recipes.json) and exits with 1 if a bound is broken. Only the standard library.
"""
import json, os, platform, subprocess, sys, tempfile, time

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BINARY = os.path.join(ROOT, "target", "release", "elbo")
# Test losses after 10 epochs, PyTorch 2.15, mean over its seeds (nats or squared error per image); largest accepted difference.
# "sum" bounds recon + kl absolutely, "each" bounds recon and kl in relative terms.
REFERENCE = {
    "mnist-bce": {"recon": 80.02, "kl": 25.65, "sum": 0.6},
    "mnist-2d": {"recon": 149.71, "kl": 5.76, "sum": 1.5},
    "mnist-sse-2d": {"recon": 39.45, "kl": 3.26, "sum": 0.8},
    "mnist-sse-16": {"recon": 25.26, "kl": 9.89, "sum": 0.7},
    "mnist-ae-2d": {"recon": 38.02, "kl": 0.0, "sum": 0.8},
    "mnist-beta4": {"recon": 111.37, "kl": 9.71, "each": 0.03},
    "mnist-beta05": {"recon": 74.08, "kl": 34.17, "each": 0.03},
}


def train(recipe, seed, folder):
    run = os.path.join(folder, f"{recipe}-{seed}")
    command = [BINARY, "train", recipe, "--seed", str(seed), "--out", run, "--json", "--quiet"]
    started = time.perf_counter()
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    # The last epoch's weights, as PyTorch's numbers are; early stopping would choose the best epoch.
    command = [BINARY, "eval", run, "--checkpoint", "last", "--json"]
    metrics = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["metrics"]
    return {
        "seed": seed,
        "recon": metrics["recon"]["value"],
        "kl": metrics["kl"]["value"],
        "seconds_training": round(result["seconds"], 2),
        "seconds_in_all": round(time.perf_counter() - started, 2),
        "peak_memory_mb": round(result["peak_memory_mb"] or 0, 1),
    }


def within(reference, run):
    if "sum" in reference:
        return abs(run["recon"] + run["kl"] - reference["recon"] - reference["kl"]) <= reference["sum"]
    return all(abs(run[term] / reference[term] - 1) <= reference["each"] for term in ("recon", "kl"))


def processor():
    try:
        lines = open("/proc/cpuinfo").read().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor()


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "bench", "results", "recipes.json")
    rows, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        for recipe, reference in REFERENCE.items():
            runs = [train(recipe, seed, folder) for seed in (0, 1, 2)]
            good = all(within(reference, run) for run in runs)
            failed |= not good
            rows.append({"recipe": recipe, "pytorch": reference, "within_bounds": good, "runs": runs})
            mean = {term: sum(run[term] for run in runs) / len(runs) for term in ("recon", "kl")}
            print(
                f"{recipe:<14} recon {mean['recon']:7.2f} ({reference['recon']:.2f})  kl {mean['kl']:6.2f} "
                f"({reference['kl']:.2f})  {'ok' if good else 'OUT OF BOUNDS'}",
                flush=True,
            )
    machine = {"processor": processor(), "cores": os.cpu_count(), "system": platform.system()}
    record = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "epochs": 10, "split": "test", "recipes": rows}
    json.dump(record, open(out, "w"), indent=1)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
