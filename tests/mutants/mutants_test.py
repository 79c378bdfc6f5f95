#!/usr/bin/env python3
"""The mutants' own tools: entries that do not fit are told, edits are what they say, an order is weakened where it stands,
the same code is recognised, a test's fate is read rightly. Compiles one tiny file, runs no suite."""

import contextlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import coverage
import labels
import mutants
from catalogue import all_mutants
from mutation import Mutant, Stale, mutant_of, mutated, read_source, read_sources, with_remarks, written_mutants
from orders import order_mutants
from results import DISPROVED, EQUIVALENT, KILLED, MODEL, OPEN, SAME_CODE, SURVIVES, EarlierTable, Results, site_of, table
from suites import SUITES, Suite, run
from workplace import same_code

SOURCE = """#include <atomic>
namespace ipcq {
void f(std::atomic<int>& a) noexcept {
  // 1. the first
  a.store(1, std::memory_order_release);  // R:word, with A:word
  IPCQ_CRASH_POINT("f.first");
  // 2. the second; a.store(2, std::memory_order_relaxed) is only a comment
  a.store(2,
          std::memory_order_relaxed);
  IPCQ_CRASH_POINT("f.second");
}
int g(std::atomic<int>& a) noexcept { return a.load(std::memory_order_acquire); }  // A:word
bool h(Row& row, int i) noexcept {
  int expected = 0;
  // R:word
  return row.at(i).word.compare_exchange_strong(expected, make(1, i), std::memory_order_seq_cst);
}
}  // namespace ipcq
"""
SOURCES = {"core/a.cpp": read_source("core/a.cpp", SOURCE)}


def entry(**fields):
    return {"name": "one", "file": "core/a.cpp", "breaks": "a promise", **{k.rstrip("_"): v for k, v in fields.items()}}


def text_of(**fields):
    return mutated(mutant_of(entry(**fields), SOURCES), SOURCES)["core/a.cpp"]


class WrittenEntries(unittest.TestCase):
    def test_remove_takes_a_statement_out_of_its_function(self):
        text = text_of(in_="f", remove="a.store(1, std::memory_order_release);")
        self.assertNotIn("a.store(1", text)
        self.assertIn('IPCQ_CRASH_POINT("f.first")', text)

    def test_text_is_found_whatever_its_layout_and_never_in_a_comment(self):
        text = text_of(in_="f", old="a.store(2, std::memory_order_relaxed);", new="a.store(3, std::memory_order_relaxed);")
        self.assertIn("a.store(3, std::memory_order_relaxed);", text)
        self.assertIn("a.store(2, std::memory_order_relaxed) is only a comment", text)

    def test_swap_exchanges_two_statements(self):
        text = text_of(swap=["a.store(1, std::memory_order_release);", "a.store(2, std::memory_order_relaxed);"])
        self.assertLess(text.index("a.store(2,\n"), text.index("a.store(1,"))

    def test_move_puts_a_statement_before_another(self):
        text = text_of(move="a.store(2, std::memory_order_relaxed);", before="a.store(1, std::memory_order_release);")
        self.assertLess(text.index("a.store(2,\n"), text.index("a.store(1,"))
        self.assertEqual(text.count("a.store(2,\n"), 1)

    def test_what_does_not_fit_is_stale(self):
        for wrong in ({"remove": "a.store(4);"}, {"remove": "a"}, {"in_": "nowhere", "remove": "a.store(1"},
                      {"old": ["a.store(1", "a.store(1"], "new": ["", ""]}, {"old": "a.store(1"}, {"delete": "a"},
                      {"remove": "a.store(1", "file": "core/b.cpp"}, {"remove": "a.store(1", "breaks": ""}):
            with self.assertRaises(Stale, msg=wrong):
                mutant_of(entry(**wrong), SOURCES)

    def test_a_name_twice_is_told(self):
        one = entry(remove="a.store(1, std::memory_order_release);")
        self.assertEqual(written_mutants([one, one], SOURCES)[1], ["one: twice"])


