#!/usr/bin/env python3
"""Writes valid inputs for every fuzz target, from the standard library and the repository's fixtures.

Usage: fuzz/seeds.py CORPUS. Each target starts from CORPUS/TARGET. Inputs of most targets begin with a byte that says what they are, as the target's
source tells.
"""

import gzip
import io
import json
import struct
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FIXTURES = ROOT / "fixtures"


def npy(descr, shape, payload, fortran=False):
    """An array as numpy.save writes it, version 1."""
    header = f"{{'descr': '{descr}', 'fortran_order': {fortran}, 'shape': {shape}, }}"
    header = header.ljust(117) + "\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(header)) + header.encode() + payload


def zipped(members, method=zipfile.ZIP_DEFLATED):
    """A zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def tarred(members, kind=tarfile.USTAR_FORMAT):
    """A tar archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=kind) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return file.getvalue()


def idx(magic, *sizes):
    """An IDX file of bytes."""
    count = 1
    for size in sizes:
        count *= size
    return struct.pack(f">{1 + len(sizes)}I", magic, *sizes) + bytes(i % 256 for i in range(count))


def pgm(fill):
    """Four grey pixels."""
    return b"P5 2 2 255\n" + bytes(4 * [fill])


def arrays():
    """Inputs of `npy`."""
    objects = b"\x80\x02cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01K\x04\x85cnumpy\ndtype\n" \
        b"X\x02\x00\x00\x00O8\x89\x88\x87R(K\x03X\x01\x00\x00\x00|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK?tb\x89](X\x03\x00\x00\x00cat" \
        b"X\x03\x00\x00\x00dogNK\x07etb."
    images = npy("|u1", (4, 3, 3), bytes(range(36)))
    rows = npy("<f8", (4, 3), struct.pack("<12d", *range(12)))
    labels = [
        npy("|u1", (4,), b"\0\1\1\0"),
        npy("<i8", (4, 1), struct.pack("<4q", 3, 1, 3, 2)),
        npy("<U3", (4,), "".join(t.ljust(3, "\0") for t in ("cat", "dog", "", "cat")).encode("utf-32-le")),
        npy("|S2", (4,), b"a\0b\0a\0b\0"),
        npy("|O", (4,), objects),
    ]
    yield from (b"\0" + array for array in [images, rows, npy("<f4", (2, 1, 2, 2), struct.pack("<8f", *[i / 8 for i in range(8)])),
                                            npy("<u2", (2, 2, 2), bytes(16)), npy(">i4", (3, 2), bytes(24), fortran=True)])
    for array in labels:
        for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED):
            yield b"\1" + zipped([("x.npy", images), ("y.npy", array)], method)
    parts = [(name + ".npy", images) for name in ("x_train", "x_val", "x_test")] + [(n + ".npy", labels[0]) for n in ("y_train", "y_val", "y_test")]
    yield b"\1" + zipped(parts)
    yield b"\1" + zipped([("x.npy", rows), ("readme.txt", b"hello")])
    yield from (b"\2" + array for array in labels)
    yield b"\3" + bytes(range(40))


def tables():
    """Inputs of `csv`."""
    texts = [
        "x,y,kind\n1,2,a\n3,4.5,b\n-1e3,.5,a\n",
        "sep=;\r\nx;y\r\n1,5;2\r\n3;4,25\r\n",
        "\ufeffx|y\n1|2\n\n3|4\n",
        "1 2 3\n4 5 6\n",
        "x\ty\n1\t\n2\tNaN\n3\tinf\n",
        'a,"b ""c"""\r1,"2"\r3,4\r',
        "0,1,2,3\n5,6,7,8\n",
        ",x\n0,1\n1,2\n",
    ]
    for kind in (0, 2, 4, 6):
        yield from (bytes([kind, 0]) + text.encode() for text in texts)
    yield from (bytes([1, width]) + bytes(range(60)) for width in range(4))


def files_of_idx():
    """Inputs of `idx`."""
    whole = idx(0x803, 3, 4, 4)
    yield from (b"\0\0" + file for file in [whole, gzip.compress(whole), idx(0x801, 5), whole[:-1], idx(0x803, 2, 1, 1)])
    yield from (bytes([1, width]) + bytes(range(50)) for width in range(7))


