#!/usr/bin/env python3
"""Sums up the logs of `fuzz/run` as JSON: executions, seconds, coverage and findings of each target, with machine and date.

Usage: fuzz/summary.py OUT.
"""

import json
import os
import re
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "bench"))
from machine import processor  # noqa: E402, beside the benchmarks


def target(log):
    """What a log tells, over all its starts."""
    text = log.read_text(errors="replace")
    executions = sum(int(n) for n in re.findall(r"stat::number_of_executed_units: (\d+)", text))
    slowest = max([int(n) for n in re.findall(r"stat::slowest_unit_time_sec: +(\d+)", text)], default=0)
    memory = max([int(n) for n in re.findall(r"stat::peak_rss_mb: +(\d+)", text)], default=0)
    seconds = sum(int(n) for n in re.findall(r"^fuzz/run: (\d+) seconds$", text, re.M))
    coverage = re.findall(r"cov: (\d+) ft: (\d+)", text)
    edges = max([int(cov) for cov, _ in coverage], default=0)
    kept = Path(log.parent / "findings" / log.stem)
    findings = sorted(path.name.split("-")[0] for path in kept.iterdir()) if kept.is_dir() else []
    starts = text.count("INFO: Running with entropic power schedule")
    return {"executions": executions, "seconds": seconds, "starts": starts, "edges": edges, "slowest_s": slowest,
            "peak_memory_mb": memory, "findings": findings}


def main():
    """Prints them."""
    out = Path(sys.argv[1])
    targets = {log.stem: target(log) for log in sorted(out.glob("*.log"))}
    machine = {"processor": f"{os.cpu_count()} x {processor()}", "system": platform.system(), "date": time.strftime("%Y-%m-%d")}
    print(json.dumps({"machine": machine, "targets": targets}, indent=2))


if __name__ == "__main__":
    main()
