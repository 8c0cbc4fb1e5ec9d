"""A `Reading` becomes the `Row` of its reports, with a second opinion where one is asked for.

That takes a process, and nothing below the command line starts one.
"""

from __future__ import annotations

import msgspec

from safeload.judge import Reading
from safeload.report.rows import row_of, unopened_row
from safeload.report.writer import Needs, Row

__all__ = ["row_for", "unopened_row"]


def row_for(reading: Reading, needs: Needs) -> Row:
    """The row of a file that was read."""
    row = row_of(reading, needs)
    if not needs.opinion or (reading.report.verdict == "accepted" and not needs.of_accepted):
        return row
    from safeload.cli.decompile import opinions_on

    return msgspec.structs.replace(row, opinions=opinions_on(reading))
