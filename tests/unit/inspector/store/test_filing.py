"""Rows of past months move into files of their own; none is lost, none is there twice, the counts stay."""

from __future__ import annotations

import asyncio
import random
import stat
import time
from typing import Any

import apsw
import pytest

from inspector.core.errors import StoreError
from inspector.core.types import Refusal
from inspector.store.months import month_files
from plc.reactions import Acknowledged, Reported
from plc.registers import Reason
from tests.support.disks import LossyDisk, mounted, quick_folder
from tests.support.invariants import rows_of
from tests.support.months import HELD, Calendar, all_rows, file_all, filed, keep_few, names, numbers, parts, reading
from tests.support.store import BY, GOOD, PASS, part, stamps, told, trigger

NO_PICTURE = dict.fromkeys(("image", "picture_gone_utc_ms", "picture_gone_why"))  # noted late, or not yet
CUTS = 120


@pytest.fixture(autouse=True)
def few_rows_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    keep_few(monkeypatch)


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


async def test_what_the_plc_did_between_the_two_files_is_not_lost_and_moves_with_its_row(path, monkeypatch):
    clock = Calendar()
    async with filed(path, clock) as (results, filing), reading(path) as history:
        await parts(results, clock, ["2026-01-10"] * 6)
        clock.date = "2026-02-02"
        drop = results._journal.drop

        async def reacted_first(rows: Any) -> None:
            results.react([Acknowledged(2, True, 0.012), Reported(3, 1, time.monotonic(), 1.5)])
            await results.alive()
            await drop(rows)

        monkeypatch.setattr(results._journal, "drop", reacted_first)
        await filing.turn()
        monkeypatch.setattr(results._journal, "drop", drop)
        assert [row["no"] for row in rows_of(path)][:2] == [2, 3], "they say something else than their copies"
        await file_all(filing)
        await file_all(filing)
        assert [row["no"] for row in rows_of(path)] == [5, 6]
        rows = [await history.row(no) for no in (2, 3, 4)]
        assert [(row["ack"], row["ack_ms"]) for row in rows] == [("acknowledged", 12.0), (None, None), (None, None)]
        assert [row["plc_verdict"] for row in rows] == [None, 1, None] and rows[1]["plc_verdict_ms"] == 1500.0


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


async def test_a_person_is_told_why_nothing_is_filed_until_it_is(path, monkeypatch):
    monkeypatch.setattr("inspector.store.filing.EVERY_S", 0.001)
    clock = Calendar()
    async with filed(path, clock) as (results, filing):
        await parts(results, clock, ["2026-01-10"] * 6)
        clock.date = "2026-02-02"
        monkeypatch.setattr("inspector.store.filing.ROOM_BYTES", 1 << 60)
        forever = asyncio.create_task(filing.run_forever())
        async with asyncio.timeout(60):
            while filing.fault is None:  # noqa: ASYNC110 - a state
                await asyncio.sleep(0.005)
            assert "MB free" in filing.fault and len(rows_of(path)) == 6
            monkeypatch.setattr("inspector.store.filing.ROOM_BYTES", 0)
            while filing.fault or len(rows_of(path)) > HELD:  # noqa: ASYNC110 - a state
                await asyncio.sleep(0.005)
        forever.cancel()
        with pytest.raises(asyncio.CancelledError):
            await forever


async def test_beside_a_running_line_the_filing_takes_a_hundredth_of_the_time(path, monkeypatch):
    monkeypatch.setattr("inspector.store.filing.IDLE_S", 600.0)
    clock = Calendar()
    async with filed(path, clock) as (results, filing):
        await part(results, 1)
        filing._copied_s = 0.05
        assert filing._pause_s() == pytest.approx(5.0)
        results._journal._changed_s -= 601.0  # the line stands
        assert filing._pause_s() < 0.1


async def test_without_a_date_nothing_is_filed_and_nothing_ends(path, monkeypatch):
    clock = Calendar()
    async with filed(path, clock) as (results, filing):
        await parts(results, clock, ["2026-01-10"] * 6)
        monkeypatch.setattr(clock, "utc_s", lambda: 1e15)
        with pytest.raises(StoreError, match="no date"):
            await filing.turn()


async def test_a_reader_of_a_month_holds_the_filing_up_and_no_part(path, monkeypatch):
    monkeypatch.setattr("inspector.store.months.BUSY_MS", 20)
    clock = Calendar()
    async with filed(path, clock) as (results, filing):
        await parts(results, clock, ["2026-01-10"] * 7)
        clock.date = "2026-02-02"
        await filing.turn()
        reader = apsw.Connection(str(month_files(path)[0]), flags=apsw.SQLITE_OPEN_READONLY)
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM inspections").get == 4
        with pytest.raises(StoreError, match="2026-01"):
            await filing.turn()
        assert (await part(results, 8)).outcome == PASS
        reader.close()
        await file_all(filing)
        assert len(all_rows(path)) == 8


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
                    assert {**await history.row(no), **NO_PICTURE} == {**row, **NO_PICTURE}
