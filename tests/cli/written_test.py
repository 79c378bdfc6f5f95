#!/usr/bin/env python3
"""Whatever ends a get, each message is either written and acked, or delivered again: in order, and whole."""

import os
import resource
import signal

from ipcq_cli import BROKEN_PIPE, DONE, ERROR, INTERRUPTED, NOTHING, SECONDS, CliTest, default_signals, lines, main


class Written:
    """The promise; the classes at the end bind it to both kinds of consumers."""

    consumers = None

    def setUp(self):
        super().setUp()
        self.create("q", "--consumers", self.consumers)

    def acked(self, err):
        """How many messages the note says were written and acked."""
        return self.number_before(" written and acked", err.replace(" messages ", " ").replace(" message ", " "))

    def assert_the_rest_comes_again(self, count, first):
        """Of `count` lines exactly those from `first` on are left in the queue."""
        self.assertEqual(self.get("q", status=DONE if first < count else NOTHING), lines(count - first, first))

    def blocked_get(self, *arguments, **options):
        """A get that cannot write on, because its pipe is full and nobody reads it."""
        process = self.start("get", "q", *arguments, **options)
        seen = []

        def stands():
            leases = self.group("q")["leases"]
            seen.append(leases[0]["begin"] if leases else None)
            return seen[-1] is not None and len(seen) >= 5 and seen[-5:] == [seen[-1]] * 5

        self.wait_until(stands, "a full pipe")
        return process

    # Disks.

    def test_a_full_device_takes_nothing_from_the_queue(self):
        self.put("q", lines(1000))
        with open("/dev/full", "wb") as full:
            _, err = self.ipcq("get", "q", stdout=full, status=ERROR)
        self.assertIn("No space left on device", err)
        self.assertEqual(self.acked(err), 0)
        self.assertIn("the others stay in the queue", err)
        self.assert_the_rest_comes_again(1000, 0)

    def test_a_full_disk_loses_nothing(self):
        self.put("q", lines(20_000))
        done = self.in_small_tmpfs("1m", """
            head -c 1000000 /dev/zero > "$SMALL/filler"
            "$IPCQ" get q > "$SMALL/out"
            echo "exit $?" >&2
            cat "$SMALL/out" """)
        err = done.stderr.decode()
        self.assertIn(f"exit {ERROR}\n", err)
        self.assertIn("No space left on device", err)
        count = self.acked(err)
        self.assertTrue(0 < count < 20_000, count)
        # The disk may end inside a message. That one comes again, and the note says how much of it there is.
        self.assertTrue(done.stdout.startswith(lines(count)))
        partial = done.stdout[len(lines(count)):]
        self.assertTrue(len(partial) < len(lines(1, count)) and lines(1, count).startswith(partial), partial)
        if partial:
            self.assertEqual(self.number_before(" written belong", err.replace(" bytes ", " ").replace(" byte ", " ")),
                             len(partial))
        self.assert_the_rest_comes_again(20_000, count)

    def test_a_limit_of_the_file_size_loses_nothing(self):
        def limited():
            default_signals()
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))

        self.put("q", lines(2000))
        path = self.file("out")
        with open(path, "wb") as out:
            _, err = self.ipcq("get", "q", stdout=out, status=ERROR, preexec_fn=limited)
        self.assertIn("File too large", err)
        count = self.acked(err)
        self.assertTrue(path.read_bytes().startswith(lines(count)))
        self.assertEqual(path.stat().st_size, 5000)
        self.assert_the_rest_comes_again(2000, count)

    # Pipes.

    def test_a_pipe_that_nobody_reads_takes_nothing_from_the_queue(self):
        self.put("q", lines(1000))
        read_end, write_end = os.pipe()
        os.close(read_end)
        process = self.start("get", "q", stdout=write_end)
        os.close(write_end)
        _, err = self.finish(process, BROKEN_PIPE)
        self.assertEqual(self.acked(err), 0)
        self.assert_the_rest_comes_again(1000, 0)

    def test_a_pipe_that_breaks_takes_only_what_was_written_into_it(self):
        self.put("q", lines(50_000))
        process = self.start("get", "q")
        self.assertEqual(process.stdout.read(100), lines(50_000)[:100])
        process.stdout.close()
        self.assertEqual(process.wait(timeout=SECONDS), BROKEN_PIPE)
        count = self.acked(process.stderr.read().decode())
        self.assertTrue(0 < count < 50_000, count)
        self.assert_the_rest_comes_again(50_000, count)

    def test_a_broken_pipe_is_told_by_the_exit_code_alone_when_quiet(self):
        self.put("q", lines(10))
        read_end, write_end = os.pipe()
        os.close(read_end)
        process = self.start("get", "q", "--quiet", stdout=write_end)
        os.close(write_end)
        self.assertEqual(self.finish(process, BROKEN_PIPE)[1], "")

    def test_a_reader_that_is_slow_gets_everything(self):
        data = lines(20_000)
        self.put("q", data, "--close")
        process = self.start("get", "q", "--follow")
        out = b""
        while part := os.read(process.stdout.fileno(), 3000):
            out += part
        self.assertEqual(process.wait(timeout=SECONDS), DONE)
        self.assertEqual(out, data)

    def test_a_non_blocking_pipe_is_waited_for(self):
        data = lines(50_000)
        self.put("q", data, "--close")
        read_end, write_end = os.pipe()
        os.set_blocking(write_end, False)
        # Batches larger than PIPE_BUF, so that a write takes a part of them only, and not all or nothing.
        process = self.blocked_get("--follow", "--batch", 4096, stdout=write_end)
        os.close(write_end)
        with os.fdopen(read_end, "rb") as pipe:
            self.assertEqual(pipe.read(), data)
        self.finish(process)

    def test_a_message_larger_than_the_pipe_is_written_whole(self):
        data = os.urandom(3 << 20)
        self.put("q", data, "--whole", "--close")
        self.assertEqual(self.get("q", "--follow", "--whole"), data)

    # Signals.

    def test_an_interrupt_gives_back_what_cannot_be_written(self):
        for number in [signal.SIGINT, signal.SIGTERM]:
            with self.subTest(signal=number):
                self.put("q", lines(50_000))
                process = self.blocked_get()
                process.send_signal(number)
                self.assertEqual(process.wait(timeout=SECONDS), INTERRUPTED)
                written = process.stdout.read()
                count = self.acked(process.stderr.read().decode())
                self.assertTrue(0 < count < 50_000, count)
                self.assertTrue(written.startswith(lines(count)))
                self.assertLess(len(written), len(lines(count + 1)))
                self.assertEqual(self.stat("q")["endpoints"], [])
                self.assert_the_rest_comes_again(50_000, count)

    def test_an_interrupt_while_get_waits_for_messages_ends_it(self):
        self.put("q", lines(10))
        process = self.start("get", "q", "--follow")
        self.wait_for_endpoint("q", process, lambda endpoint: endpoint["waits"] > 0)
        process.send_signal(signal.SIGINT)
        out, err = self.finish(process, INTERRUPTED)
        self.assertEqual(out, lines(10))
        self.assertIn("interrupted", err)
        self.assertIn("10 messages written", err)
        self.assertEqual(self.stat("q")["endpoints"], [])
        self.assert_the_rest_comes_again(10, 10)

    def test_a_killed_get_has_acked_nothing_that_it_had_not_written(self):
        self.put("q", lines(50_000))
        process = self.blocked_get()
        lease = self.group("q")["leases"][0]
        self.assertEqual((lease["state"], lease["holder"]["pid"]), ("leased", process.pid))
        process.kill()
        process.wait()
        written = process.stdout.read()
        again = self.get("q")
        acked = 50_000 - again.count(b"\n")
        self.assertEqual(again, lines(50_000 - acked, acked))
        self.assertGreater(acked, 0)
        self.assertTrue(written.startswith(lines(acked)))


class SharedTest(Written, CliTest):
    consumers = "shared"


class ExclusiveTest(Written, CliTest):
    consumers = "exclusive"


if __name__ == "__main__":
    main()
