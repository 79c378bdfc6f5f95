#!/usr/bin/env python3
"""Checks the models of this folder exhaustively with Spin, and that their steps are steps of the source.

    check_models.py                  the quick bounds of every model (a minute of one core)
    check_models.py --all            every bound; what was done before with the same text and flags is not done again
    check_models.py --mutants        each mutant must be found wrong; with --all the shortest way to its error
    check_models.py --labels         only the labels, without Spin
    check_models.py --only ledger    one model

Exit status 0: all as expected; 1: not; 77: skipped, the last line says why."""

import argparse
import datetime
import hashlib
import json
import os
import platform
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from bounds import ALL, MUTANTS, NOT_MODELLED, QUICK, QUICK_MUTANTS

HERE = Path(__file__).resolve().parent
SOURCE = HERE.parents[1]
DEPTH_MAX = 200_000

_STEP = re.compile(r"/\*\s*step:\s*([^*]*)")
_LABEL = re.compile(r"(?:[RA]:[a-z][\w-]*|[a-z]+\.[a-z0-9_]+)")
_POINT = re.compile(r'IPCQ_CRASH_POINT\("([^"]+)"\)')
_ORDER = re.compile(r"\b([RA]:[A-Za-z][\w-]*)")


def models():
    return sorted(path.stem for path in HERE.glob("*.pml"))


def labels_of(text):
    """The labels behind each `step:`, up to the first word that is none."""
    found = set()
    for match in _STEP.finditer(text):
        for part in re.split(r"[,;]\s*", match[1].strip()):
            if not _LABEL.fullmatch(part.strip()):
                break
            found.add(part.strip())
    return found


def check_labels():
    """Every step is a place of the source; every crash point of what is modelled is a step of a model."""
    points, orders = set(), set()
    for path in (SOURCE / "libipcq" / "src").rglob("*.[ch]pp"):
        text = path.read_text()
        points |= set(_POINT.findall(text))
        orders |= set(_ORDER.findall(text))
    wrong, modelled = [], set()
    for name in models():
        steps = labels_of((HERE / f"{name}.pml").read_text())
        if not steps:
            wrong.append(f"{name}.pml names no step of the source")
        wrong += [f"{name}.pml: step {step} is not in libipcq/src" for step in sorted(steps - points - orders)]
        modelled |= steps
    for point in sorted(points - modelled):
        if point not in NOT_MODELLED and point.split(".")[0] not in NOT_MODELLED:
            wrong.append(f"crash point {point} is in no model; model it, or say in bounds.py why not")
    for line in wrong:
        print(f"error: {line}")
    print(f"labels: {len(modelled)} steps, {len(points)} crash points, {len(wrong)} wrong")
    return not wrong


class Run:
    """One model with one set of flags, compiled and searched."""

    def __init__(self, model, flags, search="", mutant=False):
        self.model, self.flags, self.search, self.mutant = model, flags, search, mutant

    @property
    def name(self):
        return " ".join([self.model, *self.flags.split()])

    def key(self):
        text = "".join((HERE / name).read_text() for name in (f"{self.model}.pml", "life.inc"))
        text = " ".join(re.sub(r"/\*.*?\*/", " ", text, flags=re.S).split())  # comments prove nothing
        return hashlib.sha256("\0".join([text, self.flags, self.search, str(self.mutant)]).encode()).hexdigest()[:24]

    def do(self, seconds, gibibytes, optimize):
        defines = [f"-D{flag}" for flag in self.flags.split()]
        with tempfile.TemporaryDirectory(prefix="ipcq-model.") as folder:
            made = subprocess.run(["spin", "-a", *defines, str(HERE / f"{self.model}.pml")], cwd=folder, text=True,
                                  capture_output=True, check=False)
            if made.returncode != 0 or not (Path(folder) / "pan.c").exists():
                return {"outcome": "not a model", "text": made.stdout + made.stderr}
            options = ["-DSAFETY", f"-DMEMLIM={int(gibibytes * 1024)}"]
            # COLLAPSE keeps every state, in parts. Hash compaction (-DHC4) is no smaller, and lost 1.5 % of 10,605,345 states.
            options.append("-DBFS" if self.search == "BFS" else "-DCOLLAPSE")
            subprocess.run(["gcc", optimize, "-w", *options, "-o", "pan", "pan.c"], cwd=folder, check=True)
            cpu = resource.getrusage(resource.RUSAGE_CHILDREN)
            limit = int(seconds)
            searched = subprocess.run(["./pan", "-E", "-n", f"-m{DEPTH_MAX}"], cwd=folder, text=True, capture_output=True, check=False,
                                      preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (limit, limit + 5)))
            text = searched.stdout + searched.stderr
            if searched.returncode in (-signal.SIGXCPU, -signal.SIGKILL):
                text += "\ncut by time"
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            result = self.read(text)
            result["seconds"] = round(after.ru_utime + after.ru_stime - cpu.ru_utime - cpu.ru_stime, 1)
            if result["outcome"] == "error" and not self.mutant:
                result["text"] += self.counterexample(folder, defines)
            return result

    @staticmethod
    def read(text):
        def number(pattern, kind=float):
            found = re.findall(pattern, text)
            return kind(float(found[-1])) if found else 0

        errors = number(r"errors: (\d+)", int)
        said = re.search(r"^pan:1: (.*)$", text, re.M)
        result = {"states": number(r"([\d.e+]+) states, stored", int) or number(r"States=\s*([\d.e+]+)", int),
                  "depth": number(r"depth reached (\d+)", int) or number(r"Depth=\s*(\d+)", int),
                  "mib": number(r"([\d.]+)\s+total actual memory", int) or number(r"Memory=\s*([\d.]+)", int),
                  "said": said[1] if said else "", "text": text[-3000:]}
        if errors:
            result["outcome"] = "error"
        elif "cut by time" in text:
            result["outcome"] = "cut by time"
        elif re.search(r"out of memory|reached -DMEMLIM|memory bound", text):
            result["outcome"] = "cut by memory"
        elif "max search depth too small" in text:
            result["outcome"] = "cut by depth"
        elif re.search(r"errors: 0", text):
            result["outcome"] = "proved"
        else:
            result["outcome"] = "failed"
        return result

    def counterexample(self, folder, defines):
        trail = subprocess.run(["spin", "-t", "-p", "-k", f"{self.model}.pml.trail", *defines, str(HERE / f"{self.model}.pml")],
                               cwd=folder, text=True, capture_output=True, check=False)
        steps = [line for line in trail.stdout.splitlines() if "proc" in line]
        return "\nthe last steps (README.md says how to read them):\n" + "\n".join(steps[-120:])


