"""The test suites, cheapest first, and running one of them: it passes, or fails, crashes or hangs in a test."""

import os
import re
import selectors
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass

_RUN = re.compile(r"^\[ RUN +\] (\S+)")
_OK = re.compile(r"^\[ +OK \] (\S+).*\((\d+) ms\)")
_FAILED = re.compile(r"^\[  FAILED  \] (\S+?),? ")
_SEED = re.compile(r"IPCQ_TEST_SEED=(\d+)")
_running = {}  # programs and their folders, to be ended and removed if this one is
TEST_TIMEOUT_S = 120  # as in ./dev test, for each unit of IPCQ_TEST_SCALE
KNOWN_TIMEOUT_S = 20   # of a test that is known to be short; others get a hundred times what they are known to take, if less


@dataclass(frozen=True)
class Suite:
    name: str
    target: str
    options: tuple = ()
    gtest: bool = True
    limit_s: int = TEST_TIMEOUT_S  # of one test; of all, without googletest


SUITES = (
    Suite("unit", "ipcq_unit_tests"),
    Suite("crash", "ipcq_crash_tests"),
    Suite("contract", "ipcq_contract_tests"),
    Suite("sweep", "ipcq_sweep", ("--points", "2"), gtest=False, limit_s=900),
    Suite("stress", "ipcq_stress_tests"),
    Suite("hostile", "ipcq_hostile_tests"),
)
BY_NAME = {suite.name: suite for suite in SUITES}


@dataclass
class Outcome:
    passed: bool
    test: str = ""     # in which it failed
    how: str = ""      # failed, crashed, hung
    detail: str = ""   # the last lines
    seed: str = ""
    seconds: float = 0.0
    durations: dict = None  # of the tests that passed, in ms


def run(suite, bin_folder, test_filter="", scale=1, timeout_s=None, seed="", fail_fast=True, known=None):
    """Runs a suite's program in `bin_folder`. `timeout_s` is that of one test (of all, without googletest), the suite's own
    without it; of one whose duration is `known`, in ms, it is less."""
    timeout_s = timeout_s or suite.limit_s

    def limit_s(test):
        return min(timeout_s, max(KNOWN_TIMEOUT_S, known[test] / 10) if known and test in known else timeout_s) * scale
    command = [str(bin_folder / suite.target), *suite.options]
    if suite.gtest:
        command += ["--gtest_color=no", f"--gtest_filter={test_filter or '*'}"]
        command += ["--gtest_fail_fast"] if fail_fast else []
    scratch = tempfile.mkdtemp(prefix="ipcq-mutants.", dir="/dev/shm")
    os.chmod(scratch, 0o755)
    environment = {**os.environ, "IPCQ_DIR": scratch, "IPCQ_TEST_SCALE": str(scale)}
    if seed:
        environment["IPCQ_TEST_SEED"] = seed
    begin = time.monotonic()
    process = subprocess.Popen(command, cwd=bin_folder.parent, env=environment, stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    _running[process] = scratch
    try:
        outcome = _follow(process, suite, limit_s)
    finally:
        _end_group(process)
        shutil.rmtree(scratch, ignore_errors=True)
    outcome.seconds = round(time.monotonic() - begin, 1)
    return outcome


def _end_group(process):
    """Ends what the program started and left: stopped children, children of a program that was killed."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.stdout.close()
    process.wait()
    _running.pop(process, None)


def end_all():
    """Ends the programs that other threads run, and removes what they leave."""
    for process, scratch in list(_running.items()):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        shutil.rmtree(scratch, ignore_errors=True)


def _follow(process, suite, limit_s):
    """Reads what the program says until it ends, or says nothing new for what `limit_s` grants to the test it is in."""
    running, failed, seed, lines, durations = "", "", "", [], {}
    pending = b""
    deadline = time.monotonic() + limit_s("")
    os.set_blocking(process.stdout.fileno(), False)
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while True:
            left = deadline - time.monotonic()
            if left <= 0:
                return Outcome(False, running, "hung", "\n".join(lines[-12:]), seed, 0, durations)
            ready = selector.select(min(left, 1.0))
            data = process.stdout.read() if ready else None
            if data:
                pending += data
                *whole, pending = pending.split(b"\n")
                for line in (part.decode(errors="replace") for part in whole):
                    lines.append(line)
                    if match := _RUN.match(line):
                        running, deadline = match[1], time.monotonic() + limit_s(match[1])
                    elif match := _OK.match(line):
                        durations[match[1]], running, deadline = int(match[2]), "", time.monotonic() + limit_s("")
                    elif (match := _FAILED.match(line)) and not failed:
                        failed = match[1]
                    if match := _SEED.search(line):
                        seed = match[1]
            # The program's end counts, not that of its output: a child that it left may hold the pipe.
            elif process.poll() is not None:
                break
    code = process.returncode
    detail = "\n".join(lines[-12:])
    if code == 0 or (code == 77 and not suite.gtest):
        return Outcome(True, seed=seed, durations=durations)
    if failed:
        at = next((i for i, line in enumerate(lines) if ": Failure" in line), len(lines))
        return Outcome(False, failed, "failed", "\n".join(lines[at:at + 8]), seed, 0, durations)
    how = f"died of {signal.Signals(-code).name}" if code < 0 else "failed"
    return Outcome(False, running, how, detail, seed, 0, durations)
