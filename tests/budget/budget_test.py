#!/usr/bin/env python3
"""That a budget can be missed: what budget.py says to made-up figures, and how it reads a log of strace."""

import unittest

import budget

TABLE = {
    "room": 0.1,
    "date": "2026-01-02",
    "compiled": "GNU 12",
    "libc": "glibc 2.36",
    "machine": "one",
    "operation": {
        "ack": {"what": "ack", "instructions": 200, "system_calls": {}},
        "wake": {"what": "wake", "instructions": 1000, "room": 0.3, "system_calls": {"futex": 1}},
    },
}
PROFILES = {"ack": "ack.callgrind", "wake": "wake.callgrind"}
COMMANDS = {"ack": "strace -k -e trace={call} ack", "wake": "strace -k -e trace={call} wake"}


class Instructions(unittest.TestCase):
    def judged(self, **measured):
        return budget.judge_instructions(TABLE, measured, PROFILES)

    def test_up_to_the_room_nothing_is_said(self):
        self.assertEqual(self.judged(ack=220, wake=1300), ([], []))

    def test_one_more_than_the_room_names_operation_budget_figure_and_profile(self):
        complaints, _ = self.judged(ack=221, wake=1000)
        self.assertEqual(len(complaints), 1)
        for part in ("ack:", "221", "220", "200", "2026-01-02", "callgrind_annotate ack.callgrind"):
            self.assertIn(part, complaints[0])

    def test_much_less_than_the_figure_is_a_hint_and_no_complaint(self):
        complaints, hints = self.judged(ack=179, wake=1000)
        self.assertEqual((len(complaints), len(hints)), (0, 1))
        self.assertIn("--update", hints[0])

    def test_an_operation_that_only_one_side_knows_is_a_complaint(self):
        self.assertEqual(len(self.judged(ack=200)[0]), 1)
        self.assertEqual(len(self.judged(ack=200, wake=1000, new=1)[0]), 1)


class SystemCalls(unittest.TestCase):
    def judged(self, **measured):
        return budget.judge_calls(TABLE, measured, COMMANDS, "glibc 2.36")

    def test_exactly_those_of_the_table_pass(self):
        self.assertEqual(self.judged(ack={}, wake={"futex": 1}), [])

    def test_one_too_many_names_operation_call_and_where_to_look(self):
        (complaint,) = self.judged(ack={"getppid": 1}, wake={"futex": 1})
        for part in ("ack:", "getppid", "1 times", "exactly 0", "strace -k -e trace=getppid ack"):
            self.assertIn(part, complaint)

    def test_one_in_a_hundred_operations_is_too_many(self):
        self.assertEqual(len(self.judged(ack={"futex": 0.01}, wake={"futex": 1})), 1)

    def test_one_too_few_is_a_complaint_too(self):
        self.assertEqual(len(self.judged(ack={}, wake={})), 1)


    def test_with_another_c_library_what_opens_nothing_is_still_exact(self):
        table = dict(TABLE, operation={name: {"system_calls": {name: 1}} for name in ("open", "futex")})
        complaints = budget.judge_calls(table, {"open": {"openat": 1}, "futex": {}}, {"futex": "{call}"}, "glibc 2.99")
        self.assertEqual([complaint.split(":")[0] for complaint in complaints], ["futex"])


LOG = """execve("./ipcq_budget", ["./ipcq_budget"], 0x7ffd /* 20 vars */) = 0
write(3, "budget:begin ack", 16) = 16
write(3, "budget:end", 10) = 10
brk(NULL) = 0x5555
write(3, "budget:begin wake", 17) = 17
futex(0x7f00, FUTEX_WAKE, 2147483647) = 1
write(3, "budget:end", 10) = 10
write(3, "budget:begin wake", 17) = 17
futex(0x7f00, FUTEX_WAIT_BITSET, 3, {tv_sec=1, tv_nsec=2}, FUTEX_BITSET_MATCH_ANY) = -1 ETIMEDOUT (Connection timed out)
futex(0x7f00, FUTEX_WAIT_BITSET, 3, {tv_sec=1, tv_nsec=2}, FUTEX_BITSET_MATCH_ANY) = 0
write(3, "budget:end", 10) = 10
write(1, "wake 2\\n", 7) = 7
"""


class Log(unittest.TestCase):
    def test_only_what_is_between_marks_counts_and_a_sleep_that_ended_by_itself_does_not(self):
        done, calls, left_out = budget.calls_between_marks(LOG)
        self.assertEqual(done, {"ack": 1, "wake": 1})
        self.assertEqual(calls["ack"], {})
        self.assertEqual(calls["wake"], {"futex": 1})
        self.assertEqual(left_out["wake"], 1)


    def test_of_a_whole_run_all_counts_but_waiting_for_a_thread(self):
        join = "futex(0x7f00, FUTEX_WAIT_BITSET|FUTEX_CLOCK_REALTIME, 7, NULL, FUTEX_BITSET_MATCH_ANY) = 0\n"
        self.assertEqual(budget.calls_of_run(join + LOG)["futex"], 3)


class Table(unittest.TestCase):
    TEXT = """# why
compiled = "GNU 12"
[operation.ack]
what = "ack"
instructions = 200
system_calls = {}

[operation.wake]
what = "wake"
instructions = 1000
system_calls = { futex = 1 }
"""

    def test_an_update_changes_figures_and_nothing_else(self):
        changed = budget.update_table(self.TEXT, {"compiled": "GNU 13"}, {"ack": (210.4, {}), "wake": (900, {"futex": 2})})
        expected = self.TEXT.replace("GNU 12", "GNU 13").replace("= 200", "= 210").replace("= 1000", "= 900")
        self.assertEqual(changed, expected.replace("futex = 1", "futex = 2"))

    def test_an_operation_without_a_section_is_refused(self):
        with self.assertRaises(budget.Failed):
            budget.update_table(self.TEXT, {}, {"new": (1, {})})

    def test_the_document_shows_every_operation_with_figure_budget_and_calls(self):
        text = budget.document_with("# Budgets\n" + budget.BEGIN + "old\n" + budget.END + "rest\n", TABLE)
        self.assertIn("| `wake` | wake | 1,000 | 1,300 | 1 futex |", text)
        self.assertIn("| `ack` | ack | 200 | 220 | none |", text)
        self.assertNotIn("old", text)
        self.assertTrue(text.endswith(budget.END + "rest\n"))


if __name__ == "__main__":
    unittest.main()
