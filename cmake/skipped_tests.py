#!/usr/bin/env python3
"""skipped_tests.py RESULTS.xml: after a ctest run, how many tests were skipped and why, and the count of all of them."""

import re
import sys
import xml.etree.ElementTree as ElementTree
from collections import Counter


def reason(test):
    """What the test itself said: the lines after gtest's `Skipped`, or a script's last line."""
    output = (test.findtext("system-out") or "").strip()
    told = re.search(r": Skipped\n(.*?)\n*\[  SKIPPED \]", output, re.DOTALL)
    text = told[1] if told else output.split("\n")[-1]
    return " ".join(text.split()) or "no reason given"


def main():
    suite = ElementTree.parse(sys.argv[1]).getroot()
    tests = suite.findall("testcase")
    skipped = [t for t in tests if t.find("skipped") is not None]
    failed = [t for t in tests if t.find("failure") is not None]
    if skipped:
        print("\nSkipped, by reason:")
        for text, count in Counter(reason(t) for t in skipped).most_common():
            print(f"{count:5}  {text}")
    print(f"\n{len(tests) - len(failed) - len(skipped)} passed, {len(failed)} failed, {len(skipped)} skipped")


if __name__ == "__main__":
    main()
