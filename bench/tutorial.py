#!/usr/bin/env python3
"""The whole tutorial in turns: ten MNIST epochs of PyTorch's example VAE, process start to exit, against its own script.

  ELBO_DATA=FOLDER python3 bench/tutorial.py [--rounds 1] [--torch PYTHON] [--out FILE]

elbo: `elbo train mnist-bce`, report included. PyTorch: tutorial_torch.py, with torchvision's transforms and a DataLoader.
"""
import argparse, json, os, subprocess, sys, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.path.join(HERE, "..", "target", "release", "elbo")


def timed(command):
    started = time.perf_counter()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return time.perf_counter() - started, json.loads(done.stdout.strip().splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--torch", default=sys.executable)
    parser.add_argument("--out", default=os.path.join(HERE, "results", "tutorial.json"))
    arguments = parser.parse_args()
    data = os.path.join(os.environ.get("ELBO_DATA", "."), "mnist")
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        for i in range(arguments.rounds):
            ours, result = timed([BINARY, "train", "mnist-bce", "--out", os.path.join(folder, str(i)), "--json", "--quiet"])
            theirs, tutorial = timed([arguments.torch, os.path.join(HERE, "tutorial_torch.py"), data])
            rounds.append({
                "elbo_seconds": round(ours, 2),
                "elbo_test_loss": round(result["test"]["loss"], 2),
                "pytorch_seconds": round(theirs, 2),
                "pytorch_test_loss": tutorial["test"],
            })
    ratio = min(r["pytorch_seconds"] for r in rounds) / min(r["elbo_seconds"] for r in rounds)
    record = {"date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "ratio_of_bests": round(ratio, 2), "rounds": rounds}
    json.dump(record, open(arguments.out, "w"), indent=1)
    print(json.dumps(record))


if __name__ == "__main__":
    main()
