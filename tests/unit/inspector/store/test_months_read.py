"""A record over several files is read as one."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import apsw
import pytest

from inspector.store.month_list import months
from inspector.store.months import damaged_months, month_files, month_of
from inspector.store.record_files import RecordFiles
from inspector.store.search import search
from inspector.web.records import Filters
from tests.support.invariants import rows_of
from tests.support.months import Calendar, file_all, filed, keep_few, ms, names, numbers, parts, reading
from tests.support.store import part


@pytest.fixture(autouse=True)
def few_rows_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_few(monkeypatch)


async def test_rows_of_past_months_lie_in_a_file_each_and_are_read_as_one_record(path):
    clock = Calendar()
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await parts(results, clock, ["2026-01-31T23:59:59"] * 6 + ["2026-02-01"] * 6 + ["2026-03-01"] * 3)
        before, counts = await history.page(Filters(), None, 100), results.counts
        assert await file_all(filing) == 12
        assert names(path) == ["results-2026-02.db", "results-2026-01.db"]
        assert [len(rows_of(file)) for file in [*month_files(path), path]] == [6, 6, 3]
        assert await history.page(Filters(), None, 100) == before, "no row is lost, changed or there twice"
        assert results.counts == counts
        for no in (1, 6, 7, 15):
            assert await history.row(no) == next(row for row in before if row["no"] == no)
        assert await history.neighbours(6) == (5, 7) and await history.neighbours(12) == (11, 13)
        assert await history.neighbours(1) == (None, 2) and await history.neighbours(15) == (14, None)
        assert await file_all(filing) == 0


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


@pytest.mark.parametrize("first", [0, 2])  # page from which on the file is noise
async def test_a_month_that_is_damaged_is_left_out_and_the_others_are_read_on_until_it_is_replaced(path, first):
    clock = Calendar()
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await parts(results, clock, ["2026-01-31"] * 6 + ["2026-02-01"] * 6 + ["2026-03-01"] * 3)
        await file_all(filing)
        broken = path.with_name("results-2026-01.db")
        whole = broken.read_bytes()
        broken.chmod(0o640)
        broken.write_bytes(whole[: 4096 * first] + b"\x55" * (len(whole) - 4096 * first))
        assert await numbers(history) == list(range(15, 6, -1))
        assert await history.row(3) is None and (await history.row(8) or {})["no"] == 8
        kept, _ = await history.ask_all(months)
        assert [(one.month, one.from_no, one.to_no, one.damaged) for one in kept] == [
            ("2026-02", 7, 12, False), ("2026-01", None, None, True)
        ]  # fmt: skip
        assert damaged_months(path) == ([] if first else ["results-2026-01.db"])
        if not first:
            files = RecordFiles(path)
            with pytest.raises(apsw.NotADBError):  # who removes what no row names must not take it for empty
                list(files.every())
            files.forget()
        broken.write_bytes(whole)
        assert await numbers(history) == list(range(15, 0, -1)) and damaged_months(path) == []


@pytest.mark.parametrize("utc_ms", [2**62, -(2**62), 10**15])
def test_a_date_that_no_calendar_has_is_an_error_of_its_own_kind(utc_ms):
    with pytest.raises(ValueError):
        month_of(utc_ms)


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


async def test_a_month_that_is_only_begun_hides_nothing(path):
    clock = Calendar()
    apsw.Connection(str(path.with_name("results-2026-01.db"))).pragma("user_version", 0)
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await parts(results, clock, ["2026-01-10"] * 6)
        assert await numbers(history) == [6, 5, 4, 3, 2, 1]
        clock.date = "2026-02-02"
        assert await file_all(filing) == 4 and await numbers(history) == [6, 5, 4, 3, 2, 1]
