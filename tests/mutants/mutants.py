#!/usr/bin/env python3
"""Weakens or removes each step of the library in turn, and asks the tests. A mutant that makes the same object code is
equivalent; any other must be killed by a test, be found by the model, or be listed with a proof. Resumable: fates are kept
in build/mutants/results.jsonl by mutant and state of the sources. Exit code 1 if a mutant survives."""

import argparse
import json
import queue
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from catalogue import all_mutants
from labels import finding
from mutation import TOP, read_sources
from results import (BAD, DISPROVED, EQUIVALENT, KILLED, MODEL, OPEN, SAME_CODE, SURVIVES, UNBUILT, EarlierTable, Results,
                     table)
from suites import BY_NAME, SUITES, Suite, end_all, run
from workplace import BuildFailed, Workplace, hash_of

DOCUMENT = TOP / "docs/mutants.md"
SURVIVORS_SCALE = 3
LINT = "lint"  # asked without a build, before the suites
# What a mutant with a counterpart in the model, or with a proof, is asked before it is believed.
ENOUGH = {"unit (quick tests)", "crash (quick tests)"}
QUICK_MS = 100  # what a quick test takes at most, without a mutant
_say_lock = threading.Lock()


def say(text):
    with _say_lock:
        print(text, flush=True)


@dataclass(frozen=True)
class Round:
    """Tests that are asked together: those of a filter, or a suite's quick ones, or its others."""
    suite: Suite
    quick: bool = False
    test_filter: str = ""
    scale: int = 1

    @property
    def name(self):
        return self.suite.name + (" (quick tests)" if self.quick else "") + (f" (scale {self.scale})" if self.scale > 1 else "")


def rounds_for_all(arguments):
    """What every mutant is asked: the quick tests of all suites before the slow ones of any, since most mutants are killed by
    a quick one."""
    rounds = [Round(suite, quick=True) for suite in arguments.suites if suite.gtest]
    return rounds if arguments.quick else rounds + [Round(suite) for suite in arguments.suites]


class FailsByItself(Exception):
    """A suite that fails without any mutant."""


class Baseline:
    """The programs without a mutant, which must pass, once each for a state of the sources. Kept, to ask whether a test that
    fails with a mutant fails by itself."""

    def __init__(self, folder, state):
        self.folder = folder
        self.state = state
        self._lock = threading.Lock()

    def bin(self, suite):
        return self.folder / suite.name / "bin"

    def _known(self, suite):
        """Of the suite as it passed: the state of the sources, and how long each test took, in ms."""
        done = self.folder / suite.name / "passed"
        return json.loads(done.read_text()) if done.exists() else {"state": None, "durations": {}}

    def durations(self, suite):
        return self._known(suite)["durations"]

    def slow(self, suite):
        return [test for test, ms in self.durations(suite).items() if ms > QUICK_MS]

    def ensure(self, suite, place):
        """Builds the suite in `place`, without a mutant, and sees it pass. Its mutant is put in again."""
        with self._lock:
            if self._known(suite)["state"] == self.state:
                return
            mutant = place.put_in
            place.apply(None)
            place.ninja(suite.target)
            shutil.rmtree(self.folder / suite.name, ignore_errors=True)
            self.bin(suite).mkdir(parents=True)
            shutil.copy2(place.build_folder / "bin" / suite.target, self.bin(suite))
            if (place.build_folder / "lib").is_dir():
                shutil.copytree(place.build_folder / "lib", self.folder / suite.name / "lib", symlinks=True)
            say(f"without a mutant: {suite.name}")
            left_out = []
            while not (outcome := run(suite, self.bin(suite), "-" + ":".join(left_out) if left_out else "")).passed:
                # A machine that is busy may have failed it: once more, alone.
                if not suite.gtest or not outcome.test or not self.passes(suite, outcome.test):
                    raise FailsByItself(f"{suite.name}: {outcome.test} ({outcome.how})\n{outcome.detail}")
                say(f"  {outcome.test} failed at first; alone it passes")
                left_out.append(outcome.test)
            durations = {test: QUICK_MS + 1 for test in left_out} | (outcome.durations or {})
            (self.folder / suite.name / "passed").write_text(json.dumps({"state": self.state, "durations": durations}))
            place.apply(mutant)

    def passes(self, suite, test, seed=""):
        return run(suite, self.bin(suite), test, seed=seed).passed


def believed(mutant, passed):
    """Its fate by its counterpart in the model or its proof, once enough tests have not contradicted it; or nothing."""
    if not ENOUGH <= set(passed) or not (mutant.model or mutant.equivalent):
        return None
    return (MODEL, mutant.model, "") if mutant.model else (EQUIVALENT, "", "")


