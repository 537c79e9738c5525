#!/usr/bin/env python3
"""10,000 small JPEG files from a folder to bytes [3, 32, 32], in turns: elbo with an empty cache against torchvision's ImageFolder and DataLoader.

  ELBO_DATA=FOLDER python3 bench/decode.py [--pairs 3] [--torch PYTHON] [--out FILE]

Both sides read the same files, unpacked from $ELBO_DATA/cifar10/train-20k.tar, with two threads or two workers, and are read once before. elbo's time is that of
the whole process `elbo data FOLDER`: start, decoding, the cache file synced to disk, and the report over all pixels. torchvision's is the time of one pass over the
loader, without the seconds its imports take, once with Pillow (its default) and once with torchvision.io; the faster counts.
"""
import argparse, json, os, subprocess, sys, tarfile, tempfile, time

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.path.join(HERE, "..", "target", "release", "elbo")
COUNT, WORKERS = 10_000, 2
PEER = """
import sys, time, json
import torch, torchvision
from torchvision import datasets, transforms, io
folder, loader, workers = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads(workers)
if loader == "pillow":
    data = datasets.ImageFolder(folder, transforms.PILToTensor())
else:
    data = datasets.ImageFolder(folder, loader=lambda path: io.decode_image(path, io.ImageReadMode.RGB))
batches = torch.utils.data.DataLoader(data, batch_size=256, num_workers=workers)
started = time.perf_counter()
images = torch.cat([x for x, y in batches])
seconds = time.perf_counter() - started
assert images.shape == (len(data), 3, 32, 32) and images.dtype == torch.uint8
print(json.dumps({"seconds": seconds, "mean": images.float().mean().item() / 255, "versions": [torch.__version__, torchvision.__version__]}))
"""


def unpack(archive, folder):
    with tarfile.open(archive) as tar:
        members = [member for member in tar if member.isfile()]
        stride = len(members) // COUNT
        for member in members[::stride][:COUNT]:
            tar.extract(member, folder, filter="data")
    return os.path.join(folder, "train")


def elbo(folder, binary):
    with tempfile.TemporaryDirectory() as home:
        environment = dict(os.environ, ELBO_HOME=home)
        command = [binary, "--threads", str(WORKERS), "--json", "--quiet", "data", folder]
        seconds = []
        for _ in range(2):
            started = time.perf_counter()
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            seconds.append(time.perf_counter() - started)
        report = json.loads(done.stdout)
    assert report["shape"] == [3, 32, 32] and sum(report["splits"].values()) == COUNT, report
    return {"seconds": round(seconds[0], 3), "again_seconds": round(seconds[1], 3), "mean": round(report["mean"], 4)}


def torchvision(folder, loader, python):
    done = subprocess.run([python, "-c", PEER, folder, loader, str(WORKERS)], check=True, capture_output=True, text=True)
    result = json.loads(done.stdout.strip().splitlines()[-1])
    return {"seconds": round(result["seconds"], 3), "mean": round(result["mean"], 4)}, result["versions"]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--torch", default=sys.executable)
    parser.add_argument("--elbo", default=BINARY)
    parser.add_argument("--out", default=os.path.join(HERE, "results", "decode.json"))
    arguments = parser.parse_args()
    archive = os.path.join(os.environ.get("ELBO_DATA", "."), "cifar10", "train-20k.tar")
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        folder = unpack(archive, folder)
        elbo(folder, arguments.elbo)
        for _ in range(arguments.pairs):
            ours = elbo(folder, arguments.elbo)
            pillow, versions = torchvision(folder, "pillow", arguments.torch)
            native, _ = torchvision(folder, "torchvision.io", arguments.torch)
            rounds.append({"elbo": ours, "torchvision_pillow": pillow, "torchvision_io": native, "load": os.getloadavg()[0]})
            print(json.dumps(rounds[-1]), file=sys.stderr)
    best = {side: min(r[side]["seconds"] for r in rounds) for side in ["elbo", "torchvision_pillow", "torchvision_io"]}
    theirs = min(best["torchvision_pillow"], best["torchvision_io"])
    record = {
        "date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "images": COUNT, "workers": WORKERS, "torch_torchvision": versions,
        "images_per_s": {side: round(COUNT / seconds) for side, seconds in best.items()},
        "ratio_of_bests": round(theirs / best["elbo"], 2), "rounds": rounds,
    }
    json.dump(record, open(arguments.out, "w"), indent=1)
    print(json.dumps(record))


if __name__ == "__main__":
    main()
