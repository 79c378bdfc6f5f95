"""All mutants, written and made, and what is wrong with the list."""

import coverage
from findings import finding_mutants
from mutation import read_entries, written_mutants, with_remarks
from orders import order_mutants


def all_mutants(sources):
    """The mutants; what of the list does not fit the sources; what it leaves out."""
    entries, exceptions, remarks = read_entries()
    written, stale = written_mutants(entries, sources)
    made, unfit = with_remarks(order_mutants(sources) + finding_mutants(sources), remarks)
    mutants = written + made
    return mutants, stale + unfit, list(coverage.complaints(sources, mutants, exceptions))
