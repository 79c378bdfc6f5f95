#!/usr/bin/env python3
"""Every public header compiles alone, and included twice, without a warning. The compiler is $CXX, else g++."""

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from source_tree import Finding, cpp_files, run

INCLUDE = Path("libipcq/include")
FLAGS = ["-std=c++20", "-fsyntax-only", "-Werror", "-Wall", "-Wextra", "-Wpedantic", "-Wshadow", "-Wconversion",
         "-Wsign-conversion"]


def compile_alone(root, header):
    name = header.relative_to(root / INCLUDE)
    unit = f'#include "{name}"\n#include "{name}"\n'
    command = [os.environ.get("CXX") or "g++", *FLAGS, "-I", str(root / INCLUDE), "-x", "c++", "-"]
    result = subprocess.run(command, input=unit, capture_output=True, text=True, check=False)
    return None if result.returncode == 0 else Finding(str(header.relative_to(root)), 1, "does not compile alone\n"
                                                       + result.stderr.rstrip())


def check(root):
    headers = cpp_files(root, INCLUDE)
    if not headers:
        return [Finding(str(INCLUDE), 1, "no public header")]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return [f for f in pool.map(lambda header: compile_alone(root, header), headers) if f]


if __name__ == "__main__":
    run(__doc__, check)
