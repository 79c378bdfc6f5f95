#!/usr/bin/env python3
"""ipcq stat: the report for people names who holds what, and its JSON form is what docs/stat-json.md says."""

import re
import subprocess

from ipcq_cli import MISSING, SOURCE, CliTest, lines, main, program

TYPES = {"integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
         "number": lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
         "string": lambda value: isinstance(value, str),
         "boolean": lambda value: isinstance(value, bool),
         "array": lambda value: isinstance(value, list),
         "object": lambda value: isinstance(value, dict),
         "null": lambda value: value is None}


def documented_fields():
    """Path → type, from the tables of the document."""
    text = (SOURCE / "docs" / "stat-json.md").read_text()
    rows = re.findall(r"^\| `([^`]+)` \| ([a-z ]+) \|", text, re.MULTILINE)
    assert rows, "no tables of fields"
    fields = dict(rows)
    assert len(fields) == len(rows), "a field stands there twice"
    return fields


def fields_of(value, path=""):
    """(path, value) of every field of a JSON value, as the document writes paths: a[].b.c."""
    if isinstance(value, dict):
        for key, inner in value.items():
            inner_path = f"{path}.{key}" if path else key
            # The four latencies have the same fields; the document lists these once.
            inner_path = re.sub(r"\.latencies\.\w+\.", ".latencies.*.", inner_path)
            # So have a quota's limits, whoever set them.
            inner_path = re.sub(r"quotas\[\]\.(creator|operator|policy)\.", "quotas[].holds.", inner_path)
            yield inner_path, inner
            yield from fields_of(inner, inner_path)
    elif isinstance(value, list):
        for inner in value:
            yield from fields_of(inner, path + "[]")


