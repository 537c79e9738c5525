#!/usr/bin/env python3
"""Importance-weighted likelihood of MNIST's test images with k samples: `elbo eval` and PyTorch's loops in turns.

  python3 bench/likelihood.py RUN [--torch PYTHON] [--k 5000] [--images 200] [--peer-images 40] [--rounds 3] [--out OUT.json]

RUN is a trained run on mnist with an mlp and the Bernoulli likelihood, such as `elbo train mnist-bce`. elbo's time is that of its whole process less that of one with
k = 1, so that loading and encoding count on neither side; PyTorch's is that of the loop alone. `ELBO_DATA` names a folder that holds `mnist/`.
"""
import argparse, json, os, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
ap = argparse.ArgumentParser()
ap.add_argument("run")
ap.add_argument("--torch", default=sys.executable)
ap.add_argument("--binary", default=os.path.join(HERE, "..", "target", "release", "elbo"))
ap.add_argument("--k", type=int, default=5000)
ap.add_argument("--images", type=int, default=200)
ap.add_argument("--peer-images", type=int, default=40)
ap.add_argument("--rounds", type=int, default=3)
ap.add_argument("--threads", type=int, default=os.cpu_count())
ap.add_argument("--out", default=os.path.join(HERE, "results", "likelihood.json"))
a = ap.parse_args()


def answer(command):
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout), time.perf_counter() - started


def ours():
    flags = ["--metrics", "nll_iw,ess", "--limit", str(a.images), "--threads", str(a.threads), "--json", "--quiet"]
    found, seconds = answer([a.binary, "eval", a.run, "--k", str(a.k), *flags])
    _, without = answer([a.binary, "eval", a.run, "--k", "1", *flags])
    rate = a.images * (a.k - 1) / (seconds - without)
    return {"side": "elbo", "nll_iw": found["metrics"]["nll_iw"]["value"], "seconds": round(seconds, 2), "samples_per_s": round(rate)}


def theirs(mode):
    weights = os.path.join(a.run, "checkpoints", "last", "model.safetensors")
    command = [a.torch, os.path.join(HERE, "peer_likelihood.py"), weights, "--mode", mode, "--k", str(a.k)]
    found, _ = answer(command + ["--limit", str(a.peer_images), "--threads", str(a.threads)])
    return {"side": f"torch {mode}"} | found


rows = []
for _ in range(a.rounds):
    for measure in (ours, lambda: theirs("images"), lambda: theirs("batched")):
        rows.append(measure())
        print(rows[-1], flush=True)
best = {side: max(row["samples_per_s"] for row in rows if row["side"] == side) for side in {row["side"] for row in rows}}
fastest = max(rate for side, rate in best.items() if side != "elbo")
result = {
    "date": time.strftime("%Y-%m-%d"), "threads": a.threads, "k": a.k, "best_samples_per_s": best,
    "over_images": round(best["elbo"] / best["torch images"], 2), "over_fastest": round(best["elbo"] / fastest, 2),
    "minutes_for_10000_images": round(10_000 * a.k / best["elbo"] / 60, 2), "rows": rows,
}
print({key: value for key, value in result.items() if key != "rows"})
json.dump(result, open(a.out, "w"), indent=1)
