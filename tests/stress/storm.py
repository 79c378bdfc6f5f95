#!/usr/bin/env python3
"""storm.py [--kills N] [--seed S] [--record FILE] [--keep-going]: the storms, again and again, until N workers were killed.

Runs the Storm tests of ipcq_stress_tests (IPCQ_BIN names the folder it is in), each round with a seed of its own, and
prints what took place as a table in Markdown. Every round goes into the record, one line of JSON: a run that was broken
off goes on from there. A round that fails keeps its whole output beside the record and ends the run, unless told to keep
going. Exit code 1: something was wrong.
"""

import argparse
import datetime
import json
import os
import platform
import random
import subprocess
import sys
import tempfile
from collections import Counter, defaultdict
from pathlib import Path

COLUMNS = [("kills", ["kills"]), ("stops", ["stops"]), ("exits", ["exit", "quick_exit"]), ("exec", ["exec"]),
           ("fork", ["fork", "vfork"]), ("closefrom", ["closefrom"]), ("thread ends", ["thread_end"]),
           ("group visits", ["visits"]), ("messages", ["messages"]), ("dropped", ["dropped"]), ("dead letters", ["dead_letters"]), ("wrong", ["wrong"])]


def program():
    folder = os.environ.get("IPCQ_BIN")
    if not folder:
        sys.exit("storm: set IPCQ_BIN to the folder of ipcq_stress_tests")
    return Path(folder) / "ipcq_stress_tests"


def run_round(seed, scale):
    """One round of all scenarios: {scenario: {figure: number}}, and the output."""
    with tempfile.TemporaryDirectory(prefix="ipcq-storm.", dir="/dev/shm") as scratch:
        results = Path(scratch) / "results.json"
        environment = dict(os.environ, IPCQ_TEST_SEED=str(seed), IPCQ_TEST_SCALE=str(scale), IPCQ_DIR=scratch)
        done = subprocess.run([program(), "--gtest_filter=*/Storm.*", f"--gtest_output=json:{results}"], env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output = done.stdout.decode(errors="replace")
        if not results.exists():  # the test program itself died
            return {"(all)": {"wrong": 1}}, output + f"\nended with {done.returncode}\n"
        tests = [test for suite in json.loads(results.read_text())["testsuites"] for test in suite["testsuite"]]
    figures = {}
    names = {name for _, names in COLUMNS for name in names} - {"wrong"}
    for test in tests:
        scenario = test["name"].rpartition("/")[2]
        figures[scenario] = {name: int(test.get(name, 0)) for name in names}
        figures[scenario]["wrong"] = len(test.get("failures", []))
    if not tests or (done.returncode != 0 and not any(each["wrong"] for each in figures.values())):
        figures["(all)"] = {"wrong": 1}
    return figures, output


def machine():
    model = "unknown processor"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {os.cpu_count()} processors, Linux {platform.release()}"


def table(rounds):
    sums = defaultdict(Counter)
    for each in rounds:
        for scenario, figures in each["scenarios"].items():
            sums[scenario].update(figures)
            sums["all"].update(figures)
    total = sums.pop("all", Counter())
    lines = ["| scenario | " + " | ".join(title for title, _ in COLUMNS) + " |",
             "|---|" + "---:|" * len(COLUMNS)]
    for scenario, figures in [*sums.items(), ("**all**", total)]:
        cells = [f"{sum(figures[name] for name in names):,}" for _, names in COLUMNS]
        lines.append(f"| {scenario.replace('_', ' ')} | " + " | ".join(cells) + " |")
    days = sorted({each["date"] for each in rounds})
    lines.append("")
    lines.append(f"Rounds: {len(rounds)}, {days[0]}{' to ' + days[-1] if days[-1] != days[0] else ''}; {machine()}.")
    return "\n".join(lines), total


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--kills", type=int, default=10_000, help="how many, all scenarios together (10000)")
    parser.add_argument("--seed", type=int, help="of the first round; the others follow from it (default: a fresh one)")
    parser.add_argument("--scale", type=float, default=2, help="length of a round: times 1.6 s a scenario (2)")
    parser.add_argument("--record", type=Path, default=Path("storm.jsonl"), help="where rounds are noted (storm.jsonl)")
    parser.add_argument("--keep-going", action="store_true", help="after a failure too")
    options = parser.parse_args()
    rounds = []
    if options.record.exists():
        rounds = [json.loads(line) for line in options.record.read_text().splitlines()]
    seed = options.seed if options.seed is not None else random.SystemRandom().getrandbits(48)

    def killed():
        return sum(figures.get("kills", 0) for each in rounds for figures in each["scenarios"].values())

    wrong = 0
    while killed() < options.kills and (not wrong or options.keep_going):
        scenarios, output = run_round(seed, options.scale)
        rounds.append({"seed": seed, "scale": options.scale, "date": datetime.date.today().isoformat(),
                       "scenarios": scenarios})
        with options.record.open("a") as record:
            record.write(json.dumps(rounds[-1]) + "\n")
        failed = sum(figures["wrong"] for figures in scenarios.values())
        if failed:
            wrong += failed
            kept = Path(f"{options.record}.failed-{seed}")
            kept.write_text(output)
            print(f"storm: wrong in the round with seed {seed}: {kept}", file=sys.stderr)
        print(f"storm: round {len(rounds)}, seed {seed}: {killed()} of {options.kills} killed", file=sys.stderr, flush=True)
        seed += 1
    if rounds:
        text, total = table(rounds)
        print(text)
        wrong = total["wrong"]
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
