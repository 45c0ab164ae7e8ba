"""Rows of past months move into files of their own; none is lost, none is there twice, the counts stay."""

from __future__ import annotations

import itertools
import random
import stat
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import apsw
import pytest

from inspector.core.clock import SystemClock
from inspector.core.errors import StoreError
from inspector.core.types import Refusal
from inspector.store.filing import Filing
from inspector.store.history import SqliteHistory
from inspector.store.months import month_files, month_of
from inspector.store.results import SqliteResults
from inspector.store.search import search
from inspector.threads import DeviceThread
from inspector.web.records import Filters
from plc.registers import Reason
from tests.support.disks import LossyDisk, mounted, quick_folder
from tests.support.invariants import rows_of
from tests.support.store import BY, FAIL, GOOD, PASS, part, stamps, told, trigger

CUTS = 120
HELD = 2  # newest rows of a station that stay


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


class Calendar(SystemClock):
    """Time runs as ever, the date is what the test says."""

    def __init__(self, date: str = "2026-01-10") -> None:
        super().__init__()
        self.date = date

    def utc_s(self) -> float:
        return ms(self.date) / 1000


@pytest.fixture(autouse=True)
def few_rows_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inspector.store.filing.RECENT", HELD)
    monkeypatch.setattr("inspector.store.results.RECENT", HELD)
    monkeypatch.setattr("inspector.store.filing.BATCH", 4)
    monkeypatch.setattr("inspector.store.filing.ROOM_BYTES", 0)
    monkeypatch.setattr("inspector.store.journal.QUIET_S", 0.0)


@asynccontextmanager
async def filed(path: Path, clock: Calendar, **options: Any) -> AsyncIterator[tuple[SqliteResults, Filing]]:
    thread = DeviceThread("store")
    results = SqliteResults.of_file(path, "st1", clock, thread, min_free_bytes=0, **options)
    await results.start()
    filing = Filing(results._journal, clock, DeviceThread("filing"))
    try:
        yield results, filing
    finally:
        filing.close()
        await results.close()
        thread.close()


async def file_all(filing: Filing) -> int:
    moved = 0
    while done := await filing.turn():
        moved += done
    return moved


@asynccontextmanager
async def reading(path: Path) -> AsyncIterator[SqliteHistory]:
    history = SqliteHistory(path, DeviceThread("records"))
    try:
        yield history
    finally:
        history.close()


async def numbers(history: SqliteHistory, **filters: Any) -> list[int]:
    return [row["no"] for row in await history.page(Filters(**filters), None, 1000)]


async def parts(results: SqliteResults, clock: Calendar, dates: list[str]) -> None:
    for seq, clock.date in enumerate(dates, results.last_id() + 1):
        await part(results, seq, FAIL if seq % 3 == 0 else PASS)


def all_rows(path: Path) -> dict[int, Any]:
    """Of every file, results.db last: while a row is in two, that one counts."""
    return {row["no"]: row for file in [*month_files(path), path] if _is_begun(file) for row in rows_of(file)}


def _is_begun(file: Path) -> bool:
    db = apsw.Connection(str(file))  # for writing: what a cut left half-written is taken back
    tables = db.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'inspections'").get
    db.close()
    return bool(tables)


def names(path: Path) -> list[str]:
    return [file.name for file in month_files(path)]


async def test_rows_of_past_months_lie_in_a_file_each_and_are_read_as_one_record(path):
    clock = Calendar()
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await parts(results, clock, ["2026-01-31T23:59:59"] * 6 + ["2026-02-01"] * 6 + ["2026-03-01"] * 3)
        before, counts = await history.page(Filters(), None, 100), results.counts
        assert await file_all(filing) == 12
        assert names(path) == ["results-2026-02.db", "results-2026-01.db"]
        assert [len(rows_of(file)) for file in [*month_files(path), path]] == [6, 6, 3]
        assert await history.page(Filters(), None, 100) == before, "no row is lost, changed or there twice"
        assert results.counts == counts == await history.counts()
        for no in (1, 6, 7, 15):
            assert await history.row(no) == next(row for row in before if row["no"] == no)
        assert await history.neighbours(6) == (5, 7) and await history.neighbours(12) == (11, 13)
        assert await history.neighbours(1) == (None, 2) and await history.neighbours(15) == (14, None)
        assert await file_all(filing) == 0