def archives():
    """Inputs of `archives`."""
    pictures = [(f"{part}/{label}/{i}.pgm", pgm(40 * i)) for part in ("train", "test") for label in "ab" for i in range(2)]
    flat = [(f"./{i}.pgm", pgm(40 * i)) for i in range(3)] + [("notes.txt", b"hello"), ("__MACOSX/._0.pgm", b"x"), ("x.heic", b"\0\0\0\x18ftypheic")]
    png = [("a/rgb.png", (FIXTURES / "pictures/rgb.png").read_bytes()), ("b/rgb.jpg", (FIXTURES / "pictures/rgb.jpg").read_bytes())]
    for members in (pictures, flat, png):
        yield from (b"\0" + tarred(members, kind) for kind in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
        yield b"\0" + gzip.compress(tarred(members))
        yield from (b"\1" + zipped(members, method) for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_STORED, zipfile.ZIP_BZIP2))
    yield b"\0" + tarred([("d" * 90 + "/" + "e" * 90 + "/1.pgm", pgm(1))], tarfile.GNU_FORMAT)
    yield b"\2" + bytes(range(48))


def pictures():
    """Inputs of `pictures`."""
    for file in sorted((FIXTURES / "pictures").iterdir()):
        if file.suffix not in (".py", ".json"):
            yield b"\0" + file.read_bytes()
            yield b"\1" + file.read_bytes()
    size = struct.pack("<HHBB", 2, 2, 24, 0)
    yield b"\2" + b"\0\0\2" + bytes(9) + size + bytes(range(12))
    yield b"\2" + b"\0\0\x0a" + bytes(9) + size + b"\x83abc"
    strip = b"II*\0\x0c\0\0\0abcd\7\0" + b"".join(
        struct.pack("<HHII", tag, 4, 1, value)
        for tag, value in [(256, 2), (257, 2), (258, 8), (259, 1), (262, 1), (273, 8), (279, 4)]
    ) + bytes(4)
    yield b"\0" + strip
    yield b"\3\2" + bytes(range(27))


def pixel_caches():
    """Inputs of `pixel_cache`."""
    yield from [b"\0", b"\1\x20\0", b"\2\0\1\3\0\2", bytes([9, 0, 1, 30, 0, 255, 60, 0, 4])]


def parquets():
    """Inputs of `parquet`: its own files, since the standard library writes none."""
    for folder in (FIXTURES / "parquet", FIXTURES / "parquet/files"):
        if folder.is_dir():
            yield from (b"\0" + file.read_bytes() for file in sorted(folder.glob("*.parquet")))
    yield b"\1" + bytes(range(40))


def safetensors():
    """Inputs of `safetensors`."""
    def file(header, payload):
        text = json.dumps(header).encode()
        return struct.pack("<Q", len(text)) + text + payload

    yield file({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}, struct.pack("<2f", 1, -2))
    yield file({"__metadata__": {"k": "v"}, "b": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]},
                "a.c": {"dtype": "F32", "shape": [], "data_offsets": [4, 8]}}, struct.pack("<2f", 0.5, 0))
    yield file({}, b"")
    smallest = sorted((FIXTURES / "golden/runs").glob("*/checkpoints/last/*.safetensors"), key=lambda path: path.stat().st_size)
    yield from (path.read_bytes() for path in smallest[:2])


def of_runs(pattern):
    """Files of the golden runs."""
    for path in sorted((FIXTURES / "golden/runs").glob(pattern)):
        yield path.read_bytes()


def runs():
    """Inputs of `run_json`: facts of runs, and lines of histories."""
    yield from of_runs("*/run.json")
    for text in of_runs("*/metrics.jsonl"):
        yield from text.splitlines()[:2]


def configurations():
    """Inputs of `config_toml`."""
    for folder in (ROOT / "crates/elbo/recipes", FIXTURES / "golden/config"):
        yield from (path.read_bytes() for path in sorted(folder.glob("*.toml")))


def priors():
    """Inputs of `priors`: stored samplers, and one of a code of one number."""
    yield from of_runs("*/priors/*.json")


def kernels():
    """Inputs of `kernels`: choices, a byte or two each."""
    yield from (bytes([kind]) + bytes((kind * 37 + i * 11) % 256 for i in range(40)) for kind in range(40))


TARGETS = {
    "npy": arrays, "csv": tables, "idx": files_of_idx, "archives": archives, "pictures": pictures, "pixel_cache": pixel_caches,
    "parquet": parquets, "safetensors": safetensors, "run_json": runs, "state_json": lambda: of_runs("*/checkpoints/last/state.json"),
    "checkpoint": lambda: of_runs("*/checkpoints/last/manifest.json"), "config_toml": configurations, "priors": priors, "kernels": kernels,
}


def main():
    """Writes them all."""
    corpus = Path(sys.argv[1])
    for target, seeds in TARGETS.items():
        folder = corpus / target
        folder.mkdir(parents=True, exist_ok=True)
        count = 0
        for count, seed in enumerate(seeds(), 1):
            (folder / f"seed-{count:03}").write_bytes(seed)
        print(f"{target}: {count} seeds")


if __name__ == "__main__":
    main()
