"""`elbo serve` under mixed requests from many clients, with an eye on its memory.

    python3 bench/soak.py [--seconds 180] [--clients 24] [--run RUN]

Good requests of every kind, bad ones, clients that hang up in the middle and listeners that come and go. It ends with 1 if a good request is answered with
anything but 200 (or 429, when too much waits), a bad one with anything but 4xx, or if the resident memory grows by more than 48 MB after the first fifth
of the time. Without RUN a small one is trained. Prints one JSON object.
"""

import argparse
import collections
import http.client
import json
import os
import pathlib
import random
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
ELBO = pathlib.Path(os.environ.get("ELBO", pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "elbo"))
MOST_GROWTH_MB = 48


def resident_mb(pid: int) -> float:
    with open(f"/proc/{pid}/status") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS:")) / 1024


def good(latent: int, draw: random.Random):
    """A request, and what it accepts."""
    code = lambda: [round(draw.gauss(0, 1), 4) for _ in range(latent)]
    kinds = {"json": "application/json", "raw": "application/octet-stream", "png": "image/png", "gif": "image/gif"}
    any_picture = kinds[draw.choice(list(kinds))]
    index = lambda: draw.randrange(50)
    return draw.choice([
        ("decode", {"z": [code()]}, kinds["raw"]),
        ("decode", {"z": [code() for _ in range(draw.choice([2, 64, 256]))]}, any_picture),
        ("sample", {"n": draw.choice([1, 16, 64]), "seed": draw.randrange(1 << 32), "temperature": draw.random() * 2}, any_picture),
        ("sample", {"n": 16, "sampler": draw.choice(["gaussian", "mixture"]), "truncation": 2}, kinds["raw"]),
        ("interpolate", {"a": code(), "b": code(), "steps": 12}, any_picture),
        ("encode", {"indices": [index(), index()]}, kinds["json"]),
        ("reconstruct", {"indices": [index()]}, any_picture),
        ("score", {"indices": [index()], "neighbours": 8}, kinds["json"]),
        ("project", {"method": draw.choice(["dims", "pca"])}, kinds["raw"]),
        ("mixture", {}, kinds["json"]),
        (draw.choice(["dimensions", "reference", "metrics", "examples/test/3", ""]), None, "*/*"),
    ])


BAD = [
    ("decode", b"{"), ("decode", b'{"z": [[1]]}'), ("decode", b'{"z": "no"}'), ("sample", b'{"n": 1000000}'), ("sample", b'{"sampler": "../x"}'),
    ("encode", b'{"indices": [4000000000]}'), ("encode", b'{"images": ["AAAA"]}'), ("nothing", b""), ("project", b'{"method": "magic"}'),
]


class Client(threading.Thread):
    def __init__(self, port: int, name: str, latent: int, seed: int, end: float):
        super().__init__(daemon=True)
        self.port, self.run_name, self.latent, self.end = port, name, latent, end
        self.draw = random.Random(seed)
        self.statuses = collections.Counter()
        self.wrong = []

    def run(self):
        connection = self.connect()
        while time.time() < self.end and len(self.wrong) < 5:
            choice = self.draw.random()
            try:
                if choice < 0.85:
                    self.ask_well(connection)
                elif choice < 0.95:
                    self.ask_badly(connection)
                else:
                    self.hang_up()
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(f"connection: {error!r}")
                connection = self.connect()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)

    def path(self, route: str) -> str:
        return f"/api/runs/{self.run_name}" + (f"/{route}" if route else "")

    def send(self, connection, route: str, body, accept: str) -> int:
        headers = {"Accept": accept, "Content-Type": "application/json"}
        connection.request("GET" if body is None else "POST", self.path(route), body, headers)
        answer = connection.getresponse()
        answer.read()
        return answer.status

    def ask_well(self, connection):
        route, body, accept = good(self.latent, self.draw)
        status = self.send(connection, route, None if body is None else json.dumps(body), accept)
        self.statuses[status] += 1
        # 202: the sampler is being fitted.
        if status not in (200, 202, 429):
            self.wrong.append(f"{status} for {route} {body}")

    def ask_badly(self, connection):
        route, body = self.draw.choice(BAD)
        status = self.send(connection, route, body, "application/json")
        self.statuses[status] += 1
        if not 400 <= status < 500:
            self.wrong.append(f"{status} for {route} {body}")

    def hang_up(self):
        """Half a request, a request whose answer is not read, or a listener that leaves."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as stream:
            whole = f"POST {self.path('sample')} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{{\"n\": 256}}"
            listen = "GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n"
            stream.sendall(self.draw.choice([whole, whole[:40], listen]).encode())
            time.sleep(0.01)
        self.statuses["hung up"] += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=180)
    parser.add_argument("--clients", type=int, default=24)
    parser.add_argument("--run", type=pathlib.Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = arguments.run or pathlib.Path(folder) / "soak"
        if arguments.run is None:
            subprocess.run([ELBO, "train", "--set", "data.count=3000", "--epochs", "1", "--out", run, "--quiet"], check=True, stdout=subprocess.DEVNULL)
        service = subprocess.Popen([ELBO, "serve", run.resolve(), "--port", "0", "--json"], stdout=subprocess.PIPE, text=True)
        try:
            port = json.loads(service.stdout.readline())["port"]
            with socket.create_connection(("127.0.0.1", port)) as stream:
                stream.sendall(b"GET /api/runs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
                answer = b"".join(iter(lambda: stream.recv(1 << 16), b""))
            [listed] = json.loads(answer.split(b"\r\n\r\n", 1)[1])
            began = time.time()
            clients = [Client(port, listed["id"], listed["latent"], seed, began + arguments.seconds) for seed in range(arguments.clients)]
            for client in clients:
                client.start()
            memory = []
            while any(client.is_alive() for client in clients):
                time.sleep(min(1.0, arguments.seconds / 20))
                memory.append((time.time() - began, resident_mb(service.pid)))
            service.terminate()
            code = service.wait(timeout=30)
        finally:
            service.kill()
    warm = max(size for at, size in memory if at <= max(arguments.seconds / 5, memory[0][0]))
    late = max(size for at, size in memory if at >= arguments.seconds * 0.8)
    wrong = [line for client in clients for line in client.wrong]
    statuses = sum((client.statuses for client in clients), collections.Counter())
    result = {
        "seconds": arguments.seconds, "clients": arguments.clients, "requests": sum(statuses.values()),
        "statuses": {str(status): count for status, count in statuses.most_common()},
        "resident_mb": {"first_fifth": round(warm, 1), "last_fifth": round(late, 1)}, "exit_code": code, "wrong": wrong[:10],
    }
    print(json.dumps(result))
    return int(bool(wrong) or late - warm > MOST_GROWTH_MB or code != 0)


if __name__ == "__main__":
    sys.exit(main())
