"""The one look at the calendar: the day in UTC, for expiries."""

from __future__ import annotations

import datetime


def utc_today() -> datetime.date:
    """The date that expiries are held against where the caller gives none."""
    return datetime.datetime.now(datetime.UTC).date()
