#!/usr/bin/env python3
"""Branch coverage of the library, from the counters that the tests of a coverage build have left behind.

    report.py BUILD_DIRECTORY [--missing]

Writes a table in Markdown: files, then the functions that recovery is made of. `--missing` adds each branch that was not
taken. Branches that only an exception takes are not counted, nor is the way on from a call that may throw, which is no
branch; nor, in a line that was run and has such calls, a condition that was never asked: gcov has one for each temporary that
an exception might have to destroy. (One of the source's own, behind && or ?:, hides there too; the branch that leads to it
counts.) exceptions.txt names the branches that no test can take, and why. Exit code 1 when a bound is missed or an exception
is stale (its line is gone, or covered).

A line is counted once, however many objects, template instances and inlined copies it was compiled into: a branch of it
is taken when any of them took it.
"""

import argparse
import collections
import gzip
import json
import pathlib
import re
import subprocess
import sys
import tempfile

TOP = pathlib.Path(__file__).resolve().parents[2]
SOURCES = TOP / "libipcq/src"
EXCEPTIONS = pathlib.Path(__file__).with_name("exceptions.txt")
CORE_LEAST = 95.0
RECOVERY_LEAST = 100.0

# What recovery is made of: whatever touches what the dead left behind.
RECOVERY = {
    "core/recovery.cpp": ["recover"],
    "core/ledger.cpp": ["repair", "lock_group"],
    "core/lock.hpp": ["lock_repaired", "lock_for_call", "lock_deadline"],
    "core/producer_side.cpp": ["repair_producer_side", "lock_producer_side", "abandon", "abandon_claim_of",
                               "walk_claim_position", "take_over_producer"],
    "core/lease.cpp": ["redeliver_dead"],
    "core/endpoints.cpp": ["judge", "free_row_of_dead", "free_rows_of_earlier_images"],
    "core/groups.cpp": ["free_marked", "finish_group_removal"],
    "core/closing.cpp": ["finish_close", "finish_close_as_owner"],
    "core/exclusive_consumer.cpp": ["join_exclusive"],
}


class Line:
    def __init__(self):
        self.hits = 0
        self.conditions = []  # of each the times that its branches were taken
        self.throws = False
        self.function = ""

    @property
    def branches(self):
        """Times taken."""
        unasked = self.hits > 0 and self.throws
        return [count for condition in self.conditions if not (unasked and len(condition) == 2 and not any(condition))
                for count in condition]


def conditions_of(branches):
    """gcov's branches of a line, one block's behind the other's: a call's (way on, throw...), a condition's (way on, jump), a
    switch's (jump...). Without the calls' and the throws."""
    blocks = []
    for branch in branches:
        condition_whole = bool(blocks) and len(blocks[-1]) == 2 and blocks[-1][0]["fallthrough"]
        if not blocks or branch["fallthrough"] or (condition_whole and not branch["throw"]):
            blocks.append([])
        blocks[-1].append(branch)
    for block in blocks:
        ways = [branch["count"] for branch in block if not branch["throw"]]
        if len(ways) > 1 or len(ways) == len(block):
            yield ways


def counters(build):
    """All .gcda files: of the library's objects, and of the tests' for what is inline in its headers."""
    return sorted(build.glob("**/*.gcda"))


def read(build):
    """Lines by file (relative to SOURCES) and number."""
    files = collections.defaultdict(lambda: collections.defaultdict(Line))
    found = counters(build)
    if not found:
        sys.exit(f"report.py: no counters below {build}: run the tests of the coverage build first")
    with tempfile.TemporaryDirectory() as scratch:
        for counter in found:
            subprocess.run(["gcov", "--branch-probabilities", "--json-format", "--object-directory", str(counter.parent),
                            str(counter)], cwd=scratch, check=True, stdout=subprocess.DEVNULL)
            for result in pathlib.Path(scratch).glob("*.gcov.json.gz"):
                add(files, json.loads(gzip.decompress(result.read_bytes())))
                result.unlink()
    return files


def add(files, report):
    for source in report["files"]:
        path = pathlib.Path(report["current_working_directory"], source["file"]).resolve()
        if not path.is_relative_to(SOURCES):
            continue
        name = str(path.relative_to(SOURCES))
        functions = {function["name"]: function["demangled_name"] for function in source["functions"]}
        for entry in source["lines"]:
            line = files[name][entry["line_number"]]
            line.hits += entry["count"]
            line.function = functions.get(entry.get("function_name"), line.function)
            line.throws |= any(branch["throw"] for branch in entry["branches"])
            for index, taken in enumerate(conditions_of(entry["branches"])):
                if index == len(line.conditions):
                    line.conditions.append([])
                known = line.conditions[index]
                known += [0] * (len(taken) - len(known))
                for way, count in enumerate(taken):
                    known[way] += count


