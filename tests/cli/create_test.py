#!/usr/bin/env python3
"""ipcq create: what is made, what is said about it, and what is refused."""

import json
import os
import stat

from ipcq_cli import ERROR, EXISTS, MISSING, PERMISSION, USAGE, CliTest, main


class CreateTest(CliTest):
    def test_a_new_queue_is_open_and_empty_and_has_one_group(self):
        out, err = self.ipcq("create", "q")
        self.assertEqual(err, "")
        info = self.stat("q")
        self.assertEqual(info["capacity_bytes"], 8 << 20)
        self.assertEqual(info["messages"], 0)
        self.assertFalse(info["closed"])
        self.assertEqual([group["name"] for group in info["groups"]], ["default"])
        self.assertEqual(info["mode"], "0600")
        text = out.decode()
        for part in ["q\n", str(self.queue_file("q")), "8M (8388608 bytes)", "mode 0600", "shared", "block", "default"]:
            self.assertIn(part, text)

    def test_every_option_arrives_in_the_queue(self):
        self.create("q", "--capacity", "1M", "--mode", "0640", "--producers", "exclusive", "--overflow", "reject",
                    "--timestamps", "off", "--metrics", "off", "--alignment", "64", "--type", "orders v2",
                    "--endpoints", "9", "--groups-max", "5", "--ledger", "33",
                    "--group", "one", "--group", "two,from=newest,overflow=drop-oldest",
                    "--group", "three,consumers=exclusive,overflow=block,ephemeral")
        info = self.stat("q")
        expected = {"capacity_bytes": 1 << 20, "mode": "0640", "producers": "exclusive", "consumers": "shared",
                    "overflow": "reject", "timestamps": False, "metrics": False, "alignment_bytes": 64,
                    "type": "orders v2", "endpoints_max": 9, "groups_max": 5, "ledger_entries": 33, "clock": "off"}
        self.assertEqual({key: info[key] for key in expected}, expected)
        groups = {group["name"]: group for group in info["groups"]}
        self.assertEqual(sorted(groups), ["one", "three", "two"])
        self.assertEqual((groups["one"]["overflow"], groups["one"]["consumers"], groups["one"]["lifetime"]),
                         ("reject", "shared", "persistent"))
        self.assertEqual((groups["two"]["overflow"], groups["two"]["start"]), ("drop-oldest", "newest"))
        self.assertEqual((groups["three"]["overflow"], groups["three"]["consumers"], groups["three"]["lifetime"]),
                         ("block", "exclusive", "ephemeral"))

    def test_the_report_as_json_has_the_effective_values(self):
        out, _ = self.ipcq("create", "q", "--capacity", "100000", "--json")
        report = json.loads(out)
        info = self.stat("q")
        self.assertTrue(report.pop("created"))
        self.assertEqual(report["capacity_bytes"], 131072)
        self.assertEqual([group["name"] for group in report.pop("groups")], ["default"])
        self.assertEqual(report, {key: info[key] for key in report})

    def test_a_capacity_that_is_no_power_of_two_is_rounded_up_and_that_is_said(self):
        _, err = self.ipcq("create", "q", "--capacity", "100000")
        self.assertIn("100000 rounded up to 131072 (128K)", err)
        self.assertEqual(self.stat("q")["capacity_bytes"], 131072)
        self.assertEqual(self.ipcq("create", "r", "--capacity", "128K")[1], "")

    def test_sizes_have_binary_suffixes(self):
        for number, size in enumerate(["65536", "64K", "64k", "64KiB", "65536B"]):
            self.create(f"q{number}", "--capacity", size)
            self.assertEqual(self.stat(f"q{number}")["capacity_bytes"], 65536, size)
        self.create("m", "--capacity", "1m")
        self.assertEqual(self.stat("m")["capacity_bytes"], 1 << 20)

    def test_the_mode_is_exactly_as_asked_whatever_the_umask(self):
        before = os.umask(0o077)
        try:
            self.create("open", "--mode", "0666")
            os.umask(0)
            self.create("private", "--mode", "600")
        finally:
            os.umask(before)
        self.assertEqual(stat.S_IMODE(self.queue_file("open").stat().st_mode), 0o666)
        self.assertEqual(stat.S_IMODE(self.queue_file("private").stat().st_mode), 0o600)

    def test_the_file_group_owns_the_file(self):
        self.need_root()
        self.create("q", "--file-group", "61235", "--mode", "0660")
        self.assertEqual(self.queue_file("q").stat().st_gid, 61235)
        self.assertEqual(self.stat("q")["file_group_gid"], 61235)

    def test_a_file_group_that_is_none_is_refused_and_leaves_nothing(self):
        process = self.start("create", "q", "--file-group", "no.such.group")
        _, err = process.communicate(timeout=60)
        self.assertIn(process.returncode, (USAGE, ERROR))
        self.assertIn(b"no.such.group", err)
        self.assertEqual(os.listdir(self.directory), [])

    def test_a_name_that_is_taken_is_refused(self):
        self.create("q")
        self.put("q", b"kept\n")
        _, err = self.ipcq("create", "q", status=EXISTS)
        self.assertIn("--if-not-exists", err)
        self.assertEqual(self.get("q"), b"kept\n")

    def test_if_not_exists_creates_what_is_missing(self):
        out, _ = self.ipcq("create", "q", "--if-not-exists", "--capacity", "1M", "--json")
        self.assertTrue(json.loads(out)["created"])
        self.assertEqual(self.stat("q")["capacity_bytes"], 1 << 20)

    def test_if_not_exists_leaves_what_is_there(self):
        self.create("q", "--capacity", "1M")
        self.put("q", b"kept\n")
        out, err = self.ipcq("create", "q", "--if-not-exists", "--capacity", "4M", "--json")
        report = json.loads(out)
        self.assertFalse(report["created"])
        self.assertEqual(report["capacity_bytes"], 1 << 20)
        self.assertIn("was there already", err)
        self.assertNotIn("rounded", err)
        self.assertEqual(self.get("q"), b"kept\n")

    def test_if_not_exists_refuses_a_queue_of_another_kind(self):
        self.create("q", "--producers", "shared")
        _, err = self.ipcq("create", "q", "--if-not-exists", "--producers", "exclusive", status=EXISTS)
        self.assertIn("shared", err)
        self.assertIn("exclusive", err)

    def test_newest_on_a_new_queue_still_gets_all_that_is_put(self):
        self.create("q", "--group", "g,from=newest")
        self.put("q", b"one\n")
        self.assertEqual(self.get("q", "--group", "g"), b"one\n")

    def test_a_missing_directory_is_named(self):
        _, err = self.ipcq("create", "q", "--dir", self.directory / "missing", status=MISSING)
        self.assertIn(str(self.directory / "missing"), err)

    def test_a_directory_that_others_own_is_refused(self):
        self.directory.chmod(0o755)
        other = self.as_other_user()
        self.ipcq("create", "q", status=PERMISSION, **other)
        self.assertEqual(os.listdir(self.directory), [])

    def test_a_queue_that_there_is_no_room_for_is_refused_with_the_largest_that_fits(self):
        done = self.in_small_tmpfs("1m", """
            "$IPCQ" create q --capacity 8M --dir "$SMALL"
            echo "$?"
            ls -A "$SMALL" """)
        self.assertEqual(done.stdout.decode().split(), [str(ERROR)], done.stderr)
        err = done.stderr.decode()
        self.assertIn("small", err)
        self.assertRegex(err, r"--capacity (64|128|256|512)K")

    def test_the_largest_that_fits_does_fit(self):
        script = """export IPCQ_DIR="$SMALL"
            size=$("$IPCQ" create q --capacity 8M 2>&1 | sed -n 's/.*: --capacity //p')
            "$IPCQ" create q --capacity "$size" >&2 &&
            head -c 30000 /dev/zero | "$IPCQ" put q --whole && "$IPCQ" get q --whole | wc -c"""
        done = self.in_small_tmpfs("2m", script)
        self.assertEqual(done.stdout.split(), [b"30000"], done.stderr)


if __name__ == "__main__":
    main()
