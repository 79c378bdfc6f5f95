"""What became of each mutant: one line of JSON each, appended as it is known; and the table made of them."""

import datetime
import hashlib
import json
import platform
from collections import Counter
from pathlib import Path

from mutation import without_comments

KILLED, SAME_CODE, MODEL, EQUIVALENT, SURVIVES, DISPROVED, UNBUILT, OPEN = (
    "killed", "same object code", "model", "equivalent", "SURVIVES", "NOT EQUIVALENT", "does not compile", "not all suites yet")
BAD = {SURVIVES, DISPROVED, UNBUILT}


def key_of(mutant):
    """Names the mutant and what it changes, wherever in its files that stands."""
    change = json.dumps([[edit.file, edit.text] for edit in mutant.edits])
    return f"{mutant.name} {hashlib.sha256(change.encode()).hexdigest()[:8]}"


def site_of(mutant, sources):
    """The state of the functions that the mutant changes (of the file, where it changes none), and of what it makes of them:
    but for comments and layout."""
    digest = hashlib.sha256()
    for edit in mutant.edits:
        source = sources[edit.file]
        function = source.function_at(edit.start)
        start, end = (function.start, max(function.end, edit.end)) if function else (0, len(source.text))
        changed = source.text[start:edit.start] + edit.text + source.text[edit.end:end]
        for version in (source.text[start:end], changed):
            digest.update(edit.file.encode() + b"\0" + "".join(without_comments(version).split()).encode() + b"\0")
    return digest.hexdigest()[:12]


class Results:
    def __init__(self, path):
        self.path = Path(path)
        self.records = {}  # key → its newest record
        self.by_state = {}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                try:
                    self._take(json.loads(line))
                except (ValueError, KeyError):
                    continue  # the last line of a run that was killed

    def _take(self, record):
        self.records[record["key"]] = record
        self.by_state[record["key"], record["state"]] = record

    def add(self, mutant, sources, state, fate, by="", detail="", seconds=0.0, passed=()):
        record = {"key": key_of(mutant), "name": mutant.name, "state": state, "site": site_of(mutant, sources), "fate": fate,
                  "by": by, "detail": detail, "seconds": round(seconds, 1), "passed": list(passed),
                  "date": datetime.date.today().isoformat()}
        self._take(record)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        return record

    def of(self, mutant, sources, state, trust_site=False):
        """The mutant's record for this state of the tree, or (trust_site) of the functions that it changes; or none."""
        record = self.by_state.get((key_of(mutant), state))
        if record is None and trust_site:
            newest = self.records.get(key_of(mutant))
            if newest is not None and newest["site"] == site_of(mutant, sources):
                record = newest
        return record


def _machine():
    model = next((line.split(":", 1)[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines()
                  if line.startswith("model name")), platform.machine())
    return f"{model}, Linux {platform.release()}"


def _cell(text):
    return text.replace("|", "\\|").replace("\n", " ")


def _fate(mutant, record):
    if record is None:
        return "not run yet"
    if record["fate"] == KILLED:
        return f"killed by {record['by']}"
    if record["fate"] == SAME_CODE:
        return SAME_CODE
    if record["fate"] == MODEL:
        return f"the model's {mutant.model}"
    if record["fate"] == EQUIVALENT:
        return f"equivalent: {mutant.equivalent}"
    if record["fate"] == OPEN:
        return f"not killed by {', '.join(record['passed'])}; the other suites not run yet"
    return f"**{record['fate']}**" + (f": {record['by']}" if record["by"] else "")


def table(mutants, sources, results, state, compiler):
    """The table as Markdown, and how many of the mutants are bad."""
    records = [(mutant, results.records.get(key_of(mutant))) for mutant in mutants]
    totals = Counter("not run yet" if record is None else record["fate"] for _, record in records)
    older = sum(record is not None and record["state"] != state for _, record in records)
    dates = sorted(record["date"] for _, record in records if record is not None)
    lines = ["# Mutants", "",
             "The library with one step removed, moved or weakened, and what finds it out. Made by `./dev mutants --table`;",
             "what a mutant is, and how they are run, is in [tests/mutants](../tests/mutants/README.md).", "",
             "- *killed by*: that test fails, crashes or hangs with the mutant and passes without it.",
             "- *same object code*: the compiler makes the same code of the library with and without (x86-64, `-O2`).",
             "- *the model's*: no test meets the interleaving; the model's mutant of that name does (tests/model).",
             "- *equivalent*: it breaks nothing, and why.", "",
             "| fate | mutants |", "|---|---|"]
    lines += [f"| {fate} | {totals[fate]} |"
              for fate in (KILLED, SAME_CODE, MODEL, EQUIVALENT, SURVIVES, DISPROVED, UNBUILT, OPEN, "not run yet") if totals[fate]]
    lines += [f"| all | {len(mutants)} |", ""]
    if dates:
        lines.append(f"{_machine()}; {compiler}; {dates[0]}" + (f" to {dates[-1]}" if dates[-1] != dates[0] else "") +
                     f"; state of the sources `{state}`" + (f", {older} of an earlier one (†)" if older else "") + ".")
    for title, written in (("Steps", True), ("Memory orders", False)):
        lines += ["", f"## {title}", "", "| mutant | where | " + ("breaks | " if written else "label | ") + "fate |",
                  "|---|---|---|---|"]
        for mutant, record in records:
            if mutant.written != written:
                continue
            name = mutant.name if written else mutant.name.removeprefix("order: ").split(" ", 1)[1]
            mark = " †" if record is not None and record["state"] != state else ""
            lines.append(f"| {_cell(name)} | {mutant.place(sources)} | {_cell(mutant.breaks)} | "
                         f"{_cell(_fate(mutant, record))}{mark} |")
    return "\n".join(lines), sum(totals[fate] for fate in BAD)
