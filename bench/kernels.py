#!/usr/bin/env python3
"""Single operations, forward and backward: `kernel_speed` and PyTorch in turns.

  python3 bench/kernels.py [NAME ...] [--torch PYTHON] [--rounds 5] [--seconds 1] [--threads 2] [--out OUT.json]

Build first: `cargo build --release --workspace --examples`. Each side is a process of its own, and the sides take turns. A row's
ratio is PyTorch's best milliseconds over ours. Names that only one side has are left out. Without names every row is measured;
with names, only these rows of an existing result are replaced.
"""
import argparse, json, os, platform, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
# What each operation must reach, as a multiple of PyTorch's speed.
BARS = {"attention": 1.3, "layer_norm": 1.5, "group_norm_silu": 1.3}


def arguments():
    ap = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    ap.add_argument("names", nargs="*")
    ap.add_argument("--torch", default=sys.executable)
    ap.add_argument("--binary", default=os.path.join(HERE, "..", "target", "release", "examples", "kernel_speed"))
    ap.add_argument("--rounds", type=int, default=5)
    ap.add_argument("--seconds", type=float, default=1.0)
    ap.add_argument("--threads", type=int, default=2)
    ap.add_argument("--out", default=os.path.join(HERE, "results", "kernels.json"))
    return ap.parse_args()


def processor():
    """The processor's name, as the system tells it."""
    try:
        with open("/proc/cpuinfo") as lines:
            family = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
        return f"{family['model name']} (family {family['cpu family']}, model {family['model']})"
    except (OSError, KeyError):
        return platform.processor() or platform.machine()


def measure(command, a):
    command = command + a.names + ["--threads", str(a.threads), "--seconds", str(a.seconds)]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def row(name, ours, theirs):
    ratio = min(theirs) / min(ours)
    found = dict(elbo_ms=min(ours), torch_ms=min(theirs), ratio=round(ratio, 2))
    if name in BARS:
        found |= dict(bar=BARS[name], reached=ratio >= BARS[name])
    return found | dict(elbo_rounds=ours, torch_rounds=theirs)


def main():
    a = arguments()
    sides = {"elbo": [a.binary], "torch": [a.torch, os.path.join(HERE, "peer_kernels.py")]}
    found = {side: [] for side in sides}
    for _ in range(a.rounds):
        for side, command in sides.items():
            found[side].append(measure(command, a))
            print(side, found[side][-1]["milliseconds"], flush=True)
    by_name = {side: {name: [r["milliseconds"][name] for r in rounds] for name in rounds[0]["milliseconds"]} for side, rounds in found.items()}
    condition = dict(machine=processor(), threads=a.threads, date=time.strftime("%Y-%m-%d"), torch=found["torch"][0]["side"])
    rows = {}
    if a.names and os.path.exists(a.out):
        rows = json.load(open(a.out))["operations"]
    for name in by_name["elbo"]:
        if name in by_name["torch"]:
            rows[name] = condition | row(name, by_name["elbo"][name], by_name["torch"][name])
            print(f"{name}: {rows[name]['ratio']} times PyTorch")
    with open(a.out, "w") as out:
        json.dump(dict(unit="best milliseconds of a forward and a backward pass, float32", operations=rows), out, indent=1)
        out.write("\n")


if __name__ == "__main__":
    main()
