"""How long a row takes to be recorded while a backup of the record is made, against the same without one.

python -m tests.bench.beside_backup [--rows 300000] [--parts 1500] [--mb-per-s 20] [--folder FOLDER]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import tempfile
import time
from pathlib import Path

import apsw
import numpy as np

from inspector.core.types import Refusal
from inspector.store.results import SqliteResults
from plc.registers import Reason
from tests.support.box import BoxOnDisk, configure
from tests.support.store import store

EVERY_S = 0.02
TURN_S = 0.5


def fill(box: BoxOnDisk, rows: int) -> None:
    """So many rows of about 900 bytes."""
    luck = random.Random(1)
    db = apsw.Connection(str(box.results))
    with db:
        db.executemany(
            "INSERT INTO inspections (station, boot, kind, trigger_id, part_id, opened_utc_ms, decided_code,"
            " decided_reason, delivery, stages) VALUES ('st1', 1, 'accepted', ?, ?, ?, 1, 0, 'confirmed', ?)",
            ((n % 65_535 + 1, n, time.time_ns() // 1_000_000, luck.randbytes(400).hex()) for n in range(rows)),
        )
    db.close()


async def parts(results: SqliteResults, count: int, until: asyncio.Task[int] | None = None) -> list[float]:
    """Seconds of rows committed one after the other; until: no longer than it runs."""
    took: list[float] = []
    turned_s = time.monotonic()
    for n in range(count):
        if until is not None and until.done():
            break
        begun_s = time.perf_counter()
        await results.refuse(Refusal(1 + n, n, Reason.OVERRUN, time.monotonic()))
        took.append(time.perf_counter() - begun_s)
        if time.monotonic() - turned_s > TURN_S:
            await results.alive()
            turned_s = time.monotonic()
        await asyncio.sleep(EVERY_S)
    return took


async def backups(config: Path) -> int:
    """One in a process of its own, as systemd starts it; its exit status."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "inspector", "backup", str(config), stdout=asyncio.subprocess.DEVNULL
    )
    return await child.wait()


async def measure(box: BoxOnDisk, rows: int, count: int) -> dict[str, object]:
    async with store(box.results):
        pass  # the schema, and a period to count in
    fill(box, rows)
    async with store(box.results) as results:
        before = await parts(results, count)
        begun_s = time.monotonic()
        running = asyncio.create_task(backups(box.config))
        during = await parts(results, 100_000, running)
        took_s = time.monotonic() - begun_s
        status = await running
        wal = box.results.with_name("results.db-wal").stat().st_size
        after = await parts(results, count)
    (made,) = box.sticks.iterdir()
    told = {"rows": rows, "record_mb": box.results.stat().st_size / 1e6, "backup_mb": made.stat().st_size / 1e6}
    figures = {
        name: {"parts": len(s), "p50_ms": 1000 * np.percentile(s, 50), "p99_ms": 1000 * np.percentile(s, 99),
               "max_ms": 1000 * max(s)}
        for name, s in (("before", before), ("during", during), ("after", after))
    }  # fmt: skip
    return {**told, "took_s": took_s, "exit_status": status, "wal_mb": wal / 1e6, **figures}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=300_000)
    parser.add_argument("--parts", type=int, default=1500)
    parser.add_argument("--mb-per-s", type=float, default=20)
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="beside-backup-", dir=asked.folder) as name:
        box = configure(Path(name) / "box", Path(name) / "stick")
        text = box.config.read_text().replace("mb_per_s = 10000", f"mb_per_s = {asked.mb_per_s}")
        box.config.write_text(text)
        box.state.mkdir()
        found = asyncio.run(measure(box, asked.rows, asked.parts))
    print(json.dumps(found, indent=1, default=lambda x: round(float(x), 3)))
    return int(found["exit_status"] != 0)


if __name__ == "__main__":
    raise SystemExit(main())
