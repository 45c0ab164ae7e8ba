"""The bench of what stages and reactions cost measures the real thing; its times are the bench's business."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench import trace_cost
from tests.support.invariants import rows_of


async def test_the_cost_is_of_stamps_and_reactions_that_really_are_on_the_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trace_cost, "PARTS", 6)
    monkeypatch.setattr(trace_cost, "BATCH", 3)
    *information, share = await trace_cost.trace_rows(tmp_path, cycle_s=3600.0)
    assert all(isinstance(row.value, float) and row.value > 0 for row in information) and share.met
    rows = rows_of(tmp_path / "trace-cost.db")
    assert [(row["ack"], row["plc_verdict"]) for row in rows] == [("acknowledged", 1)] * 6
