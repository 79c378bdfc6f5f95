"""Whether a mutant leaves an atomic operation weaker than its comment demands (tests/lint/memory_order.py): on x86-64 most
weaker orders make code that does the same, so no run tells; the lint does."""

import sys

from mutation import TOP, mutated

sys.path.insert(0, str(TOP / "tests/lint"))

from memory_order import weakened  # noqa: E402  (a sibling folder)
from source_tree import code_and_comments  # noqa: E402


def finding(mutant, sources):
    """What the lint says of the mutated files, or nothing."""
    for file, text in mutated(mutant, sources).items():
        code, comments = code_and_comments(text)
        for _, what, orders in weakened(code.split("\n"), comments.split("\n")):
            return f"{what} at an operation that is {orders} ({file})"
    return ""
