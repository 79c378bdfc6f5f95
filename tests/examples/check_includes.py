#!/usr/bin/env python3
"""Checks that the pieces of files shown in README.md and docs/*.md are those files. A piece is shown so:

    <!-- include: examples/hello_producer.cpp -->
    ```cpp
    ...
    ```
    <!-- /include -->

It is the whole file, or, if the file marks one with `// [snippet]` and `// [/snippet]`, that part of it. --fix rewrites
the pieces from the files."""

import argparse
import re
import sys
import textwrap
from pathlib import Path

_BLOCK = re.compile(r"^<!-- include: (?P<path>\S+) -->\n(?P<shown>.*?)^<!-- /include -->$", re.DOTALL | re.MULTILINE)
_OPENING = re.compile(r"^<!--\s*include\b.*$", re.MULTILINE)
_SNIPPET = re.compile(r"^[ \t]*// \[snippet\]\n(.*?)^[ \t]*// \[/snippet\]$", re.DOTALL | re.MULTILINE)
_MARK = re.compile(r"// \[/?snippet\]")
_LANGUAGES = {".cpp": "cpp", ".hpp": "cpp", ".py": "python", ".sh": "sh"}


class Wrong(Exception):
    """What is wrong with a piece, in words."""


def documents(root):
    return [path for path in [root / "README.md", *sorted((root / "docs").glob("*.md"))] if path.is_file()]


def piece(path):
    """The part of a file that is shown."""
    text = path.read_text()
    found = _SNIPPET.findall(text)
    if len(found) != (1 if _MARK.search(text) else 0):
        raise Wrong(f"{path.name} needs one [snippet] and its [/snippet]")
    return textwrap.dedent(found[0]) if found else text


def rendered(root, name):
    path = root / name
    if not path.is_file():
        raise Wrong(f"{name} does not exist")
    text = piece(path)
    if "```" in text:
        raise Wrong(f"{name} has a fence of its own and cannot be shown in one")
    return f"```{_LANGUAGES.get(path.suffix, 'text')}\n{text.rstrip()}\n```\n"


def shown_files(document):
    return [match["path"] for match in _BLOCK.finditer(document.read_text())]


def check(root, fix=False):
    """What is wrong, one string each; with `fix`, what could not be mended."""
    problems = []
    for document in documents(root):
        text = document.read_text()
        where = document.relative_to(root)
        if len(_OPENING.findall(text)) != len(_BLOCK.findall(text)):
            problems.append(f"{where}: an include without its <!-- /include -->")
            continue

        def replace(match):
            try:
                wanted = rendered(root, match["path"])
            except Wrong as wrong:
                problems.append(f"{where}: {wrong}")
                return match[0]
            if match["shown"] != wanted and not fix:
                problems.append(f"{where}: {match['path']} is shown otherwise than it is; run tests/examples/check_includes.py --fix")
            return f"<!-- include: {match['path']} -->\n{wanted}<!-- /include -->"

        mended = _BLOCK.sub(replace, text)
        if fix and mended != text:
            document.write_text(mended)
    return problems


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", type=Path, default=Path(__file__).resolve().parents[2])
    parser.add_argument("--fix", action="store_true", help="rewrite the pieces from the files")
    arguments = parser.parse_args()
    problems = check(arguments.root, arguments.fix)
    for problem in problems:
        print(problem)
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
