#!/usr/bin/env python3
"""ipcq ls, and what any verb says to a file that is no queue it can use."""

import json
import os
import struct
import subprocess

from ipcq_cli import (DAMAGED, FOREIGN, MISSING, OTHER_UID, PERMISSION, SECONDS, CliTest, default_signals, lines,
                      main, program)

LAYOUT_VERSION_OFFSET = 8  # in the first 128 bytes, which are frozen for ever


class ListTest(CliTest):
    def rows(self):
        """The table, as a dict of cells for each name."""
        title, *rows = self.ipcq("ls")[0].decode().splitlines()
        columns = title.split()
        return {row.split()[0]: dict(zip(columns, row.split(None, len(columns) - 1))) for row in rows}

    def test_an_empty_directory_has_no_queues(self):
        out, err = self.ipcq("ls")
        self.assertEqual(out, b"")
        self.assertIn("no queues in", err)
        self.assertEqual(json.loads(self.ipcq("ls", "--json")[0]),
                         {"version": 1, "directory": str(self.directory), "queues": []})

    def test_queues_are_listed_by_name_with_their_figures(self):
        self.create("second", "--capacity", "64K", "--group", "one", "--group", "two")
        self.create("first")
        self.put("second", lines(100))
        self.ipcq("close", "first")
        rows = self.rows()
        self.assertEqual(list(rows), ["first", "second"])
        depth = rows["second"].pop("DEPTH")
        owner = self.stat("first")["owner"]
        nobody = {"PRODUCERS": "0", "CONSUMERS": "0", "OWNER": owner}
        self.assertEqual(rows["first"], {"NAME": "first", "CAPACITY": "8M", "DEPTH": "0B", "GROUPS": "1",
                                         "STATE": "closed", **nobody})
        self.assertEqual(rows["second"], {"NAME": "second", "CAPACITY": "64K", "GROUPS": "2", "STATE": "open",
                                          **nobody})
        self.assertRegex(depth, r"^[\d.]+K$")

    def test_who_is_attached_is_counted(self):
        self.create("q")
        producer = self.start("put", "q", stdin=subprocess.PIPE)
        consumers = [self.start("get", "q", "--follow") for _ in range(2)]
        for process in [producer, *consumers]:
            self.wait_for_endpoint("q", process)
        row = self.rows()["q"]
        self.assertEqual((row["PRODUCERS"], row["CONSUMERS"]), ("1", "2"))
        consumers[0].kill()
        consumers[0].wait()
        self.assertEqual(self.rows()["q"]["CONSUMERS"], "1")

    def test_the_json_form_has_exact_figures(self):
        self.create("q", "--capacity", "64K")
        self.put("q", lines(10))
        (queue,) = json.loads(self.ipcq("ls", "--json")[0])["queues"]
        info = self.stat("q")
        for key in ["name", "path", "owner_uid", "owner", "mode", "segment_bytes", "capacity_bytes", "depth_bytes",
                    "closed"]:
            self.assertEqual(queue.pop(key), info[key], key)
        self.assertEqual(queue, {"producers": 0, "consumers": 0, "living": 0, "groups": 1, "leftover": False,
                                 "problem": None, "problem_text": None})

    def test_a_missing_directory_is_an_error(self):
        self.ipcq("ls", "--dir", self.directory / "missing", status=MISSING)

    def test_files_of_others_are_not_listed(self):
        self.file("notes.txt", b"x")
        self.file("ipcqq", b"x")
        self.assertEqual(self.ipcq("ls")[0], b"")