async def test_a_month_at_rest_is_one_read_only_file(path):
    clock = Calendar()
    async with filed(path, clock) as (results, filing):
        await parts(results, clock, ["2026-01-10"] * 6 + ["2026-02-01"] * 3)
        await file_all(filing)
        (file,) = month_files(path)
        assert not stat.S_IMODE(file.stat().st_mode) & 0o222 and file.stat().st_mode & 0o400
        assert not list(path.parent.glob("results-*.db?*"))


async def test_a_late_row_of_a_month_at_rest_still_finds_its_place(path):
    clock = Calendar()
    async with filed(path, clock) as (results, filing):
        await parts(results, clock, ["2026-01-10"] * 6)
        clock.date = "2026-02-01"
        assert await file_all(filing) == 6 - HELD
        await parts(results, clock, ["2026-02-01"] * 3)
        assert await file_all(filing) == HELD
        assert len(rows_of(month_files(path)[0])) == 6


async def test_rows_that_a_plc_may_ask_for_stay_whatever_their_age(path):
    clock = Calendar()
    async with filed(path, clock) as (results, filing):
        await parts(results, clock, ["2026-01-10"] * 9)
        clock.date = "2026-07-01"
        await file_all(filing)
        assert [row["no"] for row in rows_of(path)] == [8, 9]
        again = await results.refuse(Refusal(9, 1009, Reason.LINK_LOST, time.monotonic(), has_row=True))
        await results.stamp(again, told(again))
        assert rows_of(path)[-1]["published_reason"] == Reason.LINK_LOST


async def test_a_row_that_a_station_still_holds_is_not_taken_out_though_many_came_after_it(path):
    clock = Calendar()
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await parts(results, clock, ["2026-01-10"] * 9)
        results._recent = {3: 3, **results._recent}  # ids came again: one of the newest ids has an old row
        clock.date = "2026-07-01"
        await file_all(filing)
        assert [row["no"] for row in rows_of(path)] == [3, 8, 9]
        assert await numbers(history) == list(range(9, 0, -1))


async def test_an_unsettled_row_stays_and_the_rows_around_it_move(path):
    clock = Calendar()
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await parts(results, clock, ["2026-01-10"] * 2)
        opened = results.open(trigger(3))
        await results.decide(opened, PASS, GOOD, BY, stamps())  # decided, and nobody was told yet
        await parts(results, clock, ["2026-01-10"] * 6)
        clock.date = "2026-02-02"
        assert await file_all(filing) == 6
        assert [row["no"] for row in rows_of(path)] == [3, 8, 9]
        assert await numbers(history) == list(range(9, 0, -1))


async def test_earlier_deliveries_move_with_their_row(path):
    clock = Calendar()
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await part(results, 1)
        again = await results.refuse(Refusal(1, 1001, Reason.LINK_LOST, time.monotonic(), has_row=True))
        await results.stamp(again, told(again))
        await parts(results, clock, ["2026-01-10"] * 4)
        told_before = await history.earlier_deliveries(1)
        clock.date = "2026-02-02"
        await file_all(filing)
        assert await history.earlier_deliveries(1) == told_before and told_before[0][:2] == (1, 0)
        db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        assert db.execute("SELECT count(*) FROM earlier_deliveries").get == 0
        db.close()
        assert results.counts.not_inspected == 1 and results.counts.triggers == 5


async def test_a_move_that_was_cut_off_and_begun_again_moves_each_delivery_once(path, monkeypatch):
    clock = Calendar()
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await part(results, 1)
        again = await results.refuse(Refusal(1, 1001, Reason.LINK_LOST, time.monotonic(), has_row=True))
        await results.stamp(again, told(again))
        await parts(results, clock, ["2026-01-10"] * 4)
        clock.date = "2026-02-02"
        await filing._thread.call(filing._guarded_file)  # into the month, and then the process ends
        await filing._thread.call(filing._rest)
        await file_all(filing)
        assert len(await history.earlier_deliveries(1)) == 1 and len(await numbers(history)) == 5


async def test_a_picture_that_gives_way_months_later_is_noted_on_the_filed_row(path):
    clock = Calendar()
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await parts(results, clock, ["2026-01-10"] * 6)
        results.note_image(2, "reject/0000000/0000000002.png")
        await results.alive()
        clock.date = "2026-02-02"
        await file_all(filing)
        assert (await history.row(2))["image"] and await numbers(history, has_picture=True) == [2]
        results.note_image(2, None)
        results.note_image(77, None)  # of a row that never was
        await results.alive()
        await file_all(filing)
        assert (await history.row(2))["image"] is None and await numbers(history, has_picture=True) == []
        assert not month_files(path)[0].stat().st_mode & 0o222


