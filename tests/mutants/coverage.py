"""Whether the mutants leave nothing out: every crash point, every numbered step and every R:/A: label has one, or an
exception that says why not."""

import re
import runpy
from pathlib import Path

from mutation import TOP
from orders import FOLDERS, labels_at, orders

_CRASH_POINT = re.compile(r'IPCQ_CRASH_POINT\("([^"]+)"\)')
_STEP = re.compile(r"^[ \t]*///?[ \t]+(\d+)\.[ \t]", re.MULTILINE)


def markers(source):
    """(name, start, end) of what some written mutant must change: what leads to each crash point since the one before it,
    and each numbered step up to the next. A step of a list above a function: (name, None, None)."""
    found = []
    for function in source.functions:
        begin = function.body
        for match in _CRASH_POINT.finditer(source.text, function.body, function.end):
            found.append((match[1], begin, match.start()))
            begin = match.end()
        steps = list(_STEP.finditer(source.comments, function.body, function.end))
        for step, following in zip(steps, steps[1:] + [None]):
            found.append((f"{function.name} {step[1]}", step.end(), following.start() if following else function.end))
    for step in _STEP.finditer(source.comments):
        if source.function_at(step.start()) is None:
            following = next((f for f in source.functions if f.start > step.start()), None)
            if following is not None:
                found.append((f"{following.name} {step[1]}", None, None))
    return found


def model_has(reference, top=TOP):
    """Whether `FILE M_NAME` is a mutant that tests/model/check_models.py must find."""
    path = Path(top) / "tests/model/bounds.py"
    return path.is_file() and tuple(reference.split(" ", 1)) in {
        (model, flags.split()[0]) for model, flags in runpy.run_path(str(path))["MUTANTS"]}


def complaints(sources, mutants, exceptions):
    """What nobody changes, exceptions that are none, and mutants of the model that it does not have."""
    for mutant in mutants:
        if mutant.model and not model_has(mutant.model):
            yield f"{mutant.name}: the model has no mutant {mutant.model}"
    written = [mutant for mutant in mutants if mutant.written]
    edits = [edit for mutant in written for edit in mutant.edits]
    named = {step for mutant in written for step in mutant.steps}
    excepted = {}
    for exception in exceptions:
        if not exception.get("reason"):
            yield f"the exception {exception.get('marker')} has no reason"
        excepted[exception.get("marker")] = False
    existing = set()
    for file, source in sources.items():
        if not file.startswith(FOLDERS):
            continue
        for name, start, end in markers(source):
            existing.add(name)
            if start is None:
                covered = name in named
            else:
                covered = name in named or any(e.file == file and e.start < end and e.end >= start for e in edits)
            if name in excepted:
                excepted[name] = True
            elif not covered:
                yield f"{file}: {name}: no mutant removes or changes it"
    for name in sorted(named - existing):
        yield f"no step {name}"
    for name, used in excepted.items():
        if not used:
            yield f"the exception {name} is no crash point or step"
    weakened = {(edit.file, edit.start) for mutant in mutants if not mutant.written for edit in mutant.edits}
    for file, source in sources.items():
        for match in orders(source) if file.startswith(FOLDERS) else ():
            if (file, match.start()) not in weakened:
                yield f"{file}:{source.line_at(match.start())}: {match.group()}: no mutant weakens it"
    labelled = {label for mutant in mutants if not mutant.written for edit in mutant.edits
                for label in labels_at(sources[edit.file], edit.start)}
    for file, source in sources.items():
        if file.startswith(FOLDERS):
            for label in sorted(set(re.findall(r"\b([RA]):([A-Za-z][\w-]*)", source.comments)) - labelled):
                yield f"{file}: {label[0]}:{label[1]}: no mutant weakens it"
