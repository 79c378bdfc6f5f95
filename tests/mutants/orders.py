"""Mutants made from the sources: every memory order stronger than relaxed, in core, api and os, is weakened in turn, and
every seq_cst read-modify-write is taken apart into a load and a store."""

import re
from dataclasses import replace

from mutation import Edit, Mutant, closing

FOLDERS = ("core/", "api/", "os/", "include/")

# Operations of atomics, and of the heads and stamps in the ring, whose functions take the word first (core/ring.hpp).
_OPERATION = re.compile(
    r"(?:\.|->)\s*(load|store|exchange|compare_exchange_weak|compare_exchange_strong|fetch_(?:add|sub|or|and|xor))\s*\("
    r"|\b(store|load)_(?:head|time)\s*\(")
_HEAD_EXCHANGE = re.compile(r"\b(exchange_head|compare_exchange_head)\s*\((?!\s*std::atomic)")
_ORDER = re.compile(r"\bmemory_order_(acquire|release|acq_rel|seq_cst)\b|\b__ATOMIC_(ACQUIRE|RELEASE|ACQ_REL|SEQ_CST)\b")
_LABEL = re.compile(r"\b([RA]):([A-Za-z][\w-]*)")
_PARTNER = re.compile(r"\bwith\s+[RA]:[\w-]+(?:(?:,|\s+and)\s+[RA]:[\w-]+)*")
LINES_BEFORE = 3

WEAKER = {
    "load": {"acquire": ["relaxed"], "seq_cst": ["acquire", "relaxed"]},
    "store": {"release": ["relaxed"], "seq_cst": ["release", "relaxed"]},
    "modify": {"acquire": ["relaxed"], "release": ["relaxed"], "acq_rel": ["acquire", "release", "relaxed"],
               "seq_cst": ["acq_rel", "relaxed"]},
}

# A read-modify-write in two: neither atomic nor a fence.
PRELUDE = """#include <atomic>
namespace ipcq_mutant {
template <class Atomic, class Expected, class Desired>
inline bool compare_then_store(Atomic& atomic, Expected& expected, Desired desired) noexcept {
  const auto now = atomic.load(std::memory_order_relaxed);
  if (now != expected) {
    expected = now;
    return false;
  }
  atomic.store(desired, std::memory_order_release);
  return true;
}
template <class Atomic, class Value>
inline void store_only(Atomic& atomic, Value value) noexcept {
  atomic.store(value, std::memory_order_release);
}
template <class Atomic, class Function>
inline auto load_then_store(Atomic& atomic, Function function) noexcept {
  const auto before = atomic.load(std::memory_order_relaxed);
  atomic.store(function(before), std::memory_order_release);
  return before;
}
}  // namespace ipcq_mutant
"""
_SIGNS = {"fetch_add": "+", "fetch_sub": "-", "fetch_or": "|", "fetch_and": "&", "fetch_xor": "^"}


def object_start(code, dot):
    """Where the expression begins whose member is taken at `dot`."""
    at = dot
    while True:
        while code[at - 1].isspace():
            at -= 1
        if code[at - 1] in ")]":
            depth = 0
            while True:
                at -= 1
                depth += (code[at] in ")]") - (code[at] in "([")
                if depth == 0:
                    break
            if code[at - 1].isalnum() or code[at - 1] in "_)]":
                continue
            return at
        while code[at - 1].isalnum() or code[at - 1] == "_":
            at -= 1
        before = code[:at].rstrip()
        if before.endswith("."):
            at = len(before) - 1
        elif before.endswith(("->", "::")):
            at = len(before) - 2
        else:
            return at


def _last_comma(code, start, end):
    depth = 0
    for index in range(end - 1, start, -1):
        depth += (code[index] in ")]}") - (code[index] in "([{")
        if code[index] == "," and depth == 0:
            return index
    return start


def _first_comma(code, opening):
    depth = 0
    for index in range(opening, closing(code, opening)):
        depth += (code[index] in "([{") - (code[index] in ")]}")
        if code[index] == "," and depth == 1:
            return index
    return closing(code, opening)


def _joined(text):
    return "".join(text.split()).replace(",", ", ")