class NoQueueTest(CliTest):
    """Files under a queue's name that are none: listed with their problem, refused by every verb, left alone."""

    def make_all(self):
        """Their names."""
        self.create("good")
        whole = self.queue_file("good").read_bytes()
        self.queue_file("empty").write_bytes(b"")
        self.queue_file("garbage").write_bytes(os.urandom(100_000))
        self.queue_file("zeros").write_bytes(bytes(100_000))
        self.queue_file("short").write_bytes(whole[:100])
        self.queue_file("truncated").write_bytes(whole[:-4096])
        os.mkfifo(self.queue_file("fifo"))
        self.queue_file("link").symlink_to(self.queue_file("good"))
        self.queue_file("directory").mkdir()
        return ["empty", "garbage", "zeros", "short", "truncated", "fifo", "link", "directory"]

    def test_each_is_listed_with_its_problem_and_ls_succeeds(self):
        broken = self.make_all()
        rows = {row.split()[0]: row for row in self.ipcq("ls")[0].decode().splitlines()}
        queues = {queue["name"]: queue for queue in json.loads(self.ipcq("ls", "--json")[0])["queues"]}
        self.assertIsNone(queues["good"]["problem"])
        for name in broken:
            with self.subTest(name=name):
                self.assertIn(queues[name]["problem"], ["not_a_queue", "damaged"])
                self.assertTrue(queues[name]["problem_text"])
                self.assertIn(queues[name]["problem"], rows[name])

    def test_every_verb_refuses_each_without_waiting(self):
        for name in self.make_all():
            for words in [["stat", name], ["put", name], ["get", name], ["close", name], ["group", "ls", name],
                          ["rm", name], ["rm", "--force", name], ["create", "--if-not-exists", name]]:
                with self.subTest(words=words):
                    out, err = self.ipcq(*words, status=DAMAGED, data=b"a\n")
                    self.assertEqual(out, b"")
                    self.assert_notes(err)
                    self.assertIn(name, err)
            self.assertTrue(os.path.lexists(self.queue_file(name)))

    def test_a_queue_of_another_layout_is_named_as_such_and_can_be_closed_and_removed(self):
        self.create("q")
        with open(self.queue_file("q"), "r+b") as file:
            file.seek(LAYOUT_VERSION_OFFSET)
            (version,) = struct.unpack("<I", file.read(4))
            self.assertEqual(version, json.loads(self.ipcq("create", "r", "--json")[0])["layout_version"])
            file.seek(LAYOUT_VERSION_OFFSET)
            file.write(struct.pack("<I", version + 1))
        for words in [["stat", "q"], ["put", "q"], ["get", "q"], ["close", "q", "--reopen"]]:
            with self.subTest(words=words):
                _, err = self.ipcq(*words, status=FOREIGN)
                self.assertIn("layout", err)
        self.assertIn(b"other_layout", self.ipcq("ls")[0])
        self.assertNotIn(b"closed, other_layout", self.ipcq("ls")[0])
        self.ipcq("close", "q")
        self.assertIn(b"closed, other_layout", self.ipcq("ls")[0])
        self.ipcq("rm", "q")
        self.assertFalse(self.queue_file("q").exists())

    def test_a_queue_of_another_pid_namespace_is_refused(self):
        self.create("q")
        for unshare in (["unshare", "--pid", "--fork"], ["unshare", "--pid", "--fork", "--map-root-user"]):
            try:
                if subprocess.run([*unshare, "true"], stderr=subprocess.DEVNULL, timeout=SECONDS).returncode == 0:
                    break
            except OSError as error:
                self.skipTest(f"no unshare: {error}")
        else:
            self.skipTest("no PID namespace can be made here")
        done = subprocess.run([*unshare, program(), "get", "q"], env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, preexec_fn=default_signals, timeout=SECONDS)
        self.assertEqual(done.returncode, FOREIGN, done.stderr)
        self.assertIn(b"PID namespace", done.stderr)


class PermissionTest(CliTest):
    def setUp(self):
        super().setUp()
        self.other = self.as_other_user()
        self.directory.chmod(0o755)

    def test_a_private_queue_is_refused_to_others(self):
        self.create("q")
        for words in [["stat", "q"], ["put", "q"], ["get", "q"], ["close", "q"], ["rm", "q"],
                      ["group", "add", "q", "g"]]:
            with self.subTest(words=words):
                _, err = self.ipcq(*words, status=PERMISSION, **self.other)
                self.assert_notes(err)
        self.assertIn(b"permission_denied", self.ipcq("ls", **self.other)[0])

    def test_who_may_read_may_look_and_no_more(self):
        self.create("q", "--mode", "0644")
        self.put("q", b"a\n")
        out, _ = self.ipcq("stat", "q", "--json", **self.other)
        self.assertEqual(json.loads(out)["messages"], 1)
        self.assertIn(b"open", self.ipcq("ls", **self.other)[0])
        self.ipcq("get", "q", status=PERMISSION, **self.other)
        self.ipcq("put", "q", status=PERMISSION, **self.other)

    def test_who_may_write_takes_part_but_does_not_administer(self):
        self.create("q", "--mode", "0666", "--group", "default", "--group", "spare")
        self.ipcq("put", "q", data=b"a\n", **self.other)
        self.assertEqual(self.ipcq("get", "q", **self.other)[0], b"a\n")
        for words in [["close", "q"], ["close", "q", "--reopen"], ["group", "add", "q", "g"],
                      ["group", "rm", "q", "spare"], ["rm", "q"], ["rm", "--force", "q"], ["put", "q", "--close"]]:
            with self.subTest(words=words):
                _, err = self.ipcq(*words, status=PERMISSION, **self.other)
                self.assertIn("only its owner or root", err)
        info = self.stat("q")
        self.assertFalse(info["closed"])
        self.assertEqual(sorted(group["name"] for group in info["groups"]), ["default", "spare"])

    def test_the_owner_administers_without_being_root(self):
        self.directory.chmod(0o777)
        self.ipcq("create", "mine", **self.other)
        for words in [["close", "mine"], ["close", "mine", "--reopen"], ["group", "add", "mine", "g"],
                      ["group", "rm", "mine", "g"], ["rm", "mine"]]:
            self.ipcq(*words, **self.other)

    def test_an_owner_that_is_not_trusted_is_refused_until_named(self):
        # Where anybody may create files, a name proves nothing.
        self.directory.chmod(0o1777)
        self.ipcq("create", "theirs", "--mode", "0666", **self.other)
        _, err = self.ipcq("put", "theirs", data=b"a\n", status=PERMISSION)
        self.assertIn(str(OTHER_UID), err)
        self.assertIn(b"untrusted_owner", self.ipcq("ls")[0])
        self.ipcq("put", "theirs", "--trust", OTHER_UID, data=b"a\n")
        self.assertEqual(self.ipcq("--trust", 1, "--trust", OTHER_UID, "get", "theirs")[0], b"a\n")
        # Root's queues are trusted by everybody.
        self.create("roots", "--mode", "0666")
        self.ipcq("put", "roots", data=b"a\n", **self.other)


if __name__ == "__main__":
    main()
