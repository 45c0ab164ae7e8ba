"""The journal of alarms as other processes read it: its newest lines, and how well the alarms serve (ISA-18.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import apsw

from inspector.core.alarms import Change
from inspector.store.alarm_book import changes_of

R = TypeVar("R")
Ask = Callable[[Callable[[apsw.Connection], R]], Awaitable[R]]

RATE_MS = 600_000  # ten minutes, in which people are asked to deal with at most two alarms
DAY_MS = 86_400_000
SHARES_DAYS = 30
NEWEST, OFTEN = 100, 5
# What was raised on its shelf was shown to nobody, and counts as no load.
_SHOWN = "FROM alarm_changes WHERE event = 'raised' AND shelved_until_utc_ms IS NULL AND utc_ms > ?"


@dataclass(frozen=True, slots=True)
class Record:
    """Counts are of raised alarms. most: of ten minutes by the clock."""

    journal: tuple[Change, ...]  # newest first
    now: int  # in the last ten minutes
    day: int  # in the last 24 h
    most: int  # in the busiest ten minutes of these
    by_priority: Mapping[str, int]  # over SHARES_DAYS
    often: tuple[tuple[str, int], ...]  # (key, count) over SHARES_DAYS, most frequent first


def read_record(db: apsw.Connection, utc_ms: int) -> Record:
    def count(since_ms: int) -> int:
        return int(db.execute(f"SELECT count(*) {_SHOWN}", (utc_ms - since_ms,)).get)

    busiest = f"SELECT max(n) FROM (SELECT count(*) AS n {_SHOWN} GROUP BY utc_ms / {RATE_MS})"
    long_ago = (utc_ms - SHARES_DAYS * DAY_MS,)
    often = f"SELECT key, count(*) AS n {_SHOWN} GROUP BY key ORDER BY n DESC, key LIMIT {OFTEN}"
    return Record(
        journal=tuple(changes_of(db, f"ORDER BY n DESC LIMIT {NEWEST}")),
        now=count(RATE_MS), day=count(DAY_MS), most=int(db.execute(busiest, (utc_ms - DAY_MS,)).get or 0),
        by_priority=dict(db.execute(f"SELECT priority, count(*) {_SHOWN} GROUP BY priority", long_ago)),
        often=tuple(db.execute(often, long_ago)),
    )  # fmt: skip
