#!/usr/bin/env python3
"""Framings: what goes into put comes out of get, byte for byte, in each of the four."""

import os
import random
import struct

from ipcq_cli import ERROR, CliTest, lines, main


def prefixed(messages):
    return b"".join(struct.pack("<I", len(message)) + message for message in messages)


def taken_apart(stream):
    """The messages of a length-prefixed stream."""
    messages = []
    while stream:
        (length,) = struct.unpack_from("<I", stream)
        messages.append(stream[4:4 + length])
        stream = stream[4 + length:]
    return messages


class FramingTest(CliTest):
    def setUp(self):
        super().setUp()
        self.create("q")

    def messages(self):
        """All messages of the queue, exactly."""
        return taken_apart(self.get("q", "--length-prefixed"))

    def test_lines_lose_their_newline_and_get_it_back(self):
        self.put("q", b"one\ntwo\n")
        self.assertEqual(self.messages(), [b"one", b"two"])
        self.put("q", b"one\ntwo\n")
        self.assertEqual(self.get("q"), b"one\ntwo\n")

    def test_a_last_line_without_newline_is_a_message(self):
        self.put("q", b"one\ntwo")
        self.assertEqual(self.get("q"), b"one\ntwo\n")

    def test_empty_lines_are_empty_messages(self):
        self.put("q", b"\n\na\n\n")
        self.assertEqual(self.messages(), [b"", b"", b"a", b""])

    def test_no_input_is_no_message(self):
        for framing in [[], ["-0"], ["--length-prefixed"]]:
            self.put("q", b"", *framing)
        self.assertEqual(self.stat("q")["messages"], 0)

    def test_lines_may_hold_any_byte_but_the_newline(self):
        every = bytes(byte for byte in range(256) if byte != 10)
        self.put("q", every + b"\n" + every)
        self.assertEqual(self.messages(), [every, every])

    def test_nul_separated_messages_may_hold_newlines(self):
        self.put("q", b"a\nb\0\0c\r\n\0last", "-0")
        self.assertEqual(self.get("q", "-0"), b"a\nb\0\0c\r\n\0last\0")

    def test_length_prefixed_messages_may_hold_anything(self):
        messages = [b"", b"\0", b"\n", bytes(range(256)), b"x" * 70000, b""]
        self.put("q", prefixed(messages), "--length-prefixed")
        self.assertEqual(self.messages(), messages)

    def test_the_whole_input_is_one_message(self):
        data = b"a\0b\nc\n\n" + bytes(range(256)) * 5000
        self.put("q", data, "--whole")
        self.put("q", b"second", "--whole")
        self.assertEqual(self.stat("q")["messages"], 2)
        self.assertEqual(self.get("q", "--whole", "-n", 1), data)
        self.assertEqual(self.get("q", "--whole"), b"second")

    def test_an_empty_whole_input_is_one_empty_message(self):
        self.put("q", b"", "--whole")
        self.assertEqual(self.messages(), [b""])
        self.put("q", b"", "--whole")
        self.assertEqual(self.get("q", "--whole"), b"")

    def test_framings_of_both_sides_are_independent(self):
        self.put("q", b"a\0b\0", "-0")
        self.put("q", b"c\n")
        self.assertEqual(self.get("q"), b"a\nb\nc\n")

    def test_whole_output_has_nothing_between_messages(self):
        self.put("q", b"a\nb\n\nc\n")
        self.assertEqual(self.get("q", "--whole"), b"abc")

    def test_random_messages_come_back_in_every_framing_and_batch_size(self):
        seed = int.from_bytes(os.urandom(4), "little")
        dice = random.Random(seed)
        sizes = [0, 1, 2, 15, 16, 17, 100, 1000, 5000]
        for separator, framing in [(b"\n", []), (b"\0", ["-0"]), (None, ["--length-prefixed"])]:
            for batch in [1, 3, 256, 4096]:
                with self.subTest(seed=seed, framing=framing, batch=batch):
                    messages = [dice.randbytes(dice.choice(sizes)).replace(separator or b"", b"." if separator else b"")
                                for _ in range(700)]
                    if separator:
                        data = b"".join(message + separator for message in messages)
                    else:
                        data = prefixed(messages)
                    self.put("q", data, "--batch", batch, *framing)
                    self.assertEqual(self.get("q", "--batch", batch, *framing), data)

    def test_messages_that_straddle_reads_stay_whole(self):
        # Pieces of a few bytes, so that separators, prefixes and payloads are all cut somewhere.
        messages = [b"", b"ab", b"x" * 30, b"\n", b"0123456789"] * 20
        for framing, data in [(["--length-prefixed"], prefixed(messages)),
                              (["-0"], b"".join(message + b"\0" for message in messages))]:
            for step in [1, 3, 7]:
                process = self.start("put", "q", *framing, stdin=-1)
                for begin in range(0, len(data), step):
                    process.stdin.write(data[begin:begin + step])
                    process.stdin.flush()
                self.finish(process)
                self.assertEqual(self.messages(), messages)

    def test_an_input_larger_than_every_buffer_comes_back(self):
        data = lines(150_000)
        path = self.file("input", data)
        process = self.start("put", "q", "--file", path, "--close")
        out = self.get("q", "--follow")
        self.finish(process)
        self.assertEqual(out, data)

    def test_a_message_larger_than_the_first_buffer_comes_back(self):
        data = os.urandom(3 << 20).replace(b"\n", b".")
        self.put("q", data + b"\nnext\n")
        self.assertEqual(self.get("q"), data + b"\nnext\n")


class TruncationTest(CliTest):
    def setUp(self):
        super().setUp()
        self.create("q")

    def refused(self, data):
        return self.ipcq("put", "q", "--length-prefixed", data=data, status=ERROR)[1]

    def test_an_input_that_ends_inside_a_length_is_an_error_that_says_where(self):
        err = self.refused(prefixed([b"abc"]) + b"\x05\x00")
        self.assertIn("ends at byte 9", err)
        self.assertIn("message 2, which begins at byte 7", err)
        self.assertIn("1 message went in", err)
        self.assertEqual(self.get("q"), b"abc\n")

    def test_an_input_that_ends_inside_a_payload_is_an_error_that_says_where(self):
        err = self.refused(prefixed([b"abc", b"d"]) + struct.pack("<I", 5) + b"1234")
        self.assertIn("ends at byte 20", err)
        self.assertIn("message 3, which begins at byte 12", err)
        self.assertIn("2 messages went in", err)
        self.assertEqual(self.get("q"), b"abc\nd\n")

    def test_positions_are_right_beyond_the_first_buffer(self):
        data = prefixed([b"x" * 996] * 1000)
        err = self.refused(data + b"\x01")
        self.assertIn("ends at byte 1000001", err)
        self.assertIn("message 1001, which begins at byte 1000000", err)
        self.assertIn("1000 messages went in", err)


if __name__ == "__main__":
    main()
