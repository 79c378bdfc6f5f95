"""What a mutant is: a name, edits of the library's sources, the promise that they break. Edits are found in the sources as
they are now: an entry whose text is not there, or there twice, is stale."""

import re
import sys
import tomllib
from dataclasses import dataclass, field, replace
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOP = HERE.parents[1]
sys.path.insert(0, str(HERE.parent / "lint"))

from source_tree import code_and_comments  # noqa: E402  (a sibling folder)

LIBRARY = "libipcq"


def path_of(file):
    """The place of a file below the top: names begin below src; those of public headers with include/."""
    return f"{LIBRARY}/{file}" if file.startswith("include/") else f"{LIBRARY}/src/{file}"


class Stale(Exception):
    """An entry that does not fit the sources."""


@dataclass(frozen=True)
class Edit:
    """`text` instead of [start, end) of a file (path_of)."""
    file: str
    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Function:
    name: str
    start: int  # of its name
    body: int   # of its opening brace
    end: int    # behind its closing brace


@dataclass(frozen=True)
class Source:
    """A file of the library, and what the tools look for in it."""
    file: str
    text: str
    code: str            # comments and literals blanked
    without_comments: str
    comments: str
    functions: tuple

    def function_at(self, offset):
        for function in self.functions:
            if function.start <= offset < function.end:
                return function
        return None

    def line_at(self, offset):
        return self.text.count("\n", 0, offset) + 1


@dataclass(frozen=True)
class Mutant:
    name: str
    edits: tuple
    breaks: str
    first: tuple = ()        # suites, or suite:filter, most likely to kill it
    model: str = ""          # the mutant of tests/model that is its counterpart
    equivalent: str = ""     # the proof
    steps: tuple = ()        # numbered steps of a list above a function that it mutates: "function N"
    written: bool = True     # false: made from a memory order
    prelude: str = field(default="", repr=False)  # in front of each edited file

    @property
    def files(self):
        return sorted({edit.file for edit in self.edits})

    def place(self, sources):
        edit = min(self.edits, key=lambda e: (e.file, e.start))
        return f"{edit.file}:{sources[edit.file].line_at(edit.start)}"


# Mutants leave parameters, variables and helpers unused; the tree is built with warnings as errors.
_QUIET = "".join(f'#pragma GCC diagnostic ignored "-W{name}"\n' for name in (
    "unused-variable", "unused-but-set-variable", "unused-parameter", "unused-function", "unused-value", "unused-label",
    "unused-result", "empty-body", "misleading-indentation", "type-limits", "maybe-uninitialized", "uninitialized", "return-type"))


def mutated(mutant, sources):
    """The text of each file that the mutant changes."""
    texts = {}
    for file in mutant.files:
        text = sources[file].text
        for edit in sorted((e for e in mutant.edits if e.file == file), key=lambda e: e.start, reverse=True):
            text = text[:edit.start] + edit.text + text[edit.end:]
        texts[file] = _QUIET + mutant.prelude + text
    return texts


def closing(code, opening):
    """The offset of the bracket that closes the one at `opening`."""
    pairs = {"(": ")", "[": "]", "{": "}"}
    depth = 0
    for index in range(opening, len(code)):
        if code[index] == code[opening]:
            depth += 1
        elif code[index] == pairs[code[opening]]:
            depth -= 1
            if depth == 0:
                return index
    return len(code) - 1


_NAME = re.compile(r"[A-Za-z_~][\w:~]*(?=\s*\()")
_CONTROL = {"if", "for", "while", "switch", "return", "sizeof", "catch", "static_assert", "alignas", "decltype"}
_BODY = re.compile(r"\s*(?:const\b\s*)?(?:noexcept\b\s*)?(?:override\b\s*)?(?:->\s*[\w:<>]+\s*)?(?:\{|:[^:;][^;]*?\)\s*\{)")


def functions(code):
    """Definitions at namespace or class scope, in order."""
    found, position = [], 0
    while match := _NAME.search(code, position):
        position = match.end()
        line = code[code.rfind("\n", 0, match.start()) + 1:match.start()]
        if match.group() in _CONTROL or len(line) - len(line.lstrip()) > 2 or line.isspace():
            continue
        body = _BODY.match(code, closing(code, code.index("(", match.end() - 1)) + 1)
        if not body:
            continue
        end = closing(code, body.end() - 1) + 1
        found.append(Function(match.group(), match.start(), body.end() - 1, end))
        position = end
    return tuple(found)


def without_comments(text, comments=None):
    comments = code_and_comments(text)[1] if comments is None else comments
    return "".join(" " if c != " " and c != "\n" else t for t, c in zip(text, comments))


def read_source(file, text):
    code, comments = code_and_comments(text)
    return Source(file, text, code, without_comments(text, comments), comments, functions(code))


def read_sources(top=TOP):
    """Every file of the library, by its name (path_of)."""
    sources = {}
    for path in sorted(p for p in (Path(top) / LIBRARY).rglob("*") if p.suffix in {".cpp", ".hpp"}):
        file = str(path.relative_to(Path(top) / LIBRARY)).removeprefix("src/")
        sources[file] = read_source(file, path.read_text())
    return sources


def _scope(source, name):
    if not name:
        return 0, len(source.text)
    named = [f for f in source.functions if f.name == name or f.name.endswith("::" + name)]
    if len(named) != 1:
        raise Stale(f"{source.file}: {len(named)} functions are named {name}")
    return named[0].start, named[0].end


