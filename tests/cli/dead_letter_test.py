#!/usr/bin/env python3
"""Messages that kill their consumers: create --max-deliveries, what stat tells, get --origin, purge --parked, requeue."""

import json
import signal
import struct
import subprocess

from ipcq_cli import ERROR, EXISTS, MISSING, NOTHING, USAGE, CliTest, main

POISON = b"p" * 300_000  # no pipe takes it whole: a get that nobody reads from holds it


class DeadLetterTest(CliTest):
    def create_both(self, *options):
        self.create("q", "--capacity", "2M", "--max-deliveries", "2", "--dead-letter", "dead", *options)
        self.create("dead", "--capacity", "2M")

    def kill_while_it_holds_a_message(self, name):
        """A get is killed while it writes a message."""
        process = self.start("get", name, "-n", "1", stdout=subprocess.PIPE)
        self.wait_for_endpoint(name, process, lambda endpoint: endpoint["open_leases"] > 0)
        process.send_signal(signal.SIGKILL)
        process.wait()

    def use_up(self, name):
        self.put(name, POISON, "--whole")
        for _ in range(2):
            self.kill_while_it_holds_a_message(name)

    def test_a_message_that_two_consumers_died_with_is_moved_and_the_next_one_is_taken(self):
        self.create_both()
        self.use_up("q")
        self.put("q", b"next\n", "--tag", "7")
        self.assertEqual(self.get("q", "--timeout", "5s", "-n", "1"), b"next\n")
        group = self.group("q")
        self.assertEqual((group["dead_lettered_messages"], group["parked_messages"], group["depth_messages"]), (1, 0, 0))
        self.assertIn("1 message moved to the dead-letter queue", self.ipcq("stat", "q")[0].decode())
        self.assertEqual(self.get("dead"), POISON + b"\n")

    def test_get_tells_the_origin_in_front_of_each_message(self):
        self.create_both()
        self.use_up("q")
        self.get("q", status=NOTHING)
        self.put("dead", b"by hand\n")
        out = self.get("dead", "--origin", "--length-prefixed")
        frames = []
        while out:
            size = struct.unpack("<I", out[:4])[0]
            frames.append(out[4:4 + size])
            out = out[4 + size:]
        origin = json.loads(frames[0])
        self.assertEqual((origin["queue"], origin["group"], origin["position"], origin["deliveries"], origin["tag"]),
                         ("q", "default", 0, 2, 0))
        self.assertEqual(origin["queue_created_unix_ns"], self.stat("q")["created_unix_ns"])
        self.assertLessEqual(origin["sent_unix_ns"], origin["moved_unix_ns"])
        self.assertEqual(frames[1:], [POISON, b"null", b"by hand"])

    def test_origins_stand_on_lines_of_their_own(self):
        self.create("dead", "--capacity", "64K")
        self.put("dead", b"a\nb\n")
        self.assertEqual(self.get("dead", "--origin"), b"null\na\nnull\nb\n")
        self.ipcq("get", "dead", "--origin", "--whole", status=USAGE)

    def test_without_its_queue_a_message_is_parked_shown_and_purged(self):
        self.create_both()
        self.ipcq("rm", "dead")
        self.use_up("q")
        self.put("q", b"next\n")
        self.assertEqual(self.get("q", "--timeout", "5s", "-n", "1"), b"next\n")
        group = self.group("q")
        self.assertEqual(group["parked_messages"], 1)
        parked = [lease for lease in group["leases"] if lease["state"] == "parked"]
        self.assertEqual([(lease["reason"], lease["deliveries"], lease["holder"]) for lease in parked],
                         [("missing", 2, None)])
        text = self.ipcq("stat", "q")[0].decode()
        self.assertIn("1 parked", text)
        self.assertIn("queue 'dead': missing", text)

        self.ipcq("group", "add", "q", "other")
        _, err = self.ipcq("group", "rm", "q", "default", status=EXISTS)
        self.assertIn("purge --parked", err)
        out, _ = self.ipcq("purge", "q", "--parked", "--dry-run", "--json")
        self.assertEqual(json.loads(out), {"version": 1, "name": "q", "group": "default", "messages": 1, "dry_run": True})
        self.assertEqual(self.group("q")["parked_messages"], 1)
        _, err = self.ipcq("purge", "q", "--parked")
        self.assertIn("1 message purged", err)
        group = self.group("q")
        self.assertEqual((group["parked_messages"], group["purged_messages"], group["depth_messages"]), (0, 1, 0))

    def test_what_is_parked_goes_when_its_queue_is_there_again(self):
        self.create_both()
        self.ipcq("rm", "dead")
        self.use_up("q")
        self.get("q", status=NOTHING)
        self.create("dead", "--capacity", "2M")
        self.get("q", "--timeout", "3s", status=NOTHING)
        self.assertEqual(self.group("q")["dead_lettered_messages"], 1)
        self.assertEqual(self.get("dead"), POISON + b"\n")

    def test_messages_may_be_dropped_instead(self):
        self.create("q", "--capacity", "2M", "--max-deliveries", "2", "--drop-after")
        self.use_up("q")
        self.get("q", status=NOTHING)
        group = self.group("q")
        self.assertEqual((group["dropped_messages"], group["depth_messages"]), (1, 0))

    def test_create_says_what_becomes_of_them(self):
        out, _ = self.ipcq("create", "q", "--max-deliveries", "3", "--dead-letter", "dead")
        self.assertIn("at most 3 a group, then to queue 'dead'", out.decode())
        info = self.stat("q")
        self.assertEqual((info["max_deliveries"], info["dead_letter"], info["drop_after"]), (3, "dead", False))
        out, _ = self.ipcq("create", "r", "--max-deliveries", "3", "--drop-after")
        self.assertIn("at most 3 a group, then dropped", out.decode())
        info = self.stat("r")
        self.assertEqual((info["max_deliveries"], info["dead_letter"], info["drop_after"]), (3, None, True))

    def test_options_that_do_not_go_together_are_usage_errors(self):
        for options in (["--max-deliveries", "3"], ["--dead-letter", "dead"], ["--drop-after"],
                        ["--max-deliveries", "3", "--dead-letter", "q"],
                        ["--max-deliveries", "3", "--dead-letter", "../x"],
                        ["--max-deliveries", "3", "--dead-letter", "dead", "--drop-after"],
                        ["--max-deliveries", "9999", "--drop-after"]):
            self.ipcq("create", "q", *options, status=USAGE)
        self.ipcq("stat", "q", status=MISSING)

    def dead_letters(self, *texts):
        """Each is handed out twice, and moved."""
        for text in texts:
            self.put("q", text)
            for _ in range(2):
                stuck = self.start("get", "q", "-n", "1", stdout=self.full)
                self.finish(stuck, status=ERROR)
            self.get("q", status=NOTHING)

    def test_requeue_sends_dead_letters_back(self):
        self.create_both()
        with open("/dev/full", "wb") as self.full:
            self.dead_letters(b"one\n", b"two\n", b"three\n")
        self.assertEqual(self.group("dead")["depth_messages"], 3)
        self.assertIn("1 message sent back", self.ipcq("requeue", "dead", "-n", "1")[1])
        out, err = self.ipcq("requeue", "dead", "--json")
        self.assertEqual((json.loads(out), err), ({"version": 1, "name": "dead", "messages": 2, "left": []}, ""))
        self.assertEqual(self.get("q"), b"one\ntwo\nthree\n")
        self.assertEqual(self.group("dead")["depth_messages"], 0)
        self.assertIn("0 messages sent back", self.ipcq("requeue", "dead")[1])

    def test_requeue_leaves_what_has_no_queue_to_go_to(self):
        self.create_both()
        with open("/dev/full", "wb") as self.full:
            self.dead_letters(b"one\n")
        self.put("dead", b"by hand\n")
        self.ipcq("rm", "q")
        _, err = self.ipcq("requeue", "dead", status=ERROR)
        self.assertIn("1 message of queue 'q' left: queue 'q'", err)
        self.assertIn("1 message left: no dead letter", err)
        out, _ = self.ipcq("requeue", "dead", "--json", status=ERROR)
        self.assertEqual([(left["queue"], left["messages"]) for left in json.loads(out)["left"]], [("q", 1), (None, 1)])
        self.assertEqual(self.get("dead"), b"one\nby hand\n")

    def test_requeue_waits_for_room_until_it_is_interrupted(self):
        self.create_both()
        with open("/dev/full", "wb") as self.full:
            self.dead_letters(b"one\n")
        for line, count in (b"y" * 1000 + b"\n", 3000), (b"\n", 3000):
            self.ipcq("put", "q", "--timeout", "0", data=line * count, status=NOTHING)
        _, err = self.ipcq("requeue", "dead", status=NOTHING)
        self.assertIn("left: full", err)
        waiting = self.start("requeue", "dead", "--timeout", "1h")
        self.wait_until(lambda: len(self.stat("q")["endpoints"]) == 1, "it waits in the origin queue")
        waiting.send_signal(signal.SIGINT)
        self.finish(waiting, status=130)
        self.assertEqual(self.get("dead"), b"one\n")

    def test_requeue_of_what_is_not_there(self):
        self.ipcq("requeue", "missing", status=MISSING)
        self.create("dead")
        self.ipcq("requeue", "dead", "--group", "nobody", status=MISSING)
        self.ipcq("requeue", "dead", "-n", "0", status=USAGE)

    def test_purge_of_what_is_parked_needs_a_queue_and_a_group(self):
        self.create("q")
        self.ipcq("purge", "missing", "--parked", status=MISSING)
        self.ipcq("purge", "q", "--parked", "--group", "nobody", status=MISSING)


if __name__ == "__main__":
    main()
