#!/usr/bin/env python3
"""What each of the library's ideas buys: builds the library once without each (libipcq/src/core/without.hpp), runs rows of
ipcq-bench with the library as it is and with that one in turn, and prints medians and their ratio. --docs writes the table into
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
    "getting_ahead": (ONE_BY_ONE, BATCHES, "ipcq/stream-256B-b64-8M-exclusive", RTT),
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
    """One run of each row: {row: (placement, median, unit)}. A run in which something else took a processor is left out."""
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        command = [str(bench), "--repeats", "1", "--seconds", str(seconds), "--json", file.name]
        for row in rows:
            command += ["--only", row]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                       env={**os.environ, "LD_LIBRARY_PATH": str(library)})
        found = {}
        for row in json.load(open(file.name, encoding="utf-8"))["rows"]:
            for placement in ("near", "far"):
                if row["name"] in rows and row.get(placement):
                    found[row["name"]] = (placement, row[placement]["median"], row["unit"])
        return found


class Measured:
    """Medians of one row with the idea and without it, of the runs of one placement."""

    def __init__(self, idea, row, placement, unit, with_it, without):
        self.idea, self.row, self.placement, self.unit = idea, row, placement, unit
        self.with_it, self.without = statistics.median(with_it), statistics.median(without)
        self.runs = min(len(with_it), len(without))
        self.spread = [(min(values), max(values)) for values in (with_it, without)]

    @property
    def gain(self):
        """Above 1: the row is better with the idea."""
        return self.without / self.with_it if self.unit == "ns" else self.with_it / self.without


def number(value, unit):
    return f"{value:,.0f} ns" if unit == "ns" else f"{value / 1e6:.3g} M/s"


def cell(value, spread, unit):
    return f"{number(value, unit)} ({number(spread[0], unit).split()[0]} – {number(spread[1], unit).split()[0]})"


def table(measured):
    lines = ["| without | measured | as it is | without it | gain |", "|---|---|---:|---:|---:|"]
    for one in measured:
        lines.append(f"| `{one.idea}` | `{one.row.removeprefix('ipcq/')}`, {one.placement}, {one.runs} runs | "
                     f"{cell(one.with_it, one.spread[0], one.unit)} | {cell(one.without, one.spread[1], one.unit)} | "
                     f"{one.gain:.2f} |")
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
    runs = defaultdict(lambda: ([], []))
    for repeat in range(arguments.repeats):
        for idea in ideas:
            both = [(0, TOP / "build/lib"), (1, libraries[idea])]
            for side, library in both if repeat % 2 == 0 else reversed(both):
                for row, (placement, median, unit) in measure(bench, library, IDEAS[idea], arguments.seconds).items():
                    runs[idea, row, placement, unit][side].append(median)
        print(f"round {repeat + 1} of {arguments.repeats}", file=sys.stderr, flush=True)
    measured = [Measured(*key, *sides) for idea in ideas for row in IDEAS[idea] for key, sides in runs.items()
                if key[:2] == (idea, row) and all(sides)]
    text = table(measured)
    print(text)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps([vars(one) | {"gain": one.gain} for one in measured], indent=1))
    if arguments.docs:
        with tempfile.NamedTemporaryFile(suffix=".json") as file:
            subprocess.run([str(bench), "--repeats", "1", "--seconds", "0.05", "--only", "raw/rtt-flag",
                            "--json", file.name], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            write_docs(TOP / "docs/ideas.md", text, Results(file.name).machine)
    return 0


if __name__ == "__main__":
    sys.exit(main())
