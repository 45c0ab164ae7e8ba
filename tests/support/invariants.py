"""The one checker that every test of faults uses: invariants I1 to I3 and the store's integrity, read from outside."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import apsw

PASS, NOT_INSPECTED = 1, 4
STAGES_OF_A_PASS = ("grabbed", "checked", "cropped", "predicted", "judged")

Row = Mapping[str, Any]


def rows_of(db: Path) -> list[Row]:
    """All rows, oldest first, after SQLite's own integrity check."""
    connection = apsw.Connection(str(db))
    try:
        assert connection.pragma("integrity_check") == "ok"
        cursor = connection.execute("SELECT * FROM inspections ORDER BY no")
        names = [d[0] for d in cursor.get_description()] if (first := cursor.fetchone()) else []
        return [dict(zip(names, row, strict=True)) for row in ([first, *cursor] if first else [])]
    finally:
        connection.close()


def check(db: Path, plc_results: Iterable[Mapping[str, Any]], *, settled: bool = True) -> list[Row]:
    """Assert the invariants and return the rows.

    plc_results: what the PLC read, each with trigger_id, part_id, code, reason and verdict ("good" or "reject").
    settled: the daemon has recovered or ended in order, so no row may be left open.
    """
    rows = rows_of(db)
    by_part = {(r["trigger_id"], r["part_id"]): r for r in rows}
    for row in rows:
        _check_row(row, settled)
    accepted = Counter((r["boot"], r["trigger_id"], r["part_id"]) for r in rows if r["kind"] == "accepted")
    twice = [key for key, n in accepted.items() if n > 1]
    assert not twice, f"I2: accepted triggers with more than one row: {twice}"
    for result in plc_results:
        _check_result(result, by_part)
    return rows


def _check_row(row: Row, settled: bool) -> None:
    where = f"row {row['no']} {dict(row)}"
    if settled:
        assert row["decided_code"] is not None, f"I2: left without a decision: {where}"
    if row["published_code"] is not None:
        assert row["decided_code"] is not None or row["published_code"] == NOT_INSPECTED, f"I3: {where}"
    if row["published_code"] == PASS:
        assert row["decided_code"] == PASS, f"publishing may only downgrade: {where}"
    if row["decided_code"] == PASS:
        assert row["kind"] == "accepted" and row["bundle_id"], f"I1: {where}"
        assert math.isfinite(row["confidence"]) and math.isfinite(row["novelty_score"]), f"I1: {where}"
        stages = json.loads(row["stages"])
        missing = [s for s in STAGES_OF_A_PASS if s not in stages]
        assert not missing, f"I1: a PASS without stages {missing}: {where}"


def _check_result(result: Mapping[str, Any], by_part: Mapping[tuple[int, int], Row]) -> None:
    """What the PLC read stands on a row, and a part that came out as good was decided, committed and told PASS."""
    if result["code"] == 0:  # the PLC read nothing for this part: its own default is a reject
        assert result["verdict"] == "reject", f"I1: good without a result: {dict(result)}"
        return
    row = by_part.get((result["trigger_id"], result["part_id"]))
    assert row is not None, f"I3: the PLC read a result without a row: {dict(result)}"
    told = row["published_code"] if row["delivery"] == "confirmed" else row["decided_code"]
    if result["code"] == PASS:
        assert row["decided_code"] == PASS, f"I1: {dict(result)} against {dict(row)}"
    assert row["delivery"] != "none", f"I3: the row says that the PLC was told nothing, it read {dict(result)}"
    if row["delivery"] == "confirmed":
        assert told == result["code"], f"published {told}, the PLC read {dict(result)}"
    if result["verdict"] == "good":
        assert result["code"] == PASS, f"I1: good without PASS: {dict(result)}"
