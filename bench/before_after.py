#!/usr/bin/env python3
"""Two builds of elbo in turns on one machine: is a change as fast as what was before it?

  python3 bench/before_after.py OLD NEW [WORKLOAD ...] [--rounds 5] [--seconds 4] [--within 0.01] [--run RUN] [--out FILE.json]

OLD and NEW are two `elbo` binaries. WORKLOAD is what `elbo bench` takes (default: mlp mlp512 conv-s conv-m encode decode), or nll_iw: the
importance-weighted likelihood of `elbo eval`, in samples of a posterior a second. nll_iw needs a trained run; without RUN one is made by OLD on generated
digits. Each round runs both, in the other order than the round before, so that a slow drift of the machine counts for both. The table shows the best and the
median of all repetitions and their ratios, new over old: above 1 is faster. Ends with exit code 1 if a ratio of bests is below 1 - WITHIN.

Run it on an idle machine. Only the standard library.
"""
import argparse, json, os, statistics, subprocess, sys, tempfile, time

from machine import processor

WORKLOADS = ["mlp", "mlp512", "conv-s", "conv-m", "encode", "decode", "nll_iw"]
IMAGES, DRAWS = 200, 2000  # of nll_iw


def answer(command):
    started = time.perf_counter()
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\nended with {done.returncode}: {done.stderr.strip()}")
    return json.loads(done.stdout.strip().splitlines()[-1]), time.perf_counter() - started


def threads_of(arguments):
    return ["--threads", str(arguments.threads)] if arguments.threads else []


def bench(binary, workload, arguments):
    """Images a second of each repetition."""
    command = [binary, "bench", workload, "--seconds", str(arguments.seconds), "--json", "--quiet", *threads_of(arguments)]
    return answer(command)[0]["reps"]


def likelihood(binary, arguments):
    """Samples a second, less what a process with one sample takes: loading and encoding count on neither side."""
    command = [binary, "eval", arguments.run, "--metrics", "nll_iw", "--limit", str(IMAGES), "--json", "--quiet", *threads_of(arguments)]
    seconds = {k: answer([*command, "--k", str(k)])[1] for k in (DRAWS, 1)}
    return [IMAGES * (DRAWS - 1) / (seconds[DRAWS] - seconds[1])]


def compare(workload, arguments):
    measure = (lambda binary: likelihood(binary, arguments)) if workload == "nll_iw" else (lambda binary: bench(binary, workload, arguments))
    sides = {"old": arguments.old, "new": arguments.new}
    reps = {side: [] for side in sides}
    for number in range(arguments.rounds):
        for side in list(sides) if number % 2 == 0 else list(sides)[::-1]:
            reps[side] += measure(sides[side])
    best = {side: max(values) for side, values in reps.items()}
    median = {side: statistics.median(values) for side, values in reps.items()}
    ratios = {name: round(of["new"] / of["old"], 4) for name, of in (("best", best), ("median", median))}
    return {"workload": workload, "ratio": ratios, "best": best, "median": median, "reps": reps}


def trained(arguments, folder):
    """A small run on generated digits, by the old build."""
    run = os.path.join(folder, "run")
    settings = ["--set", "data.count=3000", "--set", "network.hidden=[400]", "--set", "model.latent=20", "--epochs", "1"]
    answer([arguments.old, "train", *settings, "--out", run, "--json", "--quiet"])
    return run


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("workloads", nargs="*", default=WORKLOADS)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--threads", type=int, help="default: all")
    parser.add_argument("--within", type=float, default=0.01)
    parser.add_argument("--run", help="a trained run for nll_iw")
    parser.add_argument("--out")
    arguments = parser.parse_args()
    machine = {"processor": processor(), "cores": os.cpu_count(), "load": os.getloadavg()}
    record = {"date": time.strftime("%Y-%m-%d"), "machine": machine, "within": arguments.within, "comparisons": []}
    with tempfile.TemporaryDirectory() as folder:
        if "nll_iw" in arguments.workloads and not arguments.run:
            arguments.run = trained(arguments, folder)
        print(f"{'':<8} {'best: new/old':>14} {'median: new/old':>16}   old and new, best, a second", flush=True)
        for workload in arguments.workloads:
            row = compare(workload, arguments)
            record["comparisons"].append(row)
            if arguments.out:
                json.dump(record, open(arguments.out, "w"), indent=1)
            slower = "   SLOWER" if row["ratio"]["best"] < 1 - arguments.within else ""
            numbers = f"{row['best']['old']:.0f} {row['best']['new']:.0f}{slower}"
            print(f"{workload:<8} {row['ratio']['best']:>14.3f} {row['ratio']['median']:>16.3f}   {numbers}", flush=True)
    sys.exit(any(row["ratio"]["best"] < 1 - arguments.within for row in record["comparisons"]))


if __name__ == "__main__":
    main()
