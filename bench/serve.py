"""`elbo serve` beside FastAPI + PyTorch with the same decoder, in turns in one session.

    python3 bench/serve.py [--torch PYTHON] [--seconds 5] [--rounds 2] [--run RUN]

Trains `mnist-bce` for one epoch if no run is given (ELBO_DATA names a folder with mnist/; without it the built-in digits). PYTHON has torch, fastapi,
uvicorn and safetensors. The load generator is compiled, `crates/explorer/examples/load.rs` (`cargo build --release --workspace --examples`), one thread for
each client, the same for both; it takes its share of the same cores. Both answer one code with the same bytes before anything is timed. A round takes both
sides in turns, the other side first in every second one. Writes bench/results/serve.json.
"""

import argparse
import http.client
import json
import os
import pathlib
import platform
import socket
import subprocess
import sys
import tempfile
import time
import tomllib

ROOT = pathlib.Path(__file__).resolve().parent.parent
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
CASES = [(1, 1), (32, 1), (1, 64), (32, 64)]
# Asked of elbo: so many times the peer's decodes, and no slower than this alone.
LEAST_RATIO = {(32, 1): 3.0, (32, 64): 3.0}
MOST_P50_MS = {(1, 1): 2.0}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(port: int) -> None:
    deadline = time.time() + 60
    while time.time() < deadline:
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)
    raise SystemExit(f"nothing listens on port {port}")


def load(port: int, path: str, latent: int, clients: int, batch: int, seconds: int) -> dict:
    command = [TARGET / "examples" / "load", f"127.0.0.1:{port}", path, latent, clients, batch, seconds]
    return json.loads(subprocess.run([str(word) for word in command], check=True, capture_output=True, text=True).stdout)


def decoded(port: int, path: str, latent: int) -> bytes:
    """The picture of one code."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    body = json.dumps({"z": [[(i % 5 - 2) / 2 for i in range(latent)]]})
    connection.request("POST", path, body, {"Content-Type": "application/json", "Accept": "application/octet-stream"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(f"{path}: status {answer.status}: {answer.read()!r}")
    return answer.read()


def side(name: str, run: pathlib.Path, python: str):
    """Starts a server; returns the process, its port and the path to ask."""
    port = free_port()
    if name == "elbo":
        process = subprocess.Popen([TARGET / "elbo", "serve", run, "--port", str(port), "--quiet"], stdout=subprocess.DEVNULL)
        return process, port, f"/api/runs/{run.name}/decode"
    environment = os.environ | {"WEIGHTS": str(run / "checkpoints/last/model.safetensors")}
    command = [python, "-m", "uvicorn", "peer_fastapi:app", "--port", str(port), "--log-level", "warning", "--no-access-log"]
    process = subprocess.Popen(command, cwd=ROOT / "bench", env=environment)
    return process, port, "/decode"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--torch", default=sys.executable, metavar="PYTHON")
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--run", type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = arguments.run
        if run is None:
            run = pathlib.Path(folder) / "bench"
            recipe = ["mnist-bce"] if (pathlib.Path(os.environ.get("ELBO_DATA", "/nonexistent")) / "mnist").is_dir() else ["mnist-bce", "--data", "digits"]
            subprocess.run([TARGET / "elbo", "train", *recipe, "--epochs", "1", "--out", run, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        run = run.resolve()
        latent = tomllib.loads((run / "config.toml").read_text())["model"]["latent"]
        results: dict[str, list] = {"elbo": [], "fastapi": []}
        pictures: dict[str, bytes] = {}
        for turn in range(arguments.rounds):
            for name, found in list(results.items())[:: 1 if turn % 2 == 0 else -1]:
                process, port, path = side(name, run, arguments.torch)
                try:
                    wait_for(port)
                    pictures[name] = decoded(port, path, latent)
                    if any(len(other) != len(pictures[name]) or max(abs(a - b) for a, b in zip(other, pictures[name])) > 1 for other in pictures.values()):
                        raise SystemExit("the two do not decode alike")
                    for clients, batch in CASES:
                        measured = load(port, path, latent, clients, batch, arguments.seconds)
                        if measured["errors"]:
                            raise SystemExit(f"{name}: {measured['errors']} requests were not answered")
                        found.append(measured)
                        print(f"{name:8} {measured}", flush=True)
                finally:
                    process.terminate()
                    process.wait()
    best = {}
    for clients, batch in CASES:
        pick = lambda name: min((m for m in results[name] if (m["clients"], m["batch"]) == (clients, batch)), key=lambda m: m["p50_ms"])
        ours, theirs = pick("elbo"), pick("fastapi")
        best[f"{clients} clients, batch {batch}"] = {
            "elbo": ours, "fastapi": theirs, "ratio_decodes_per_s": round(ours["decodes_per_s"] / theirs["decodes_per_s"], 2),
        }
    out = {"machine": platform.platform(), "cores": os.cpu_count(), "date": time.strftime("%Y-%m-%d"), "best": best, "all": results}
    (ROOT / "bench/results/serve.json").write_text(json.dumps(out, indent=1) + "\n")
    missed = []
    for case, both in best.items():
        ours, theirs, ratio = both["elbo"], both["fastapi"], both["ratio_decodes_per_s"]
        print(f"{case}: {ratio} times; p50 {ours['p50_ms']} and {theirs['p50_ms']} ms, p99 {ours['p99_ms']} and {theirs['p99_ms']} ms")
        key = (ours["clients"], ours["batch"])
        if ratio < LEAST_RATIO.get(key, 0) or ours["p50_ms"] > MOST_P50_MS.get(key, float("inf")):
            missed.append(case)
    print(f"below what is asked: {', '.join(missed)}" if missed else "all that is asked is reached")


if __name__ == "__main__":
    main()
