"""A `Reading` becomes the `Row` of a report: what was judged, and no more beside it than the formats of the run ask for."""

from __future__ import annotations

from safeload.findings import Report
from safeload.judge import Reading
from safeload.report.writer import ALL, Listing, Needs, Row


def row_of(reading: Reading, needs: Needs) -> Row:
    """The row of a file that was read."""
    report = reading.report
    contents = None
    if needs.contents and (needs.of_accepted or report.verdict != "accepted"):
        from safeload.report.contents import contents_of

        contents = contents_of(reading)
    if not report.findings:
        return Row(report=report, contents=contents)
    return Row(
        report=report,
        contents=contents,
        listings=_listings(reading, needs.listings) if needs.listings else (),
        bases=_bases(reading) if needs.bases else (),
    )


def unopened_row(report: Report) -> Row:
    """The row of a file of which no byte was read."""
    return Row(report=report, unopened=True)


def _bases(reading: Reading) -> tuple[tuple[str | None, int], ...]:
    from safeload.report.places import bases_of

    return tuple(bases_of(reading, dict.fromkeys(finding.member for finding in reading.report.findings)).items())


def _listings(reading: Reading, count: int) -> tuple[Listing, ...]:
    from safeload.report.snippets import snippets_of
    from safeload.report.text import shown_findings

    findings = shown_findings(reading.report, None if count >= ALL else count)
    return tuple(Listing(member=member, offset=offset, lines=lines) for (member, offset), lines in snippets_of(reading, findings).items())
