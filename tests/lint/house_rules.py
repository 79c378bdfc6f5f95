#!/usr/bin/env python3
"""Size and words: no source file over 600 lines, no unfinished-work marks, no tabs, no paths of the machine it was
written on, no `tail` or `head_` as the name of a position (the field uses both with opposite meanings)."""

import re

from source_tree import CPP_SUFFIXES, Finding, code_and_comments, files, run

SOURCE_SUFFIXES = CPP_SUFFIXES | {".py", ".sh", ".cmake"}
SOURCE_NAMES = {"CMakeLists.txt", "dev", "run", "run-sanitized"}
TEXT_SUFFIXES = SOURCE_SUFFIXES | {".md", ".json", ".in", ".map", ".txt", ".yml"}
LINES_MAX = 600
LINES_WARNED = 500

_UNFINISHED = re.compile(r"\b(" + "|".join(["TO" + "DO", "FIX" + "ME", "X" * 3]) + r")\b")
_MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work|root)/")
# Identifiers of which a part is `tail`, and `head` as a member or with a place's word: `head` alone is the record's word.
_POSITION_NAME = re.compile(r"\b(?:\w*_)?tail(?:_\w*)?\b|\bhead_\b|\bhead_(?:pos|position|offset|index|ptr)\b", re.IGNORECASE)


def check_text(where, text):
    for number, line in enumerate(text.split("\n"), 1):
        mark = _UNFINISHED.search(line)
        if mark:
            yield Finding(where, number, f"{mark[1]}: finish it or file it")
        if _MACHINE_PATH.search(line):
            yield Finding(where, number, "a path of one machine")


def check_source(where, text):
    lines = text.count("\n")
    if lines > LINES_WARNED:
        over = lines > LINES_MAX
        yield Finding(where, lines, f"{lines} lines: one idea a file, at most {LINES_MAX}", warning=not over)
    for number, line in enumerate(text.split("\n"), 1):
        if "\t" in line:
            yield Finding(where, number, "a tab")


def check_cpp(where, text):
    for number, line in enumerate(code_and_comments(text)[0].split("\n"), 1):
        name = _POSITION_NAME.search(line)
        if name:
            yield Finding(where, number, f"`{name[0]}`: positions have the names of the glossary")


def check(root):
    for path in files(root):
        source = path.suffix in SOURCE_SUFFIXES or path.name in SOURCE_NAMES
        if not source and path.suffix not in TEXT_SUFFIXES:
            continue
        where = str(path.relative_to(root))
        text = path.read_text(errors="replace")
        yield from check_text(where, text)
        if source:
            yield from check_source(where, text)
        if path.suffix in CPP_SUFFIXES:
            yield from check_cpp(where, text)


if __name__ == "__main__":
    run(__doc__, check)
