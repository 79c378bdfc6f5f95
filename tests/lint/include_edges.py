#!/usr/bin/env python3
"""Includes go downward only: api -> core -> layout -> os, users see the public headers only, and each of the three
foreign worlds (pthread, futex, Boost.Interprocess) is let in at one file of os."""

import re
from pathlib import Path

from source_tree import Finding, cpp_files, run

LAYERS = ["os", "layout", "core", "api"]  # from the bottom
SOURCE = Path("libipcq/src")
INCLUDE = Path("libipcq/include")
USERS = ["cli", "daemon", "examples"]
ONE_DOOR = ["pthread.h", "linux/futex.h", "boost/interprocess/"]

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)


def includes(path):
    """(line, name, quoted) of every include of a file."""
    text = path.read_text()
    for match in _INCLUDE.finditer(text):
        yield text.count("\n", 0, match.start()) + 1, match[2], match[1] == '"'


def layer_of(path, root):
    parts = path.relative_to(root / SOURCE).parts
    return parts[0] if len(parts) > 1 else None


def target_of(name, file, root):
    """The project's file that a quoted include means, or None."""
    for folder in (file.parent, root / SOURCE, root / INCLUDE):
        candidate = (folder / name).resolve()
        if candidate.is_file():
            return candidate
    return None


def check_layers(root):
    for path in cpp_files(root, SOURCE):
        where = str(path.relative_to(root))
        layer = layer_of(path, root)
        if layer not in LAYERS:
            yield Finding(where, 1, f"a source file belongs in one of {', '.join(LAYERS)}")
            continue
        for line, name, quoted in includes(path):
            target = target_of(name, path, root) if quoted else None
            if quoted and target is None:
                yield Finding(where, line, f'"{name}" is no file of libipcq')
            elif target and target.is_relative_to((root / SOURCE).resolve()):
                other = layer_of(target, root.resolve())
                if other not in LAYERS or LAYERS.index(other) > LAYERS.index(layer):
                    yield Finding(where, line, f"{layer} includes {other}: edges go downward only")


def check_public_headers(root):
    for path in cpp_files(root, INCLUDE):
        for line, name, quoted in includes(path):
            if quoted and not (root / INCLUDE / name).is_file():
                yield Finding(str(path.relative_to(root)), line, f'"{name}": a public header includes public headers only')
            if not quoted and name.startswith(("boost/", "pthread.h", "linux/")):
                yield Finding(str(path.relative_to(root)), line, f"<{name}> would reach every user")


def check_users(root):
    for path in cpp_files(root, *[u for u in USERS if (root / u).is_dir()]):
        where = str(path.relative_to(root))
        for line, name, quoted in includes(path):
            if name.startswith("ipcq/detail/"):
                yield Finding(where, line, f"{name} is not for users")
            elif name.startswith("ipcq/"):
                if not (root / INCLUDE / name).is_file():
                    yield Finding(where, line, f"{name} is no public header")
            elif quoted:
                target = target_of(name, path, root)
                own = root.resolve() / path.relative_to(root).parts[0]
                if target and not target.is_relative_to(own):
                    yield Finding(where, line, f'"{name}": users include <ipcq/...> and their own files only')


def check_doors(root):
    sources = cpp_files(root, SOURCE)
    if not sources:
        return
    for door in ONE_DOOR:
        users = sorted({(str(path.relative_to(root)), line) for path in sources
                        for line, name, _ in includes(path) if name == door or (door[-1] == "/" and name.startswith(door))})
        paths = sorted({where for where, _ in users})
        for where, line in users:
            if not where.startswith(f"{SOURCE}/os/"):
                yield Finding(where, line, f"<{door}> belongs in os")
            elif len(paths) > 1:
                yield Finding(where, line, f"<{door}> is included by {len(paths)} files: {', '.join(paths)}")
        if not paths:
            yield Finding(str(SOURCE), 1, f"nobody includes <{door}>: this list is out of date")


def check(root):
    for part in (check_layers, check_public_headers, check_users, check_doors):
        yield from part(root)


if __name__ == "__main__":
    run(__doc__, check)
