"""`make bench-store`: ten million rows over twelve monthly files, and how long every question of the screens takes.

Then parts are recorded while past rows are filed, in turns with plain writes and fsync to the same disk. Writes
docs/bench/store.json; exit status 1 if a bar is missed.

    python -m tests.bench.store [--rows 10000000] [--folder FOLDER] [--out docs/bench/store.json]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import platform
import shutil
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from random import Random
from typing import Any

import apsw
import numpy as np
from rich.console import Console

from inspector.core.clock import SystemClock
from inspector.core.types import Refusal
from inspector.runtime import cpu_model
from inspector.store.filing import Filing
from inspector.store.history import SqliteHistory
from inspector.store.months import month_files
from inspector.store.results import SqliteResults
from inspector.threads import DeviceThread
from inspector.web.records import Filters, Found
from plc.reactions import Acknowledged, Reported
from plc.registers import Reason
from tests.bench import rows
from tests.bench.rows import Row
from tests.bench.store_rows import MONTHS, WAITING, Record, generate
from training.train import source_commit

BYTES_A_ROW = 1100  # with all indexes, and room for the filing
PAGE = 51  # rows of the history's page, and one to see whether there are more
ROUNDS = 20
PARTS, EVERY_S = 3000, 0.02  # recorded by themselves, and again beside the filing
TURN_S = 0.5
QUERY_BAR_S, INSERT_BAR_MS = 1.0, 2.0
Ask = Callable[[SqliteHistory, Record, Random], Awaitable[Any]]


def _page(**of: Callable[[Record, Random], Any]) -> Ask:
    async def ask(history: SqliteHistory, record: Record, luck: Random) -> Found:
        wanted = {name: value(record, luck) for name, value in of.items()}
        before = wanted.pop("before_no", None)
        return await history.page(Filters(**wanted), before, PAGE)

    return ask


def _any_no(record: Record, luck: Random) -> int:
    return luck.randrange(1, record.count + 1)


QUESTIONS: dict[str, Ask] = {
    "newest rows": _page(),
    "a page somewhere": _page(before_no=_any_no),
    "one row": lambda history, record, luck: history.row(_any_no(record, luck)),
    "its neighbours": lambda history, record, luck: history.neighbours(_any_no(record, luck)),
    "its earlier deliveries": lambda history, record, luck: history.earlier_deliveries(_any_no(record, luck)),
    "by serial": _page(serial=lambda record, luck: f"SN{_any_no(record, luck):09d}"),
    "by a serial that is not there": _page(serial=lambda record, luck: "SN-none"),
    "by lot": _page(lot=lambda record, luck: f"L-{_any_no(record, luck) // 5000:05d}"),
    "by part id": _page(part_id=_any_no),
    "by trigger id": _page(trigger_id=lambda record, luck: luck.randrange(1, 65_536)),
    "by verdict FAIL": _page(verdict=lambda record, luck: 2),
    "by a rare reason": _page(reason=lambda record, luck: 103),
    "by a reason that is not there": _page(reason=lambda record, luck: 112),
    "by the rarest label": _page(label=lambda record, luck: "swarf"),
    "by recipe": _page(recipe=lambda record, luck: luck.randrange(1, 6)),
    "by a recipe that is not there": _page(recipe=lambda record, luck: 9),
    "by the oldest bundle": _page(bundle_id=lambda record, luck: "disc-1-abc"),
    "by station": _page(station=lambda record, luck: "st2"),
    "test parts": _page(test_part=lambda record, luck: True),
    "where the PLC disagrees": _page(plc_disagrees=lambda record, luck: True),
    "where the PLC agrees": _page(plc_disagrees=lambda record, luck: False),
    "with a picture": _page(has_picture=lambda record, luck: True),
    "an hour somewhere": _page(
        from_utc_ms=lambda record, luck: record.moment(0.37),
        to_utc_ms=lambda record, luck: record.moment(0.37) + 3_600_000,
    ),
    "half a year that ends a month ago": _page(
        from_utc_ms=lambda record, luck: record.moment(0.4), to_utc_ms=lambda record, luck: record.moment(0.9)
    ),
    "FAIL in the first month": _page(
        verdict=lambda record, luck: 2, to_utc_ms=lambda record, luck: record.moment(0.06)
    ),
    "a time before the record": _page(to_utc_ms=lambda record, luck: record.begin_ms - 1),
    "by score, some match": _page(anomaly_min=lambda record, luck: 0.99),
    "by score, none matches": _page(anomaly_min=lambda record, luck: 2.0),
    "PASS by two scores, none matches": _page(
        verdict=lambda record, luck: 1, confidence_max=lambda record, luck: 0.5, novelty_min=lambda record, luck: 2.0
    ),
    "FAIL of the common label, none matches": _page(verdict=lambda record, luck: 2, label=lambda record, luck: "good"),
}  # fmt: skip


async def ask_all(record: Record) -> list[Row]:
    """Every question in turns, so that none finds the cache to itself."""
    history, luck = SqliteHistory(record.path, DeviceThread("records")), Random(2)
    seconds: dict[str, list[float]] = {name: [] for name in QUESTIONS}
    unfinished = dict.fromkeys(QUESTIONS, 0)
    try:
        for _ in range(ROUNDS):
            for name, ask in QUESTIONS.items():
                begun_s = time.perf_counter()
                found = await ask(history, record, luck)
                seconds[name].append(time.perf_counter() - begun_s)
                unfinished[name] += isinstance(found, Found) and found.searched_to_no is not None
    finally:
        history.close()
    worst = [
        rows.at_most(f"{name}, p95", 1000 * float(np.percentile(s, 95)), "ms", 1000 * QUERY_BAR_S)
        for name, s in seconds.items()
    ]
    medians = [Row(f"{name}, p50", 1000 * rows.p50(s), "ms") for name, s in seconds.items()]
    ends = [
        Row(f"{name}: pages that end with how far they looked", 100 * n / ROUNDS, "%")
        for name, n in unfinished.items() if n
    ]  # fmt: skip
    return [row for pair in zip(medians, worst, strict=True) for row in pair] + ends


async def record_parts(record: Record) -> list[Row]:
    """One committed row after the other while past rows are filed, in turns with plain writes to the same disk."""
    clock, thread = SystemClock(), DeviceThread("store")
    results = SqliteResults.of_file(record.path, "st1", clock, thread, min_free_bytes=0)
    begun_s = time.perf_counter()
    await results.start()
    start_s = time.perf_counter() - begun_s
    filing = Filing(results._journal, clock, DeviceThread("filing"))
    turning = asyncio.create_task(_turn_forever(results))
    try:
        calm = await _parts(results, record.path.parent / "plain")
        moving = asyncio.create_task(filing.run_forever())
        busy = await _parts(results, record.path.parent / "plain")
        await _cancel(moving)
    finally:
        await _cancel(turning)
        filing.close()
        await results.close()
        thread.close()
    found = [Row("start on this record", start_s, "s")]
    bar_ms = round(1000 * rows.p99(calm[0]) + INSERT_BAR_MS, 2)  # of the disk that nothing else writes to
    for what, (plain_s, insert_s) in (("insert", calm), ("insert while rows are filed", busy)):
        found += [
            *rows.milliseconds(f"write and fsync beside: {what}", plain_s),
            Row(f"{what}, p50", 1000 * rows.p50(insert_s), "ms"),
            rows.at_most(f"{what}, p99", 1000 * rows.p99(insert_s), "ms", bar_ms),
        ]
    filed = _filed_rows(record)
    return [*found, Row("rows filed meanwhile", filed, "rows", "at least 1, and no error",
                        filed > 0 and filing.fault is None)]  # fmt: skip


async def _turn_forever(results: SqliteResults) -> None:
    """The housekeeping that the daemon's watchdog asks for."""
    while True:
        await asyncio.sleep(TURN_S)
        await results.alive()


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _parts(results: SqliteResults, plain: Path) -> tuple[list[float], list[float]]:
    """Seconds of (plain writes with fsync, rows committed), one after the other."""
    plain_s: list[float] = []
    insert_s: list[float] = []
    with plain.open("wb", buffering=0) as file:
        for n in range(PARTS):
            plain_s.append(await asyncio.to_thread(_write_and_fsync, file))
            begun_s = time.perf_counter()
            done = await results.refuse(Refusal(1 + n, n, Reason.OVERRUN, time.monotonic()))
            insert_s.append(time.perf_counter() - begun_s)
            results.react([Acknowledged(done.no, True, 0.012), Reported(done.no, 2, time.monotonic(), 0.8)])
            await asyncio.sleep(EVERY_S)
    return plain_s, insert_s


