#!/usr/bin/env python3
"""Every ordering names its partner. A comment `R:name` marks an operation that publishes, `A:name` one that sees it; each
name stands at an operation of either side. The label is on the operation's line or the three before it; behind the word
"with" it only points at the partner. An operation stronger than relaxed carries a label, or a comment that says why it
is there. Every atomic operation writes its order."""

import re

from source_tree import Finding, code_and_comments, cpp_files, run

FOLDERS = ["libipcq/include", "libipcq/src"]
LINES_BEFORE = 3
REASON_WORDS = 3  # a comment of fewer words explains nothing
SIDES = {"R": {"release", "acq_rel", "seq_cst"}, "A": {"acquire", "acq_rel", "seq_cst", "consume"}}

_LABEL = re.compile(r"\b([RA]):([A-Za-z][\w-]*)")
_PARTNER = re.compile(r"\bwith\s+[RA]:[\w-]+(?:(?:,|\s+and)\s+[RA]:[\w-]+)*")
_STRONG = re.compile(r"\bmemory_order(?:_|::)(acquire|release|acq_rel|seq_cst|consume)\b")
_OPERATION = re.compile(
    r"(?:\.|->)(load|store|exchange|compare_exchange_weak|compare_exchange_strong|fetch_(?:add|sub|or|and|xor))\s*\(")


def arguments(code, opening):
    """The text between the parenthesis at `opening` and its partner."""
    depth = 0
    for index in range(opening, len(code)):
        depth += (code[index] == "(") - (code[index] == ")")
        if depth == 0:
            return code[opening + 1:index]
    return code[opening + 1:]


def check_file(where, text, named, standing):
    """Adds the labels that are named to `named`, those that stand at an operation of their side to `standing`."""
    code, comments = code_and_comments(text)
    comment_lines = comments.split("\n")
    for number, line in enumerate(comment_lines, 1):
        for label in _LABEL.findall(line):
            named.setdefault(label[1], (where, number))
    for number, line in enumerate(code.split("\n"), 1):
        orders = set(_STRONG.findall(line))
        if not orders:
            continue
        near = " ".join(comment_lines[max(0, number - 1 - LINES_BEFORE):number])
        if not _LABEL.search(near) and len(re.findall(r"[A-Za-z]{2,}", near)) < REASON_WORDS:
            yield Finding(where, number, f"{min(orders)} without an R:/A: label or a reason")
        for side, name in _LABEL.findall(_PARTNER.sub("", near)):
            if orders & SIDES[side] and not (side == "A" and ".store(" in line):
                standing.add((side, name))
    for match in _OPERATION.finditer(code):
        if "order" not in arguments(code, match.end() - 1):
            number = code.count("\n", 0, match.start()) + 1
            yield Finding(where, number, f"{match[1]}() without its memory order")


def check(root):
    named, standing = {}, set()
    for path in cpp_files(root, *FOLDERS):
        yield from check_file(str(path.relative_to(root)), path.read_text(), named, standing)
    for name, (where, number) in named.items():
        for side in SIDES:
            if (side, name) not in standing:
                yield Finding(where, number, f"{name}: no operation carries {side}:{name} (behind \"with\" it only points)")


if __name__ == "__main__":
    run(__doc__, check)
