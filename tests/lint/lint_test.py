#!/usr/bin/env python3
"""Each check of this folder fails on a tree that breaks its rule, names the place, and passes one that keeps it."""

import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

HERE = Path(__file__).resolve().parent

# A small tree that keeps every rule; each test breaks it in one place.
GOOD = {
    "libipcq/include/ipcq/queue.hpp": '#pragma once\n#include <cstdint>\nnamespace ipcq { using Position = std::uint64_t; }\n',
    "libipcq/include/ipcq/detail/record.hpp": "#pragma once\n",
    "libipcq/src/os/mutex.hpp": "#pragma once\n#include <pthread.h>\n",
    "libipcq/src/os/futex.cpp": "#include <linux/futex.h>\n",
    "libipcq/src/os/mapping.cpp": '#include <boost/interprocess/mapped_region.hpp>\n#include "os/mutex.hpp"\n',
    "libipcq/src/layout/header.hpp": '#pragma once\n#include "os/mutex.hpp"\n',
    "libipcq/src/core/ring.cpp": '#include "layout/header.hpp"\n'
                                 "word.store(1, std::memory_order_release);  // R:publish\n"
                                 "// A:publish\nuse(word.load(std::memory_order_acquire));\n",
    "libipcq/src/api/queue.cpp": '#include "ipcq/queue.hpp"\n#include "layout/header.hpp"\n',
    "cli/main.cpp": "#include <ipcq/queue.hpp>\n",
}


class LintTest(unittest.TestCase):
    def outcome(self, script, files):
        """Exit code and output of a check on GOOD with files replaced or added."""
        with tempfile.TemporaryDirectory() as root:
            for name, text in {**GOOD, **files}.items():
                path = Path(root) / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text)
            result = subprocess.run([sys.executable, HERE / script, root], capture_output=True, text=True, check=False)
            self.assertEqual(result.stderr, "")
            return result.returncode, result.stdout

    def assert_good(self, script, files=None):
        self.assertEqual(self.outcome(script, files or {}), (0, ""))

    def assert_bad(self, script, place, message, files):
        code, output = self.outcome(script, files)
        self.assertEqual(code, 1, output)
        self.assertIn(place, output)
        self.assertIn(message, output)


class IncludeEdges(LintTest):
    script = "include_edges.py"

    def test_a_tree_with_downward_edges_passes(self):
        self.assert_good(self.script)

    def test_an_upward_edge_fails(self):
        self.assert_bad(self.script, "os/clock.hpp:2", "os includes layout",
                        {"libipcq/src/os/clock.hpp": '#pragma once\n#include "layout/header.hpp"\n'})

    def test_an_upward_edge_by_a_relative_path_fails(self):
        self.assert_bad(self.script, "os/clock.hpp:1", "os includes layout",
                        {"libipcq/src/os/clock.hpp": '#include "../layout/header.hpp"\n'})

    def test_a_file_outside_the_layers_fails(self):
        self.assert_bad(self.script, "src/util/text.hpp:1", "belongs in one of", {"libipcq/src/util/text.hpp": ""})

    def test_a_quoted_include_of_nothing_fails(self):
        self.assert_bad(self.script, "core/a.cpp:1", "no file of libipcq", {"libipcq/src/core/a.cpp": '#include "gone.hpp"\n'})

    def test_a_second_door_to_pthread_fails(self):
        self.assert_bad(self.script, "os/thread.cpp:1", "<pthread.h> is included by 2 files",
                        {"libipcq/src/os/thread.cpp": "#include <pthread.h>\n"})

    def test_boost_interprocess_outside_os_fails(self):
        self.assert_bad(self.script, "core/a.cpp:1", "<boost/interprocess/> belongs in os",
                        {"libipcq/src/core/a.cpp": "#include <boost/interprocess/shared_memory_object.hpp>\n"})

    def test_a_door_that_nobody_uses_fails(self):
        self.assert_bad(self.script, "libipcq/src:1", "nobody includes <linux/futex.h>", {"libipcq/src/os/futex.cpp": ""})

    def test_a_tool_that_includes_detail_fails(self):
        self.assert_bad(self.script, "cli/peek.cpp:1", "not for users", {"cli/peek.cpp": "#include <ipcq/detail/record.hpp>\n"})

    def test_a_tool_that_includes_the_inside_fails(self):
        self.assert_bad(self.script, "cli/peek.cpp:1", "their own files only",
                        {"cli/peek.cpp": '#include "../libipcq/src/layout/header.hpp"\n'})

    def test_an_example_that_includes_an_unknown_header_fails(self):
        self.assert_bad(self.script, "examples/a.cpp:1", "no public header", {"examples/a.cpp": "#include <ipcq/ring.hpp>\n"})

    def test_a_public_header_that_includes_the_inside_fails(self):
        self.assert_bad(self.script, "ipcq/a.hpp:1", "public headers only",
                        {"libipcq/include/ipcq/a.hpp": '#include "layout/header.hpp"\n'})

    def test_a_public_header_that_includes_boost_fails(self):
        self.assert_bad(self.script, "ipcq/a.hpp:1", "reach every user",
                        {"libipcq/include/ipcq/a.hpp": "#include <boost/config.hpp>\n"})


