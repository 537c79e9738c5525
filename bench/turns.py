"""Commands that print a measurement as JSON, run in turns."""
import json, shutil, statistics, subprocess


def measure(command):
    if shutil.which(command[0]) is None:
        return {"error": f"{command[0]} is not built"}
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        # A mode that this machine cannot run (no C++ compiler for torch.compile) is left out, and said to be.
        return {"error": done.stderr.strip().splitlines()[-1:] or ["failed"]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def in_turns(sides, rounds):
    """What each side's command printed in each round, and the best and the median of its repetitions."""
    runs = {side: [] for side in sides}
    for _ in range(rounds):
        for side, command in sides.items():
            runs[side].append(measure(command))
    summary = {}
    for side, results in runs.items():
        reps = [rep for result in results for rep in result.get("reps", [])]
        if reps:
            summary[side] = {"best": round(max(reps), 1), "median": round(statistics.median(reps), 1)}
    return runs, summary


def ratio(summary, ours, modes):
    """Our best over the best of those modes that ran; none where a side is missing."""
    theirs = [summary[mode]["best"] for mode in modes if mode in summary]
    return summary[ours]["best"] / max(theirs) if theirs and ours in summary else None


def rounded(ratio):
    return ratio and round(ratio, 2)
