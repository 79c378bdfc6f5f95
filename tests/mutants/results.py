"""What became of each mutant: one line of JSON each, appended as it is known; and the table made of them."""

import datetime
import hashlib
import json
import platform
import re
from collections import Counter, defaultdict
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


_NOT_RUN = "not run yet"
_BEGINS = (("killed by ", KILLED), (SAME_CODE, SAME_CODE), ("the model's ", MODEL), ("equivalent: ", EQUIVALENT),
           ("not killed by ", OPEN), (_NOT_RUN, _NOT_RUN))
_OLDER = "Of an earlier table (‡): "


class EarlierTable:
    """What a table says that was made before: the fates of mutants whose results are gone with build/."""

    def __init__(self, text=""):
        self._fates = defaultdict(list)  # by title, name and breaks: names need not be unique
        self.made = []  # where and when, newest first
        title = ""
        for line in text.splitlines():
            if line.startswith("## "):
                title = line[3:]
            elif title and line.startswith("| "):
                name, _, breaks, fate = re.split(r"(?<!\\) \| ", line.removeprefix("| ").removesuffix(" |"), maxsplit=3)
                self._fates[title, name, breaks].append(fate)
            elif not title and "state of the sources `" in line:
                self.made.append(line.removeprefix(_OLDER))

    def take(self, title, name, breaks):
        """The fate of the next of that name, as the table has it, marked; or nothing."""
        fates = self._fates.get((title, name, breaks))
        fate = fates.pop(0).removesuffix(" †").removesuffix(" ‡") if fates else _NOT_RUN
        return None if fate == _NOT_RUN else f"{fate} ‡"


def _kind(fate):
    """What the cell says, in short."""
    return next((kind for begin, kind in _BEGINS if fate.startswith(begin)), fate.strip("*").split("**")[0])


def _rows(mutants, sources, results, state, earlier):
    """(written, cells) of each mutant."""
    for mutant in mutants:
        title = "Steps" if mutant.written else "Memory orders"
        name = _cell(mutant.name if mutant.written else mutant.name.removeprefix("order: ").split(" ", 1)[1])
        breaks = _cell(mutant.breaks)
        record = results.records.get(key_of(mutant))
        before = earlier.take(title, name, breaks)  # also if it is not needed: the next of the name has the next
        fate = _cell(_fate(mutant, record)) + (" †" if record is not None and record["state"] != state else "")
        yield title, (name, mutant.place(sources), breaks, before if record is None and before else fate)


def table(mutants, sources, results, state, compiler, earlier=None):
    """The table as Markdown, and how many of the mutants are bad. What `results` does not know is as in the table `earlier`."""
    earlier = earlier or EarlierTable()
    rows = list(_rows(mutants, sources, results, state, earlier))
    totals = Counter(_kind(cells[-1].removesuffix(" †").removesuffix(" ‡")) for _, cells in rows)
    older = sum(cells[-1].endswith(" †") for _, cells in rows)
    kept = sum(cells[-1].endswith(" ‡") for _, cells in rows)
    records = [record for mutant in mutants if (record := results.records.get(key_of(mutant))) is not None]
    dates = sorted(record["date"] for record in records)
    lines = ["# Mutants", "",
             "The library with one step removed, moved or weakened, and what finds it out. Made by `./dev mutants --docs`;",
             "what a mutant is, and how they are run, is in [tests/mutants](../tests/mutants/README.md).", "",
             "- *killed by*: that test fails, crashes or hangs with the mutant and passes without it.",
             "- *same object code*: the compiler makes the same code of the library with and without (x86-64, `-O2`).",
             "- *the model's*: no test meets the interleaving; the model's mutant of that name does (tests/model).",
             "- *equivalent*: it breaks nothing, and why.",
             "- †: asked of an earlier state of the sources; the functions it changes have not changed since. ‡: as an earlier table",
             "  has it, whose records are gone.", "",
             "| fate | mutants |", "|---|---|"]
    lines += [f"| {fate} | {totals[fate]} |"
              for fate in (KILLED, SAME_CODE, MODEL, EQUIVALENT, SURVIVES, DISPROVED, UNBUILT, OPEN, _NOT_RUN) if totals[fate]]
    lines += [f"| all | {len(mutants)} |", ""]
    if dates:
        lines.append(f"{_machine()}; {compiler}; {dates[0]}" + (f" to {dates[-1]}" if dates[-1] != dates[0] else "") +
                     f"; state of the sources `{state}`" + (f", {older} of an earlier one (†)" if older else "") + ".")
    if kept:
        of_this = lines[-1].split("; state")[0]
        lines += ["", *(f"{_OLDER}{made}" for made in earlier.made if made.split("; state")[0] != of_this)]
    for title, last in (("Steps", "breaks"), ("Memory orders", "label")):
        lines += ["", f"## {title}", "", f"| mutant | where | {last} | fate |", "|---|---|---|---|"]
        lines += ["| " + " | ".join(cells) + " |" for of, cells in rows if of == title]
    return "\n".join(lines), sum(totals[fate] for fate in BAD)
