#!/usr/bin/env python3
"""Proves that the check of shown pieces can fail, and that --fix mends what it finds."""

import tempfile
import unittest
from pathlib import Path

from check_includes import check, shown_files

SHOWN = "before\n<!-- include: a.cpp -->\n```cpp\nint a;\n```\n<!-- /include -->\nafter\n"


class CheckIncludes(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.root = Path(folder.name)
        (self.root / "docs").mkdir()

    def write(self, name, text):
        (self.root / name).write_text(text)

    def test_a_piece_that_is_the_file_passes(self):
        self.write("a.cpp", "int a;\n")
        self.write("docs/x.md", SHOWN)
        self.assertEqual(check(self.root), [])
        self.assertEqual(shown_files(self.root / "docs/x.md"), ["a.cpp"])

    def test_a_piece_that_differs_is_found_and_mended(self):
        self.write("a.cpp", "int b;\n")
        self.write("README.md", SHOWN)
        self.assertRegex(check(self.root)[0], "README.md: a.cpp is shown otherwise")
        self.assertEqual(check(self.root, fix=True), [])
        self.assertEqual((self.root / "README.md").read_text(), SHOWN.replace("int a", "int b"))
        self.assertEqual(check(self.root), [])

    def test_an_empty_piece_is_filled(self):
        self.write("a.cpp", "int a;\n")
        self.write("README.md", "before\n<!-- include: a.cpp -->\n<!-- /include -->\nafter\n")
        self.assertNotEqual(check(self.root), [])
        self.assertEqual(check(self.root, fix=True), [])
        self.assertEqual((self.root / "README.md").read_text(), SHOWN)

    def test_the_snippet_of_a_file_is_shown_alone_and_without_its_indentation(self):
        self.write("a.cpp", "#include <x>\n  // [snippet]\n  int a;\n  // [/snippet]\nint b;\n")
        self.write("README.md", SHOWN)
        self.assertEqual(check(self.root), [])

    def test_a_snippet_without_end_is_an_error(self):
        self.write("a.cpp", "// [snippet]\nint a;\n")
        self.write("README.md", SHOWN)
        self.assertRegex(check(self.root)[0], "needs one")

    def test_an_include_without_end_is_an_error(self):
        self.write("a.cpp", "int a;\n")
        self.write("README.md", SHOWN.replace("<!-- /include -->", ""))
        self.assertRegex(check(self.root)[0], "without its")

    def test_a_file_that_is_missing_is_an_error_also_for_fix(self):
        self.write("README.md", SHOWN)
        self.assertRegex(check(self.root)[0], "does not exist")
        self.assertRegex(check(self.root, fix=True)[0], "does not exist")
        self.assertEqual((self.root / "README.md").read_text(), SHOWN)


if __name__ == "__main__":
    unittest.main(verbosity=2)
