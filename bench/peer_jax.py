#!/usr/bin/env python3
"""JAX side of the comparison: the `mlp` and `mlp512` workloads on the CPU, one jitted step, Adam written out; same keys as peer_torch.py.

  peer_jax.py mlp|mlp512 [--seconds S] [--data MNIST_FOLDER]
"""
import argparse, gzip, json, os, time
import numpy as np
import jax
import jax.numpy as jnp

parser = argparse.ArgumentParser()
parser.add_argument("workload", choices=["mlp", "mlp512"])
parser.add_argument("--seconds", type=float, default=8.0)
parser.add_argument("--data", default=os.path.join(os.environ.get("ELBO_DATA", "."), "mnist"))
arguments = parser.parse_args()
BATCH = {"mlp": 128, "mlp512": 512}[arguments.workload]
raw = gzip.open(os.path.join(arguments.data, "train-images-idx3-ubyte.gz")).read()
IMAGES = np.frombuffer(raw, np.uint8, offset=16).reshape(-1, 784)
SIZES = {"fc1": (784, 400), "mean": (400, 20), "log_var": (400, 20), "fc3": (20, 400), "fc4": (400, 784)}


def start(key):
    params = {}
    for name, (inputs, outputs) in SIZES.items():
        key, a, b = jax.random.split(key, 3)
        bound = inputs**-0.5
        params[name] = (
            jax.random.uniform(a, (inputs, outputs), minval=-bound, maxval=bound),
            jax.random.uniform(b, (outputs,), minval=-bound, maxval=bound),
        )
    return params


def loss(params, x, key):
    layer = lambda name, h: h @ params[name][0] + params[name][1]
    h = jax.nn.relu(layer("fc1", x))
    mean, log_var = layer("mean", h), layer("log_var", h)
    z = mean + jax.random.normal(key, mean.shape) * jnp.exp(0.5 * log_var)
    logits = layer("fc4", jax.nn.relu(layer("fc3", z)))
    recon = jnp.sum(jnp.maximum(logits, 0) - logits * x + jnp.log1p(jnp.exp(-jnp.abs(logits))))
    kl = -0.5 * jnp.sum(1 + log_var - mean**2 - jnp.exp(log_var))
    return (recon + kl) / len(x)


@jax.jit
def step(params, m, v, t, batch, key):
    gradients = jax.grad(loss)(params, batch.astype(jnp.float32) / 255, key)
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
    v = jax.tree.map(lambda v, g: 0.999 * v + 0.001 * g * g, v, gradients)
    rate, root = 1e-3 / (1 - 0.9**t), 1 / jnp.sqrt(1 - 0.999**t)
    params = jax.tree.map(lambda p, m, v: p - rate * m / (jnp.sqrt(v) * root + 1e-8), params, m, v)
    return params, m, v


key = jax.random.key(0)
params = start(key)
m = jax.tree.map(jnp.zeros_like, params)
v = jax.tree.map(jnp.zeros_like, params)
random, t, reps = np.random.default_rng(0), 0, []
end = None
while end is None or time.perf_counter() < end or len(reps) < 2:
    began, images = time.perf_counter(), 0
    order = random.permutation(len(IMAGES))
    for i in range(0, len(order) - BATCH + 1, BATCH):
        t += 1
        params, m, v = step(params, m, v, float(t), IMAGES[order[i : i + BATCH]], jax.random.fold_in(key, t))
        images += BATCH
        if time.perf_counter() - began > max(arguments.seconds / 3, 1.0):
            break
    jax.block_until_ready(params)
    if end is None:  # the first repetition compiles
        end = time.perf_counter() + arguments.seconds
        continue
    reps.append(images / (time.perf_counter() - began))
best = max(reps)
print(json.dumps({"workload": arguments.workload, "mode": "jax", "threads": os.cpu_count(), "images_per_s": round(best, 1),
                  "ms_per_step": round(1e3 * BATCH / best, 3), "reps": [round(r, 1) for r in reps], "jax": jax.__version__}))
