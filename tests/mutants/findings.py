"""Mutants of verify: each finding in turn is not told."""

import re
from dataclasses import replace

from mutation import Edit, Mutant

_FINDING = re.compile(r'\blook_?\s*\.\s*(broken|noted)\s*\(\s*("[\w.]+"|[\w.]+)')

PRELUDE = """namespace ipcq_mutant {
template <class... Arguments>
inline void say_nothing(Arguments&&...) noexcept {}
}  // namespace ipcq_mutant
"""


def finding_mutants(sources):
    mutants, seen = [], {}
    for file, source in sources.items():
        if not file.startswith("core/verify"):
            continue
        for match in _FINDING.finditer(source.without_comments):
            name = f"verify: {match[2].strip(chr(34))} is not {'told' if match[1] == 'broken' else 'noted'}"
            seen[name] = seen.get(name, 0) + 1
            mutant = Mutant(name, (Edit(file, match.start(), source.text.index("(", match.start()), "ipcq_mutant::say_nothing"),),
                            "each broken invariant is named", first=("unit:Verify*",), written=False, prelude=PRELUDE)
            mutants.append(mutant if seen[name] == 1 else replace(mutant, name=f"{name} ({seen[name]})"))
    return mutants
