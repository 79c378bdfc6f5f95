"""What the checks of this folder share: the project's files, C++ without its comments, and how findings are told."""

import argparse
import os
import re
import sys
from dataclasses import dataclass
from pathlib import Path

CPP_SUFFIXES = {".cpp", ".hpp", ".h", ".c"}


@dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    text: str
    warning: bool = False

    def __str__(self):
        kind = "warning" if self.warning else "error"
        return f"{self.path}:{self.line}: {kind}: {self.text}"


def files(root, *folders):
    """Every file below the folders of `root` (all of it if none is named) but builds, caches and what git keeps."""
    root = Path(root)
    for start in [root / folder for folder in folders] or [root]:
        for folder, names, file_names in os.walk(start):
            names[:] = sorted(n for n in names if n not in {".git", ".cache", "__pycache__"}
                              and not (Path(folder) == root and n.startswith("build")))
            for name in sorted(file_names):
                path = Path(folder) / name
                if path.is_file() and not path.is_symlink():
                    yield path


def cpp_files(root, *folders):
    return [path for path in files(root, *folders) if path.suffix in CPP_SUFFIXES]


_TOKEN = re.compile(
    r"""(?P<comment>//[^\n]*|/\*.*?\*/)
      | (?P<string>R"(?P<delimiter>[^(\s]*)\(.*?\)(?P=delimiter)"|"(?:\\.|[^"\\\n])*"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+')""",
    re.DOTALL | re.VERBOSE)


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def code_and_comments(text):
    """Two texts of the same lines and columns: the code with comments and literals blanked, and the comments alone."""
    code, comments, position = [], [], 0
    for match in _TOKEN.finditer(text):
        plain = text[position:match.start()]
        code += [plain, _blank(match.group())]
        comments += [_blank(plain), match.group() if match["comment"] else _blank(match.group())]
        position = match.end()
    rest = text[position:]
    return "".join(code + [rest]), "".join(comments + [_blank(rest)])


def run(description, check):
    """A script's main: checks the tree given on the command line, prints what it found, exits 1 on errors."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("root", nargs="?", default=Path(__file__).resolve().parents[2], type=Path)
    root = parser.parse_args().root
    if not root.is_dir():
        parser.error(f"{root} is not a directory")
    findings = sorted(check(root))
    for finding in findings:
        print(finding)
    sys.exit(1 if any(not f.warning for f in findings) else 0)
