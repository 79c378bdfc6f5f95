#!/usr/bin/env python3
"""skipped_tests.py RESULTS.xml: after a ctest run, how many tests were skipped and why, and the count of all of them.

A ctest test that runs a part of a gtest program counts as the tests that it ran.
"""

import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter


def reason(output):
    """What the test itself said: the lines after gtest's `Skipped`, or a script's last line."""
    told = re.search(r": Skipped\n(.*?)\n*\[  SKIPPED \]", output, re.DOTALL)
    text = told[1] if told else output.split("\n")[-1]
    return " ".join(text.split()) or "no reason given"


def gtest_count(fate, output):
    """How many tests gtest's summary gives that fate; 0 if there is no such line."""
    return sum(int(n) for n in re.findall(rf"^\[  {fate} *\] (\d+) tests?[.,]", output, re.MULTILINE))


def main():
    passed, failed, skipped, reasons = 0, 0, 0, Counter()
    for test in ElementTree.parse(sys.argv[1]).getroot().findall("testcase"):
        output = (test.findtext("system-out") or "").strip()
        if "/part-" in test.get("name", ""):
            ran, left_out = gtest_count("PASSED", output), gtest_count("SKIPPED", output)
            wrong = gtest_count("FAILED", output)
            if test.find("failure") is not None and not wrong:
                wrong = 1  # it ended before its summary
            passed, failed, skipped = passed + ran, failed + wrong, skipped + left_out
            for part in re.split(r"(?m)(?=^\[ RUN )", output):
                if ": Skipped\n" in part:
                    reasons[reason(part)] += 1
        elif test.find("skipped") is not None:
            skipped += 1
            reasons[reason(output)] += 1
        elif test.find("failure") is not None:
            failed += 1
        else:
            passed += 1
    if reasons:
        print("\nSkipped, by reason:")
        for text, count in reasons.most_common():
            print(f"{count:5}  {text}")
    print(f"\n{passed} passed, {failed} failed, {skipped} skipped")


if __name__ == "__main__":
    main()
