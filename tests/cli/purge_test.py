#!/usr/bin/env python3
"""ipcq purge: messages of a group given up. (Of those that are parked: dead_letter_test.py.)"""

import json
import subprocess

from ipcq_cli import EXISTS, MISSING, USAGE, CliTest, lines, main


class PurgeTest(CliTest):
    def setUp(self):
        super().setUp()
        self.create("q", "--group", "default", "--group", "audit")
        self.put("q", lines(10))

    def depths(self):
        return [self.group("q", name)["depth_messages"] for name in ("default", "audit")]

    def test_all_messages_of_one_group_go(self):
        self.get("q", "-n", "3")
        out, err = self.ipcq("purge", "q", "--dry-run")
        self.assertIn("7 messages would be purged", err)
        self.assertEqual(self.depths(), [7, 10])
        out, err = self.ipcq("purge", "q")
        self.assertEqual(out, b"")
        self.assertIn("7 messages purged", err)
        self.assertEqual(self.depths(), [0, 10])
        self.assertEqual(self.group("q")["purged_messages"], 7)
        self.assertEqual(self.get("q", "--group", "audit"), lines(10))
        self.put("q", b"next\n")
        self.assertEqual(self.get("q"), b"next\n")

    def test_json_tells_what_was_done(self):
        for options, dry_run in (["--dry-run"], True), ([], False):
            out, _ = self.ipcq("purge", "q", "--group", "audit", "--json", *options)
            self.assertEqual(json.loads(out),
                             {"version": 1, "name": "q", "group": "audit", "messages": 10, "dry_run": dry_run})
        self.assertEqual(self.depths(), [10, 0])

    def hold_one(self, *options):
        """A get that nobody reads from has a lease open."""
        self.create("big", "--capacity", "4M", *options)
        self.put("big", b"p" * 300_000, "--whole")
        holder = self.start("get", "big", "-n", "1", stdout=subprocess.PIPE)
        self.wait_for_endpoint("big", holder, lambda endpoint: endpoint["open_leases"] > 0)
        self.put("big", b"behind\n")
        return holder

    def test_living_members_refuse_and_are_named_and_force_leaves_them_their_leases(self):
        holder = self.hold_one()
        _, err = self.ipcq("purge", "big", status=EXISTS)
        self.assertIn(f"pid {holder.pid} ", err)
        _, err = self.ipcq("purge", "big", "--force", "--dry-run")
        self.assertIn("at most 2 messages", err)
        _, err = self.ipcq("purge", "big", "--force")
        self.assertIn("1 message purged", err)
        self.assertEqual(len(holder.stdout.read()), 300_001)
        holder.stdout.close()
        self.finish(holder)
        self.assertEqual(self.group("big")["depth_messages"], 0)

    def test_an_exclusive_consumer_is_not_overridden(self):
        holder = self.hold_one("--consumers", "exclusive")
        for options in [], ["--force"]:
            _, err = self.ipcq("purge", "big", *options, status=EXISTS)
            self.assertIn(f"pid {holder.pid} ", err)
        holder.kill()
        holder.wait()
        holder.stdout.close()
        _, err = self.ipcq("purge", "big")
        self.assertIn("2 messages purged", err)

    def test_what_cannot_be_is_said(self):
        self.ipcq("purge", "missing", status=MISSING)
        self.ipcq("purge", "q", "--group", "nobody", status=MISSING)
        self.ipcq("purge", "q", "--group", "nobody", "--dry-run", status=MISSING)
        self.ipcq("purge", "q", "--parked", "--force", status=USAGE)
        self.ipcq("purge", status=USAGE)


if __name__ == "__main__":
    main()
