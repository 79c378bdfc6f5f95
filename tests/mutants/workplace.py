"""A copy of the tree with a build of its own, where one mutant at a time is put in; and whether its code is the same."""

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

from mutation import HERE, TOP, mutated, path_of

sys.path.insert(0, str(TOP / "tests/lint"))

from source_tree import files  # noqa: E402  (a sibling folder)

COPIED = ["cmake", "libipcq", "tests", "docs"]
COPIED_FILES = ["CMakeLists.txt", "CMakePresets.json", "README.md"]
# What a fate depends on. Not this folder: its mutants are in the fates' keys themselves.
HASHED = ["cmake", "libipcq", "tests/unit", "tests/contract", "tests/crash", "tests/stress", "tests/hostile",
          "tests/support"]
OPTIONS = ["-DIPCQ_BUILD_CLI=OFF", "-DIPCQ_BUILD_DAEMON=OFF", "-DIPCQ_BUILD_EXAMPLES=OFF", "-DIPCQ_BUILD_BENCH=OFF",
           "-DIPCQ_INSTALL=OFF", "-DIPCQ_TEST_SUITES=unit;contract;crash;stress;hostile",
           f"-DCMAKE_PROJECT_INCLUDE={HERE / 'objects.cmake'}"]


class BuildFailed(Exception):
    """What the compiler said."""


def hash_of(top=TOP):
    """The state of the library, its tests and the compiler, in 12 digits."""
    digest = hashlib.sha256(subprocess.run(["c++", "--version"], capture_output=True, check=True).stdout)
    for path in sorted(files(top, *HASHED)):
        digest.update(str(path.relative_to(top)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:12]


def copy_tree(top, target):
    """Makes `target` the same as the tree, touching only what differs, so that little is built again."""
    wanted = [p for p in files(top, *COPIED)] + [top / name for name in COPIED_FILES if (top / name).is_file()]
    names = {p.relative_to(top) for p in wanted}
    for path in [p for folder in COPIED if (target / folder).is_dir() for p in files(target / folder)]:
        if path.relative_to(target) not in names:
            path.unlink()
    for path in wanted:
        copy = target / path.relative_to(top)
        if not copy.is_file() or copy.read_bytes() != path.read_bytes():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)
            shutil.copymode(path, copy)


def code_of(path):
    """The code and constant data of an object file, without the places of things in it."""
    def objdump(*options):
        out = subprocess.run(["objdump", *options, str(path)], capture_output=True, text=True, check=True).stdout
        return out.split("\n", 3)[-1]  # without the line that names the file
    code = objdump("--disassemble", "--reloc", "--no-addresses", "--no-show-raw-insn")
    sections = subprocess.run(["objdump", "--section-headers", str(path)], capture_output=True, text=True, check=True).stdout
    names = {line.split()[1] for line in sections.split("\n") if len(line.split()) == 7 and line.split()[0].isdigit()}
    data = [name for name in sorted(names) if name.startswith((".rodata", ".data", ".init_array", ".gcc_except_table"))]
    contents = objdump("--full-contents", *[f"--section={name}" for name in data]) if data else ""
    return code, contents


def same_code(a, b):
    return a.read_bytes() == b.read_bytes() or code_of(a) == code_of(b)


class Workplace:
    """build/mutants/tree-N, with its build in it, so that paths in the compiler's cache are those of any other tree."""

    def __init__(self, folder, sources, log):
        self.tree = folder
        self.build_folder = folder / "build"
        self.originals = folder / "original-objects"
        self.sources = sources
        self.log = log
        self.put_in = None

    def prepare(self, top=TOP):
        self.tree.mkdir(parents=True, exist_ok=True)
        copy_tree(top, self.tree)
        self._run(["cmake", "--preset", "release", *OPTIONS], self.tree)
        self.ninja("ipcq_objects")
        shutil.rmtree(self.originals, ignore_errors=True)
        for path in self._objects():
            copy = self.originals / path.relative_to(self._object_folder())
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy)

    def apply(self, mutant):
        """Puts a mutant in (none: takes the last one out)."""
        before = {} if self.put_in is None else {file: self.sources[file].text for file in self.put_in.files}
        after = {} if mutant is None else mutated(mutant, self.sources)
        for file, text in {**before, **after}.items():
            path = self.tree / path_of(file)
            if path.read_text() != text:
                path.write_text(text)
        self.put_in = mutant

    def is_same_code(self):
        """Whether every object of the library has the code that it has without the mutant."""
        self.ninja("ipcq_objects")
        return all(same_code(path, self.originals / path.relative_to(self._object_folder())) for path in self._objects())

    def has_target(self, target):
        known = subprocess.run(["ninja", "-C", str(self.build_folder), "-t", "query", target], capture_output=True, check=False)
        return known.returncode == 0

    def ninja(self, target):
        self._run(["ninja", "-C", str(self.build_folder), target], self.tree)

    def _object_folder(self):
        return self.build_folder / "libipcq/CMakeFiles/ipcq_objects.dir"

    def _objects(self):
        return sorted(self._object_folder().rglob("*.o"))

    def _run(self, command, folder):
        result = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.log.write(f"$ {' '.join(command)}\n{result.stdout}\n")
        self.log.flush()
        if result.returncode != 0:
            raise BuildFailed(result.stdout[-4000:])
