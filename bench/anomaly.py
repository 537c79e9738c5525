#!/usr/bin/env python3
"""Anomaly detection with one digit of MNIST as the normal class, for each of the ten: elbo's scores beside scikit-learn's nearest
neighbours and isolation forest on the same images. And faces (ORL) against photographs (CIFAR-10).

  ELBO_DATA=FOLDER PYTHON bench/anomaly.py [--binary target/release/elbo] [--digits 0123456789] [--no-faces] [--photographs TAR] [--out OUT.json]

FOLDER holds mnist/ and, for the second part, faces/orl/. PYTHON has numpy, Pillow and scikit-learn. Which images a run trained and validated on
is read from what elbo writes, so that all methods see the same ones: its training images, thresholds from its validation images, and
the whole test set. Every area that elbo prints is computed again by scikit-learn from the scores it wrote.
"""
import argparse, csv, gzip, json, os, subprocess, sys, tarfile, tempfile, time

import numpy as np
import sklearn
from PIL import Image
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.neighbors import NearestNeighbors

from machine import processor

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..")
RATE = 0.05
NEIGHBOURS = 5
TREES = 100


def run(*words):
    return json.loads(subprocess.run([*words, "--json", "--quiet"], check=True, capture_output=True, text=True).stdout)


def rows(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def idx(name, header):
    path = os.path.join(os.environ["ELBO_DATA"], "mnist", name + ".gz")
    return np.frombuffer(gzip.open(path).read(), np.uint8)[header:]


def judged(anomalous, scores, threshold):
    flagged = scores > threshold
    return dict(
        auroc=float(roc_auc_score(anomalous, scores)), average_precision=float(average_precision_score(anomalous, scores)),
        detected=float(flagged[anomalous].mean()), false_alarms=float(flagged[~anomalous].mean()),
    )


def threshold(scores):
    """As elbo's: the k-th smallest of n, k = ceil((n + 1) (1 - rate))."""
    return np.sort(scores)[int(np.ceil((len(scores) + 1) * (1 - RATE) - 1e-9)) - 1]


def baselines(train, validation, test, anomalous):
    """Distance to the k-th nearest training image, and isolation forest, on pixels in [0, 1]."""
    near = NearestNeighbors(n_neighbors=NEIGHBOURS, algorithm="brute").fit(train)
    forest = IsolationForest(n_estimators=TREES, random_state=0).fit(train)
    scores = {
        "knn": lambda x: near.kneighbors(x)[0][:, -1],
        "isolation forest": lambda x: -forest.score_samples(x),
    }
    return {name: judged(anomalous, score(test), threshold(score(validation))) for name, score in scores.items()}


def elbo(binary, folder, path, options):
    """Every score of a run: what elbo says of it, after scikit-learn said the same of the scores in the file."""
    out = os.path.join(folder, "scores.csv")
    summary = run(binary, "score", path, "--by", "all", "--false-alarm", str(RATE), "--out", out, *options)
    table = rows(out)
    anomalous = np.array([row["anomaly"] == "yes" for row in table])
    found = {}
    for place, (name, score) in enumerate(summary["scores"].items()):
        # The first score of --by is the column `score`.
        values = np.array([float(row[name] if name in row else row["score"]) for row in table])
        again = judged(anomalous, values, score["threshold"]["value"])
        for key in ("auroc", "average_precision"):
            assert abs(again[key] - score[key]["value"]) < 1e-9, (name, key, again[key], score[key])
        for key in ("detected", "false_alarms"):
            assert abs(again[key] - score[key]["share"]) < 1e-9, (name, key)
        found[name] = again | dict(auroc_stderr=score["auroc"]["stderr"])
    return found, table


def digit(args, folder, label, images, labels, test, test_labels):
    binary, path = args.binary, os.path.join(folder, f"digit-{label}")
    epochs = ["--epochs", str(args.epochs)] if args.epochs else []
    trained = run(binary, "train", "mnist-anomaly", "--set", f"data.labels=[{label}]", "--out", path, *epochs)
    scores, _ = elbo(binary, folder, path, ["--k", str(args.k)])
    out = os.path.join(folder, "validation.csv")
    run(binary, "score", path, "--split", "validation", "--out", out)
    held = np.array([int(row["index"]) for row in rows(out) if row["label"] == str(label)])
    kept = np.setdiff1d(np.flatnonzero(labels == label), held)
    others = baselines(images[kept], images[held], test, test_labels != label)
    return dict(normal=str(label), train=len(kept), validation=len(held), seconds=trained["seconds"], elbo_loss=trained["test"], scores=scores | others)


def mnist(args, folder):
    images, test = [idx(name, 16).reshape(-1, 784) / np.float32(255) for name in ("train-images-idx3-ubyte", "t10k-images-idx3-ubyte")]
    labels, test_labels = [idx(name, 8) for name in ("train-labels-idx1-ubyte", "t10k-labels-idx1-ubyte")]
    results = []
    for label in args.digits:
        results.append(digit(args, folder, int(label), images, labels, test, test_labels))
        print(label, {name: round(score["auroc"], 3) for name, score in results[-1]["scores"].items()}, file=sys.stderr, flush=True)
    return results


def face(path):
    return np.asarray(Image.open(path).convert("L"), np.float32).reshape(-1) / 255


def photograph(picture, height, width):
    """The largest part of these proportions from the middle, brought to the size, grey: as elbo's `crop`, but for the filter's last digits."""
    across = min(picture.width, picture.height * width / height)
    down = across * height / width
    left, top = (picture.width - across) / 2, (picture.height - down) / 2
    box = (left, top, left + across, top + down)
    picture = picture.resize((width, height), Image.BILINEAR, box).convert("L")
    return np.asarray(picture, np.float32).reshape(-1) / 255


def photographs(path):
    with tarfile.open(path) as archive:
        members = sorted(member.name for member in archive if member.isfile() and member.name.endswith((".png", ".jpg")))
        return np.stack([photograph(Image.open(archive.extractfile(name)), 112, 92) for name in members])


def faces(binary, folder, archive, epochs):
    path = os.path.join(folder, "faces")
    run(binary, "train", "faces", "--set", "data.validation=0.15", "--epochs", str(epochs), "--out", path)
    scores, table = elbo(binary, folder, path, ["--anomalies", archive, "--k", "50"])
    orl = os.path.join(os.environ["ELBO_DATA"], "faces", "orl")
    part = lambda split: [row for row in rows_of_split(binary, folder, path, split)]
    load = lambda chosen: np.stack([face(os.path.join(orl, row["path"])) for row in chosen])
    strange = photographs(archive)
    normal = load([row for row in table if row["anomaly"] == "no"])
    assert len(table) == len(normal) + len(strange)
    anomalous = np.arange(len(table)) >= len(normal)
    train, validation = load(part("train")), load(part("validation"))
    others = baselines(train, validation, np.concatenate([normal, strange]), anomalous)
    return dict(normal="ORL faces", anomalies="CIFAR-10 photographs", train=len(train), validation=len(validation), test=len(normal), strange=len(strange), epochs=epochs, scores=scores | others)


def rows_of_split(binary, folder, path, split):
    out = os.path.join(folder, f"{split}.csv")
    run(binary, "score", path, "--split", split, "--by", "recon", "--out", out)
    return rows(out)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--binary", default=os.path.join(ROOT, "target", "release", "elbo"))
    parser.add_argument("--digits", default="0123456789")
    parser.add_argument("--epochs", type=int, help="of each digit's run [default: the recipe's]")
    parser.add_argument("--k", type=int, default=100, help="samples behind nll-iw")
    parser.add_argument("--no-faces", action="store_true")
    parser.add_argument("--photographs", default=None, help="a tar of pictures [default: $ELBO_DATA/cifar10/test-2k.tar]")
    parser.add_argument("--face-epochs", type=int, default=60)
    parser.add_argument("--out", default=os.path.join(ROOT, "bench", "results", "anomaly.json"))
    args = parser.parse_args()
    archive = args.photographs or os.path.join(os.environ["ELBO_DATA"], "cifar10", "test-2k.tar")
    with tempfile.TemporaryDirectory() as folder:
        result = dict(
            date=time.strftime("%Y-%m-%d", time.gmtime()), processor=processor(), cores=os.cpu_count(),
            elbo=subprocess.run([args.binary, "--version"], check=True, capture_output=True, text=True).stdout.strip(),
            sklearn=sklearn.__version__, recipe="mnist-anomaly, seed 0", false_alarm=RATE, neighbours=NEIGHBOURS, trees=TREES,
            epochs=args.epochs, k=args.k, digits=mnist(args, folder),
        )
        if not args.no_faces:
            result["faces"] = faces(args.binary, folder, archive, args.face_epochs)
    names = list(result["digits"][0]["scores"]) if result["digits"] else []
    result["mean_auroc"] = {name: float(np.mean([row["scores"][name]["auroc"] for row in result["digits"]])) for name in names}
    with open(args.out, "w") as file:
        json.dump(result, file, indent=1)
        file.write("\n")
    print(json.dumps(result["mean_auroc"]))


if __name__ == "__main__":
    main()