class MemoryOrder(LintTest):
    script = "memory_order.py"

    def bad_line(self, place, message, text):
        self.assert_bad(self.script, place, message, {"libipcq/src/core/a.cpp": text})

    def test_labelled_pairs_pass(self):
        self.assert_good(self.script)

    def test_a_label_without_its_acquire_side_fails(self):
        self.bad_line("core/a.cpp:1", "no operation carries A:space", "a.store(1, std::memory_order_release);  // R:space\n")

    def test_a_label_without_its_release_side_fails(self):
        self.bad_line("core/a.cpp:1", "no operation carries R:space", "// A:space\na.load(std::memory_order_acquire);\n")

    def test_pointing_at_a_partner_is_no_partner(self):
        self.bad_line("core/a.cpp:1", "no operation carries A:space",
                      "a.exchange(1, std::memory_order_seq_cst);  // R:space, with A:space\n")

    def test_a_label_far_from_any_operation_is_no_partner(self):
        self.bad_line("core/a.cpp:1", "no operation carries A:space",
                      "a.store(1, std::memory_order_release);  // R:space\n\n\n\n\n// A:space\nint b;\n")

    def test_a_label_at_an_operation_of_the_other_side_is_no_partner(self):
        self.bad_line("core/a.cpp:1", "no operation carries A:space",
                      "a.store(1, std::memory_order_release);  // R:space\nint b;\nint c;\nint d;\n"
                      "b.store(1, std::memory_order_seq_cst);  // A:space\n")

    def test_an_operation_weaker_than_its_label_demands_fails(self):
        self.bad_line("core/a.cpp:1", "R:space at an operation that is relaxed",
                      "a.store(1, std::memory_order_relaxed);  // R:space, with A:space\n")
        self.bad_line("core/a.cpp:2", "R:wake at an operation that is release",
                      "// R:wake\na.exchange(1, std::memory_order_release);\n")
        self.bad_line("core/a.cpp:1", "A:space at an operation that is nowhere", "f();  // A:space\n")

    def test_an_operation_weaker_than_the_order_that_its_comment_names_fails(self):
        self.bad_line("core/a.cpp:2", '"release:" at an operation that is relaxed',
                      "// release: behind what is before it\na.store(1, std::memory_order_relaxed);\n")

    def test_a_label_behind_relaxed_only_points(self):
        self.assert_good(self.script, {
            "libipcq/src/core/a.cpp": "a.load(std::memory_order_relaxed);  // relaxed: behind what A:publish saw\n"})

    def test_a_strong_order_without_a_comment_fails(self):
        self.bad_line("core/a.cpp:5", "seq_cst without", "// why it is so, four lines up\n\n\n\na.load(std::memory_order_seq_cst);\n")

    def test_a_scoped_strong_order_without_a_comment_fails(self):
        self.bad_line("core/a.cpp:1", "acquire without", "a.load(std::memory_order::acquire);\n")

    def test_a_comment_that_explains_nothing_fails(self):
        self.bad_line("core/a.cpp:1", "release without", "a.store(1, std::memory_order_release);  // release\n")

    def test_a_reason_within_three_lines_passes(self):
        self.assert_good(self.script, {
            "libipcq/src/core/a.cpp": "// orders the flag after the look\nint b;\nint c;\na.load(std::memory_order_seq_cst);\n"})

    def test_a_label_in_a_string_does_not_count(self):
        self.bad_line("core/a.cpp:1", "acquire without", 'f("A:publish of words", a.load(std::memory_order_acquire));\n')

    def test_an_operation_without_its_order_fails(self):
        self.bad_line("core/a.cpp:2", "store() without its memory order", "int b;\na.store(f(1),\n 2);\n")

    def test_an_order_on_the_next_line_of_the_call_passes(self):
        self.assert_good(self.script, {"libipcq/src/core/a.cpp": "a->fetch_add(f(1),\n  std::memory_order_relaxed);\n"})