def exceptions(files):
    """Untaken branches that are named, by file and line; and what is stale."""
    named, stale = {}, []
    for number, text in enumerate(EXCEPTIONS.read_text().split("\n"), 1):
        if not text or text.startswith("#"):
            continue
        name, code, untaken, reason = (part.strip() for part in text.split(" | "))
        where = f"exceptions.txt:{number}: {name}: "
        lines = (SOURCES / name).read_text().split("\n") if (SOURCES / name).exists() else []
        places = [index for index, line in enumerate(lines, 1) if line.strip() == code]
        if not places:
            stale.append(where + f"no such line: {code}")
        missing = sum(files[name][place].branches.count(0) for place in places if place in files[name])
        if places and missing < int(untaken):
            stale.append(where + f"{missing} branches are untaken, not {untaken}: {code}")
        if not reason:
            stale.append(where + "no reason")
        left = int(untaken)
        for place in places:
            here = min(left, files[name][place].branches.count(0))
            named[name, place] = named.get((name, place), 0) + here
            left -= here
    return named, stale


def is_in(function, names):
    """`ipcq::core::abandon(ipcq::core::View const&, …)` is abandon; so is a lambda in it."""
    return any(re.search(rf"(?:^|::|\s){name}(?:<.*>)?\(", function) for name in names)


class Sum:
    def __init__(self):
        self.lines = self.lines_hit = self.branches = self.taken = self.named = 0

    def add(self, line, named):
        self.lines += 1
        self.lines_hit += line.hits > 0
        self.branches += len(line.branches)
        self.taken += len(line.branches) - line.branches.count(0)
        self.named += named

    def percent(self):
        counted = self.branches - self.named
        return 100.0 * self.taken / counted if counted else 100.0

    def row(self, name):
        lines = 100.0 * self.lines_hit / self.lines if self.lines else 100.0
        return (f"| {name} | {self.lines} | {lines:.1f} % | {self.branches} | {self.branches - self.taken - self.named} "
                f"| {self.named} | {self.percent():.1f} % |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--missing", action="store_true")
    options = parser.parse_args()
    files = read(options.build.resolve())
    named, stale = exceptions(files)

    columns = "| lines | covered | branches | not taken | exceptions | taken of the rest |"
    folders, recovery = collections.defaultdict(Sum), collections.defaultdict(Sum)
    print(f"| file {columns}\n|---|---|---|---|---|---|---|")
    for name in sorted(files):
        total = Sum()
        for number, line in sorted(files[name].items()):
            exempt = named.get((name, number), 0)
            total.add(line, exempt)
            folders[name.split("/")[0]].add(line, exempt)
            if is_in(line.function, RECOVERY.get(name, [])):
                recovery[name].add(line, exempt)
                recovery["all of recovery"].add(line, exempt)
        print(total.row(name))
    for name in sorted(folders):
        print(folders[name].row(f"**{name}**"))
    print(f"\n| recovery {columns}\n|---|---|---|---|---|---|---|")
    for name in [*RECOVERY, "all of recovery"]:
        functions = f" ({', '.join(RECOVERY[name])})" if name in RECOVERY else ""
        print(recovery[name].row(name + functions))

    if options.missing:
        print()
        for name in sorted(files):
            text = (SOURCES / name).read_text().split("\n")
            for number, line in sorted(files[name].items()):
                untaken = line.branches.count(0) - named.get((name, number), 0)
                mark = "R" if is_in(line.function, RECOVERY.get(name, [])) else " "
                if untaken > 0 or (line.hits == 0 and not line.branches):
                    print(f"{mark} {name}:{number}: {untaken} of {len(line.branches)}: {text[number - 1].strip()}")

    failed = list(stale)
    for what, total, least in (("core", folders["core"], CORE_LEAST),
                               ("recovery", recovery["all of recovery"], RECOVERY_LEAST)):
        if total.percent() < least:
            failed.append(f"{what}: {total.percent():.1f} % of the branches are taken, {least:.0f} % are asked")
    for text in failed:
        print(f"report.py: {text}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
