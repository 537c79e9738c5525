#!/usr/bin/env python3
"""Time from process start to the first optimiser step, and peak memory of training, on MNIST.

  ELBO_DATA=FOLDER python3 bench/startup.py [OUT.json]

The first step is bounded from above: a run of a single step is timed whole (start, gzip, one step, evaluation of 10,000
test images, report, exit). Peak memory is that of a run of two full epochs. Only the standard library.
"""
import json, os, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.path.join(HERE, "..", "target", "release", "elbo")


def run(folder, *arguments):
    command = [BINARY, "train", "mnist-bce", "--out", os.path.join(folder, str(time.time())), "--json", "--quiet", *arguments]
    started = time.perf_counter()
    result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return time.perf_counter() - started, result


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "results", "startup.json")
    with tempfile.TemporaryDirectory() as folder:
        single = [round(run(folder, "--epochs", "1", "--set", "data.limit=128")[0], 3) for _ in range(5)]
        _, two_epochs = run(folder, "--epochs", "2")
    record = {
        "date": time.strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "seconds_of_a_run_of_one_step": {"best": min(single), "all": single, "asked_for_the_first_step": 1.5},
        "peak_memory_mb": {"two_epochs": round(two_epochs["peak_memory_mb"], 1), "asked": 400},
    }
    json.dump(record, open(out, "w"), indent=1)
    print(json.dumps(record))
    good = min(single) < 1.5 and two_epochs["peak_memory_mb"] < 400
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