def _split(source, operation, dot, opening):
    """The edit that takes a read-modify-write apart."""
    code = source.code
    end = closing(code, opening)
    start = object_start(code, dot)
    target = _joined(source.text[start:dot])
    arguments = source.text[opening + 1:_last_comma(code, opening, end)]
    if operation.startswith("compare_exchange"):
        text = f"ipcq_mutant::compare_then_store({target}, {arguments})"
    elif operation == "exchange":
        text = f"ipcq_mutant::load_then_store({target}, [&](auto) {{ return {arguments}; }})"
    else:
        text = f"ipcq_mutant::load_then_store({target}, [&](auto before) {{ return before {_SIGNS[operation]} ({arguments}); }})"
    return Edit(source.file, start, end + 1, text)


def labels_at(source, offset):
    """The labels of the operation at `offset`: on its line or the three before it, but those behind "with"."""
    lines = source.comments.split("\n")
    number = source.line_at(offset)
    return set(_LABEL.findall(_PARTNER.sub("", " ".join(lines[max(0, number - 1 - LINES_BEFORE):number]))))


def _mutants_of_order(source, match, operations):
    order = (match[1] or match[2]).lower()
    builtin = match[2] is not None
    enclosing = [o for o in operations if o.end() - 1 < match.start() < closing(source.code, o.end() - 1)]
    if not enclosing and not builtin:
        return  # coverage.py tells of an order that no mutant weakens
    operation = (enclosing[-1][1] or enclosing[-1][2]) if enclosing else "load"
    dot = enclosing[-1].start() if enclosing else match.start()
    if builtin:
        target = ""
    elif enclosing[-1][2]:
        opening = enclosing[-1].end() - 1
        target = _joined(source.text[opening + 1:_first_comma(source.code, opening)])
    else:
        target = _joined(source.text[object_start(source.code, dot):dot])
    function = source.function_at(match.start())
    kind = operation if operation in ("load", "store") else "modify"
    where = f"{source.file} {function.name if function else ''}".strip()
    what = f"{target}.{operation}" if target else "load"
    labels = " ".join(sorted(f"{side}:{name}" for side, name in labels_at(source, match.start())))
    for weaker in WEAKER[kind].get(order, []):
        text = f"__ATOMIC_{weaker.upper()}" if builtin else f"memory_order_{weaker}"
        yield Mutant(f"order: {where}: {what} {order} → {weaker}", (Edit(source.file, *match.span(), text),),
                     labels or "an order with a reason", written=False)
    if kind == "modify" and order == "seq_cst":
        yield Mutant(f"order: {where}: {what} {order} → load, then store",
                     (_split(source, operation, dot, enclosing[-1].end() - 1),), labels or "an order with a reason",
                     written=False, prelude=PRELUDE)


def _head_exchanges(source):
    """One by one, those exchanges of heads whose order stands in the function that they call."""
    for match in _HEAD_EXCHANGE.finditer(source.code):
        function = source.function_at(match.start())
        simple = "store_only" if match[1] == "exchange_head" else "compare_then_store"
        opening = match.end() - 1
        target = _joined(source.text[opening + 1:_first_comma(source.code, opening)])
        labels = " ".join(sorted(f"{side}:{name}" for side, name in labels_at(source, match.start())))
        yield Mutant(f"order: {source.file} {function.name if function else ''}: {match[1]}({target}) → load, then store",
                     (Edit(source.file, *match.span(1), f"ipcq_mutant::{simple}"),), labels or "publication and fence in one",
                     written=False, prelude=PRELUDE)


def orders(source):
    return _ORDER.finditer(source.code)


def order_mutants(sources):
    """In the order of the sources. Those that would have one name are numbered."""
    mutants, seen = [], {}
    for file, source in sources.items():
        if not file.startswith(FOLDERS):
            continue
        operations = list(_OPERATION.finditer(source.code))
        made = [mutant for match in orders(source) for mutant in _mutants_of_order(source, match, operations)]
        for mutant in made + list(_head_exchanges(source)):
            seen[mutant.name] = seen.get(mutant.name, 0) + 1
            if seen[mutant.name] > 1:
                mutant = replace(mutant, name=f"{mutant.name} ({seen[mutant.name]})")
            mutants.append(mutant)
    return mutants
