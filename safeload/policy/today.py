"""The one look at the calendar: the day in UTC, for expiries."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from safeload.policy.model import Policy

_last: tuple[Policy, datetime.date, Policy] | None = None  # what `as_of_today` gave last: a folder is judged by one policy


def utc_today() -> datetime.date:
    """The date that expiries are held against where the caller gives none."""
    return datetime.datetime.now(datetime.UTC).date()


def as_of_today(policy: Policy) -> Policy:
    """`policy.on(utc_today())`. Made once for all files of a folder: it shares the tables of `policy`, so what is done to those holds in both."""
    global _last
    if policy.today is not None:
        return policy
    day, last = utc_today(), _last
    if last is None or last[0] is not policy or last[1] != day:
        _last = last = (policy, day, policy.on(day))
    return last[2]
