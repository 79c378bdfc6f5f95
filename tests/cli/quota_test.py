#!/usr/bin/env python3
"""ipcq quota, create --rate and put under a quota: limits arrive, are told apart, and put waits or says how far it got."""

import json
import time

from ipcq_cli import NOTHING, USAGE, CliTest, main


class QuotaTest(CliTest):
    def quotas(self, *arguments):
        return json.loads(self.ipcq("quota", "get", "q", *arguments, "--json")[0])["quotas"]

    def test_what_the_creator_says_is_shown_by_create_stat_and_get(self):
        out, _ = self.ipcq("create", "q", "--rate", "1000/s", "--byte-rate", "10M/s", "--burst", "50")
        self.assertIn("quota", out.decode())
        self.assertIn("queue: 1000/s, burst 50 (creator); 10M/s, burst 102K (creator)", out.decode())
        self.assertIn("1000/s, burst 50", self.ipcq("stat", "q")[0].decode())
        (quota,) = self.quotas()
        self.assertEqual(quota, self.stat("q")["quotas"][0])
        self.assertEqual(quota["scope"], "queue")
        self.assertEqual(quota["creator"], {"messages_per_second": 1000.0, "burst_messages": 50,
                                            "bytes_per_second": 10485760.0, "burst_bytes": None})
        self.assertEqual(quota["holds"], {"messages_per_second": 1000.0, "burst_messages": 50,
                                          "bytes_per_second": 10485760.0, "burst_bytes": 104858})
        self.assertIsNone(quota["operator"])

    def test_create_can_limit_each_producer(self):
        out, _ = self.ipcq("create", "q", "--rate", "1000/s", "--producer-rate", "90/min")
        self.assertIn("each producer: 90/min, burst 1 (creator)", out.decode())
        quota = next(each for each in self.quotas() if each["scope"] == "each_producer")
        self.assertEqual(quota["creator"]["messages_per_second"], 1.5)
        self.ipcq("create", "other", "--producer-rate", "fast", status=USAGE)

    def test_the_three_sources_are_kept_apart_and_the_lowest_holds(self):
        self.create("q", "--rate", "1000/s")
        self.ipcq("quota", "set", "q", "--rate", "90/min")
        self.ipcq("quota", "set", "q", "--rate", "5/s", "--byte-rate", "1K/s", "--source", "policy")
        text = self.ipcq("quota", "get", "q")[0].decode()
        for line in ["queue  creator   1000/s", "queue  operator  90/min", "queue  policy    5/s; 1K/s",
                     "queue  holds     90/min, burst 1; 1K/s, burst 10B"]:
            self.assertIn(line, text)
        (quota,) = self.quotas()
        self.assertEqual((quota["messages_by"], quota["bytes_by"]), ("operator", "policy"))
        self.ipcq("quota", "clear", "q")
        self.assertEqual(self.quotas()[0]["messages_by"], "policy")
        self.ipcq("quota", "clear", "q", "--source", "policy")
        self.assertEqual(self.quotas()[0]["messages_by"], "creator")
        self.ipcq("quota", "clear", "q", "--source", "creator")
        out, err = self.ipcq("quota", "get", "q")
        self.assertEqual((out, err), (b"", "ipcq: queue 'q' has no quotas\n"))

    def test_users_and_producers_have_their_own(self):
        self.create("q")
        self.ipcq("quota", "set", "q", "--uid", "4711", "--rate", "1/h")
        self.ipcq("quota", "set", "q", "--each-producer", "--byte-rate", "2M/min", "--byte-burst", "64K")
        scopes = {(quota["scope"], quota["uid"]): quota for quota in self.quotas()}
        self.assertEqual(sorted(scopes, key=str), [("each_producer", None), ("user", 4711)])
        self.assertEqual(scopes[("each_producer", None)]["operator"]["burst_bytes"], 65536)
        (quota,) = self.quotas("--uid", "4711")
        self.assertEqual(quota["holds"]["burst_messages"], 1)
        self.assertIn("1/h", self.ipcq("quota", "get", "q", "--uid", "4711")[0].decode())
        (quota,) = self.quotas("--uid", "4712")
        self.assertIsNone(quota["holds"])
        self.ipcq("quota", "set", "q", "--producer", "3", "--rate", "1/s", status=USAGE)

    def test_put_waits_while_it_is_over_its_quota(self):
        self.create("q", "--rate", "100/s", "--burst", "5")
        began = time.monotonic()
        self.ipcq("put", "q", data=b"x\n" * 45)
        self.assertGreater(time.monotonic() - began, 0.39, "forty more than the burst, at 100 a second")
        info = self.stat("q")
        self.assertEqual(info["messages"], 45)
        self.assertGreater(info["quota_wait_ns"], 300_000_000)
        self.assertEqual(info["quota_refusals"], 0)

    def test_put_with_a_timeout_says_how_many_went_in_and_when_the_next_would(self):
        self.create("q", "--rate", "1/h", "--burst", "3")
        _, err = self.ipcq("put", "q", "--timeout", "0", data=b"1\n2\n3\n4\n5\n", status=NOTHING)
        self.assertIn("3 messages went in", err)
        self.assertRegex(err, r"the next would pass in (1h|59m|60m)")
        self.assertEqual(self.stat("q")["messages"], 3)

    def test_what_makes_no_sense_is_refused(self):
        self.create("q")
        for words in (["set", "q"], ["set", "q", "--rate", "1"[:0]], ["set", "q", "--rate", "5/x"],
                      ["set", "q", "--rate", "0/s"], ["set", "q", "--rate", "5K/s"], ["set", "q", "--burst", "5"],
                      ["set", "q", "--rate", "5", "--byte-burst", "5"], ["set", "--rate", "5"], ["get", "q", "--rate", "5"],
                      ["get", "q", "--source", "policy"], ["set", "q", "--rate", "1", "--uid", "1", "--each-producer"],
                      ["set", "q", "--rate", "1e13/s"], ["set", "q", "--rate", "1", "--source", "me"], ["put", "q"], []):
            with self.subTest(words=words):
                self.ipcq("quota", *words, status=USAGE)
        self.ipcq("create", "r", "--burst", "5", status=USAGE)


if __name__ == "__main__":
    main()
