"""For `make bench-store`: a record of any length, made quickly, over twelve monthly files as the filing leaves them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import apsw

from inspector.store.counts import Begin, Scope, begin_period
from inspector.store.database import Database
from inspector.store.months import MonthFile, Schema, begin_of_month_ms, month_of, month_path

MONTHS = 12
WAITING = 50_000  # rows of the month before this one that lie in results.db still, for the filing that is measured
_COLUMNS = (
    "no, station, boot, kind, trigger_id, part_id, encoder, lot, serial, test_part, opened_utc_ms, decided_code,"
    " decided_reason, label, class_id, confidence, novelty_score, anomaly_score, bundle_id, recipe, recipe_revision,"
    " model_rev, elapsed_ms, stages, published_code, published_reason, published_utc_ms, delivery, image,"
    " ack, ack_ms, plc_verdict, plc_verdict_ms, plc_verdict_utc_ms"
)
_STAGES = (
    '{"trigger": 0.0, "accepted": 0.212, "opening": 0.305, "grabbed": 9.131, "checked": 10.022, "predicted": 26.204,'
    ' "judged": 26.411, "opened": 4.212, "decided": 29.877, "publishing": 30.004}'
)
_KINDS = (  # share of 10,000, code, reason, label
    (9500, 1, 0, "good"), (300, 2, 102, "scratch"), (150, 3, 101, "good"), (40, 4, 105, None), (9, 2, 103, "dent"),
    (1, 2, 103, "swarf"),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Record:
    """A generated record; its last months lie in results.db still."""

    path: Path
    count: int
    begin_ms: int
    running_ms: int  # where the running month begins
    end_ms: int

    def moment(self, share: float) -> int:
        return round(self.begin_ms + share * (self.end_ms - self.begin_ms))


def generate(path: Path, count: int, say: Callable[[str], None]) -> Record:
    """Rows of the last twelve months, evenly; the running month and WAITING rows of the one before in results.db."""
    with contextlib.closing(Database(path)) as database:
        database.open()
        with database.transaction() as db:
            begin_period(db, Begin("st1", Scope.RESET, "1", 1, 0, "bench", "first start"))
    live = apsw.Connection(str(path))
    schema = Schema.of(live)
    now_ms = round(time.time() * 1000)
    begins = _begins(now_ms)
    each_ms = (now_ms - begins[0]) / count
    luck = Random(1)
    first = 1
    for begin_ms, end_ms in zip(begins, [*begins[1:], now_ms], strict=True):
        say(f"rows of {month_of(begin_ms)}")
        after = min(count + 1, int((end_ms - begins[0]) / each_ms) + 1)
        past = end_ms != now_ms
        waiting = WAITING if end_ms == begins[-1] else 0
        split = max(first, after - waiting) if past else first
        if split > first:
            _bulk(month_path(path, month_of(begin_ms)), schema, _rows(luck, first, split, begins[0], each_ms))
        if after > split:
            _insert(live, _rows(luck, split, after, begins[0], each_ms))
        first = after
    live.close()
    return Record(path, first - 1, begins[0], begins[-1], now_ms)


def _begins(now_ms: int) -> list[int]:
    """Of the last twelve months, oldest first."""
    begins = [begin_of_month_ms(now_ms)]
    while len(begins) < MONTHS:
        begins.insert(0, begin_of_month_ms(begins[0] - 1))
    return begins


def _bulk(path: Path, schema: Schema, found: Iterator[tuple[Any, ...]]) -> None:
    """Tables first and indexes last, without a sync; then as the filing leaves it."""
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "off")
    db.pragma("synchronous", "off")
    db.pragma("cache_size", -200_000)
    for sql in schema.tables.values():
        if "sqlite_sequence" not in sql:
            db.execute(sql)
    _insert(db, found)
    for sql in schema.indexes.values():
        db.execute(sql)
    db.close()
    month = MonthFile(path)
    month.open(schema)
    month.close()


def _insert(db: apsw.Connection, found: Iterator[tuple[Any, ...]]) -> None:
    marks = ", ".join("?" * len(_COLUMNS.split(",")))
    with db:
        db.executemany(f"INSERT INTO inspections ({_COLUMNS}) VALUES ({marks})", found)


def _rows(luck: Random, first: int, after: int, begin_ms: int, each_ms: float) -> Iterator[tuple[Any, ...]]:
    kinds = [kind for kind in _KINDS for _ in range(kind[0])]
    for no in range(first, after):
        _, code, reason, label = kinds[int(luck.random() * 10_000)]
        at_ms = round(begin_ms + no * each_ms)
        recipe = 1 + no // 400_000 % 5
        yield (
            no, f"st{1 + no % 2}", 1 + no // 100_000, "accepted", 1 + no % 65_535, no, 0, f"L-{no // 5000:05d}",
            f"SN{no:09d}", int(no % 20_000 == 0), at_ms, code, reason, label, 0, luck.random(),
            luck.random(), luck.random(), f"disc-{1 + no // 2_000_000}-abc", recipe, 1, recipe, 29.9, _STAGES,
            code, reason, at_ms + 30, "confirmed", f"reject/{no // 1000:07d}/{no:010d}.png" if code > 1 else None,
            "acknowledged", 12.5, 1 + (code > 1) + (no % 30_000 == 0), 840.0, at_ms + 870,
        )  # fmt: skip