async def test_a_row_that_changes_between_the_two_files_keeps_its_newest_state(path, monkeypatch):
    clock = Calendar()
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await parts(results, clock, ["2026-01-10"] * 6)
        clock.date = "2026-02-02"
        drop = results._journal.drop

        async def changed_first(rows: Any) -> None:
            results.note_image(2, "reject/x.png")
            await results.alive()
            await drop(rows)

        monkeypatch.setattr(results._journal, "drop", changed_first)
        await filing.turn()
        monkeypatch.setattr(results._journal, "drop", drop)
        assert (await history.row(2))["image"] == "reject/x.png"
        await file_all(filing)
        await file_all(filing)
        assert (await history.row(2))["image"] == "reject/x.png" and await numbers(history) == [6, 5, 4, 3, 2, 1]


async def test_a_clock_that_jumps_loses_no_row_and_makes_no_month_of_the_future(path):
    clock = Calendar()
    silly = ["2026-01-10", "2036-05-05", "1970-01-01", "2026-01-11", "2026-02-20", "2036-05-06", "2026-01-05"]
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await parts(results, clock, silly + ["2026-03-05"] * 3)
        assert await file_all(filing) == 7
        assert names(path) == ["results-2026-02.db", "results-2026-01.db", "results-1970-01.db"]
        assert await numbers(history) == list(range(10, 0, -1))
        assert await numbers(history, from_utc_ms=ms("2036-01-01")) == [6, 2]
        assert await numbers(history, to_utc_ms=ms("1990-01-01")) == [3]
        assert await numbers(history, from_utc_ms=ms("2026-01-01"), to_utc_ms=ms("2026-01-31")) == [7, 4, 1]
        clock.date = "2036-05-07"  # while the clock is wrong
        await file_all(filing)
        clock.date = "2026-03-06"
        await parts(results, clock, ["2026-03-06"] * 3)
        await file_all(filing)
        assert await numbers(history) == list(range(13, 0, -1))


@pytest.mark.parametrize("utc_ms", [2**62, -(2**62), 10**15])
def test_a_date_that_no_calendar_has_is_an_error_of_its_own_kind(utc_ms):
    with pytest.raises(ValueError):
        month_of(utc_ms)


async def test_numbers_go_on_though_every_row_was_filed(path, monkeypatch):
    monkeypatch.setattr("inspector.store.results.RECENT", 0)
    clock = Calendar()
    async with filed(path, clock) as (results, _):
        await parts(results, clock, ["2026-01-10"] * 3)
    db = apsw.Connection(str(path))
    db.execute("DELETE FROM inspections")
    db.close()
    async with filed(path, clock) as (results, _):
        assert (await part(results, 9)).no == 4


async def test_export_gives_every_row_once_while_rows_move(path, monkeypatch):
    monkeypatch.setattr("inspector.store.history.EXPORTED", 3)
    clock = Calendar()
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await parts(results, clock, ["2026-01-10"] * 12 + ["2026-02-01"] * 4)
        found = []
        async for row in history.export(Filters()):
            found.append(row["no"])
            if row["no"] % 4 == 0:
                await filing.turn()
                await part(results, 100 + row["no"])
        assert found == list(range(16, 0, -1))
        assert [row["no"] async for row in history.export(Filters(verdict=2))] == [15, 12, 9, 6, 3]


async def test_a_search_that_takes_too_long_says_how_far_it_came_and_goes_on_from_there(path, monkeypatch):
    monkeypatch.setattr("inspector.store.search.FIRST_WINDOW", 4)
    monkeypatch.setattr("inspector.store.search.GROWTH", 1.0)
    clock = Calendar()
    async with filed(path, clock) as (results, filing):
        await parts(results, clock, ["2026-01-10"] * 12 + ["2026-02-01"] * 4)
        await file_all(filing)
    dbs = [apsw.Connection(str(file), flags=apsw.SQLITE_OPEN_READONLY) for file in [path, *month_files(path)]]
    ticks = itertools.count()
    monkeypatch.setattr("inspector.store.search.time", SimpleNamespace(monotonic=lambda: next(ticks)))
    found, before, pages = [], None, 0
    while True:
        pages += 1
        some = search(lambda: iter(dbs), Filters(verdict=2), before, 2, not_after_s=next(ticks) + 1)  # one window
        found += [row["no"] for row in some]
        before = some[-1]["no"] if len(some) == 2 else some.searched_to_no
        if before is None:
            break
    assert found == [15, 12, 9, 6, 3] and pages > 3
    for db in dbs:
        db.close()
    async with reading(path) as history:  # an export goes on by itself
        monkeypatch.setattr("inspector.store.history.time", SimpleNamespace(monotonic=lambda: next(ticks)))
        monkeypatch.setattr("inspector.store.history.SEARCH_S", 2)
        monkeypatch.setattr("inspector.store.history.LONGEST_S", 1e9)
        assert [row["no"] async for row in history.export(Filters(verdict=2))] == found
        assert (await history.page(Filters(verdict=2), None, 9)).searched_to_no is not None


