#!/usr/bin/env python3
"""What each of the library's ideas buys: builds the library once without each (libipcq/src/core/without.hpp), runs rows of
ipcq-bench with the library as it is and with that one in turn, and prints medians, and of the ratios
of the pairs the median and the quartiles. --docs writes the table into
docs/ideas.md. About five minutes; wants an idle machine."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path.insert(0, str(HERE))

from results import Results  # noqa: E402  (beside this one)

BEGIN, END = "<!-- written by ./dev bench --ideas --docs -->", "<!-- end -->"
RTT = "ipcq/rtt-64B-spin-exclusive"
ONE_BY_ONE = "ipcq/stream-64B-b1-8M-exclusive"
BATCHES = "ipcq/stream-64B-b64-8M-exclusive"
# What is measured for each, by the names of the enumeration in without.hpp.
IDEAS = {
    "fence": (ONE_BY_ONE, "ipcq/stream-8B-b1-8M-exclusive-notimes", RTT),
    "getting_ahead": (ONE_BY_ONE, "ipcq/stream-64B-b1-8M-shared", "ipcq/stream-8B-b1-8M-shared", BATCHES,
                      "ipcq/stream-256B-b64-8M-exclusive", RTT),
    "prefetch": (BATCHES, "ipcq/stream-256B-b64-8M-exclusive", RTT),
    "runs": (BATCHES, "ipcq/stream-8B-b64-8M-exclusive"),
    "free_ack": ("ipcq/drain-by-1-64B-lease1", "ipcq/drain-by-2-64B-lease16", "ipcq/rtt-64B-spin-shared"),
    "sampling": (ONE_BY_ONE, BATCHES, RTT),
    "ticks": (ONE_BY_ONE, RTT),
    "hot_looks": (RTT, "ipcq/paced-100k-spin"),
}


def build(idea, folder):
    """The library without `idea`; the folder of its shared object."""
    options = [f"-DIPCQ_BUILD_{part}=OFF" for part in ("CLI", "DAEMON", "EXAMPLES", "TESTS", "BENCH")]
    subprocess.run(["cmake", "--preset", "release", "-B", str(folder), f"-DIPCQ_WITHOUT={idea}", *options], cwd=TOP, check=True,
                   stdout=subprocess.DEVNULL)
    subprocess.run(["ninja", "-C", str(folder), "ipcq"], check=True, stdout=subprocess.DEVNULL)
    return folder / "lib"


def measure(bench, library, rows, seconds):
    """One run of each row: {(row, placement, unit): median}. A run in which something else took a processor is left out."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [str(bench), "--repeats", "1", "--seconds", str(seconds), "--json", file.name]
        for row in rows:
            command += ["--only", row]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env={**os.environ, "LD_LIBRARY_PATH": str(library)})
        with open(file.name, encoding="utf-8") as results:
            measured = json.load(results)["rows"]
    found = {}
    for row in measured:
        for placement in ("near", "far", "anywhere"):
            if row["name"] in rows and row.get(placement):
                unit = {"throughput": "M/s", "told": "M/s"}.get(row["measure"], "ns")  # of these rows: a drained ring
                scale = 1e6 if row["measure"] == "throughput" else 1
                found[row["name"], placement, unit] = row[placement]["median"] / scale
    return found


class Measured:
    """One row with the idea and without it, in pairs that follow each other: the machine changes within minutes by more than
    most ideas buy."""

    def __init__(self, idea, row, placement, unit, pairs):
        self.idea, self.row, self.placement, self.unit, self.pairs = idea, row, placement, unit, pairs
        self.with_it, self.without = (statistics.median(side) for side in zip(*pairs))
        # Above 1: the row is better with the idea.
        gains = sorted(without / with_it if unit == "ns" else with_it / without for with_it, without in pairs)
        self.gain = statistics.median(gains)
        self.least, self.most = gains[len(gains) // 4], gains[-1 - len(gains) // 4]


def number(value, unit):
    return f"{value:,.0f} {unit}" if value >= 100 else f"{value:.3g} {unit}"


def table(measured):
    lines = ["| without | row | as it is | without it | gain |", "|---|---|---:|---:|---:|"]
    for one in measured:
        lines.append(f"| `{one.idea}` | `{one.row.removeprefix('ipcq/')}` ({one.placement}, {len(one.pairs)} pairs) | "
                     f"{number(one.with_it, one.unit)} | {number(one.without, one.unit)} | "
                     f"{one.gain:.2f} ({one.least:.2f} – {one.most:.2f}) |")
    return "\n".join(lines)


def write_docs(path, text, machine):
    document = path.read_text(encoding="utf-8")
    head, rest = document.split(BEGIN)
    told = f"{machine['cpu']}, {machine['kernel']}, {machine['compiler']}, {machine['date']}."
    path.write_text(f"{head}{BEGIN}\n\n{told}\n\n{text}\n\n{END}{rest.split(END, 1)[1]}", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(prog="./dev bench --ideas", description=__doc__)
    parser.add_argument("--only", metavar="IDEA", action="append", choices=sorted(IDEAS), help="one of " + ", ".join(IDEAS))
    parser.add_argument("--repeats", metavar="N", type=int, default=9, help="runs of each row with and without (9)")
    parser.add_argument("--seconds", metavar="S", type=float, default=0.25, help="of each (0.25)")
    parser.add_argument("--docs", action="store_true", help="write the table into docs/ideas.md")
    parser.add_argument("--json", metavar="FILE", help="write all figures there")
    arguments = parser.parse_args()
    if arguments.repeats < 1 or not 0.01 <= arguments.seconds <= 60:
        parser.error("--repeats: at least 1; --seconds: 0.01 to 60")
    if arguments.docs and arguments.only:
        parser.error("--docs writes the whole table: not with --only")
    ideas = arguments.only or list(IDEAS)
    bench = TOP / "build/bin/ipcq-bench"
    libraries = {idea: build(idea, TOP / "build/without" / idea) for idea in ideas}
    pairs = defaultdict(list)
    for repeat in range(arguments.repeats):
        for idea in ideas:
            both = [TOP / "build/lib", libraries[idea]]
            found = [measure(bench, library, IDEAS[idea], arguments.seconds) for library in both[::-1 if repeat % 2 else 1]]
            with_it, without = found[::-1 if repeat % 2 else 1]
            for key in with_it.keys() & without.keys():
                pairs[idea, *key].append((with_it[key], without[key]))
        print(f"round {repeat + 1} of {arguments.repeats}", file=sys.stderr, flush=True)
    measured = [Measured(*key, pairs[key]) for idea in ideas for row in IDEAS[idea] for key in sorted(pairs)
                if key[:2] == (idea, row)]
    text = table(measured)
    print(text)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps([vars(one) for one in measured], indent=1))
    if arguments.docs:
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            subprocess.run([str(bench), "--repeats", "1", "--seconds", "0.05", "--only", "raw/rtt-flag",
                            "--json", file.name], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            write_docs(TOP / "docs/ideas.md", text, Results(file.name).machine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
