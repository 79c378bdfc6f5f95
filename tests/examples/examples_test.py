#!/usr/bin/env python3
"""Runs each example and compares its output with examples/expected/."""

import time
import unittest

import check_includes
from programs import ROOT, SECONDS, QueueTest

EXAMPLES = ROOT / "examples"


def expected(name):
    return (EXAMPLES / "expected" / f"{name}.txt").read_text()


class Hello(QueueTest):
    def check_output(self, producer, consumer):
        self.assertEqual(self.finish(producer)[0], "")
        self.assertEqual(self.finish(consumer)[0], expected("hello_consumer"))
        self.assert_no_queue_left()

    def test_consumer_started_after_the_producer_has_ended_gets_everything(self):
        producer = self.start("example-hello-producer")
        producer.wait(timeout=SECONDS)
        self.check_output(producer, self.start("example-hello-consumer"))

    def test_consumer_started_first_waits_for_the_producer(self):
        consumer = self.start("example-hello-consumer")
        deadline = time.monotonic() + SECONDS
        while not self.queues() and time.monotonic() < deadline:  # until it has made the queue
            time.sleep(0.001)
        self.assertIsNone(consumer.poll())
        self.check_output(self.start("example-hello-producer"), consumer)

    def test_both_started_at_once_agree_on_one_queue(self):
        for _ in range(20):
            consumer = self.start("example-hello-consumer")
            self.check_output(self.start("example-hello-producer"), consumer)

    def test_each_side_has_at_most_ten_lines(self):
        for side in ("producer", "consumer"):
            lines = (EXAMPLES / f"hello_{side}.cpp").read_text().splitlines()
            body = lines[lines.index("int main() {") + 1:lines.index("}")]
            self.assertLessEqual(len([line for line in body if line.strip()]), 10, side)


class Output(QueueTest):
    RUN_HERE = {"hello_producer", "hello_consumer", "consumer_groups", "batch_processing", "stream_processing",
                "flow_control", "event_loop"}

    def check_output(self, name):
        out, _ = self.run_program("example-" + name.replace("_", "-"))
        self.assertEqual(out, expected(name))
        self.assert_no_queue_left()

    def test_members_share_a_group_and_every_group_gets_everything(self):
        self.check_output("consumer_groups")

    def test_four_batches_of_the_producer_make_one_of_the_consumer(self):
        self.check_output("batch_processing")

    def test_a_stream_of_several_producers_arrives_in_time_order(self):
        self.check_output("stream_processing")

    def test_producers_wait_for_their_turn_and_one_that_may_not_is_told_how_long(self):
        self.check_output("flow_control")

    def test_an_event_loop_hears_of_a_queue_beside_a_socket_and_a_timer(self):
        self.check_output("event_loop")

    def test_an_example_can_be_run_again(self):
        for _ in range(3):
            self.check_output("batch_processing")

    def test_every_example_is_run_here(self):
        self.assertEqual({path.stem for path in EXAMPLES.glob("*.cpp")}, self.RUN_HERE)


class Shown(unittest.TestCase):
    def test_pieces_in_readme_and_docs_are_the_files(self):
        self.assertEqual(check_includes.check(ROOT), [])

    def test_readme_shows_both_sides_of_hello(self):
        shown = check_includes.shown_files(ROOT / "README.md")
        self.assertLessEqual({"examples/hello_producer.cpp", "examples/hello_consumer.cpp"}, set(shown))

    def test_every_example_and_its_output_are_shown(self):
        shown = {name for document in check_includes.documents(ROOT) for name in check_includes.shown_files(document)}
        files = [*EXAMPLES.glob("*.cpp"), *(EXAMPLES / "expected").iterdir()]
        self.assertLessEqual({str(path.relative_to(ROOT)) for path in files}, shown)


if __name__ == "__main__":
    unittest.main(verbosity=2)
