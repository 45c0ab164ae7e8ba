"""All that keeps and removes pictures, as the daemon has it, without a line before it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inspector.core.clock import SystemClock
from inspector.core.ports import Clock
from inspector.core.types import Frame, Inspection, Limits, Outcome, Proof
from inspector.retention import Retention, RetentionSettings
from inspector.store.claims import RecordClaims
from inspector.store.filing import Filing
from inspector.store.images import ArchiveSettings, ImageArchive
from inspector.store.record_files import RecordFiles
from inspector.store.results import SqliteResults
from inspector.store.shelf import Bounds
from inspector.threads import DeviceThread
from tests.support.store import BY, FAIL, GOOD, stamps, told, trigger

LIMITS = Limits(0.8, None, (-1.0, 1.0), frozenset({"good"}))


@dataclass
class Keeping:
    """state: the folder of results.db and pictures."""

    state: Path
    results: SqliteResults
    archive: ImageArchive
    filing: Filing
    retention: Retention

    @property
    def pictures(self) -> Path:
        return self.state / "pictures"

    async def part(
        self, seq: int, outcome: Outcome = FAIL, size: tuple[int, int] = (16, 16), **changes: Any
    ) -> Inspection:
        """A part as the line records it, its picture offered to the archive."""
        opened = self.results.open(trigger(seq, **changes))
        done = await self.results.decide(opened, outcome, GOOD, BY, stamps())
        delivery = told(done)
        await self.results.stamp(done, delivery)
        image = np.random.default_rng(seq).integers(0, 256, (*size, 3), np.uint8)
        self.archive.offer(done, Frame(image, seq, time.monotonic(), 500, Proof.SIMULATED, seq))
        return done

    async def written(self) -> None:
        """All pictures that were offered lie there, and their rows say so."""
        await asyncio.wrap_future(self.archive.begin(lambda _: None))
        await self.results.alive()

    async def ask(self, method: str, actor: str = "quinn", **params: Any) -> Any:
        """As over the control socket."""
        answer = self.retention.handlers()[method](params, actor)
        return await answer if asyncio.iscoroutine(answer) else answer

    def files(self) -> list[str]:
        """Kept pictures, by their path."""
        return sorted(str(file.relative_to(self.pictures)) for file in self.pictures.rglob("*.png"))


@asynccontextmanager
async def keeping(
    state: Path, bounds: Bounds | None = None, *, clock: Clock | None = None, pass_share: float = 0.0,
    min_free_bytes: int = 0,
) -> AsyncIterator[Keeping]:  # fmt: skip
    clock = clock or SystemClock()
    bounds = bounds or Bounds(min_free_bytes=0)
    thread = DeviceThread("store")
    results = SqliteResults.of_file(state / "results.db", "st1", clock, thread, min_free_bytes=min_free_bytes)
    await results.start()
    journal, claims = results._journal, RecordFiles(state / "results.db")
    filing = Filing(journal, clock, DeviceThread("filing"))
    settings = ArchiveSettings(state / "pictures", state / "previews", bounds, pass_share)
    archive = ImageArchive(settings, LIMITS, noted=results.note_image, claims=RecordClaims(claims, journal.holds))
    retention = Retention(
        RetentionSettings(state / "pictures", state / "set-aside", bounds, 30, min_free_bytes),
        journal, results, archive, filing, clock, DeviceThread("retention"),
    )  # fmt: skip
    try:
        yield Keeping(state, results, archive, filing, retention)
    finally:
        retention.close()
        archive.close()
        claims.forget()
        filing.close()
        await results.close()
        thread.close()