def _write_and_fsync(file: FileIO) -> float:
    begun_s = time.perf_counter()
    file.write(bytes(4096))
    os.fsync(file.fileno())
    return time.perf_counter() - begun_s


def _filed_rows(record: Record) -> int:
    """How many of the rows that waited for the filing are out of results.db."""
    db = apsw.Connection(str(record.path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        left = db.execute("SELECT count(*) FROM inspections WHERE opened_utc_ms < ?", (record.running_ms,)).get
    finally:
        db.close()
    return WAITING - int(left)


def _about(record: Record, folder: Path, made_s: float) -> list[Row]:
    size = sum(file.stat().st_size for file in folder.iterdir())
    return [
        Row("rows", record.count), Row("files", len(month_files(record.path)) + 1),
        Row("bytes a row", size / record.count),
        Row("made in", made_s, "s"), Row("CPU", cpu_model()), Row("cores", len(os.sched_getaffinity(0))),
        Row("memory", os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30, "GB"),
        Row("SQLite", apsw.sqlite_lib_version()), Row("python", platform.python_version()),
        Row("commit", source_commit() or "unknown"), Row("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, default=Path("."), help="on the disk that is measured")
    parser.add_argument("--out", type=Path, default=Path("docs/bench/store.json"))
    args = parser.parse_args()
    console = Console()
    needed, free = args.rows * BYTES_A_ROW, shutil.disk_usage(args.folder).free
    console.print(f"{args.rows:,} rows over {MONTHS} months need {needed >> 20:,} MB; {free >> 20:,} MB are free")
    if free < needed:
        return 2
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=args.folder) as name:
        folder = Path(name).resolve()
        begun_s = time.perf_counter()
        record = generate(folder / "results.db", args.rows, console.print)
        made_s = time.perf_counter() - begun_s
        console.print("asking")
        found = asyncio.run(ask_all(record))
        console.print("recording")
        found += asyncio.run(record_parts(record))
        found += _about(record, folder, made_s)
    rows.show(found, console, "make bench-store")
    rows.write_json(found, args.out)
    console.print(f"written: {args.out}")
    for row in rows.missed(found):
        console.print(f"missed: {row.name} is {row.value:.4g} {row.unit}, {row.bar}", markup=False)
    return 1 if rows.missed(found) else 0


if __name__ == "__main__":
    sys.exit(main())
