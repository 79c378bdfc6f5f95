#!/usr/bin/env python3
"""ipcq verify and ipcq repair: what they say, in words and as JSON, and how they exit."""

import json
import os
import struct

from ipcq_cli import DAMAGED, DONE, EXISTS, FOREIGN, MISSING, PERMISSION, CliTest, lines, main

FLAGS, LEAST_RETIRED, LAYOUT = 12, 592, 8
ROWS, ROW_BYTES = 896, 320


class RepairTest(CliTest):
    def setUp(self):
        super().setUp()
        self.create("q", "--capacity", "64K")
        self.put("q", lines(10))

    def write(self, offset, data):
        with open(self.queue_file("q"), "r+b") as file:
            file.seek(offset)
            file.write(data)

    def bytes(self):
        with open(self.queue_file("q"), "rb") as file:
            return file.read()

    def report(self, verb, *options, status=DONE):
        return json.loads(self.ipcq(verb, "q", *options, "--json", status=status)[0])

    def test_a_sound_queue_is_said_to_be_sound(self):
        self.assertEqual(self.ipcq("verify", "q"), (b"q: sound\n", ""))
        self.assertEqual(self.ipcq("repair", "q"), (b"q: sound, nothing to do\n", ""))
        self.assertEqual(self.report("verify"), {"version": 1, "name": "q", "sound": True, "findings": []})

    def test_what_is_broken_is_named_with_its_offset(self):
        self.write(LEAST_RETIRED, struct.pack("<Q", 48))
        out, err = self.ipcq("verify", "q", status=DAMAGED)
        self.assertRegex(out.decode(), r"\Abroken  side\.least_retired  offset 592: .*\nq: damaged; ")
        self.assertEqual(err, "")
        report = self.report("verify", status=DAMAGED)
        self.assertFalse(report["sound"])
        [finding] = report["findings"]
        self.assertEqual((finding["invariant"], finding["offset"], finding["recoverable"]), ("side.least_retired", 592, False))

    def test_a_dry_run_says_the_same_as_the_repair_and_changes_nothing(self):
        self.write(LEAST_RETIRED, struct.pack("<Q", 48))
        self.write(FLAGS, struct.pack("<I", 4))
        before = self.bytes()
        plan = self.report("repair", "--dry-run")
        self.assertEqual(self.bytes(), before)
        done = self.report("repair")
        self.assertEqual((plan.pop("dry_run"), done.pop("dry_run")), (True, False))
        self.assertEqual(plan, done)
        self.assertTrue(done["whole"])
        self.assertEqual([step["invariant"] for step in done["steps"]], ["flags.poisoned", "side.least_retired"])
        self.ipcq("verify", "q")
        self.assertEqual(self.get("q"), lines(10))

    def test_a_poisoned_queue_is_refused_until_it_is_repaired(self):
        self.write(FLAGS, struct.pack("<I", 4))
        for verb in ["put", "get", "close"]:
            self.ipcq(verb, "q", status=DAMAGED)
        self.assertIn("poisoned", self.ipcq("stat", "q")[0].decode())
        out, _ = self.ipcq("repair", "q")
        self.assertRegex(out.decode(), r"\Amended  flags\.poisoned  offset 12: .*\nq: sound\n\Z")
        self.assertEqual(self.get("q"), lines(10))

    def test_what_is_given_up_is_named_and_the_exit_code_says_so(self):
        ring = len(self.bytes()) - 65536
        self.write(ring, struct.pack("<Q", 60000 | 2 << 30))
        out, _ = self.ipcq("repair", "q", "--dry-run", status=DAMAGED)
        self.assertIn("would be sound; nothing was changed", out.decode())
        out, _ = self.ipcq("repair", "q", status=DAMAGED)
        self.assertRegex(out.decode(), r"given up  ring\.tiles  offset \d+: the records from 0 to \d+, \d+ bytes, cannot be read")
        self.ipcq("verify", "q")

    def test_a_queue_in_use_is_refused_and_its_user_named(self):
        process = self.start("get", "q", "--follow")
        self.wait_until(lambda: self.stat("q")["endpoints"], "a consumer")
        self.write(ROWS + 9 * ROW_BYTES, struct.pack("<I", 7))
        _, err = self.ipcq("repair", "q", status=EXISTS)
        self.assertIn(f"in use by pid {process.pid}", err)
        process.kill()
        process.wait()
        self.ipcq("repair", "q")
        self.ipcq("verify", "q")

    def test_a_removal_that_was_broken_off_is_finished(self):
        self.write(FLAGS, struct.pack("<I", 2))
        self.assertIn("noted  flags.removed", self.ipcq("verify", "q")[0].decode())
        self.ipcq("repair", "q", "--dry-run")
        self.assertTrue(os.path.exists(self.queue_file("q")))
        self.ipcq("repair", "q")
        self.assertFalse(os.path.exists(self.queue_file("q")))

    def test_a_missing_queue_and_one_of_the_future_are_refused_by_name(self):
        for verb in ["verify", "repair"]:
            self.ipcq(verb, "missing", status=MISSING)
        self.write(LAYOUT, struct.pack("<I", 99))
        for verb in ["verify", "repair"]:
            _, err = self.ipcq(verb, "q", status=FOREIGN)
            self.assertIn("layout 99", err)

    def test_a_damaged_header_is_named_and_not_mended(self):
        self.write(128 + 48, struct.pack("<Q", 12345))
        out, _ = self.ipcq("verify", "q", status=DAMAGED)
        self.assertIn("broken  header.valid  offset 176", out.decode())
        _, err = self.ipcq("repair", "q", status=DAMAGED)
        self.assertIn("create the queue again", err)

    def test_repair_is_for_the_owner_and_root(self):
        other = self.as_other_user()
        self.directory.chmod(0o755)
        os.chmod(self.queue_file("q"), 0o666)
        _, err = self.ipcq("repair", "q", status=PERMISSION, **other)
        self.assertIn("only its owner or root may repair it", err)
        self.ipcq("verify", "q", **other)


if __name__ == "__main__":
    main()