class Runner:
    def __init__(self, place, baseline, arguments):
        self.place = place
        self.baseline = baseline
        self.suites = arguments.suites
        self.for_all = rounds_for_all(arguments)
        self.is_all = len(arguments.suites) == len(SUITES) and not arguments.quick

    def fate_of(self, mutant, passed):
        """(fate, by, detail). `passed`: the suites that are known not to kill it; added to."""
        self.place.apply(mutant)
        try:
            if self.place.is_same_code():
                return SAME_CODE, "", ""
            by, detail = self._killer(mutant, passed)
        except BuildFailed as failure:
            return UNBUILT, "", str(failure)
        if by:
            return DISPROVED if mutant.equivalent else KILLED, by, detail
        return believed(mutant, passed) or (SURVIVES if self.is_all else OPEN, "", "")

    def _killer(self, mutant, passed):
        firsts = [text.partition(":") for text in mutant.first]
        rounds = [Round(BY_NAME[name], test_filter=test_filter or "*") for name, _, test_filter in firsts] + self.for_all
        if not mutant.equivalent and not mutant.model and self.is_all:
            rounds += [Round(BY_NAME[name], test_filter="*", scale=SURVIVORS_SCALE) for name in ("crash", "contract", "stress")]
        for asked in rounds:
            suite = asked.suite
            if suite not in self.suites or asked.name in passed or not self.place.has_target(suite.target):
                continue
            self.baseline.ensure(suite, self.place)
            test_filter = asked.test_filter
            if suite.gtest and not test_filter:
                slow = ":".join(self.baseline.slow(suite))
                if not slow and not asked.quick:  # the quick ones are all
                    continue
                test_filter = f"-{slow}" if slow and asked.quick else slow
            self.place.ninja(suite.target)
            by, detail = self._ask(suite, test_filter, asked.scale)
            if by:
                return by, detail
            if not asked.test_filter or asked.scale > 1:
                passed.append(asked.name)
        return "", ""

    def _ask(self, suite, test_filter, scale):
        """The test of the suite that kills the mutant put in, if one does. It must fail again, alone or in the whole, and
        pass without the mutant: a busy machine fails tests too."""
        programs = self.place.build_folder / "bin"
        doubtful = []
        known = self.baseline.durations(suite)  # one that hangs is not waited for as long as the slowest may take
        while True:
            asked = test_filter + ((":" if "-" in test_filter else "-") + ":".join(doubtful) if doubtful else "")
            outcome = run(suite, programs, asked, scale, known=known)
            if outcome.passed:
                return "", ""
            test = outcome.test if suite.gtest else ""
            again = run(suite, programs, test or asked, scale, seed=outcome.seed, known=known)
            if again.passed and test:
                again = run(suite, programs, asked, scale, known=known)
            alone = test or asked
            if not again.passed and all(run(suite, self.baseline.bin(suite), alone, scale, seed=seed).passed
                                        for seed in {outcome.seed, again.seed}):
                how = "" if outcome.how == "failed" else f" ({outcome.how})"
                scaled = "" if scale == 1 else f", IPCQ_TEST_SCALE={scale}"
                return f"{suite.name}{'/' + test if test else ''}{how}{scaled}", outcome.detail
            if not test:
                return "", ""
            doubtful.append(test)


def _work(number, arguments, sources, results, state, baseline, todo, bad):
    folder = arguments.work / f"tree-{number}"
    folder.mkdir(parents=True, exist_ok=True)
    with (arguments.work / f"log-{number}").open("w") as log:
        place = Workplace(folder, sources, log)
        try:
            place.prepare()
        except BuildFailed as failure:
            say(f"mutants: the tree does not build without any mutant:\n{failure}")
            bad.append("no build")
            return
        runner = Runner(place, baseline, arguments)
        while True:
            try:
                index, mutant = todo.get_nowait()
            except queue.Empty:
                break
            begin = time.monotonic()
            before = results.of(mutant, sources, state)
            passed = list(before["passed"]) if before and not arguments.again else []
            try:
                fate, by, detail = runner.fate_of(mutant, passed)
            except FailsByItself as failure:
                say(f"mutants: this fails without any mutant: {failure}")
                bad.append("fails by itself")
                break
            record = results.add(mutant, sources, state, fate, by, detail, time.monotonic() - begin, passed)
            say(f"{index}: {mutant.name}: {fate}{' by ' + by if by else ''} ({record['seconds']:.0f} s)")
            if fate in BAD:
                bad.append(mutant.name)
                if detail:
                    say(detail)
        place.apply(None)


def found_by_lint(mutant, sources, results, state):
    said = finding(mutant, sources)
    if said:
        results.add(mutant, sources, state, KILLED, "lint/memory_order", said)
    return bool(said)


def is_believed(mutant, sources, results, state, arguments):
    record = results.of(mutant, sources, state, arguments.changed)
    fate = None if record is None or arguments.again else believed(mutant, record["passed"])
    if fate:
        results.add(mutant, sources, state, *fate, passed=record["passed"])
    return bool(fate)


