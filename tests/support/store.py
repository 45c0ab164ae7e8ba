"""Parts for tests of the record."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from inspector.core.clock import SystemClock
from inspector.core.types import Delivery, DeliveryState, Inspection, JudgedBy, Outcome, Prediction, Trigger
from inspector.store.results import SqliteResults
from inspector.threads import DeviceThread
from plc.registers import Reason, Verdict
from tests.support.patience import LONG_S

PASS = Outcome(Verdict.PASS, Reason.NONE)
FAIL = Outcome(Verdict.FAIL, Reason.CLASS)
STORAGE = Outcome(Verdict.NOT_INSPECTED, Reason.STORAGE)
GOOD = Prediction("good", 0, 0.99, (0.99, 0.01), novelty_score=0.1)
BY = JudgedBy("disc-1-abc", 1, 1, 1)
STAGES = ("grabbed", "checked", "cropped", "predicted", "judged")


def trigger(seq: int, budget_s: float = LONG_S, **changes: Any) -> Trigger:
    now = time.monotonic()
    return Trigger(seq, 1000 + seq, now + budget_s, now, **changes)


def stamps() -> dict[str, float]:
    return dict.fromkeys(STAGES, time.monotonic())


def told(done: Inspection, state: DeliveryState = DeliveryState.CONFIRMED, code: int | None = None) -> Delivery:
    return Delivery(done.outcome.verdict if code is None else code, done.outcome.reason, state, time.monotonic())


async def part(results: SqliteResults, seq: int, outcome: Outcome = PASS, **changes: Any) -> Inspection:
    """One part from open to stamp."""
    opened = results.open(trigger(seq, **changes))
    done = await results.decide(opened, outcome, GOOD, BY, stamps())
    await results.stamp(done, told(done))
    return done


@asynccontextmanager
async def store(path: Path, **options: Any) -> AsyncIterator[SqliteResults]:
    """A started record, closed at the end."""
    thread = DeviceThread("store")
    results = SqliteResults.of_file(path, "st1", SystemClock(), thread, **{"min_free_bytes": 0, **options})
    try:
        await results.start()
        yield results
    finally:
        await results.close()
        thread.close()
