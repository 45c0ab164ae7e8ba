"""What it costs to know where a cycle's time went: its stamps, and what the PLC did after its result."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from inspector.core.clock import SystemClock
from inspector.core.types import Trigger
from inspector.failpoints import Failpoints
from inspector.store.results import SqliteResults
from inspector.store.rows import stages
from inspector.threads import DeviceThread
from plc.reactions import Acknowledged, Reported
from tests.bench import rows
from tests.bench.rows import Row

COST_BAR_PERCENT = 1.0  # of the cycle
PARTS = 2000
STAMPED = (
    "accepted", "opening", "grabbed", "exposing", "exposed", "checked", "cropped", "predicted", "judged", "decided",
    "published",
)  # fmt: skip
BATCH = 50  # parts between two commits: what a row costs a commit, and hardly of its fsync


async def trace_rows(folder: Path, cycle_s: float) -> list[Row]:
    """The cost beside the cycle's median; the reactions are noted after the cycle, and count all the same."""
    stamps, reactions = stamps_s(), await reactions_s(folder)
    share = 100 * (stamps + reactions) / cycle_s
    return [
        Row("stamps of the stages, a part", 1e6 * stamps, "µs"),
        Row("noting what the PLC did, a part", 1e6 * reactions, "µs"),
        rows.at_most("both / cycle, p50", share, "%", COST_BAR_PERCENT),
    ]


def stamps_s() -> float:
    """Seconds a part for its stamps and their text, which is made twice: with the decision, and with the delivery."""
    clock, failpoint, text = SystemClock(), Failpoints({}), ""
    trigger = Trigger(1, 1, 0.0, clock.monotonic_s())
    begun_s = time.perf_counter()
    for _ in range(PARTS):
        stamps = {"trigger": trigger.accepted_mono_s}
        for stage in STAMPED:
            stamps[stage] = clock.monotonic_s()
            failpoint(stage)
        text = stages(trigger, stamps)
        text = stages(trigger, {**stamps, "publishing": stamps["published"]})
    if "publishing" not in text:
        raise RuntimeError(text)
    return (time.perf_counter() - begun_s) / PARTS


async def reactions_s(folder: Path) -> float:
    """Seconds a part for noting its acknowledge and the PLC's own verdict; all of it after the part was told."""
    clock, thread = SystemClock(), DeviceThread("store")
    results = SqliteResults.of_file(folder / "trace-cost.db", "st1", clock, thread, min_free_bytes=0)
    await results.start()
    journal, took_s = results._journal, 0.0
    try:
        for first in range(0, PARTS, BATCH):
            numbers = [results.open(_trigger(clock, first + n)).ticket for n in range(1, BATCH + 1)]
            await asyncio.wrap_future(journal.submit(journal.ledger.commit))
            begun_s = time.perf_counter()
            for no in numbers:
                results.react([Acknowledged(no, True, 0.012), Reported(no, 1, clock.monotonic_s(), 0.8)])
            await asyncio.wrap_future(journal.submit(journal.ledger.commit))
            took_s += time.perf_counter() - begun_s
    finally:
        await results.close()
        thread.close()
    return took_s / PARTS


def _trigger(clock: SystemClock, seq: int) -> Trigger:
    return Trigger(seq, seq, clock.monotonic_s() + 5, clock.monotonic_s())
