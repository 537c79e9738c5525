#!/usr/bin/env python3
"""Peak memory of elbo over sets of 2,000 and 20,000 pictures: it is to stay flat.

  python3 bench/memory.py [--out FILE]

The pictures are PNG files of 3 x 64 x 64 (12 KB each when decoded), made for the purpose. What grows with the set are pages of the mapped cache file, which the system takes
back when it needs them; they are in the resident size (`rss`) but not in the anonymous part (`anon`), which is the memory a process cannot do without. Both are
peaks of /proc/PID/status, read every five milliseconds.
"""
import argparse, json, os, struct, subprocess, sys, tempfile, time, zlib

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.path.join(HERE, "..", "target", "release", "elbo")
SIDE = 64


def png(seed):
    rows = bytearray()
    for y in range(SIDE):
        rows.append(0)
        for x in range(SIDE):
            rows += bytes(((x * (seed % 7) + seed) & 255, (y * (seed % 5) + seed * 3) & 255, ((x ^ y) + seed) & 255))
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    header = struct.pack(">IIBBBBB", SIDE, SIDE, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(rows), 1)) + chunk(b"IEND", b"")


def peaks(command, environment):
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    peak = {"anon": 0, "rss": 0}
    started = time.perf_counter()
    while process.poll() is None:
        try:
            lines = dict(line.split(":", 1) for line in open(f"/proc/{process.pid}/status") if ":" in line)
            for key, field in [("anon", "RssAnon"), ("rss", "VmRSS")]:
                peak[key] = max(peak[key], int(lines.get(field, "0 kB").split()[0]))
        except (FileNotFoundError, ProcessLookupError):
            pass
        time.sleep(0.005)
    assert process.returncode == 0, (command, process.returncode)
    return {"seconds": round(time.perf_counter() - started, 2), **{f"{key}_mb": round(kib / 1024, 1) for key, kib in peak.items()}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--elbo", default=BINARY)
    parser.add_argument("--counts", type=int, nargs="+", default=[2_000, 20_000])
    parser.add_argument("--out", default=os.path.join(HERE, "results", "memory.json"))
    arguments = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as root:
        for count in arguments.counts:
            folder = os.path.join(root, str(count))
            for i in range(count):
                path = os.path.join(folder, str(i % 10))
                os.makedirs(path, exist_ok=True)
                with open(os.path.join(path, f"{i:06}.png"), "wb") as file:
                    file.write(png(i))
            environment = dict(os.environ, ELBO_HOME=os.path.join(root, f"home-{count}"))
            train = [arguments.elbo, "train", "--data", folder, "--epochs", "1", "--set", "network.hidden=[64]", "--set", "data.test=0.3", "--set", "data.validation=600"]
            result = {
                "pictures": count,
                "decoded_mb": round(count * 3 * SIDE * SIDE / 2**20, 1),
                "decode_and_report": peaks([arguments.elbo, "data", folder], environment),
                "report_again": peaks([arguments.elbo, "data", folder], environment),
                "train": peaks([*train, "--out", os.path.join(root, f"run-{count}")], environment),
                "train_without_cache": peaks([*train, "--out", os.path.join(root, f"cold-{count}")], dict(environment, ELBO_HOME=os.path.join(root, f"cold-home-{count}"))),
            }
            print(json.dumps(result), file=sys.stderr)
            results.append(result)
    record = {"date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "results": results}
    json.dump(record, open(arguments.out, "w"), indent=1)
    print(json.dumps(record))


if __name__ == "__main__":
    main()