class Orders(unittest.TestCase):
    def text(self, weaker):
        found = [m for m in order_mutants(SOURCES) if m.name.endswith(weaker)]
        self.assertEqual(len(found), 1, [m.name for m in found])
        return mutated(found[0], SOURCES)["core/a.cpp"], found[0].breaks

    def test_a_store_a_load_and_an_exchange_are_weakened(self):
        text, label = self.text("f: a.store release → relaxed")
        self.assertIn("a.store(1, std::memory_order_relaxed);", text)
        self.assertEqual(label, "R:word")
        self.assertIn("a.load(std::memory_order_relaxed)", self.text("g: a.load acquire → relaxed")[0])
        self.assertIn("make(1, i), std::memory_order_acq_rel)", self.text("seq_cst → acq_rel")[0])

    def test_an_exchange_is_taken_apart_whole(self):
        text, _ = self.text("load, then store")
        self.assertIn("return ipcq_mutant::compare_then_store(row.at(i).word, expected, make(1, i));", text)
        self.assertIn("bool compare_then_store(", text)


    def test_a_remark_on_a_mutant_that_is_not_made_is_told(self):
        made, unfit = with_remarks(order_mutants(SOURCES), [{"name": "nobody", "model": "a M_B"}])
        self.assertEqual(len(unfit), 1)
        remarked, unfit = with_remarks(made, [{"name": made[0].name, "equivalent": "so"}])
        self.assertEqual((remarked[0].equivalent, unfit), ("so", []))


class FoundByTheLint(unittest.TestCase):
    def test_is_what_leaves_an_operation_weaker_than_its_label_demands_or_takes_it_apart(self):
        self.assertEqual(labels.finding(mutant_of(entry(old="a.store(2,", new="a.store(3,"), SOURCES), SOURCES), "")
        said = {mutant.name: labels.finding(mutant, SOURCES) for mutant in order_mutants(SOURCES)}
        found = [said for name, said in said.items() if not name.endswith("→ acq_rel")]  # which is enough for R:word
        self.assertEqual([said for said in found if not said], [])
        self.assertIn("R:word at an operation that is relaxed (core/a.cpp)", found)
        self.assertTrue(any("nowhere" in said for said in found), found)


class Coverage(unittest.TestCase):
    def complaints(self, entries, exceptions=()):
        written, stale = written_mutants(entries, SOURCES)
        self.assertEqual(stale, [])
        return list(coverage.complaints(SOURCES, written + order_mutants(SOURCES), exceptions))

    def test_a_step_and_a_crash_point_without_a_mutant_are_told(self):
        found = self.complaints([entry(remove="a.store(1, std::memory_order_release);")])
        self.assertEqual(found, ["core/a.cpp: f.second: no mutant removes or changes it",
                                 "core/a.cpp: f 2: no mutant removes or changes it"])

    def test_an_exception_needs_a_reason_and_a_marker(self):
        both = [entry(remove="a.store(1, std::memory_order_release);")]
        excepted = [{"marker": "f.second", "reason": "so"}, {"marker": "f 2", "reason": "so"}]
        self.assertEqual(self.complaints(both, excepted), [])
        found = self.complaints(both, excepted + [{"marker": "f 9"}])
        self.assertEqual(found, ["the exception f 9 has no reason", "the exception f 9 is no crash point or step"])

    def test_a_mutant_that_the_model_does_not_have_is_told(self):
        found = self.complaints([entry(remove="a.store(1, std::memory_order_release);", model="nothing M_NOTHING")])
        self.assertIn("one: the model has no mutant nothing M_NOTHING", found)


class TheTree(unittest.TestCase):
    def test_every_entry_fits_and_no_step_is_left_out(self):
        found, stale, left_out = all_mutants(read_sources())
        self.assertEqual((stale, left_out), ([], []))
        self.assertEqual(len({mutant.name for mutant in found}), len(found))