def _loosely(wanted):
    """The text as a pattern that any layout of it matches."""
    tokens = re.findall(r"\w+|[^\w\s]", wanted)
    pattern = r"\b" if tokens[0][0].isalnum() else ""
    for token, following in zip(tokens, tokens[1:] + [""]):
        both_words = re.match(r"\w", token) and re.match(r"\w", following)
        pattern += re.escape(token) + (r"\s+" if both_words else r"\s*" if following else "")
    return pattern + (r"\b" if re.match(r"\w", tokens[-1]) else "")


def find(source, name, wanted):
    """Where `wanted` stands, exactly once, in the function `name` (or the file); runs of blanks and comments are alike."""
    start, end = _scope(source, name)
    pattern = re.compile(_loosely(wanted))
    matches = list(pattern.finditer(source.without_comments, start, end))
    if len(matches) != 1:
        where = f"{source.file} ({name})" if name else source.file
        raise Stale(f"{where}: found {len(matches)} times: {wanted.strip()}")
    return matches[0].span()


def _list(value):
    return value if isinstance(value, list) else [value]


_FIELDS = {"name", "file", "in", "remove", "swap", "move", "before", "behind", "old", "new", "breaks", "first", "model",
           "equivalent", "steps", "also"}
_FORMS = ({"remove"}, {"swap"}, {"move", "before"}, {"move", "behind"}, {"old", "new"})


def edits_of(entry, sources):
    """The edits of a written entry."""
    if entry["file"] not in sources:
        raise Stale(f"no file {entry['file']}")
    source, name = sources[entry["file"]], entry.get("in", "")
    form = set(entry) & {"remove", "swap", "move", "before", "behind", "old", "new"}
    if form not in _FORMS:
        raise Stale(f"one of {', '.join('+'.join(sorted(f)) for f in _FORMS)}, not {'+'.join(sorted(form))}")

    def edit(span, text):
        return Edit(source.file, *span, text)

    if "remove" in entry:
        edits = [edit(find(source, name, text), "") for text in _list(entry["remove"])]
    elif "swap" in entry:
        spans = [find(source, name, text) for text in entry["swap"]]
        texts = [source.text[slice(*span)] for span in spans]
        edits = [edit(spans[0], texts[1]), edit(spans[1], texts[0])]
    elif "move" in entry:
        span = find(source, name, entry["move"])
        text = source.text[slice(*span)]
        target = find(source, name, entry.get("before") or entry.get("behind"))
        at = target[0] if "before" in entry else target[1]
        edits = [edit(span, ""), edit((at, at), f" {text} ")]
    else:
        olds, news = _list(entry["old"]), _list(entry["new"])
        if len(olds) != len(news):
            raise Stale("old and new differ in number")
        edits = [edit(find(source, name, old), new) for old, new in zip(olds, news)]
    for other in entry.get("also", []):
        edits += edits_of(other, sources)
    spans = sorted((e.file, e.start, e.end) for e in edits)
    for (file, _, end), (next_file, start, _) in zip(spans, spans[1:]):
        if file == next_file and start < end:
            raise Stale("its edits overlap")
    return edits


def mutant_of(entry, sources):
    unknown = set(entry) - _FIELDS
    if unknown:
        raise Stale(f"no such field: {', '.join(sorted(unknown))}")
    if not entry.get("breaks"):
        raise Stale("it does not say what it breaks")
    return Mutant(entry["name"], tuple(edits_of(entry, sources)), " ".join(entry["breaks"].split()),
                  tuple(entry.get("first", ())), entry.get("model", ""), " ".join(entry.get("equivalent", "").split()),
                  tuple(entry.get("steps", ())))


def read_entries(folder=HERE / "steps"):
    """The written entries, the exceptions, and what is said of mutants that are made, as they stand."""
    entries, exceptions, remarks = [], [], []
    for path in sorted(Path(folder).glob("*.toml")):
        with path.open("rb") as file:
            content = tomllib.load(file)
        entries += content.get("mutant", [])
        exceptions += content.get("exception", [])
        remarks += content.get("made", [])
    return entries, exceptions, remarks


def with_remarks(mutants, remarks):
    """The mutants that were made, with what `[[made]]` says of those it names; and complaints."""
    by_name = {mutant.name: mutant for mutant in mutants}
    complaints = []
    for remark in remarks:
        name = remark.get("name")
        if name not in by_name or set(remark) - {"name", "first", "model", "equivalent"}:
            complaints.append(f"{name}: no such mutant is made, or no such field")
            continue
        by_name[name] = replace(by_name[name], first=tuple(remark.get("first", by_name[name].first)),
                                model=remark.get("model", ""), equivalent=" ".join(remark.get("equivalent", "").split()))
    return list(by_name.values()), complaints


def written_mutants(entries, sources):
    """Mutants and, for entries that do not fit the sources, complaints."""
    mutants, complaints, names = [], [], set()
    for entry in entries:
        name = entry.get("name", "(without a name)")
        if name in names:
            complaints.append(f"{name}: twice")
        names.add(name)
        try:
            mutants.append(mutant_of(entry, sources))
        except (Stale, KeyError) as problem:
            complaints.append(f"{name}: {problem}")
    return mutants, complaints
