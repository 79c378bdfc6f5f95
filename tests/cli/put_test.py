#!/usr/bin/env python3
"""ipcq put: waiting for room, ends that lose nothing, and what is said about them."""

import json
import os
import signal
import subprocess

from ipcq_cli import DONE, ERROR, EXISTS, INTERRUPTED, MISSING, NOTHING, CliTest, lines, main


class PutTest(CliTest):
    def setUp(self):
        super().setUp()
        self.create("q", "--capacity", "64K")

    def test_success_says_nothing(self):
        self.assertEqual(self.ipcq("put", "q", data=b"a\n"), (b"", ""))

    def test_a_file_is_read_like_standard_input(self):
        self.ipcq("put", "q", "--file", self.file("input", b"one\ntwo\n"))
        self.ipcq("put", "q", "--file", "-", data=b"three\n")
        self.assertEqual(self.get("q"), b"one\ntwo\nthree\n")

    def test_a_file_is_read_from_where_its_descriptor_stands(self):
        with open(self.file("input", b"first\nsecond\n"), "rb") as file:
            os.lseek(file.fileno(), 6, os.SEEK_SET)
            self.ipcq("put", "q", stdin=file)
        self.assertEqual(self.get("q"), b"second\n")

    def test_the_report_as_json_counts_what_went_in(self):
        out, _ = self.ipcq("put", "q", "--json", data=b"abc\nde\n")
        self.assertEqual(json.loads(out), {"version": 1, "messages": 2, "payload_bytes": 5, "closed": False})
        out, _ = self.ipcq("put", "q", "--json", "--close", data=b"")
        self.assertEqual(json.loads(out), {"version": 1, "messages": 0, "payload_bytes": 0, "closed": True})

    def test_the_report_as_json_also_comes_when_not_all_went_in(self):
        out, err = self.ipcq("put", "q", "--json", "--close", data=b"abc\n" + b"x" * 40000 + b"\n", status=ERROR)
        self.assertEqual(json.loads(out), {"version": 1, "messages": 1, "payload_bytes": 3, "closed": False})
        self.assertIn("1 message went in", err)

    def test_close_ends_the_stream_after_the_last_message(self):
        self.put("q", b"a\nb\n", "--close")
        self.assertTrue(self.stat("q")["closed"])
        self.assertEqual(self.get("q", "--follow"), b"a\nb\n")

    def test_a_missing_queue_is_told_with_the_line_that_creates_it(self):
        _, err = self.ipcq("put", "missing", data=b"a\n", status=MISSING)
        self.assertIn("ipcq create missing", err)
        elsewhere = self.directory / "else where"
        elsewhere.mkdir()
        _, err = self.ipcq("put", "missing", "--dir", elsewhere, data=b"a\n", status=MISSING)
        self.assertIn(f"ipcq create --dir '{elsewhere}' missing", err)

    def test_the_queue_is_looked_for_before_the_input_is_read(self):
        process = self.start("put", "missing", stdin=subprocess.PIPE)
        self.assertEqual(process.wait(timeout=60), MISSING)

    # Input errors.

    def test_a_directory_as_input_is_an_error_that_is_named(self):
        _, err = self.ipcq("put", "q", "--file", self.directory, status=ERROR)
        self.assertIn("Is a directory", err)
        self.assertIn("0 messages went in", err)

    def test_a_missing_file_is_an_error_that_is_named(self):
        _, err = self.ipcq("put", "q", "--file", self.directory / "none", status=ERROR)
        self.assertIn(str(self.directory / "none"), err)
        self.assertIn("No such file", err)

    def test_a_file_that_may_not_be_read_is_an_error_that_is_named(self):
        self.directory.chmod(0o755)
        other = self.as_other_user()
        secret = self.file("secret", b"a\n")
        secret.chmod(0)
        self.create("open", "--mode", "0666")
        _, err = self.ipcq("put", "open", "--file", secret, status=ERROR, **other)
        self.assertIn("Permission denied", err)

    # Messages that are too large.

    def test_a_line_that_is_too_large_is_named_and_all_before_it_is_in_the_queue(self):
        limit = self.stat("q")["message_bytes_max"]
        _, err = self.ipcq("put", "q", data=b"one\ntwo\n" + b"x" * (limit + 1) + b"\nfour\n", status=ERROR)
        self.assertIn("line 3 is too large", err)
        self.assertIn(f"up to {limit} bytes", err)
        self.assertIn("2 messages went in", err)
        self.assertEqual(self.get("q"), b"one\ntwo\n")

    def test_the_largest_message_is_not_too_large(self):
        limit = self.stat("q")["message_bytes_max"]
        self.put("q", b"x" * limit + b"\n")
        self.assertEqual(self.get("q"), b"x" * limit + b"\n")

    def test_an_endless_line_is_refused_without_reading_it_to_its_end(self):
        with open("/dev/zero", "rb") as endless:
            _, err = self.ipcq("put", "q", stdin=endless, status=ERROR)
        self.assertIn("line 1 is too large: it has at least", err)

    def test_a_length_that_is_too_large_is_refused_before_its_bytes_come(self):
        process = self.start("put", "q", "--length-prefixed", stdin=subprocess.PIPE)
        process.stdin.write(b"\x01\x00\x00\x00a\xff\xff\xff\xff")
        process.stdin.flush()
        self.assertEqual(process.wait(timeout=60), ERROR)
        err = process.stderr.read().decode()
        self.assertIn("message 2, which begins at byte 5, is too large: it has 4294967295 bytes", err)
        self.assertEqual(self.get("q"), b"a\n")

    def test_a_whole_input_that_is_too_large_is_refused(self):
        _, err = self.ipcq("put", "q", "--whole", data=b"x" * 100000, status=ERROR)
        self.assertIn("the input is too large", err)
        self.assertIn("0 messages went in", err)
        self.assertEqual(self.stat("q")["messages"], 0)

    def test_close_does_not_close_when_not_all_went_in(self):
        self.ipcq("put", "q", "--close", data=b"one\n" + b"x" * 100000, status=ERROR)
        self.assertFalse(self.stat("q")["closed"])

    # A full queue.

    def test_a_full_queue_ends_put_after_the_timeout_and_says_how_many_went_in(self):
        data = lines(20_000)
        _, err = self.ipcq("put", "q", "--timeout", "100ms", data=data, status=NOTHING)
        self.assertIn("full", err)
        count = self.number_before(" messages went in", err)
        self.assertEqual(count, self.stat("q")["messages"])
        self.assertEqual(self.get("q"), lines(count))

    def test_a_timeout_of_zero_fills_the_queue_to_the_last_message_that_fits(self):
        _, err = self.ipcq("put", "q", "--timeout", "0", data=lines(20_000), status=NOTHING)
        count = self.number_before(" messages went in", err)
        _, err = self.ipcq("put", "q", "--timeout", "0", data=lines(1, count), status=NOTHING)
        self.assertIn("0 messages went in", err)
        self.assertEqual(self.get("q"), lines(count))

    def test_put_waits_while_the_queue_is_full_and_goes_on_when_there_is_room(self):
        data = lines(20_000)
        process = self.start("put", "q", "--close", "--file", self.file("input", data))
        self.wait_for_endpoint("q", process, lambda endpoint: endpoint["waits"] > 0)
        self.assertEqual(self.get("q", "--follow"), data)
        self.finish(process)

    def test_a_group_that_rejects_ends_put_at_once(self):
        self.create("r", "--capacity", "64K", "--overflow", "reject")
        _, err = self.ipcq("put", "r", data=lines(20_000), status=NOTHING)
        count = self.number_before(" messages went in", err)
        self.assertGreater(count, 0)
        self.assertEqual(self.get("r"), lines(count))

    def test_a_group_that_drops_the_oldest_takes_everything(self):
        self.create("d", "--capacity", "64K", "--overflow", "drop-oldest")
        self.put("d", lines(20_000))
        left = self.get("d").splitlines()
        self.assertLess(len(left), 20_000)
        self.assertEqual(left, lines(20_000).splitlines()[-len(left):])

    # Closed and removed queues.

    def test_a_closed_queue_takes_nothing(self):
        self.ipcq("close", "q")
        _, err = self.ipcq("put", "q", data=b"a\n", status=ERROR)
        self.assertIn("closed", err)
        self.assertIn("0 messages went in", err)

    def test_a_queue_that_is_closed_meanwhile_ends_put_which_says_how_many_went_in(self):
        process = self.start("put", "q", stdin=subprocess.PIPE)
        process.stdin.write(b"one\ntwo\n")
        process.stdin.flush()
        self.wait_for_messages("q", 2)
        self.ipcq("close", "q")
        _, err = self.finish(process, ERROR, b"three\n")
        self.assertIn("closed", err)
        self.assertIn("2 messages went in", err)
        self.assertEqual(self.get("q"), b"one\ntwo\n")

    def test_a_queue_that_is_removed_meanwhile_ends_put_which_says_how_many_went_in(self):
        process = self.start("put", "q", "--json", stdin=subprocess.PIPE)
        process.stdin.write(b"one\n")
        process.stdin.flush()
        self.wait_for_messages("q", 1)
        self.ipcq("rm", "q", "--force")
        out, err = self.finish(process, ERROR, b"two\n")
        self.assertIn("removed", err)
        self.assertEqual(json.loads(out)["messages"], 1)

    def test_a_waiting_put_ends_when_the_queue_is_closed(self):
        process = self.start("put", "q", "--file", self.file("input", lines(20_000)))
        self.wait_for_endpoint("q", process, lambda endpoint: endpoint["waits"] > 0)
        self.ipcq("close", "q")
        _, err = self.finish(process, ERROR)
        count = self.number_before(" messages went in", err)
        self.assertEqual(self.get("q"), lines(count))

    def test_a_second_exclusive_producer_is_refused(self):
        self.create("x", "--producers", "exclusive")
        process = self.start("put", "x", stdin=subprocess.PIPE)
        self.wait_for_endpoint("x", process)
        _, err = self.ipcq("put", "x", data=b"a\n", status=EXISTS)
        self.assertIn(str(process.pid), err)
        self.finish(process, DONE, b"b\n")
        self.assertEqual(self.get("x"), b"b\n")

    # Waiting for input.

    def test_what_is_complete_is_in_the_queue_at_once_while_the_pipe_stays_open(self):
        process = self.start("put", "q", "--batch", 1000, stdin=subprocess.PIPE)
        for count in [1, 2, 3]:
            process.stdin.write(b"line\nrest")
            process.stdin.flush()
            self.wait_for_messages("q", count)
        self.assertEqual(self.get("q"), b"line\nrestline\nrestline\n")
        self.finish(process)
        self.assertEqual(self.get("q"), b"rest\n")

    def test_put_holds_no_claim_while_it_waits_for_input(self):
        process = self.start("put", "q", stdin=subprocess.PIPE)
        process.stdin.write(b"one\nan unfinished line")
        process.stdin.flush()
        self.wait_for_messages("q", 1)
        self.assertIsNone(self.wait_for_endpoint("q", process)["open_claim"])
        # Another producer's messages are not held up behind it.
        self.put("q", b"two\n")
        self.assertEqual(self.get("q", "-n", 2), b"one\ntwo\n")
        self.finish(process)

    def test_input_from_a_non_blocking_pipe_is_waited_for(self):
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        process = self.start("put", "q", stdin=read_end)
        os.close(read_end)
        self.wait_for_endpoint("q", process)
        os.write(write_end, b"one\n")
        self.wait_for_messages("q", 1)
        os.write(write_end, b"two\n")
        os.close(write_end)
        self.finish(process)
        self.assertEqual(self.get("q"), b"one\ntwo\n")

    # Ctrl-C.

    def test_an_interrupt_while_put_waits_for_input_says_how_many_went_in(self):
        for number in [signal.SIGINT, signal.SIGTERM]:
            with self.subTest(signal=number):
                process = self.start("put", "q", "--close", stdin=subprocess.PIPE)
                process.stdin.write(b"one\ntwo\nunfinished")
                process.stdin.flush()
                self.wait_for_endpoint("q", process, lambda endpoint: endpoint["messages"] == 2)
                process.send_signal(number)
                self.assertEqual(process.wait(timeout=60), INTERRUPTED)
                err = process.stderr.read().decode()
                self.assertIn("interrupted", err)
                self.assertIn("2 messages went in", err)
                self.assertEqual(self.get("q"), b"one\ntwo\n")
                info = self.stat("q")
                self.assertFalse(info["closed"])
                self.assertEqual(info["endpoints"], [])

    def test_an_interrupt_while_put_waits_for_room_leaves_nothing_half(self):
        process = self.start("put", "q", "--close", "--file", self.file("input", lines(20_000)))
        self.wait_for_endpoint("q", process, lambda endpoint: endpoint["waits"] > 0)
        process.send_signal(signal.SIGINT)
        _, err = self.finish(process, INTERRUPTED)
        count = self.number_before(" messages went in", err)
        self.assertGreater(count, 0)
        self.assertEqual(self.get("q"), lines(count))
        self.assertFalse(self.stat("q")["closed"])

    def test_an_interrupt_while_put_waits_for_the_writer_of_a_fifo_ends_it(self):
        fifo = self.directory / "fifo"
        os.mkfifo(fifo)
        process = self.start("put", "q", "--file", fifo)
        self.wait_until_it_catches(process, signal.SIGINT)
        process.send_signal(signal.SIGINT)
        self.finish(process, INTERRUPTED)

    def test_an_interrupt_that_the_caller_ignores_is_ignored(self):
        def ignore():
            signal.signal(signal.SIGINT, signal.SIG_IGN)

        process = self.start("put", "q", stdin=subprocess.PIPE, preexec_fn=ignore)
        self.wait_for_endpoint("q", process)
        process.send_signal(signal.SIGINT)
        self.finish(process, DONE, b"a\n")
        self.assertEqual(self.get("q"), b"a\n")


if __name__ == "__main__":
    main()
