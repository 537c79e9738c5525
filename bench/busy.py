#!/usr/bin/env python3
"""Training speed on an idle machine and beside one busy process, with one thread and with all.

  python3 bench/busy.py [OUT.json]

The busy process is a loop that never sleeps, stopped at the end. Only the standard library; no data needed.
"""
import json, os, subprocess, sys, time

HERE = os.path.dirname(os.path.abspath(__file__))
BINARY = os.path.join(HERE, "..", "target", "release", "elbo")


def speed(workload, threads):
    command = [BINARY, "bench", workload, "--seconds", "4", "--threads", str(threads), "--json"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return round(json.loads(done.stdout)["images_per_s"], 1)


def main():
    out = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "results", "busy.json")
    rows = []
    for workload in ("mlp", "conv-s"):
        for busy in (0, 1):
            rivals = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(busy)]
            try:
                for threads in (1, os.cpu_count()):
                    row = {"workload": workload, "busy_processes": busy, "threads": threads}
                    rows.append(row | {"images_per_s": speed(workload, threads)})
                    print(rows[-1], flush=True)
            finally:
                for rival in rivals:
                    rival.kill()
                    rival.wait()
    json.dump({"date": time.strftime("%Y-%m-%d"), "cores": os.cpu_count(), "rows": rows}, open(out, "w"), indent=1)


if __name__ == "__main__":
    main()