async def test_without_room_on_the_disk_nothing_is_filed_and_the_rows_stay(path, monkeypatch):
    clock = Calendar()
    async with filed(path, clock) as (results, filing):
        await parts(results, clock, ["2026-01-10"] * 6)
        clock.date = "2026-02-02"
        monkeypatch.setattr("inspector.store.filing.ROOM_BYTES", 1 << 60)
        with pytest.raises(StoreError, match="MB free"):
            await filing.turn()
        assert not names(path) and len(rows_of(path)) == 6


async def test_a_month_that_is_no_database_stops_the_filing_with_its_name_and_no_row_leaves(path):
    clock = Calendar()
    path.with_name("results-2026-01.db").write_bytes(b"something else altogether" * 200)
    async with filed(path, clock) as (results, filing):
        await parts(results, clock, ["2026-01-10"] * 6)
        clock.date = "2026-02-02"
        with pytest.raises(StoreError, match="2026-01"):
            await filing.turn()
        assert len(rows_of(path)) == 6


async def test_a_month_of_an_older_version_gets_the_columns_and_indexes_of_this_one(path):
    clock = Calendar()
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await parts(results, clock, ["2026-01-10"] * 6 + ["2026-02-01"] * 3)
        await file_all(filing)
        (file,) = month_files(path)
        file.chmod(0o644)
        old = apsw.Connection(str(file))
        old.execute("DROP INDEX inspections_by_serial; ALTER TABLE inspections DROP COLUMN stages")
        old.close()
        file.chmod(0o444)
        filing._begun = False  # as after a start
        await file_all(filing)
        assert await numbers(history, serial="x") == []
        assert (await history.row(1))["stages"] is None and len(await numbers(history)) == 9


async def test_a_month_that_is_only_begun_hides_nothing(path):
    clock = Calendar()
    apsw.Connection(str(path.with_name("results-2026-01.db"))).pragma("user_version", 0)
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await parts(results, clock, ["2026-01-10"] * 6)
        assert await numbers(history) == [6, 5, 4, 3, 2, 1]
        clock.date = "2026-02-02"
        assert await file_all(filing) == 4 and await numbers(history) == [6, 5, 4, 3, 2, 1]


@pytest.mark.slow
async def test_no_power_cut_in_a_move_loses_a_row_or_counts_one_twice(path):
    disk, clock = LossyDisk(), Calendar()
    with mounted(disk):
        async with filed(path, clock, vfs=disk.name) as (results, filing):
            await parts(results, clock, ["2026-01-10"] * 10 + ["2026-02-10"] * 6)
            results.note_image(2, "reject/2.png")
            await results.alive()
            clock.date = "2026-03-01"
            begin = len(disk.ops)
            expected, counts = all_rows(path), results.counts
            await file_all(filing)
            results.note_image(2, None)
            await results.alive()
            await file_all(filing)
            end = len(disk.ops)
    assert end - begin > CUTS / 2
    luck = random.Random(1)
    every = range(begin, end + 1)
    for cut in every if len(every) <= CUTS else sorted(luck.sample(every, CUTS)):
        with quick_folder() as folder:
            disk.cut(cut, folder, luck)
            again = folder / "results.db"
            found = all_rows(again)
            assert set(found) == set(expected), f"cut after {cut} operations"
            async with filed(again, clock) as (results, filing), reading(again) as history:
                assert results.counts == counts, f"cut after {cut} operations"
                await file_all(filing)
                assert await numbers(history) == sorted(expected, reverse=True)
                kept = [row["no"] for file in [*month_files(again), again] for row in rows_of(file)]
                assert sorted(kept) == sorted(expected), f"cut after {cut} operations: {kept}"
                for no, row in expected.items():
                    assert {**await history.row(no), "image": None} == {**row, "image": None}
