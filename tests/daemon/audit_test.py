#!/usr/bin/env python3
"""Audits: who keeps to no quota is revoked, or only reported where the policy says so; honest neighbours never are; and what
no counter tells of is unaccounted.

ipcq_unchecked is a producer whose library has the quota check compiled out."""

import re
import time
from pathlib import Path

from ipcqd_process import SECONDS, DaemonTest, main, program

RATE = "500/s"
REPORT = '[[rule]]\nqueues = "*"\nreport = true\n'


class AuditTest(DaemonTest):
    def setUp(self):
        super().setUp()
        # Nobody reads it: the oldest goes.
        self.create("q", "--rate", RATE, "--overflow", "drop-oldest", "--capacity", "1M")

    def unchecked(self, *arguments):
        return self.start_program(Path(program()).with_name("ipcq_unchecked"), self.directory, *arguments, stderr=None)

    def honest(self, count, *options):
        """Puts that send without end, one at a time, and wait for the quota between."""
        endless = open("/dev/zero", "rb")
        self.addCleanup(endless.close)
        processes = [self.start("put", "q", "-0", "--batch", "1", *options, stdin=endless) for _ in range(count)]
        for process in processes:
            self.wait_for_endpoint("q", process, lambda endpoint: endpoint["messages"] > 0)
        return processes

    def assert_go_on(self, processes):
        """All of them send on, and keep their right."""
        sent = {process.pid: self.wait_for_endpoint("q", process)["messages"] for process in processes}
        for process in processes:
            endpoint = self.wait_for_endpoint("q", process, lambda each: each["messages"] > sent[each["pid"]] + 5)
            self.assertFalse(endpoint["revoked"])
            self.assertIsNone(process.poll())

    def test_who_keeps_to_no_quota_is_revoked_and_its_honest_neighbours_are_not(self):
        daemon = self.daemon()
        honest = self.honest(3)
        offender = self.unchecked("q", "10")
        out, _ = offender.communicate(timeout=SECONDS)
        self.assertEqual(out, b"revoked\n", "its next claim says so")
        daemon.wait_for_message(f"q: pid {offender.pid} (ipcq_unchecked), row 3, is ")
        self.assertRegex(daemon.messages(), r"messages past its limit of 500 messages/s, burst \d+: revoked")
        self.assert_go_on(honest)
        for process in honest:
            self.assertNotIn(f"pid {process.pid} ", daemon.messages())
        self.assertNotIn("unaccounted", daemon.messages())
        daemon.wait_for(next(self.status_lines(daemon, "; 1 producers revoked")))
        # Attached again, it has its right again, and loses it again.
        out, _ = self.unchecked("q", "10").communicate(timeout=SECONDS)
        self.assertEqual(out, b"revoked\n")

    def status_lines(self, daemon, text):
        while True:
            for line in daemon.told:
                if text in line:
                    yield line
            daemon.told += daemon.socket.recv(4096).decode().split("\n")

    def test_a_limit_that_an_operator_sets_while_it_runs_is_audited_too(self):
        self.create("later", "--overflow", "drop-oldest", "--capacity", "1M")
        daemon = self.daemon()
        offender = self.unchecked("later", "10")
        self.wait_for_endpoint("later", offender, lambda endpoint: endpoint["messages"] > 100)
        self.assertIsNone(offender.poll())
        self.ipcq("quota", "set", "later", "--each-producer", "--rate", RATE)
        self.assertEqual(offender.communicate(timeout=SECONDS)[0], b"revoked\n")
        self.assertIn("later: pid", daemon.messages())

    def test_where_the_policy_says_report_nobody_is_revoked(self):
        daemon = self.daemon("--config", self.config(REPORT))
        offender = self.unchecked("q", "10")
        daemon.wait_for_message("; only reported, as the policy says")
        sent = self.wait_for_endpoint("q", offender)["messages"]
        endpoint = self.wait_for_endpoint("q", offender, lambda each: each["messages"] > sent + 1000)
        self.assertFalse(endpoint["revoked"])
        self.assertEqual(daemon.messages().count("only reported"), 1, "not at every look")

    def test_some_together_past_the_limit_are_reported_once_and_none_of_them_revoked(self):
        daemon = self.daemon()
        slow = [self.unchecked("q", "4", "slow") for _ in range(3)]
        daemon.wait_for_message("q: all producers together are ")
        self.assertRegex(daemon.messages(), r"messages past the queue's limit of 500 messages/s, burst \d+, and none of them")
        for process in slow:
            self.assertIsNone(process.poll())
        self.assertNotIn("revoked", daemon.messages())

    def test_what_counters_do_not_tell_of_is_unaccounted_and_whose_claims_were_seen_is_revoked(self):
        daemon = self.daemon()
        honest = self.honest(1)
        liar = self.unchecked("q", "10", "hide")
        daemon.wait_for_message("q: unaccounted: at least ")
        amount = int(re.search(r"unaccounted: at least (\d+) messages", daemon.messages())[1])
        self.assertGreater(amount, 0)
        self.assertEqual(liar.communicate(timeout=SECONDS)[0], b"revoked\n")
        daemon.wait_for_message("and its own counters do not tell: revoked")
        self.assert_go_on(honest)

    def test_a_queue_without_limits_is_audited_where_the_policy_says_report(self):
        self.create("free", "--overflow", "drop-oldest", "--capacity", "1M")
        daemon = self.daemon("--config", self.config(REPORT))
        liar = self.unchecked("free", "10", "hide")
        daemon.wait_for_message("free: unaccounted: at least ")
        self.assertIsNone(liar.poll())

    def test_nothing_is_unaccounted_of_the_honest_however_fast_and_when_they_are_killed(self):
        self.create("free", "--overflow", "drop-oldest", "--capacity", "256K")
        daemon = self.daemon("--config", self.config(REPORT))
        with open("/dev/zero", "rb") as endless:
            for _ in range(6):
                processes = [self.start("put", "free", "-0", stdin=endless) for _ in range(3)]
                for process in processes:
                    self.wait_for_endpoint("free", process, lambda endpoint: endpoint["messages"] > 100)
                time.sleep(0.3)
                for process in processes:
                    process.kill()
                    process.wait()
        self.assertNotIn("unaccounted", daemon.messages())
        self.assertNotIn("past its limit", daemon.messages())

    def test_a_queue_that_vanishes_or_is_damaged_under_an_audit_ends_nothing(self):
        daemon = self.daemon("--config", self.config(REPORT))
        offender = self.unchecked("q", "10")
        daemon.wait_for_message("q: pid")
        self.queue_file("q").unlink()
        self.create("damaged", "--overflow", "drop-oldest", "--capacity", "64K")
        self.put("damaged", b"x\n" * 100)
        file = self.queue_file("damaged")
        with open(file, "r+b") as queue:  # the ring, all of it
            queue.seek(file.stat().st_size - 65536)
            queue.write(b"\xa5" * 65536)
        self.create("after", "--rate", RATE, "--overflow", "drop-oldest", "--capacity", "1M")
        other = self.unchecked("after", "10")
        daemon.wait_for_message("after: pid")
        self.assertIsNone(offender.poll())
        self.assertIsNone(other.poll())
        self.assertEqual(daemon.stop(), 0)


if __name__ == "__main__":
    main()
