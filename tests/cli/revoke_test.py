#!/usr/bin/env python3
"""ipcq revoke: by row and by process, and what it says of those that are not there."""

import json
import subprocess

from ipcq_cli import DONE, ERROR, MISSING, PERMISSION, USAGE, CliTest, main


class RevokeTest(CliTest):
    def setUp(self):
        super().setUp()
        self.create("q")

    def producer(self):
        """A put that is attached and waits for its input."""
        process = self.start("put", "q", "--batch", "1", stdin=subprocess.PIPE)
        return process, self.wait_for_endpoint("q", process)

    def send(self, process, status):
        """What becomes of its next message."""
        process.stdin.write(b"one\n")
        return self.finish(process, status)[1]

    def test_a_producer_is_revoked_by_its_row_and_no_other_is(self):
        revoked, endpoint = self.producer()
        other, _ = self.producer()
        out, err = self.ipcq("revoke", "q", endpoint["row"])
        self.assertEqual(out, b"")
        self.assertIn(f"ipcq: revoked: row {endpoint['row']}, process {revoked.pid} (", err)
        self.assertTrue(self.wait_for_endpoint("q", revoked)["revoked"])
        self.assertFalse(self.wait_for_endpoint("q", other)["revoked"])
        self.assertIn("right to claim was taken", self.send(revoked, ERROR))
        self.send(other, DONE)
        self.assertEqual(self.get("q"), b"one\n")
        self.put("q", b"attached again\n")

    def test_a_process_means_all_of_its_producers(self):
        process, endpoint = self.producer()
        out, _ = self.ipcq("revoke", "q", process.pid if process.pid > 255 else f"pid:{process.pid}", "--json")
        self.assertEqual(json.loads(out), {"version": 1, "name": "q", "dry_run": False, "revoked": [
            {"row": endpoint["row"], "incarnation": endpoint["incarnation"], "pid": process.pid,
             "command": endpoint["command"]}]})
        self.assertIn("right to claim was taken", self.send(process, ERROR))
        process, endpoint = self.producer()
        self.ipcq("revoke", "q", f"pid:{process.pid}")
        self.assertIn("right to claim was taken", self.send(process, ERROR))

    def test_dry_run_changes_nothing(self):
        process, endpoint = self.producer()
        self.assertIn("would be revoked: row", self.ipcq("revoke", "q", endpoint["row"], "--dry-run")[1])
        self.send(process, DONE)

    def test_who_is_not_there_is_named_and_the_others_are_revoked_all_the_same(self):
        process, endpoint = self.producer()
        out, err = self.ipcq("revoke", "q", "100", endpoint["row"], "pid:1", status=MISSING)
        self.assertIn("no producer is attached in row 100", err)
        self.assertIn("process 1 has no producer of this queue", err)
        self.assertIn("right to claim was taken", self.send(process, ERROR))

    def test_a_consumer_has_no_right_to_claim(self):
        consumer = self.start("get", "q", "--follow")
        endpoint = self.wait_for_endpoint("q", consumer)
        err = self.ipcq("revoke", "q", endpoint["row"], status=MISSING)[1]
        self.assertIn("has consumers only", err)

    def test_mistakes_are_told(self):
        process, endpoint = self.producer()
        self.ipcq("revoke", "q", status=USAGE)
        for word in ["three", "-1", "pid:", "1.5", "pid:x"]:
            err = self.ipcq("revoke", "q", endpoint["row"], word, status=USAGE)[1]
            self.assertNotIn("revoked:", err, "nobody, before all words are read")
        self.assertIn("ipcq create missing", self.ipcq("revoke", "missing", "1", status=MISSING)[1])
        self.send(process, DONE)

    def test_it_is_for_the_owner_and_root(self):
        other = self.as_other_user()
        self.directory.chmod(0o755)
        self.queue_file("q").chmod(0o666)
        process, endpoint = self.producer()
        self.assertIn("revoke its producers", self.ipcq("revoke", "q", endpoint["row"], status=PERMISSION, **other)[1])
        self.send(process, DONE)


if __name__ == "__main__":
    main()
