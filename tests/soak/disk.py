"""A small disk filled at a high rate, with a null model: what gives way, and what never does.

    python -m tests.soak.disk [SECONDS]      mounts a tmpfs, and so needs root

A hundred parts a second, each with a picture of 300 kB that is kept: the disk is full within seconds, and stays so.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from inspector.core.clock import SystemClock
from inspector.health import Health
from inspector.store.shelf import Bounds, Kind
from plc.registers import Verdict
from tests.support.keeping import Keeping, keeping
from tests.support.store import FAIL, PASS

MB = 1 << 20
DISK = "size=80m"
FILLER = 16 * MB  # what lies there beside us
BOUNDS = Bounds(
    max_bytes=1 << 40, min_free_bytes=16 * MB, sample_bytes=4 * MB, begin_free_bytes=26 * MB, stop_free_bytes=30 * MB
)
SIZE = (320, 320)  # of a picture, 300 kB without loss
RATE_HZ = 100.0
HELD = "L-HELD"
HELD_PARTS = 30
PASS_SHARE = 0.5


@dataclass
class Seen:
    """What came of it."""

    parts: int = 0
    wrong: int = 0  # parts that were not recorded as they were decided
    cycles_ms: list[float] = field(default_factory=list)
    least_free: int = 1 << 62
    held: list[str] = field(default_factory=list)  # paths of pictures on hold
    lost: list[str] = field(default_factory=list)  # of them, those that went
    dropped: int = 0
    removed: int = 0
    sample_bytes: int = 0
    alarms: list[str] = field(default_factory=list)
    gone_when_stuck: list[str] = field(default_factory=list)  # pictures that gave way when all that is kept is on hold

    def told(self) -> list[str]:
        p50, p99 = np.percentile(self.cycles_ms, (50, 99))
        return [
            f"{self.parts} parts, {self.wrong} not recorded as decided; row to row p50 {p50:.1f} ms, p99 {p99:.1f} ms",
            f"least free {self.least_free / MB:.1f} MB, floor {BOUNDS.min_free_bytes / MB:.0f} MB",
            f"{self.removed} pictures gave way, {self.dropped} were not written",
            f"{len(self.held)} pictures on hold, {len(self.lost)} of them lost",
            f"sample {self.sample_bytes / MB:.1f} MB, its own room {BOUNDS.sample_bytes / MB:.0f} MB",
        ]


class _Watch:
    """Looks at the free space all the time, from a thread of its own."""

    def __init__(self, folder: Path, seen: Seen) -> None:
        self._folder, self._seen, self._end = folder, seen, threading.Event()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()

    def _look(self) -> None:
        while not self._end.wait(0.001):
            fs = os.statvfs(self._folder)
            self._seen.least_free = min(self._seen.least_free, fs.f_bavail * fs.f_frsize)

    def end(self) -> None:
        self._end.set()
        self._thread.join()


async def soak(disk: Path, seconds: float) -> Seen:
    """Fill `disk` for so long, at RATE_HZ."""
    seen = Seen()
    (disk / "filler").write_bytes(bytes(FILLER))
    async with keeping(disk, BOUNDS, pass_share=PASS_SHARE, min_free_bytes=4 * MB) as box:
        tending = asyncio.create_task(box.retention.run_forever(), name="retention")
        beating = asyncio.create_task(_beat(box), name="beat")
        watch = _Watch(disk, seen)
        try:
            await box.ask("hold_lot", lot=HELD, reason="complaint")
            await _play(box, seen, HELD_PARTS, HELD)
            await box.written()
            seen.held = box.files()
            await _play(box, seen, round(seconds * RATE_HZ), "L-1")
        finally:
            watch.end()
        seen.removed, seen.sample_bytes = box.archive.stock.removed, box.archive.stock.piles[Kind.PASS].bytes
        seen.dropped = box.archive.state.dropped
        seen.lost = sorted(set(seen.held) - set(box.files()))
        await box.ask("hold_lot", lot="L-1", reason="all of it")
        before = seen.wrong
        while not box.archive.state.full and seen.wrong == before:  # until nothing may go any more
            await _play(box, seen, 20, "L-1")
        kept = set(box.files())
        await _play(box, seen, 50, "L-1")
        seen.gone_when_stuck = sorted(kept - set(box.files()))
        seen.alarms = _alarms(box)
        for task in (tending, beating):
            task.cancel()
        await asyncio.gather(tending, beating, return_exceptions=True)
    return seen


async def _play(box: Keeping, seen: Seen, parts: int, lot: str) -> None:
    for _ in range(parts):
        begun = time.monotonic()
        outcome = PASS if seen.parts % 2 else FAIL
        done = await box.part(seen.parts % 60_000 + 1, outcome, SIZE, lot=lot)
        seen.parts += 1
        seen.wrong += done.outcome.verdict is not (Verdict.PASS if outcome is PASS else Verdict.FAIL)
        took = time.monotonic() - begun
        seen.cycles_ms.append(1000 * took)
        await asyncio.sleep(max(0.0, 1 / RATE_HZ - took))


async def _beat(box: Keeping) -> None:
    """As the watchdog does."""
    while True:
        await box.results.alive()
        await asyncio.sleep(0.1)


def _alarms(box: Keeping) -> list[str]:
    health = Health(SystemClock(), {})
    box.retention.warn(health)
    return [alarm.id for alarm in health.state().alarms]


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 120.0
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", "-t", "tmpfs", "-o", DISK, "tmpfs", folder], check=True)
        try:
            seen = asyncio.run(soak(Path(folder), seconds))
        finally:
            subprocess.run(["umount", "-l", folder], check=True)
    print("\n".join(seen.told()))
    bad = seen.wrong or seen.lost or seen.least_free < BOUNDS.min_free_bytes
    raise SystemExit(1 if bad else 0)


if __name__ == "__main__":
    main()