def run_mutants(chosen, arguments, sources, results, state):
    todo = queue.Queue()
    def is_open(mutant):
        record = results.of(mutant, sources, state, arguments.changed)
        return record is None or arguments.again or record["fate"] == OPEN

    def is_asked(mutant):
        record = results.of(mutant, sources, state, arguments.changed)
        return not arguments.again and record is not None and all(
            asked.name in record["passed"] for asked in rounds_for_all(arguments))

    pending = [mutant for mutant in chosen if is_open(mutant)]
    say(f"{len(chosen)} mutants, {len(pending)} without a fate; state of the sources {state}")
    if arguments.lint:
        pending = [mutant for mutant in pending if not found_by_lint(mutant, sources, results, state)]
    pending = [mutant for mutant in pending if not is_believed(mutant, sources, results, state, arguments)]
    pending = [mutant for mutant in pending if not is_asked(mutant)]
    say(f"{len(pending)} to run")
    # What is quickly built first (a header is in many files); of one file all in a row.
    pending.sort(key=lambda m: (any(file.endswith(".hpp") for file in m.files), m.files))
    for index, mutant in enumerate(pending, 1):
        todo.put((f"{index}/{len(pending)}", mutant))
    bad = []
    if pending:
        baseline = Baseline(arguments.work / "without", state)
        threads = [threading.Thread(target=_work, args=(n, arguments, sources, results, state, baseline, todo, bad), daemon=True)
                   for n in range(1, arguments.jobs + 1)]
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        for thread in threads:
            thread.start()
        try:
            for thread in threads:
                thread.join()
        finally:
            end_all()
    survivors = [m.name for m in chosen
                 if (record := results.of(m, sources, state, arguments.changed)) and record["fate"] in BAD]
    for name in survivors:
        say(f"SURVIVES: {name}")
    return 1 if survivors or bad else 0


def parse():
    parser = argparse.ArgumentParser(prog="./dev mutants", description=__doc__)
    parser.add_argument("--only", metavar="REGEX", help="mutants whose name has it")
    parser.add_argument("--part", metavar="N/M", default="1/1", help="the N-th of M parts of about the same length")
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="trees that are built and tested at once (1)")
    parser.add_argument("--suites", metavar="NAMES", default=",".join([LINT] + [suite.name for suite in SUITES]),
                        help="only these; what they do not kill is left open (%(default)s). none: only whether the code is "
                             "the same")
    parser.add_argument("--quick", action="store_true",
                        help=f"only tests of at most {QUICK_MS} ms; what they do not kill is left open")
    parser.add_argument("--again", action="store_true", help="also those whose fate is known")
    parser.add_argument("--changed", action="store_true",
                        help="a fate holds while the functions that the mutant changes stay as they were")
    parser.add_argument("--list", action="store_true", help="prints the mutants and their fates; runs nothing")
    parser.add_argument("--table", action="store_true", help="prints the table; runs nothing")
    parser.add_argument("--docs", action="store_true", help="writes docs/mutants.md, where a mutant whose results are gone keeps "
                        "the fate that it has there; runs nothing")
    parser.add_argument("--check", action="store_true",
                        help="only whether the list fits the sources and leaves no step out; runs nothing")
    parser.add_argument("--work", metavar="DIRECTORY", type=Path, default=TOP / "build/mutants", help="(build/mutants)")
    arguments = parser.parse_args()
    part = re.fullmatch(r"(\d+)/(\d+)", arguments.part)
    if not part or not 1 <= int(part[1]) <= int(part[2]):
        parser.error(f"--part N/M: from 1/M to M/M, not {arguments.part}")
    names = [] if arguments.suites == "none" else arguments.suites.split(",")
    if unknown := set(names) - set(BY_NAME) - {LINT}:
        parser.error(f"--suites: there is no {', '.join(sorted(unknown))}")
    arguments.lint = LINT in names
    arguments.suites = [suite for suite in SUITES if suite.name in names]
    if arguments.jobs < 1:
        parser.error("--jobs N: at least 1")
    arguments.part = int(part[1]), int(part[2])
    arguments.work = arguments.work.resolve()  # compilers run in other folders
    return arguments


def main():
    arguments = parse()
    sources = read_sources()
    mutants, stale, left_out = all_mutants(sources)
    if arguments.check:
        for problem in stale + left_out:
            print(f"mutants: {problem}")
        return 1 if stale or left_out else 0
    if stale:
        sys.exit("mutants: the list does not fit the sources:\n" + "\n".join(stale))
    number, parts = arguments.part
    chosen = [m for m in mutants if not arguments.only or re.search(arguments.only, m.name)][number - 1::parts]
    results = Results(arguments.work / "results.jsonl")
    state = hash_of()
    if arguments.list:
        for mutant in chosen:
            record = results.of(mutant, sources, state, arguments.changed)
            fate = f"{record['fate']} {record['by']}".strip() if record else "-"
            print(f"{mutant.name}  [{mutant.place(sources)}]  {fate}")
        return 0
    if arguments.table or arguments.docs:
        compiler = subprocess.run(["c++", "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
        earlier = EarlierTable(DOCUMENT.read_text()) if arguments.docs else None
        text, bad = table(mutants if arguments.docs else chosen, sources, results, state, compiler, earlier)
        if arguments.docs:
            DOCUMENT.write_text(text + "\n")
        else:
            print(text)
        return 1 if bad else 0
    return run_mutants(chosen, arguments, sources, results, state)


if __name__ == "__main__":
    sys.exit(main())
