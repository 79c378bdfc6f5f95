#!/usr/bin/env python3
"""ipcq get: what it takes and when it ends. (What it acks is in written_test.py.)"""

import time

from ipcq_cli import ERROR, EXISTS, MISSING, NOTHING, CliTest, lines, main


class EndTest(CliTest):
    def setUp(self):
        super().setUp()
        self.create("q")

    def test_get_takes_what_is_there_and_ends(self):
        self.put("q", lines(1000))
        self.assertEqual(self.ipcq("get", "q"), (lines(1000), ""))
        self.assertEqual(self.group("q")["leases"], [])

    def test_an_empty_queue_gives_nothing_and_says_so(self):
        out, err = self.ipcq("get", "q", status=NOTHING)
        self.assertEqual(out, b"")
        self.assertIn("nothing came", err)

    def test_count_stops_after_so_many_and_leaves_the_rest(self):
        self.put("q", lines(10))
        self.assertEqual(self.get("q", "-n", 3), lines(3))
        self.assertEqual(self.get("q", "--count", 1), lines(1, 3))
        self.assertEqual(self.get("q"), lines(6, 4))

    def test_count_never_leases_more_than_it_takes(self):
        # What get does not take is free for others while get still lives.
        self.put("q", lines(10))
        process = self.start("get", "q", "-n", 11, "--batch", 3, "--timeout", "1h")
        self.wait_for_endpoint("q", process, lambda endpoint: endpoint["messages"] == 10)
        self.put("q", lines(5, 10))
        self.finish(process)
        self.assertEqual(self.get("q"), lines(4, 11))

    def test_fewer_than_count_is_told_by_the_exit_code_and_they_are_taken(self):
        self.put("q", lines(3))
        out, err = self.ipcq("get", "q", "-n", 5, status=NOTHING)
        self.assertEqual(out, lines(3))
        self.assertIn("3 of 5 messages came", err)
        self.get("q", status=NOTHING)

    def test_fewer_than_count_at_the_end_of_the_stream_is_told_by_the_exit_code(self):
        self.put("q", lines(3), "--close")
        out, err = self.ipcq("get", "q", "--follow", "-n", 5, status=NOTHING)
        self.assertEqual(out, lines(3))
        self.assertIn("before the end of the stream", err)

    def test_count_with_follow_waits_for_so_many_and_ends(self):
        self.put("q", lines(1))
        process = self.start("get", "q", "--follow", "-n", 3)
        self.put("q", lines(9, 1))
        self.assertEqual(self.finish(process)[0], lines(3))
        self.assertEqual(self.get("q"), lines(7, 3))

    def test_follow_ends_when_the_queue_is_closed_and_drained(self):
        process = self.start("get", "q", "--follow")
        self.put("q", lines(5))
        self.put("q", lines(5, 5), "--close")
        self.assertEqual(self.finish(process), (lines(10), ""))

    def test_follow_of_a_closed_and_empty_queue_is_done(self):
        self.ipcq("close", "q")
        self.assertEqual(self.ipcq("get", "q", "--follow"), (b"", ""))

    def test_without_follow_a_closed_and_empty_queue_gives_nothing(self):
        self.put("q", b"a\n", "--close")
        self.assertEqual(self.get("q"), b"a\n")
        self.get("q", status=NOTHING)

    def test_timeout_waits_for_messages_that_come_later(self):
        process = self.start("get", "q", "--timeout", "1h", "-n", 1)
        self.wait_for_endpoint("q", process, lambda endpoint: endpoint["waits"] > 0)
        self.put("q", b"late\n")
        self.assertEqual(self.finish(process)[0], b"late\n")

    def test_timeout_ends_get_when_nothing_came_for_so_long(self):
        start = time.monotonic()
        self.get("q", "--timeout", "200ms", status=NOTHING)
        self.assertGreaterEqual(time.monotonic() - start, 0.2)

    def test_a_missing_queue_is_told_with_the_line_that_creates_it(self):
        _, err = self.ipcq("get", "missing", status=MISSING)
        self.assertIn("ipcq create missing", err)

    def test_a_missing_group_is_told_with_the_groups_there_are(self):
        _, err = self.ipcq("get", "q", "--group", "missing", status=MISSING)
        self.assertIn("missing", err)
        self.assertIn("its groups: default", err)

    def test_every_group_gets_every_message(self):
        self.create("g", "--group", "one", "--group", "two")
        self.put("g", lines(10))
        self.assertEqual(self.get("g", "--group", "one"), lines(10))
        self.assertEqual(self.get("g", "--group", "two"), lines(10))
        self.get("g", "--group", "one", status=NOTHING)

    def test_a_second_exclusive_consumer_is_refused(self):
        self.create("x", "--consumers", "exclusive")
        process = self.start("get", "x", "--follow")
        self.wait_for_endpoint("x", process)
        _, err = self.ipcq("get", "x", status=EXISTS)
        self.assertIn(str(process.pid), err)
        self.put("x", b"a\n", "--close")
        self.assertEqual(self.finish(process)[0], b"a\n")

    def test_a_removed_queue_ends_get(self):
        process = self.start("get", "q", "--follow")
        self.wait_for_endpoint("q", process)
        self.ipcq("rm", "q", "--force")
        self.assertIn("removed", self.finish(process, ERROR)[1])

    def test_a_removed_group_ends_get(self):
        self.ipcq("group", "add", "q", "g")
        process = self.start("get", "q", "--follow", "--group", "g")
        self.wait_for_endpoint("q", process)
        self.ipcq("group", "rm", "q", "g", "--force")
        self.assertIn("group is removed", self.finish(process, ERROR)[1])


class BlockedTest(CliTest):
    def test_get_names_the_living_process_whose_claim_is_in_front(self):
        # A stopped producer is never robbed of its claim: what was committed after it waits, and get says for whom.
        self.create("q")
        process = self.stopped_inside_a_claim("q", b"behind\n")
        out, err = self.ipcq("get", "q", status=NOTHING)
        self.assertEqual(out, b"")
        self.assertIn(f"process {process.pid}", err)
        # Dead, it holds nothing any more: its claim is skipped.
        process.kill()
        process.wait()
        self.assertEqual(self.get("q", "--timeout", "1m", "-n", 1), b"behind\n")


if __name__ == "__main__":
    main()
