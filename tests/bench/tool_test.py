#!/usr/bin/env python3
"""ipcq-bench as a program: what it refuses, and that its JSON agrees with itself. No time is judged."""

import json
import os
import subprocess
import tempfile
import unittest

BENCH = os.environ["IPCQ_BENCH"]


def bench(*arguments):
    return subprocess.run([BENCH, *arguments], capture_output=True, text=True, timeout=100, check=False)


def measured(*rows):
    with tempfile.NamedTemporaryFile(suffix=".json") as file:
        only = [word for row in rows for word in ("--only", row)]
        done = bench("--repeats", "1", "--seconds", "0.02", "--json", file.name, *only)
        return done, json.load(file)


class Usage(unittest.TestCase):
    def refused(self, *arguments):
        done = bench(*arguments)
        self.assertEqual(done.returncode, 2, done)
        self.assertEqual(done.stderr.count("\n"), 1, done)
        return done.stderr

    def test_what_no_row_is_called_is_refused(self):
        self.assertIn("--list", self.refused("--only", "no such row"))

    def test_bad_options_are_refused_before_anything_is_measured(self):
        self.refused("--repeats", "0")
        self.refused("--seconds", "1e9")
        self.refused("--cpus", "0,0")
        self.refused("--near", "300,75")
        self.refused("--smoke", "--json", "x.json")
        self.refused("stray")

    def test_list_names_every_row_once(self):
        names = [line.split()[0] for line in bench("--list").stdout.splitlines()]
        self.assertGreater(len(names), 100)
        self.assertEqual(len(names), len(set(names)))


@unittest.skipIf(len(os.sched_getaffinity(0)) < 2, "measuring needs two cpus")
class Results(unittest.TestCase):
    def test_one_figure_rows_are_judged_wherever_the_cpus_are(self):
        done, results = measured("ipcq/memory-beside-ring")
        self.assertEqual(done.returncode, 0, done)
        (row,), (bar,) = results["rows"], results["bars"]
        self.assertEqual(row["measure"], "told")
        self.assertEqual(bar["anywhere"]["figure"], row["anywhere"]["median"])
        self.assertEqual(bar["anywhere"]["met"], bar["anywhere"]["figure"] <= bar["anywhere"]["bound"])
        self.assertIn("memory beside the ring", done.stdout)

    def test_a_ratio_is_that_of_the_medians_and_a_curve_never_falls(self):
        done, results = measured("ipcq/rtt-64B-sleep-exclusive", "raw/rtt-futex")
        self.assertEqual(done.returncode, 0, done)
        rows = {row["name"]: row for row in results["rows"]}
        (bar,) = results["bars"]
        for placement in ("near", "far"):
            for row in rows.values():
                for run in (row[placement] or {"runs": []})["runs"]:
                    self.assertEqual(len(run["curve_ns"]), len(results["settings"]["curve_fractions"]))
                    self.assertEqual(run["curve_ns"], sorted(run["curve_ns"]))
                    self.assertGreater(run["messages_checked"], 0)
            row, over = rows[bar["row"]][placement], rows[bar["over"]][placement]
            if row and over:
                self.assertAlmostEqual(bar[placement]["figure"], row["median"] / over["median"])
                self.assertEqual(bar[placement]["met"], bar[placement]["figure"] <= bar[placement]["bound"])
            else:  # the host moved the cpus in the middle
                self.assertIsNone(bar[placement])


if __name__ == "__main__":
    unittest.main()
