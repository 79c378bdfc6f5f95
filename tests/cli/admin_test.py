#!/usr/bin/env python3
"""ipcq close, group and rm."""

import json
import os
import signal
import subprocess

from ipcq_cli import DONE, ERROR, EXISTS, MISSING, NOTHING, CliTest, lines, main


class CloseTest(CliTest):
    def setUp(self):
        super().setUp()
        self.create("q")

    def test_close_refuses_new_messages_and_keeps_the_old(self):
        self.put("q", lines(5))
        self.assertEqual(self.ipcq("close", "q"), (b"", ""))
        self.assertTrue(self.stat("q")["closed"])
        self.ipcq("put", "q", data=b"late\n", status=ERROR)
        self.assertEqual(self.get("q", "--follow"), lines(5))

    def test_closing_twice_is_no_error(self):
        self.ipcq("close", "q")
        self.ipcq("close", "q")

    def test_close_ends_every_consumer_that_follows(self):
        followers = [self.start("get", "q", "--follow") for _ in range(3)]
        for process in followers:
            self.wait_for_endpoint("q", process, lambda endpoint: endpoint["waits"] > 0)
        self.ipcq("close", "q")
        for process in followers:
            self.assertEqual(self.finish(process), (b"", ""))

    def test_reopen_takes_close_back(self):
        self.ipcq("close", "q")
        self.ipcq("close", "q", "--reopen")
        self.assertFalse(self.stat("q")["closed"])
        self.put("q", b"a\n")
        self.assertEqual(self.get("q"), b"a\n")
        self.ipcq("close", "q", "--reopen")  # of an open queue: no error

    def test_a_missing_queue_is_an_error(self):
        self.ipcq("close", "missing", status=MISSING)


class GroupTest(CliTest):
    def setUp(self):
        super().setUp()
        self.create("q")

    def names(self):
        return sorted(group["name"] for group in self.stat("q")["groups"])

    def test_a_group_is_added_with_its_options(self):
        self.assertEqual(self.ipcq("group", "add", "q", "audit,from=newest,overflow=drop-oldest,ephemeral"), (b"", ""))
        group = self.group("q", "audit")
        self.assertEqual((group["start"], group["overflow"], group["consumers"], group["lifetime"]),
                         ("newest", "drop-oldest", "shared", "ephemeral"))

    def test_a_new_group_begins_at_the_oldest_message_or_at_the_newest(self):
        self.put("q", lines(5))
        self.ipcq("group", "add", "q", "old")
        self.ipcq("group", "add", "q", "new,from=newest")
        self.put("q", lines(5, 5))
        self.assertEqual(self.get("q", "--group", "old"), lines(10))
        self.assertEqual(self.get("q", "--group", "new"), lines(5, 5))

    def test_groups_are_listed(self):
        self.ipcq("group", "add", "q", "audit")
        self.put("q", lines(3))
        rows = self.ipcq("group", "ls", "q")[0].decode().splitlines()
        self.assertEqual(rows[0].split(), ["GROUP", "MESSAGES", "DEPTH", "OLDEST", "MEMBERS", "LEASES", "KIND"])
        self.assertEqual(sorted(row.split()[0] for row in rows[1:]), ["audit", "default"])
        for row in rows[1:]:
            self.assertEqual(row.split()[1], "3")
            self.assertIn("unattended", row)

    def test_groups_are_listed_as_json_like_in_stat(self):
        report = json.loads(self.ipcq("group", "ls", "q", "--json")[0])
        info = self.stat("q")
        self.assertEqual((report["version"], report["name"], report["groups"]), (1, "q", info["groups"]))

    def test_a_group_that_exists_is_refused(self):
        self.ipcq("group", "add", "q", "default", status=EXISTS)

    def test_a_group_is_removed(self):
        self.ipcq("group", "add", "q", "audit")
        self.ipcq("group", "rm", "q", "audit")
        self.assertEqual(self.names(), ["default"])
        self.ipcq("get", "q", "--group", "audit", status=MISSING)

    def test_a_missing_group_or_queue_is_an_error(self):
        _, err = self.ipcq("group", "rm", "q", "audit", status=MISSING)
        self.assertIn("its groups: default", err)
        for words in [["add", "missing", "g"], ["rm", "missing", "g"], ["ls", "missing"]]:
            self.ipcq("group", *words, status=MISSING)

    def test_the_last_group_stays(self):
        self.ipcq("group", "rm", "q", "default", status=ERROR)
        self.ipcq("group", "rm", "q", "default", "--force", status=ERROR)
        self.assertEqual(self.names(), ["default"])

    def test_a_group_with_members_is_removed_by_force_only(self):
        self.ipcq("group", "add", "q", "audit")
        process = self.start("get", "q", "--group", "audit", "--follow")
        self.wait_for_endpoint("q", process)
        self.ipcq("group", "rm", "q", "audit", status=EXISTS)
        self.assertEqual(self.names(), ["audit", "default"])
        self.ipcq("group", "rm", "q", "audit", "--force")
        self.assertEqual(self.names(), ["default"])
        self.finish(process, ERROR)

    def test_a_group_with_an_open_lease_is_not_removed_by_force(self):
        self.ipcq("group", "add", "q", "audit")
        self.put("q", lines(50_000))
        process = self.start("get", "q", "--group", "audit")
        self.wait_until(lambda: self.group("q", "audit")["leases"], "a lease")
        process.send_signal(signal.SIGSTOP)
        self.wait_until(lambda: self.group("q", "audit")["leases"], "a lease that stays")
        _, err = self.ipcq("group", "rm", "q", "audit", "--force", status=EXISTS)
        self.assertIn(str(process.pid), err)
        self.assertEqual(self.names(), ["audit", "default"])

    def test_room_held_back_by_a_group_is_free_when_it_is_removed(self):
        self.create("small", "--capacity", "64K", "--group", "default", "--group", "idle")
        self.put("small", bytes(30_000), "--whole")
        self.get("small")
        self.ipcq("put", "small", "--whole", "--timeout", "0", data=bytes(40_000), status=ERROR)  # larger than half
        self.ipcq("put", "small", "--whole", "--timeout", "0", data=bytes(30_000))
        self.get("small")
        self.ipcq("put", "small", "--whole", "--timeout", "0", data=bytes(30_000), status=NOTHING)
        self.ipcq("group", "rm", "small", "idle")
        self.put("small", bytes(30_000), "--whole", "--timeout", "0")