class Results:
    """What was done before, by model text and flags."""

    def __init__(self, path):
        self.path = path
        self.known = self.read()

    def read(self):
        try:
            return json.loads(self.path.read_text())
        except (OSError, ValueError):
            return {}

    def get(self, run):
        found = self.known.get(run.key())
        return found if found and found["outcome"] in ("proved", "error") else None

    def put(self, run, result):
        self.known = self.read()  # another may search other models at the same time
        self.known[run.key()] = dict(result, name=run.name, date=datetime.date.today().isoformat())
        self.path.parent.mkdir(parents=True, exist_ok=True)
        part = self.path.with_suffix(".part")
        part.write_text(json.dumps(self.known, indent=1))
        os.replace(part, self.path)


def machine():
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def row(run, result):
    outcome = {"proved": "no error", "error": "ERROR"}.get(result["outcome"], result["outcome"] + ": no proof")
    return (f"| {run.model} | {run.flags or '-'} | {outcome} | {result.get('states', 0):,} | "
            f"{result.get('depth', 0)} | {result.get('seconds', 0)} | {result.get('mib', 0)} |")


def search(runs, results, arguments):
    """Does the runs; True if all came out as they must."""
    good, table = True, []
    for run in runs:
        known = results.get(run) if results else None
        result = known or run.do(arguments.seconds, arguments.memory, arguments.optimize)
        if results and not known:
            results.put(run, result)
        cut = result["outcome"].startswith("cut")
        expected = result["outcome"] == "error" if run.mutant else result["outcome"] == "proved" or (cut and arguments.all)
        again = " (done before)" if known else ""
        told = f"{result.get('said', '')}" if result["outcome"] == "error" else ""
        print(f"{'ok   ' if expected else 'WRONG'} {run.name}: {result['outcome']}{again}, {result.get('states', 0):,} states, "
              f"depth {result.get('depth', 0)}, {result.get('seconds', 0)} s, {result.get('mib', 0)} MiB {told}", flush=True)
        if not expected:
            good = False
            print(result.get("text", ""))
        if run.mutant:
            table.append(f"| {run.model} | {run.flags} | {result.get('depth', 0) if result['outcome'] == 'error' else '-'} | {told or result['outcome']} |")
        else:
            table.append(row(run, result))
    if arguments.all or (arguments.mutants and not arguments.quick):
        mutants = bool(runs) and runs[0].mutant
        head = ("| model | mutant | steps | found by |", "|---|---|---|---|") if mutants else (
            "| model | bounds | result | states | depth | CPU s | MiB |", "|---|---|---|---|---|---|---|")
        print(f"\n{machine()}, {datetime.date.today().isoformat()}\n")
        print("\n".join([*head, *table]))
    return good


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="the quick bounds (default)")
    parser.add_argument("--all", action="store_true", help="every bound")
    parser.add_argument("--mutants", action="store_true", help="the mutants instead")
    parser.add_argument("--labels", action="store_true", help="only the labels")
    parser.add_argument("--only", metavar="NAME", action="append", choices=models(), help="this model only; may be repeated")
    parser.add_argument("--seconds", type=float, default=None, metavar="S", help="cut a run after so much CPU time (default: 60; with --all 3600)")
    parser.add_argument("--memory", type=float, default=10, metavar="GIB", help="a run's memory (default 10)")
    parser.add_argument("--results", type=Path, default=SOURCE / "build" / "model-results.json", metavar="FILE",
                        help="where --all keeps what is done (default build/model-results.json)")
    arguments = parser.parse_args()
    if arguments.seconds is None:
        arguments.seconds = 3600 if arguments.all else 60
    arguments.optimize = "-O2" if arguments.all else "-O1"

    good = check_labels() if not arguments.mutants else True
    if arguments.labels:
        return 0 if good else 1
    for tool in ("spin", "gcc"):
        if not shutil.which(tool):
            print(f"{tool} is not installed" + (" (package spin)" if tool == "spin" else ""))
            return 77 if good else 1
    chosen = arguments.only or models()
    if arguments.mutants:
        table = MUTANTS if arguments.all or not arguments.quick else QUICK_MUTANTS
        how = "BFS" if arguments.all else ""
        runs = [Run(model, flags, how, True) for model, flags in table if model in chosen]
    else:
        table = ALL if arguments.all else QUICK
        runs = [Run(model, flags) for model, flags in table if model in chosen]
    results = Results(arguments.results) if arguments.all else None
    return 0 if search(runs, results, arguments) and good else 1


if __name__ == "__main__":
    sys.exit(main())