class HouseRules(LintTest):
    script = "house_rules.py"

    def test_a_tidy_tree_passes(self):
        self.assert_good(self.script)

    def test_a_file_over_600_lines_fails(self):
        self.assert_bad(self.script, "cli/a.cpp:601", "601 lines", {"cli/a.cpp": "\n" * 601})

    def test_a_file_over_500_lines_is_only_warned_of(self):
        code, output = self.outcome(self.script, {"cli/a.cpp": "\n" * 501})
        self.assertEqual(code, 0)
        self.assertIn("cli/a.cpp:501: warning", output)

    def test_unfinished_work_fails(self):
        for mark in ("TO" "DO", "FIX" "ME", "X" * 3):
            self.assert_bad(self.script, "docs/a.md:2", mark, {"docs/a.md": f"\n{mark}: later\n"})

    def test_a_mkstemp_pattern_passes(self):
        self.assert_good(self.script, {"cli/a.cpp": f'auto name = "a.{"X" * 6}";\n'})

    def test_a_tab_fails(self):
        self.assert_bad(self.script, "cli/a.cpp:1", "a tab", {"cli/a.cpp": "\tint a;\n"})

    def test_a_path_of_one_machine_fails(self):
        self.assert_bad(self.script, "docs/a.md:1", "path of one machine", {"docs/a.md": "see /" + "root/notes\n"})

    def test_a_path_in_the_tree_passes(self):
        self.assert_good(self.script, {"docs/a.md": "see docs/" + "root/notes\n"})

    def test_a_position_named_tail_fails(self):
        for name in ("tail", "tail_", "tail_position", "ring_tail", "head_", "head_index"):
            self.assert_bad(self.script, "cli/a.cpp:1", f"`{name}`", {"cli/a.cpp": f"int {name};\n"})

    def test_the_records_head_and_words_in_comments_pass(self):
        self.assert_good(self.script, {"cli/a.cpp": 'f(record.head, head_state(head), first_head_, detail);  // tail\ng("tail");\n'})


class HeadersAlone(LintTest):
    script = "headers_alone.py"

    def test_headers_that_include_what_they_use_pass(self):
        self.assert_good(self.script)

    def test_a_header_that_leans_on_another_fails(self):
        self.assert_bad(self.script, "ipcq/a.hpp:1", "does not compile alone",
                        {"libipcq/include/ipcq/a.hpp": "#pragma once\ninline std::uint64_t one() { return 1; }\n"})

    def test_a_header_without_a_guard_fails(self):
        self.assert_bad(self.script, "ipcq/a.hpp:1", "does not compile alone",
                        {"libipcq/include/ipcq/a.hpp": "inline int one() { return 1; }\n"})

    def test_a_header_with_a_warning_fails(self):
        self.assert_bad(self.script, "ipcq/a.hpp:1", "does not compile alone",
                        {"libipcq/include/ipcq/a.hpp": "#pragma once\ninline int narrow(long a) { return a; }\n"})

    def test_a_tree_without_headers_fails(self):
        with tempfile.TemporaryDirectory() as root:
            result = subprocess.run([sys.executable, HERE / self.script, root], capture_output=True, text=True, check=False)
            self.assertEqual(result.returncode, 1)
            self.assertIn("no public header", result.stdout)


if __name__ == "__main__":
    unittest.main()
