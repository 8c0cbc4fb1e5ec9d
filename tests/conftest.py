"""What every test run says at its head, which corpus it reads, and at its end, what became of each file of it."""

from __future__ import annotations

from typing import Any

from corpus.manifest import described
from hypothesis import HealthCheck, settings

settings.register_profile("safeload", deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no timed assertions: machines are noisy
settings.load_profile("safeload")


def pytest_report_header() -> str:
    """Name the corpus."""
    return described()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the table of the corpus, where the run made one."""
    from corpus import harness

    if harness.outcomes.cache_info().currsize:
        terminalreporter.section(described())
        terminalreporter.write_line(harness.table(harness.outcomes().values()))
