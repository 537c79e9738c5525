#!/usr/bin/env python3
"""PyTorch's side of the kernel benchmark: forward and backward pass of single operations, in float32.

  peer_kernels.py [NAME ...] [--threads 2] [--seconds 2]

A row of the benchmark is a function below that is marked with `@operation("name")` and returns one pass as a closure. The same
name stands in `crates/kernels/examples/kernel_speed.rs`, with the same sizes. Prints a JSON object: best milliseconds by name.
"""
import argparse, json, time

import torch
from torch.nn import functional as F

OPERATIONS = {}


def operation(name):
    """Registers the function that prepares operation `name`."""
    def register(prepare):
        OPERATIONS[name] = prepare
        return prepare
    return register


def pass_of(op, arguments, dy):
    """One forward and one backward pass of `op`, with fresh gradients."""
    leaves = [argument.requires_grad_() for argument in arguments]

    def run():
        for leaf in leaves:
            leaf.grad = None
        op(*leaves).backward(dy)
    return run


@operation("layer_norm")
def layer_norm():
    rows, width = 8192, 256
    arguments = [torch.randn(rows, width), torch.randn(width), torch.randn(width)]
    return pass_of(lambda x, w, b: F.layer_norm(x, (width,), w, b, 1e-5), arguments, torch.randn(rows, width))


@operation("rms_norm")
def rms_norm():
    rows, width = 8192, 256
    arguments = [torch.randn(rows, width), torch.randn(width)]
    return pass_of(lambda x, w: F.rms_norm(x, (width,), w, 1e-5), arguments, torch.randn(rows, width))


def attention(causal):
    # PyTorch's own layout: the heads before the tokens.
    shape = (32, 4, 256, 64)
    arguments = [torch.randn(shape) for _ in range(3)]
    return pass_of(lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=causal), arguments, torch.randn(shape))


@operation("attention")
def attention_full():
    return attention(False)


@operation("attention_causal")
def attention_causal():
    return attention(True)


@operation("embedding")
def embedding():
    entries, width, count = 8192, 256, 8192
    indices = torch.randint(entries, (count,))
    return pass_of(lambda table: F.embedding(indices, table), [torch.randn(entries, width)], torch.randn(count, width))


def group_norm_silu(batch, height, width, channels):
    # Channels first: PyTorch's own layout, and the faster one here.
    arguments = [torch.randn(batch, channels, height, width), torch.randn(channels), torch.randn(channels)]
    return pass_of(lambda x, w, b: F.silu(F.group_norm(x, 32, w, b, 1e-5)), arguments, torch.randn(arguments[0].shape))


@operation("group_norm_silu")
def group_norm_silu_small():
    return group_norm_silu(32, 16, 16, 128)


@operation("group_norm_silu_large")
def group_norm_silu_large():
    return group_norm_silu(8, 64, 64, 128)


@operation("upsample")
def upsample():
    arguments = [torch.randn(32, 128, 16, 16)]
    return pass_of(lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest"), arguments, torch.randn(32, 128, 32, 32))


@operation("average_pool")
def average_pool():
    return pass_of(lambda x: F.avg_pool2d(x, 2), [torch.randn(32, 128, 32, 32)], torch.randn(32, 128, 16, 16))


@operation("conv1d")
def conv1d():
    arguments = [torch.randn(32, 64, 1024), torch.randn(64, 64, 3), torch.randn(64)]
    return pass_of(lambda x, w, b: F.conv1d(x, w, b, padding=1), arguments, torch.randn(32, 64, 1024))


def best_milliseconds(run, seconds):
    """The fastest of all passes within `seconds`, and of three at least; the first one warms up."""
    run()
    best, passes, began = float("inf"), 0, time.perf_counter()
    while passes < 3 or time.perf_counter() - began < seconds:
        started = time.perf_counter()
        run()
        best, passes = min(best, time.perf_counter() - started), passes + 1
    return 1e3 * best


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="operations; all without any")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each operation")
    a = parser.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    best = {name: round(best_milliseconds(OPERATIONS[name](), a.seconds), 4) for name in a.names or OPERATIONS}
    print(json.dumps(dict(side=f"torch {torch.__version__}", threads=a.threads, milliseconds=best)))


if __name__ == "__main__":
    main()
