#!/usr/bin/env python3
"""PyTorch's side of the likelihood benchmark: log p(x) of MNIST images with k importance samples.

  peer_likelihood.py WEIGHTS.safetensors --data FOLDER [--mode images|batched] [--k 5000] [--limit N] [--threads T]

`images` is the loop of tutorials and of toolkits' evaluation code: one image at a time, its k samples as one batch. `batched` takes several images at once, about as
many rows as fit the caches. Both compute the same number, with PyTorch's own noise. Prints one JSON object.
"""
import argparse, gzip, json, math, os, time
import numpy as np
import torch
from safetensors.torch import load_file
from torch.nn import functional as F

ap = argparse.ArgumentParser()
ap.add_argument("weights")
ap.add_argument("--data", default=os.path.join(os.environ.get("ELBO_DATA", "."), "mnist"))
ap.add_argument("--mode", default="images", choices=["images", "batched"])
ap.add_argument("--k", type=int, default=5000)
ap.add_argument("--limit", type=int, default=100)
ap.add_argument("--rows", type=int, default=1000, help="rows decoded at once by `batched`")
ap.add_argument("--threads", type=int, default=os.cpu_count())
a = ap.parse_args()
torch.set_num_threads(a.threads)
torch.manual_seed(0)

w = load_file(a.weights)
raw = gzip.open(os.path.join(a.data, "t10k-images-idx3-ubyte.gz")).read()
images = torch.from_numpy(np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784).copy()[: a.limit]).float() / 255


def layers(name, x, last):
    count = sum(key.startswith(f"{name}.layers.") and key.endswith(".weight") for key in w)
    for i in range(count):
        x = F.linear(x, w[f"{name}.layers.{i}.weight"], w[f"{name}.layers.{i}.bias"])
        x = torch.relu(x) if last or i + 1 < count else x
    return x


def encode(x):
    h = layers("encoder", x, True)
    return F.linear(h, w["mean.weight"], w["mean.bias"]), F.linear(h, w["log_var.weight"], w["log_var.bias"])


def log_weights(x, mean, log_var, samples):
    """[images, samples]"""
    noise = torch.randn(len(x), samples, mean.shape[1])
    z = mean[:, None] + (0.5 * log_var).exp()[:, None] * noise
    logits = layers("decoder", z.flatten(0, 1), False).view(len(x), samples, -1)
    target = x[:, None].expand_as(logits)
    log_px = -F.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)
    log_pz = -0.5 * (z**2 + math.log(2 * math.pi)).sum(-1)
    log_qz = -0.5 * (noise**2 + log_var[:, None] + math.log(2 * math.pi)).sum(-1)
    return log_px + log_pz - log_qz


@torch.no_grad()
def run():
    total = 0.0
    if a.mode == "images":
        for x in images.split(1):
            mean, log_var = encode(x)
            total += (torch.logsumexp(log_weights(x, mean, log_var, a.k), 1) - math.log(a.k)).sum().item()
        return total
    together = 20
    for x in images.split(together):
        mean, log_var = encode(x)
        step = max(1, a.rows // len(x))
        parts = [log_weights(x, mean, log_var, min(step, a.k - start)) for start in range(0, a.k, step)]
        total += (torch.logsumexp(torch.cat(parts, 1), 1) - math.log(a.k)).sum().item()
    return total


started, busy = time.perf_counter(), time.process_time()
nll = -run() / len(images)
seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - busy
rate = len(images) * a.k / seconds
print(json.dumps({"mode": a.mode, "k": a.k, "images": len(images), "threads": a.threads, "nll_iw": round(nll, 4), "seconds": round(seconds, 2), "cpu_seconds": round(cpu_seconds, 2), "samples_per_s": round(rate)}))
