"""The numbers of a station's counting periods: of every trigger that was answered, by what the PLC was told.

A row counts in one period of each kind: since the last reset, its shift, its lot. The table is kept by triggers inside
the commit that changes a row, so it says what the rows say, after any end of the process and whatever was filed since.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

import apsw

from plc.registers import TEST_AS_EXPECTED, TEST_NOT_AS_EXPECTED, Verdict

TOP = 3  # reasons


class Scope(StrEnum):
    """What a period is about."""

    RESET = "reset"
    SHIFT = "shift"
    LOT = "lot"


@dataclass(frozen=True, slots=True)
class Begin:
    """From row `from_no` of its station on, rows count in the period `key` of its kind; one that was there goes on."""

    station: str
    scope: Scope
    key: str
    from_no: int
    utc_ms: int
    actor: str
    why: str


@dataclass(frozen=True, slots=True)
class Counts:
    """Accepted and refused triggers alike; the five kinds add up to `triggers`.

    key: as in Begin. plc_parts: by how much PLC_PART_COUNT grew. reasons: (reason, count) of rejects, most frequent
    first.
    """

    since_utc_ms: int = 0
    triggers: int = 0
    passed: int = 0
    fail: int = 0
    uncertain: int = 0
    not_inspected: int = 0
    test: int = 0
    key: str = ""
    plc_parts: int = 0
    reasons: tuple[tuple[int, int], ...] = ()

    def as_status(self) -> dict[str, int]:
        """In the words of the status message."""
        return {
            "triggers": self.triggers, "pass": self.passed, "fail": self.fail, "uncertain": self.uncertain,
            "not_inspected": self.not_inspected, "test": self.test,
        }  # fmt: skip


Tallies = Mapping[Scope, Counts]  # of the periods that run now


def plus_parts(tallies: Tallies, grown: Mapping[tuple[Scope, str], int]) -> Tallies:
    """With parts that the PLC has counted meanwhile, by scope and key of their period."""
    return {
        scope: replace(counts, plc_parts=counts.plc_parts + grown.get((scope, counts.key), 0))
        for scope, counts in tallies.items()
    }


@dataclass(frozen=True, slots=True)
class Head:
    """A running period, by itself."""

    period: int
    key: str
    since_utc_ms: int
    plc_parts: int


Heads = Mapping[Scope, Head]


def read_heads(db: apsw.Connection, station: str) -> Heads:
    """The periods that a station's next row counts in; a kind that never began is missing. Raises apsw.Error."""
    found: dict[Scope, Head] = {}
    for scope in Scope:
        head = db.execute(
            "SELECT period, key, since_utc_ms, plc_parts FROM spans JOIN periods USING (period, station, kind)"
            " WHERE station = ? AND kind = ? ORDER BY from_no DESC LIMIT 1", (station, scope),
        ).get  # fmt: skip
        if head is not None:
            found[scope] = Head(*head)
    return found


def read_tallies(db: apsw.Connection, heads: Heads) -> Tallies:
    """What these periods have counted. Raises apsw.Error."""
    rows: dict[int, list[tuple[int, int, int]]] = {head.period: [] for head in heads.values()}
    marks = ", ".join("?" * len(rows))
    for period, *counted in db.execute(
        f"SELECT period, code, reason, n FROM counts WHERE period IN ({marks})", tuple(rows)
    ):
        rows[period].append((counted[0], counted[1], counted[2]))
    return {scope: _counts(head, rows[head.period]) for scope, head in heads.items()}


def stations_of(db: apsw.Connection) -> list[str]:
    """Those that have ever counted. Raises apsw.Error."""
    return [name for (name,) in db.execute("SELECT DISTINCT station FROM spans")]


def begin_period(db: apsw.Connection, begin: Begin) -> None:
    """Inside the caller's transaction. Nothing is deleted. Raises apsw.Error."""
    which = (begin.station, begin.scope, begin.key)
    db.execute(
        "INSERT INTO periods (station, kind, key, since_utc_ms, actor, why) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO NOTHING", (*which, begin.utc_ms, begin.actor, begin.why),
    )  # fmt: skip
    db.execute(
        "INSERT OR REPLACE INTO spans SELECT station, kind, ?, period FROM periods"
        " WHERE (station, kind, key) = (?, ?, ?)", (begin.from_no, *which),
    )  # fmt: skip


def _counts(head: Head, rows: Iterable[tuple[int, int, int]]) -> Counts:
    by_code: dict[int, int] = {}
    by_reason: dict[int, int] = {}
    for code, reason, n in rows:
        by_code[code] = by_code.get(code, 0) + n
        if n > 0 and Verdict.PASS < code < TEST_AS_EXPECTED:
            by_reason[reason] = by_reason.get(reason, 0) + n
    test = by_code.get(TEST_AS_EXPECTED, 0) + by_code.get(TEST_NOT_AS_EXPECTED, 0)
    one, two, three, four = (by_code.get(v, 0) for v in Verdict)
    top = sorted(by_reason.items(), key=lambda item: (-item[1], item[0]))[:TOP]
    return Counts(
        head.since_utc_ms, sum(by_code.values()), one, two, three, four, test, head.key, head.plc_parts, tuple(top)
    )  # fmt: skip
