"""The numbers of the counting period: of every trigger that was answered, by what the PLC was told."""

from __future__ import annotations

from dataclasses import dataclass

import apsw

from plc.registers import TEST_AS_EXPECTED, TEST_NOT_AS_EXPECTED, Verdict


@dataclass(frozen=True, slots=True)
class Counts:
    """Accepted and refused triggers alike; the five kinds add up to `triggers`."""

    since_utc_ms: int
    triggers: int = 0
    passed: int = 0
    fail: int = 0
    uncertain: int = 0
    not_inspected: int = 0
    test: int = 0

    def as_status(self) -> dict[str, int]:
        """In the words of the status message."""
        return {
            "triggers": self.triggers, "pass": self.passed, "fail": self.fail, "uncertain": self.uncertain,
            "not_inspected": self.not_inspected, "test": self.test,
        }  # fmt: skip


def read_counts(db: apsw.Connection) -> Counts:
    """Of the running period. Raises apsw.Error."""
    running = db.execute("SELECT period, since_utc_ms FROM periods ORDER BY period DESC LIMIT 1").get
    period, since = running or (0, 0)  # before the very first start was through
    by_code: dict[int, int] = dict(
        list(db.execute("SELECT code, sum(n) FROM counts WHERE period = ? GROUP BY code", (period,)))
    )
    test = by_code.get(TEST_AS_EXPECTED, 0) + by_code.get(TEST_NOT_AS_EXPECTED, 0)
    one, two, three, four = (by_code.get(v, 0) for v in Verdict)
    return Counts(since, sum(by_code.values()), one, two, three, four, test)


def begin_period(db: apsw.Connection, from_no: int, utc_ms: int, actor: str, why: str) -> None:
    """Count from row `from_no` on; inside the caller's transaction. Nothing is deleted. Raises apsw.Error."""
    db.execute(
        "INSERT INTO periods (from_no, since_utc_ms, actor, why) VALUES (?, ?, ?, ?)", (from_no, utc_ms, actor, why)
    )
