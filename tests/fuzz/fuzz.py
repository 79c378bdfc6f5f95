#!/usr/bin/env python3
"""Runs the libFuzzer targets of a build (`./dev fuzz`): every one, or the one that is named, for so many seconds or executions
each. Keeps what covers something new in tests/fuzz/corpus, adds up the executions of all sittings, prints the totals.

An input that crashes a target, hangs it or fails its checks is left in BUILD/found; give its path to the target's program
to see it again."""

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
CORPUS = HERE / "corpus"
BYTES_MAX = 512  # 32 steps
FILES_MAX = 24  # of a target, kept in the tree
SITTING_S = 300  # no more than so much is lost when a run is ended from outside
HANG_S = 20
INTERRUPTED = 72  # libFuzzer: ended by a signal from outside; what was executed counts
# What is freed comes back after some executions instead of after 256 MB, which no cache holds, and the stacks of allocations
# are short. An input that was found can be given to its target with other options.
ASAN_OPTIONS = "detect_stack_use_after_return=0:quarantine_size_mb=16:malloc_context_size=2"

# Of the time of a short execution libFuzzer takes more than the target. A fourth of it goes into choosing inputs by how rare
# what they cover is, and into looking for shorter ones: without either as much is covered by as many executions, or more.
CHEAP = ["-entropic=0", "-reduce_inputs=0"]


class Log:
    """One line of JSON a sitting: when, which target, seed, executions, seconds, whether something was found."""

    def __init__(self, path):
        self.path = path

    def add(self, **sitting):
        with open(self.path, "a") as file:
            file.write(json.dumps(sitting) + "\n")

    def totals(self):
        totals = {}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                sitting = json.loads(line)
                total = totals.setdefault(sitting["target"], {"runs": 0, "seconds": 0.0, "sittings": 0, "found": 0})
                total["runs"] += sitting["runs"]
                total["seconds"] += sitting["seconds"]
                total["sittings"] += 1
                total["found"] += sitting["found"]
        return totals


def executed(output):
    """Executions, from libFuzzer's last words or, if it was cut short, from its last line of progress."""
    final = re.findall(r"stat::number_of_executed_units:\s*(\d+)", output)
    progress = re.findall(r"^#(\d+)\t", output, re.MULTILINE)
    return int((final or progress or ["0"])[-1])


def sit(build, target, log, seconds, runs, environment):
    """One sitting. Returns executions and whether something was found."""
    work = build / "corpus" / target
    findings = build / "found"
    for directory in (work, findings, CORPUS / target):
        directory.mkdir(parents=True, exist_ok=True)
    seed = random.SystemRandom().randrange(1, 2**31)
    command = [build / "bin" / f"ipcq_fuzz_{target}", f"-seed={seed}", f"-max_len={BYTES_MAX}", f"-timeout={HANG_S}",
               "-print_final_stats=1", "-verbosity=1", *CHEAP, f"-artifact_prefix={findings}/{target}-",
               f"-max_total_time={seconds}" if seconds else f"-runs={runs}", work, CORPUS / target]
    begun = time.monotonic()
    run = subprocess.run([str(word) for word in command], stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
                         errors="replace", env=environment)
    took = time.monotonic() - begun
    count = executed(run.stderr)
    found = run.returncode not in (0, INTERRUPTED)
    log.add(date=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), target=target, seed=seed, runs=count,
            seconds=round(took, 1), found=int(found))
    print(f"{target}: {count:,} executions in {took:.0f} s, seed {seed}", flush=True)
    if found:
        sys.stderr.write(run.stderr[-6000:])
    return count, found


def keep(build, target, environment):
    """The few inputs that cover what all do, into the tree."""
    with tempfile.TemporaryDirectory(dir=build) as directory:
        command = [build / "bin" / f"ipcq_fuzz_{target}", "-set_cover_merge=1", f"-max_len={BYTES_MAX}", directory,
                   CORPUS / target, build / "corpus" / target]
        merge = subprocess.run([str(word) for word in command], capture_output=True, text=True, errors="replace",
                               env=environment)
        if merge.returncode != 0:
            sys.stderr.write(merge.stderr[-2000:])
            return
        # The merge writes what adds most first.
        files = sorted(Path(directory).iterdir(), key=lambda path: path.stat().st_mtime_ns)[:FILES_MAX]
        if not files:
            return
        for old in (CORPUS / target).iterdir():
            old.unlink()
        for file in files:
            shutil.copyfile(file, CORPUS / target / file.name[:16])


def fuzz_target(build, target, log, arguments, environment):
    """True if nothing was found."""
    seconds, runs = arguments.seconds, arguments.runs
    while seconds or runs:
        part = min(seconds, SITTING_S) if seconds else 0
        count, found = sit(build, target, log, part, runs, environment)
        if found:
            return False
        seconds -= part
        runs = max(0, runs - max(count, 1)) if runs else 0
    if not arguments.no_corpus:
        keep(build, target, environment)
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=Path, help="a build with libFuzzer (preset `fuzz`)")
    parser.add_argument("target", nargs="?", help="one target; all if none is named")
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--seconds", type=int, default=0, help="of each target (default 60)")
    amount.add_argument("--runs", type=int, default=0, help="executions of each target")
    parser.add_argument("--no-corpus", action="store_true", help="leave the corpus in the tree as it is")
    parser.add_argument("--totals", action="store_true", help="run nothing: print the totals so far")
    arguments = parser.parse_args()
    if arguments.seconds < 0 or arguments.runs < 0:
        parser.error("no less than nothing")
    if not arguments.seconds and not arguments.runs:
        arguments.seconds = 60
    build = arguments.build.resolve()
    targets = sorted(path.stem for path in (HERE / "targets").glob("*.cpp"))
    if arguments.target and arguments.target not in targets:
        parser.error(f"there is no target {arguments.target}; there are {', '.join(targets)}")
    log = Log(build / "executions.log")
    clean = True
    if not arguments.totals:
        with tempfile.TemporaryDirectory(prefix="ipcq-fuzz.", dir="/dev/shm") as scratch:
            environment = {"ASAN_OPTIONS": ASAN_OPTIONS, "UBSAN_OPTIONS": "print_stacktrace=1",
                           **os.environ, "IPCQ_DIR": scratch}
            for target in [arguments.target] if arguments.target else targets:
                clean &= fuzz_target(build, target, log, arguments, environment)
    print(f"{'TARGET':<18}{'EXECUTIONS':>16}{'HOURS':>8}{'PER SECOND':>12}{'FOUND':>7}")
    totals = log.totals()
    for target, total in sorted(totals.items()):
        rate = total["runs"] / total["seconds"] if total["seconds"] else 0
        print(f"{target:<18}{total['runs']:>16,}{total['seconds'] / 3600:>8.2f}{rate:>12,.0f}{total['found']:>7}")
    print(f"{'all':<18}{sum(t['runs'] for t in totals.values()):>16,}")
    sys.exit(0 if clean else 1)


if __name__ == "__main__":
    main()