class SameCode(unittest.TestCase):
    def setUp(self):
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def compile(self, name, text):
        # The name of the file is in the object: the same for all.
        (self.folder / "a.cpp").write_text(text)
        subprocess.run(["c++", "-O1", "-c", self.folder / "a.cpp", "-o", self.folder / name], check=True)
        return self.folder / name

    def test_a_mutant_that_changes_nothing_is_recognised_and_one_that_does_is_not(self):
        plain = self.compile("plain.o", "int a; void f() { __atomic_store_n(&a, 1, __ATOMIC_RELEASE); }\n")
        weaker = self.compile("weaker.o", "int a;\n\nvoid f() { __atomic_store_n(&a, 1, __ATOMIC_RELAXED); }\n")
        other = self.compile("other.o", "int a; void f() { __atomic_store_n(&a, 1, __ATOMIC_SEQ_CST); }\n")
        number = self.compile("number.o", "int a; void f() { __atomic_store_n(&a, 2, __ATOMIC_RELEASE); }\n")
        self.assertTrue(same_code(plain, weaker))
        self.assertFalse(same_code(plain, other))
        self.assertFalse(same_code(plain, number))


class RunningASuite(unittest.TestCase):
    def outcome(self, script, **options):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        (folder / "bin").mkdir()
        program = folder / "bin/tests"
        program.write_text("#!/bin/sh\n" + script)
        program.chmod(0o755)
        return run(Suite("fake", "tests"), folder / "bin", **options)

    def test_one_that_passes(self):
        self.assertTrue(self.outcome("echo '[ RUN      ] A.b'; echo '[       OK ] A.b (1 ms)'").passed)

    def test_one_that_fails_names_the_test(self):
        outcome = self.outcome("echo '[ RUN      ] A.b'; echo 'a.cpp:1: Failure'; echo '[  FAILED  ] A.b (1 ms)'; exit 1")
        self.assertEqual((outcome.passed, outcome.test, outcome.how), (False, "A.b", "failed"))

    def test_one_that_dies_names_the_test_it_was_in(self):
        outcome = self.outcome("echo '[ RUN      ] A.b'; kill -SEGV $$")
        self.assertEqual((outcome.passed, outcome.test, outcome.how), (False, "A.b", "died of SIGSEGV"))

    def test_one_that_hangs_is_ended_with_what_it_started(self):
        outcome = self.outcome("echo '[ RUN      ] A.b'; sleep 60 & sleep 60", timeout_s=0.3)
        self.assertEqual((outcome.passed, outcome.test, outcome.how), (False, "A.b", "hung"))

    def test_one_that_hangs_is_not_waited_for_longer_than_a_test_so_short_may_take(self):
        with mock.patch("suites.KNOWN_TIMEOUT_S", 0.3):
            outcome = self.outcome("echo '[ RUN      ] A.b'; sleep 60", known={"A.b": 1})
        self.assertEqual((outcome.passed, outcome.test, outcome.how), (False, "A.b", "hung"))

    def test_a_stopped_child_that_it_left_does_not_keep_it(self):
        self.assertTrue(self.outcome("sh -c 'kill -STOP $$' & exit 0").passed)


class Place:
    """A workplace whose programs of tests are scripts that write down what they are asked, and fail `failing` if asked it."""

    def __init__(self, folder, failing=""):
        self.build_folder = folder / "build"
        self.asked = folder / "asked"
        self._write(self.build_folder / "bin", f"echo {{}} scale $IPCQ_TEST_SCALE $* >> {self.asked}\n" + (
            f"case $* in *=A.{failing}*) echo '[  FAILED  ] A.{failing} (1 ms)'; exit 1;; esac\n" if failing else ""))
        self._write(folder / "without/unit/bin", "")
        for suite in SUITES:
            (folder / "without" / suite.name).mkdir(exist_ok=True)
            durations = {"A.quick": 1, "A.slow": 5000} if suite.name in ("unit", "crash") else {"A.quick": 1}
            (folder / "without" / suite.name / "passed").write_text(json.dumps({"state": "now", "durations": durations}))

    def _write(self, folder, script):
        folder.mkdir(parents=True)
        for suite in SUITES:
            (folder / suite.target).write_text("#!/bin/sh\n" + script.format(suite.name))
            (folder / suite.target).chmod(0o755)

    def apply(self, mutant):
        pass

    def ninja(self, target):
        pass

    def is_same_code(self):
        return False

    def has_target(self, target):
        return True


