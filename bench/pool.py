#!/usr/bin/env python3
"""How long a worker of the pool should spin and yield before it parks: training speed for each choice, idle and beside one busy process.

  python3 bench/pool.py BINARY [OUT.json] [ROUNDS]

The product has no such setting. BINARY is an `elbo` built from a copy of the sources whose crates/kernels/src/pool.rs reads SPINS and YIELDS from the
environment variables POOL_SPINS and POOL_YIELDS. Rounds take turns through all choices, so that whatever else the machine does meets all
alike. Only the standard library; MNIST is taken from ELBO_DATA.
"""
import json, os, statistics, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
SPINS = [500, 2000, 4000, 16000, 4294960000]
YIELDS = [0, 200, 1000]
CHOICES = [(spins, 200) for spins in SPINS] + [(4000, yields) for yields in YIELDS if yields != 200]
WORKLOADS = ["mlp", "conv-s"]


def speed(binary, workload, spins, yields):
    data = ["--data", "mnist"] if os.environ.get("ELBO_DATA") else []
    command = [binary, "bench", workload, "--seconds", "2", "--json", *data]
    environment = dict(os.environ, POOL_SPINS=str(spins), POOL_YIELDS=str(yields))
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    return round(json.loads(done.stdout)["images_per_s"], 1)


def main():
    binary = sys.argv[1]
    out = sys.argv[2] if len(sys.argv) > 2 else os.path.join(HERE, "results", "pool.json")
    rounds = int(sys.argv[3]) if len(sys.argv) > 3 else 5
    measured = {}
    for number in range(rounds):
        for busy in (0, 1):
            rivals = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
            try:
                for workload in WORKLOADS:
                    for spins, yields in CHOICES:
                        key = (workload, busy, spins, yields)
                        measured.setdefault(key, []).append(speed(binary, workload, spins, yields))
                        print(number, *key, measured[key][-1], "load", round(os.getloadavg()[0], 1), flush=True)
            finally:
                for rival in rivals:
                    rival.kill()
                    rival.wait()
        rows = [
            {"workload": w, "busy_processes": b, "spins": s, "yields": y, "images_per_s": v,
             "best": max(v), "median": statistics.median(v)}
            for (w, b, s, y), v in measured.items()
        ]
        head = {"date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "load_at_end": os.getloadavg()[0]}
        with open(out, "w") as file:
            json.dump(head | {"rounds": number + 1, "rows": rows}, file, indent=1)


if __name__ == "__main__":
    main()
