#!/usr/bin/env python3
"""Autoencoder against VAE over training-set sizes and seeds: what every course claims, measured with `elbo train` and `elbo compare`.

  ELBO_DATA=FOLDER python3 bench/ae_vs_vae.py [RUNS_FOLDER] [--steps 4690] [--sizes 500,2000,10000,60000] [--seeds 0,1,2]

FOLDER holds mnist/. Trains `mnist-ae-20` and `mnist-bce` (784-400-20 both, Bernoulli) for the same number of steps on each size, then writes
bench/results/ae_vs_vae.json with the trends of `elbo compare --by data.limit`, once with codes from N(0, I) and once from a Gaussian fitted to the training codes.
Runs that are finished are kept, so an interrupted measurement goes on. Only the standard library.
"""
import argparse, json, math, os, subprocess, time

from machine import processor

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
BINARY = os.environ.get("ELBO", os.path.join(ROOT, "target", "release", "elbo"))
RECIPES = {"ae": "mnist-ae-20", "vae": "mnist-bce"}
BATCH = 128
METRICS = "recon_gap,noise_tolerance,fid"
# Of the test set, and samples: with all 10,000 the neighbours that the group of `fid` looks for take minutes for the 24 runs.
EXAMPLES = "3000"


def elbo(*arguments):
    return json.loads(subprocess.run([BINARY, *arguments, "--json", "--quiet"], check=True, capture_output=True, text=True).stdout)


def train(kind, size, seed, steps, folder):
    run = os.path.join(folder, f"{kind}-{size}-{seed}")
    if os.path.exists(os.path.join(run, "report.html")):
        return run
    epochs = max(1, round(steps / math.ceil(size / BATCH)))
    # No validation: the size is what is trained on, and a thousand epochs need no thousand looks at the test set.
    settings = [f"data.limit={size}", "data.validation=0", f"training.epochs={epochs}"]
    elbo("train", RECIPES[kind], "--seed", str(seed), "--out", run, *[part for setting in settings for part in ("--set", setting)])
    return run


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", nargs="?", default="runs/ae-or-vae")
    parser.add_argument("--steps", type=int, default=4690)
    parser.add_argument("--sizes", default="500,2000,10000,60000")
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--out", default=os.path.join(ROOT, "bench", "results", "ae_vs_vae.json"))
    wanted = parser.parse_args()
    sizes, seeds = ([int(part) for part in text.split(",")] for text in (wanted.sizes, wanted.seeds))
    os.makedirs(wanted.folder, exist_ok=True)
    runs = [train(kind, size, seed, wanted.steps, wanted.folder) for kind in RECIPES for size in sizes for seed in seeds]
    result = {"date": time.strftime("%Y-%m-%d"), "machine": processor(), "steps": wanted.steps, "trends": {}}
    for sampler in ("normal", "gaussian"):
        metrics = METRICS if sampler == "normal" else "fid"
        page = os.path.join(wanted.folder, f"compare-{sampler}.html")
        # Pixels: principal components would be of each run's own training images, another space for each size.
        compared = elbo("compare", *runs, "--by", "data.limit", "--metrics", metrics, "--features", "pixels", "--limit", EXAMPLES, "--samples", EXAMPLES, "--sampler", sampler, "--out", page)
        for trend in compared["trends"]:
            name = trend["metric"] if trend["metric"] != "fid" else f"fid, codes from {sampler}"
            result["trends"][name] = trend
    with open(wanted.out, "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    for name, trend in result["trends"].items():
        print(f"{name} ({trend['unit']})")
        for line in trend["lines"]:
            cells = "  ".join(f"{point['at']}: {point['mean']:.3f} ± {point['stderr']:.3f}" for point in line["points"])
            print(f"  {line['name']}: {cells}")


if __name__ == "__main__":
    main()