class Rounds(unittest.TestCase):
    def fate(self, first=(), failing="", passed=(), model="", equivalent="", **options):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        place = Place(folder, failing)
        arguments = SimpleNamespace(suites=SUITES, quick=False)
        vars(arguments).update(options)
        mutant = Mutant("one", (), "a promise", first=first, model=model, equivalent=equivalent)
        known = list(passed)
        fate, by, _ = mutants.Runner(place, mutants.Baseline(folder / "without", "now"), arguments).fate_of(mutant, known)
        asked = [line.replace("--gtest_color=no --gtest_filter=", "").replace(" --gtest_fail_fast", "").replace(" scale 1", "")
                 for line in place.asked.read_text().splitlines()] if place.asked.exists() else []
        return fate, by, asked, known

    def test_quick_tests_of_all_suites_are_asked_before_the_slow_ones_of_any_and_none_is_left_out(self):
        fate, _, asked, _ = self.fate(first=("crash:A.x",))
        self.assertEqual(asked[0], "crash A.x")
        self.assertEqual(asked[1:6], ["unit -A.slow", "crash -A.slow", "contract *", "stress *", "hostile *"])
        self.assertEqual(asked[6:9], ["unit A.slow", "crash A.slow", "sweep --points 2"])
        self.assertEqual(asked[9:], [f"{name} scale 3 *" for name in ("crash", "contract", "stress")])
        self.assertEqual(fate, SURVIVES)

    def test_what_quick_tests_do_not_kill_is_left_open_and_they_are_not_asked_again(self):
        fate, _, asked, known = self.fate(quick=True)
        self.assertEqual((fate, len(asked)), (OPEN, 5))
        _, _, asked, _ = self.fate(passed=known)
        self.assertEqual(asked[0], "unit A.slow")

    def test_a_counterpart_in_the_model_or_a_proof_is_believed_once_the_quick_tests_of_unit_and_crash_say_nothing(self):
        two = [suite for suite in SUITES if suite.name in ("unit", "crash")]
        self.assertEqual(self.fate(model="ledger M_X", suites=two, quick=True)[:2], (MODEL, "ledger M_X"))
        self.assertEqual(self.fate(equivalent="because", suites=two, quick=True)[0], EQUIVALENT)
        self.assertEqual(self.fate(model="ledger M_X", suites=two[:1], quick=True)[0], OPEN)
        self.assertEqual(self.fate(equivalent="because", failing="slow")[0], DISPROVED)

    def test_without_suites_only_the_code_is_compared(self):
        self.assertEqual(self.fate(suites=[])[:3], (OPEN, "", []))

    def test_a_slow_test_kills(self):
        fate, by, asked, _ = self.fate(failing="slow")
        self.assertEqual((fate, by), (KILLED, "unit/A.slow"))


