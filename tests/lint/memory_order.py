#!/usr/bin/env python3
"""Every ordering names its partner. A comment `R:name` marks an operation that publishes, `A:name` one that sees it; each
name stands at an operation of either side. The label is on the operation's line or the three before it; behind the word
"with" it only points at the partner. The operation has the order that its labels demand: on x86-64 most weaker ones make
the same code, so no run would tell. An operation stronger than relaxed carries a label, or a comment that says why it is
there; one that names an order ("release: …") is held to it. Every atomic operation writes its order."""

import re

from source_tree import Finding, code_and_comments, cpp_files, run

FOLDERS = ["libipcq/include", "libipcq/src"]
LINES_BEFORE = 3
REASON_WORDS = 3  # a comment of fewer words explains nothing
SIDES = {"R": {"release", "acq_rel", "seq_cst"}, "A": {"acquire", "acq_rel", "seq_cst", "consume"}}

_LABEL = re.compile(r"\b([RA]):([A-Za-z][\w-]*)")
_PARTNER = re.compile(r"\bwith\s+[RA]:[\w-]+(?:(?:,|\s+and)\s+[RA]:[\w-]+)*")
# Labels that stand for a place in the one order of seq_cst operations (docs/ordering.md).
SEQ_CST = {"wake", "closed_at", "kick"}
# Helpers of core/ring.hpp and core/event_count.hpp that have their order inside.
INSIDE = {"exchange_head": "seq_cst", "compare_exchange_head": "seq_cst", "load_head": "acquire", "peek_head": "acquire",
          "publish_fenced": "seq_cst", "arm": "seq_cst", "somebody_waits": "seq_cst"}

_ORDER = re.compile(r"\bmemory_order(?:_|::)(\w+)|\b__ATOMIC_([A-Z_]+)|\b(" + "|".join(INSIDE) + r")\s*\(")
_RELAXED = re.compile(r"\brelaxed:")  # behind it labels only point: at what makes relaxed enough
_NAMED_ORDER = re.compile(r"\b(acquire|release|acq_rel|seq_cst):")
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


def orders_in(line):
    """The orders of the atomic operations of a line."""
    return {(written or builtin.lower() or INSIDE[helper]) for written, builtin, helper in _ORDER.findall(line)}


def weakened(code_lines, comment_lines):
    """(line, what its comment demands, what it has) of each operation that is weaker than the comment at it says."""
    with_order = [orders_in(line) for line in code_lines]
    for index, comment in enumerate(comment_lines):
        own = _RELAXED.split(_PARTNER.sub("", comment))[0]
        demands = [(f"{side}:{name}", {"seq_cst"} if name in SEQ_CST else SIDES[side]) for side, name in _LABEL.findall(own)]
        demands += [(f'"{order}:"', {order}) for order in _NAMED_ORDER.findall(own)]
        at = next((i for i in range(index, min(index + 1 + LINES_BEFORE, len(code_lines))) if with_order[i]), None)
        if at is None:
            for what, _ in demands:
                yield index + 1, what, "nowhere"
            continue
        for what, demanded in demands:
            if not with_order[at] & demanded:
                yield at + 1, what, "/".join(sorted(with_order[at]))


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
    for number, what, orders in weakened(code.split("\n"), comment_lines):
        yield Finding(where, number, f"{what} at an operation that is {orders}")
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