class JsonTest(CliTest):
    def setUp(self):
        super().setUp()
        self.documented = documented_fields()

    def check(self, info):
        """Every field of the output is documented and has a documented type. The paths seen."""
        seen = set()
        for path, value in fields_of(info):
            self.assertIn(path, self.documented, "this field is not in docs/stat-json.md")
            types = self.documented[path].split(" or ")
            self.assertTrue(any(TYPES[kind](value) for kind in types), f"{path}: {value!r}, not {self.documented[path]}")
            seen.add(path)
        return seen

    def test_every_documented_field_is_there_and_nothing_else(self):
        self.create("q", "--capacity", "1M", "--overflow", "drop-oldest", "--rate", "1000000/s", "--byte-rate", "10G/s")
        self.ipcq("quota", "set", "q", "--uid", "1", "--rate", "5/s")
        stopped = self.stopped_inside_a_claim("q", b"behind\n")
        seen = self.check(self.stat("q"))
        stopped.kill()
        stopped.wait()

        self.create("held")
        self.put("held", lines(50_000))
        holder = self.start("get", "held")  # nobody reads its pipe, so its lease stays open
        self.wait_until(lambda: self.group("held")["leases"], "a lease")
        seen |= self.check(self.stat("held"))
        holder.kill()
        holder.wait()
        self.get("held", "-n", 1)  # finds the dead one's lease
        seen |= self.check(self.stat("held"))
        self.assertEqual(set(self.documented) - seen, set(), "documented, but not in the output")

    def test_no_field_is_ever_left_out(self):
        # An idle queue with everything switched off has the same fields, but for those inside arrays and nulls.
        self.create("q", "--metrics", "off", "--timestamps", "off")
        info = self.stat("q")
        seen = self.check(info)
        within = ("endpoints[].", "groups[].leases[].", "groups[].latencies.", "quotas[].")
        self.assertEqual({path for path in self.documented if not path.startswith(within)} - seen, set())
        (group,) = info["groups"]
        self.assertEqual((group["latencies"], group["availability"], group["oldest_age_ns"]), (None, None, None))
        self.assertEqual(info["endpoints"], [])
        self.assertEqual(info["clock"], "off")

    def test_an_open_claim_is_told_with_its_holder_and_age(self):
        self.create("q")
        stopped = self.stopped_inside_a_claim("q", b"behind\n")
        first, second = (self.wait_for_endpoint("q", stopped) for _ in range(2))
        self.assertEqual((first["role"], first["group"], first["life"]), ("producer", None, "alive"))
        self.assertEqual(first["command"], "ipcq_claimant")
        claim = first["open_claim"]
        self.assertGreater(claim["ring_bytes"], 0)
        self.assertEqual(claim["position"], second["open_claim"]["position"])
        self.assertGreater(second["open_claim"]["age_ns"], claim["age_ns"])
        self.assertLessEqual(claim["position"] + claim["ring_bytes"], self.stat("q")["claim_position"])
        text = self.ipcq("stat", "q")[0].decode()
        self.assertRegex(text, rf"\b{stopped.pid}\b")

    def test_an_open_lease_is_told_with_its_holder_and_age(self):
        for consumers in ["shared", "exclusive"]:
            with self.subTest(consumers=consumers):
                name = f"q-{consumers}"
                self.create(name, "--consumers", consumers)
                self.put(name, lines(50_000))
                process = self.start("get", name)
                self.wait_until(lambda: self.group(name)["leases"], "a lease")
                endpoint = self.wait_for_endpoint(name, process)
                group = self.group(name)
                (lease,) = group["leases"]
                self.assertEqual(lease["state"], "leased")
                self.assertEqual((lease["holder"]["pid"], lease["holder"]["row"]), (process.pid, endpoint["row"]))
                self.assertEqual(lease["holder"]["command"], "ipcq")
                self.assertGreater(lease["end"], lease["begin"])
                if consumers == "shared":  # an exclusive consumer's lease has no time of its own
                    self.assertGreater(lease["age_ns"], 0)
                self.assertEqual((endpoint["role"], endpoint["group"]), ("consumer", "default"))
                self.assertEqual((group["members"], group["unattended"]), (1, False))
                text = self.ipcq("stat", name)[0].decode()
                self.assertRegex(text, rf"leased .*process {process.pid} ")

    def test_a_dead_consumer_leaves_its_messages_and_that_is_told(self):
        self.create("q")
        self.put("q", lines(50_000))
        process = self.start("get", "q", "--batch", 100)
        self.wait_until(lambda: self.group("q")["leases"], "a lease")
        process.kill()
        process.wait()
        self.assertTrue(self.group("q")["unattended"])
        self.get("q", "-n", 1, "--timeout", "1m")
        group = self.group("q")
        self.assertEqual(group["recovered_leases"], 1)
        self.assertEqual(group["redelivered_messages"], 1)
        states = {lease["state"] for lease in group["leases"]}
        self.assertEqual(states, {"redeliverable"})
        for lease in group["leases"]:
            self.assertIsNone(lease["holder"])
            self.assertGreater(lease["deliveries"], 0)

    def test_counters_are_exact(self):
        self.create("q", "--group", "one", "--group", "two")
        self.put("q", b"abc\nde\n\n")
        self.get("q", "--group", "one")
        info = self.stat("q")
        self.assertEqual((info["messages"], info["payload_bytes"]), (3, 5))
        one, two = self.group("q", "one"), self.group("q", "two")
        self.assertEqual((one["leased_messages"], one["redelivered_messages"], one["dropped_messages"]), (3, 0, 0))
        self.assertEqual((two["leased_messages"], two["depth_messages"], two["depth_exact"]), (0, 3, True))
        self.assertEqual(two["depth_bytes"], info["depth_bytes"])
        self.assertGreater(two["oldest_age_ns"], 0)
        self.assertTrue(two["unattended"])

    def test_what_is_acked_counts_as_finished(self):
        self.create("q")
        self.put("q", lines(10))
        self.get("q", "-n", 4)
        self.assertEqual(self.group("q")["depth_messages"], 6)
        self.get("q")
        group = self.group("q")
        self.assertEqual((group["depth_messages"], group["oldest_age_ns"], group["unattended"]), (0, 0, False))

    def test_latencies_are_measured_and_add_up(self):
        self.create("q")
        self.put("q", lines(20_000))
        self.get("q", "--batch", 10)
        latencies = self.group("q")["latencies"]
        weight = latencies["latency"]["messages"]
        self.assertGreater(weight, 0)
        for part in latencies.values():
            self.assertEqual(part["messages"], weight)
            self.assertLessEqual(part["p50_ns"], part["p99_ns"])
            self.assertLessEqual(part["p999_ns"], part["max_ns"])
        parts = sum(latencies[part]["mean_ns"] for part in ["queue", "transfer", "processing"])
        self.assertAlmostEqual(parts / latencies["latency"]["mean_ns"], 1, places=6)

    def test_a_command_that_is_no_text_breaks_neither_json_nor_terminal(self):
        self.create("q")
        odd = self.directory / b"\xff\x1b[31m\n".decode("utf-8", "surrogateescape")
        odd.symlink_to(program())  # the kernel calls a process by the name it was started under
        process = subprocess.Popen([odd, "put", "q"], stdin=subprocess.PIPE, env=self.environment)
        self.addCleanup(process.communicate)
        self.assertEqual(self.wait_for_endpoint("q", process)["command"], "\ufffd\x1b[31m\n")
        self.assertIn(b"??[31m?\n", self.ipcq("stat", "q")[0])


class ReportTest(CliTest):
    def test_the_report_names_groups_and_figures(self):
        self.create("q", "--capacity", "64K", "--group", "billing", "--group", "audit,overflow=drop-oldest")
        self.put("q", lines(10))
        text = self.ipcq("stat", "q")[0].decode()
        for part in ["queue q\n", "open", "64K", "group billing", "group audit", "overflow drop-oldest", "10 messages",
                     "unattended", "no producer is attached"]:
            self.assertIn(part, text)

    def test_the_report_names_who_is_attached(self):
        self.create("q")
        producer = self.start("put", "q", stdin=subprocess.PIPE)
        consumer = self.start("get", "q", "--follow")
        for process in [producer, consumer]:
            self.wait_for_endpoint("q", process)
        text = self.ipcq("stat", "q")[0].decode()
        for process in [producer, consumer]:
            self.assertRegex(text, rf"\b{process.pid}  alive .* ipcq\n")

    def test_a_missing_queue_is_told_with_the_line_that_creates_it(self):
        _, err = self.ipcq("stat", "missing", status=MISSING)
        self.assertIn("ipcq create missing", err)


if __name__ == "__main__":
    main()