class Fates(unittest.TestCase):
    MUTANTS = [Mutant("one", mutant_of(entry(remove="a.store(1, std::memory_order_release);"), SOURCES).edits, "a promise"),
               Mutant("two", mutant_of(entry(remove="a.store(2, std::memory_order_relaxed);"), SOURCES).edits, "a | promise")]

    def setUp(self):
        folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, folder)
        self.path = folder / "results.jsonl"

    def test_are_kept_by_the_state_of_the_sources(self):
        Results(self.path).add(self.MUTANTS[0], SOURCES, "before", KILLED, "unit/A.b")
        with self.path.open("a") as file:
            file.write('{"key": "torn')
        again = Results(self.path)
        self.assertEqual(again.of(self.MUTANTS[0], SOURCES, "before")["by"], "unit/A.b")
        self.assertIsNone(again.of(self.MUTANTS[0], SOURCES, "now"))
        self.assertIsNotNone(again.of(self.MUTANTS[0], SOURCES, "now", trust_site=True))
        self.assertIsNone(again.of(self.MUTANTS[1], SOURCES, "before"))

    def test_hold_while_only_comments_and_layout_change_or_other_functions(self):
        mutant = mutant_of(entry(old="a.store(2,", new="a.store(3,"), SOURCES)
        def site(text):
            sources = {"core/a.cpp": read_source("core/a.cpp", text)}
            return site_of(mutant_of(entry(old="a.store(2,", new="a.store(3,"), sources), sources)
        self.assertEqual(site(SOURCE.replace("// 1. the first", "// 1. first\n")), site_of(mutant, SOURCES))
        self.assertEqual(site(SOURCE.replace("int expected = 0", "int expected = 1")), site_of(mutant, SOURCES))
        self.assertNotEqual(site(SOURCE.replace("a.store(1,", "a.store(4,")), site_of(mutant, SOURCES))

    def test_are_a_table(self):
        results = Results(self.path)
        results.add(self.MUTANTS[0], SOURCES, "now", SAME_CODE)
        text, bad = table(self.MUTANTS, SOURCES, results, "now", "g++ 12")
        self.assertEqual(bad, 0)
        self.assertIn("| one | core/a.cpp:5 | a promise | same object code |", text)
        self.assertIn("| two | core/a.cpp:8 | a \\| promise | not run yet |", text)
        results.add(self.MUTANTS[1], SOURCES, "now", SURVIVES)
        text, bad = table(self.MUTANTS, SOURCES, results, "now", "g++ 12")
        self.assertEqual(bad, 1)
        self.assertIn("| **SURVIVES** |", text)

    def test_that_are_gone_stay_as_an_earlier_table_has_them(self):
        before = Results(self.path)
        before.add(self.MUTANTS[0], SOURCES, "then", KILLED, "unit/A.b")
        before.add(self.MUTANTS[1], SOURCES, "then", SURVIVES)
        earlier, _ = table(self.MUTANTS, SOURCES, before, "then", "g++ 11")
        after = Results(self.path.with_name("new"))
        after.add(self.MUTANTS[0], SOURCES, "now", SAME_CODE)
        text, bad = table(self.MUTANTS, SOURCES, after, "now", "g++ 12", EarlierTable(earlier))
        self.assertEqual(bad, 1)
        self.assertIn("| one | core/a.cpp:5 | a promise | same object code |", text)
        self.assertIn("| two | core/a.cpp:8 | a \\| promise | **SURVIVES** ‡ |", text)
        self.assertIn("Of an earlier table (‡): ", text)
        self.assertIn("g++ 11", text)
        again, _ = table(self.MUTANTS, SOURCES, after, "now", "g++ 12", EarlierTable(text))
        self.assertEqual(again, text)


class CommandLine(unittest.TestCase):
    def call(self, *arguments):
        before, sys.argv = sys.argv, ["mutants.py", *arguments]
        out = io.StringIO()
        try:
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
                code = mutants.main()
        except SystemExit as end:
            code = end.code
        finally:
            sys.argv = before
        return code, out.getvalue()

    def test_a_part_that_there_is_not_is_refused(self):
        for part in ("0/2", "3/2", "1", "a/b"):
            self.assertEqual(self.call("--part", part, "--list")[0], 2, part)

    def test_parts_are_all_of_it_and_nothing_twice(self):
        def names(*arguments):
            return self.call("--only", "^claim ", "--list", *arguments)[1].splitlines()
        parts = [names("--part", f"{n}/3") for n in (1, 2, 3)]
        self.assertEqual(sorted(sum(parts, [])), sorted(names()))
        self.assertTrue(all(parts))


if __name__ == "__main__":
    unittest.main()