class RemoveTest(CliTest):
    def test_queues_are_removed_with_their_messages(self):
        self.create("one")
        self.create("two")
        self.put("one", lines(5))
        self.assertEqual(self.ipcq("rm", "one", "two"), (b"", ""))
        self.assertEqual(os.listdir(self.directory), [])

    def test_a_missing_queue_is_an_error_unless_accepted(self):
        _, err = self.ipcq("rm", "missing", status=MISSING)
        self.assertIn("missing", err)
        self.assertEqual(self.ipcq("rm", "missing", "--if-exists"), (b"", ""))

    def test_one_that_fails_does_not_keep_the_others(self):
        self.create("one")
        self.create("two")
        self.ipcq("rm", "one", "missing", "two", status=MISSING)
        self.assertEqual(os.listdir(self.directory), [])

    def test_a_queue_in_use_is_kept_and_its_users_are_named(self):
        self.create("q")
        producer = self.start("put", "q", stdin=subprocess.PIPE)
        consumer = self.start("get", "q", "--follow")
        for process in [producer, consumer]:
            self.wait_for_endpoint("q", process)
        _, err = self.ipcq("rm", "q", status=EXISTS)
        for process in [producer, consumer]:
            self.assertIn(str(process.pid), err)
        self.assertIn("ipcq", err)
        self.assertIn("--force", err)
        # Nothing has changed for them.
        self.finish(producer, DONE, b"a\n")
        self.ipcq("close", "q")
        self.assertEqual(self.finish(consumer)[0], b"a\n")
        self.ipcq("rm", "q")

    def test_force_removes_a_queue_in_use_and_its_users_are_told(self):
        self.create("q")
        consumer = self.start("get", "q", "--follow")
        self.wait_for_endpoint("q", consumer)
        self.ipcq("rm", "q", "--force")
        self.assertEqual(os.listdir(self.directory), [])
        self.assertIn("removed", self.finish(consumer, ERROR)[1])
        # The name is free at once.
        self.create("q")
        self.assertEqual(self.stat("q")["messages"], 0)

    def test_the_dead_do_not_keep_a_queue(self):
        self.create("q")
        process = self.start("get", "q", "--follow")
        self.wait_for_endpoint("q", process)
        process.kill()
        process.wait()
        self.ipcq("rm", "q")


if __name__ == "__main__":
    main()
