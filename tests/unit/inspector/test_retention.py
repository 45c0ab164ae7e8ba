"""What the daemon keeps and lets go: holds, reviewed pictures, orphans, exported months, the reserve of the disk."""

from __future__ import annotations

import asyncio
import json
import os
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import apsw
import pytest

from inspector.control import ControlError
from inspector.core.errors import StoreError
from inspector.health import Alarm, Health
from inspector.retention_commands import told_of_look
from inspector.store import reconcile, reserve
from inspector.store.farewell import FarewellError, Month, sha256_of
from inspector.store.holds import HoldError
from inspector.store.images import Stock
from inspector.store.record_files import RecordFiles
from inspector.store.reserve import Growth
from inspector.store.shelf import Bounds, Claim, Kind, Pile
from tests.support.disks import quick_folder
from tests.support.keeping import Keeping, keeping
from tests.support.months import Calendar, file_all, keep_few
from tests.support.patience import LONG_S


@pytest.fixture
def state() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


@pytest.fixture
async def box(state: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Keeping]:
    monkeypatch.setattr(reconcile, "GRACE_S", -1.0)
    monkeypatch.setattr("inspector.retention.NOTES_S", 0.0)
    async with keeping(state) as made:
        yield made


def alarms(box: Keeping) -> dict[str, Alarm]:
    health = Health(box.results._clock, {})
    box.retention.warn(health)
    return {alarm.id: alarm for alarm in health.state().alarms}


def row(box: Keeping, no: int) -> tuple:
    with box.results._journal._database.reading() as db:
        sql = "SELECT image, picture_gone_why FROM inspections WHERE no = ?"
        return db.execute(sql, (no,)).get


async def test_once_a_hold_is_answered_no_picture_of_the_lot_is_removed_any_more(box):
    for seq in range(1, 7):
        await box.part(seq, lot="A" if seq < 4 else "B")
    await box.written()
    shelf = box.archive._shelf
    begun, go_on = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()
    look = shelf._next

    def slow(looks):
        found = look(looks)
        loop.call_soon_threadsafe(begun.set)
        go_on.wait(LONG_S)
        return found

    shelf._next, shelf._is_short = slow, lambda coming: shelf.piles[Kind.REJECT].count > 3
    box.archive.tend()
    await begun.wait()
    held = asyncio.create_task(box.ask("hold_lot", lot="A", reason="complaint 17"))
    while "A" not in (box.results._journal.holds.lots or ()):  # noqa: ASYNC110 - another thread commits it
        await asyncio.sleep(0.001)
    assert not held.done(), "what was about to be removed may have been of this lot"
    go_on.set()
    await held
    await asyncio.wrap_future(box.archive.tend())
    assert len(box.files()) == 3 and not shelf.stuck
    assert [int(Path(name).stem) for name in box.files()] == [1, 2, 3]


async def test_a_hold_needs_a_lot_and_a_reason_and_what_is_reviewed_is_numbers(box):
    for params in ({}, {"lot": 5, "reason": "x"}, {"lot": "A"}):
        with pytest.raises(ControlError):
            await box.ask("hold_lot", **params)
    with pytest.raises(HoldError):
        await box.ask("release_lot", lot="A", reason="x")
    for numbers in (None, [1.5], ["1"], [True], list(range(5000))):
        with pytest.raises(ControlError):
            await box.ask("reviewed", reviewed=numbers, open=[])
    await box.part(1)
    await box.written()
    claims = box.archive._shelf._claims
    await box.ask("reviewed", reviewed=[1], open=[])
    assert claims.of([1]) == {1: Claim.REVIEWED}
    await box.ask("reviewed", reviewed=[], open=[1])
    assert claims.of([1]) == {1: Claim.NONE}


async def test_pictures_give_way_by_themselves_and_their_rows_say_so(state, monkeypatch):
    async with keeping(state, Bounds(max_bytes=4000, min_free_bytes=0)) as box:
        tending = asyncio.create_task(box.retention.run_forever(), name="retention")
        for seq in range(1, 9):
            await box.part(seq)
        await box.written()
        tending.cancel()
        await asyncio.gather(tending, return_exceptions=True)
        assert 0 < box.archive.stock.removed < 8 and row(box, 1) == (None, "room")
        assert row(box, 8)[0] in box.files()
        figures = await box.ask("storage")
        assert figures["kinds"]["reject"][0] == len(box.files()) and figures["removed"] == box.archive.stock.removed


# -- orphans -----------------------------------------------------------------------------------------------------------


async def filled(box: Keeping, parts: int) -> None:
    for seq in range(1, parts + 1):
        await box.part(seq)
    await box.written()


async def test_pictures_without_a_row_are_set_aside_and_rows_without_a_picture_say_so(box):
    await filled(box, 4)
    stray = box.pictures / "reject" / "0000004" / "0000004321.png"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(bytes(10))
    (box.pictures / row(box, 2)[0]).unlink()
    look = await box.ask("reconcile")
    assert (look["pictures"], look["rows"], look["set_aside"], look["missing"], look["noted"]) == (4, 4, 1, 1, 0)
    await box.written()
    assert row(box, 2) == (None, "missing") and row(box, 3)[1] is None
    aside = list(box.state.glob("set-aside/*/reject/0000004321.png"))
    assert len(aside) == 1 and not stray.exists() and len(box.files()) == 3
    assert box.archive._shelf.piles[Kind.REJECT].count == 3
    assert "1 pictures without a row" in alarms(box)["storage_aside"].cause
    again = await box.ask("reconcile")
    assert (again["set_aside"], again["missing"]) == (0, 0)


async def test_a_picture_that_comes_back_is_on_its_row_again(box):
    await filled(box, 4)
    name = row(box, 2)[0]
    (box.pictures / name).rename(box.state / "elsewhere")
    await box.ask("reconcile")
    await box.written()
    assert row(box, 2) == (None, "missing")
    (box.state / "elsewhere").rename(box.pictures / name)
    assert (await box.ask("reconcile"))["noted"] == 1
    await box.written()
    assert row(box, 2) == (name, None)


async def test_too_many_orphans_are_not_believed_until_a_person_says_so(box):
    await filled(box, 6)
    kept = box.files()
    with box.results._journal._database.transaction() as db:
        db.execute("DELETE FROM inspections WHERE no <= 4")
    look = await box.ask("reconcile")
    assert "4 of 6 pictures have no row" in look["doubt"] and box.files() == kept
    assert not (box.state / "set-aside").exists()
    assert "nothing was done" in alarms(box)["storage_doubt"].cause
    look = await box.ask("reconcile", accept=True)
    assert look["set_aside"] == 4 and look["doubt"] is None and len(box.files()) == 2
    assert "storage_doubt" not in alarms(box)


async def test_a_folder_of_pictures_that_is_not_there_takes_no_picture_from_any_row(box):
    await filled(box, 6)
    box.pictures.rename(box.state / "unmounted")
    assert "6 of 6 rows name a picture that is not there" in (await box.ask("reconcile"))["doubt"]
    await box.written()
    assert row(box, 3)[0] is not None


async def test_young_pictures_are_left_alone(box, monkeypatch):
    await filled(box, 2)
    monkeypatch.setattr(reconcile, "GRACE_S", 600.0)
    stray = box.pictures / "reject" / "0000004" / "0000004321.png"
    stray.parent.mkdir(parents=True)
    stray.write_bytes(bytes(10))
    look = await box.ask("reconcile")
    assert (look["set_aside"], look["missing"], look["later"]) == (0, 0, 1) and stray.exists()
    (box.pictures / row(box, 2)[0]).unlink()
    look = await box.ask("reconcile", accept=True)
    assert (look["set_aside"], look["missing"], look["later"]) == (0, 0, 2), (
        "as after a restore of a minutes-old backup"
    )
    assert any("2 more do not fit" in line and "younger than 10 minutes" in line for line in told_of_look(look))


async def test_what_is_set_aside_goes_after_its_days(box):
    for day in ("2020-01-01", "2999-01-01", "notes"):
        folder = box.state / "set-aside" / day / "reject"
        folder.mkdir(parents=True)
        (folder / "0000000009.png").write_bytes(b"x")
    await box.ask("reconcile")
    assert sorted(f.name for f in (box.state / "set-aside").iterdir()) == ["2999-01-01", "notes"]


async def test_a_record_that_cannot_be_read_is_no_reason_to_set_anything_aside(box):
    await filled(box, 2)
    box.retention._files.path = box.state / "nothing.db"
    with pytest.raises(StoreError, match="not looked for"):
        await box.ask("reconcile")
    assert len(box.files()) == 2 and (await box.ask("storage"))["fault"]


# -- months ------------------------------------------------------------------------------------------------------------


async def test_a_month_goes_only_with_the_checksum_of_its_export_and_never_with_a_lot_on_hold(state, monkeypatch):
    keep_few(monkeypatch)
    clock = Calendar()
    async with keeping(state, clock=clock) as box:
        for seq in range(1, 7):
            clock.date = "2026-01-10" if seq < 5 else "2026-03-01"
            await box.part(seq, lot="A" if seq == 1 else "")
        await box.written()
        assert await file_all(box.filing)
        month = state / "results-2026-01.db"
        good = {"month": "2026-01", "sha256": sha256_of(month), "reason": "on the server"}
        for changes, text in (
            ({"month": "2026-03"}, "there is no"), ({"month": "../x"}, "no month"), ({"sha256": "0" * 64}, "again"),
            ({}, "4 pictures of 2026-01 are still kept"),
        ):  # fmt: skip
            with pytest.raises(FarewellError, match=text):
                await box.ask("forget_month", **{**good, **changes})
        await box.ask("hold_lot", lot="A", reason="complaint")
        with pytest.raises(FarewellError, match="lots on hold: A"):
            await box.ask("forget_month", **good, with_pictures=True)
        assert month.exists() and len(box.files()) == 6
        await box.ask("release_lot", lot="A", reason="closed")
        gone = await box.ask("forget_month", **good, with_pictures=True)
        assert gone["rows"] == 4 and gone["pictures"] == 4 and not month.exists() and len(box.files()) == 2
        with box.results._journal._database.reading() as db:
            sql = "SELECT month, sha256, rows, actor, reason FROM months_gone"
            assert list(db.execute(sql)) == [("2026-01", good["sha256"], 4, "quinn", "on the server")]
            assert db.execute("SELECT sum(n) FROM counts JOIN periods USING (period) WHERE kind = 'reset'").get == 6


# -- the reserve -------------------------------------------------------------------------------------------------------


async def test_the_reserve_is_in_days_at_the_rate_of_the_last_week_and_an_alarm_below_thirty(state, monkeypatch):
    clock = Calendar("2026-03-10")
    async with keeping(state, clock=clock) as box:
        for seq, day in enumerate(["2026-01-01", "2026-03-06", "2026-03-07", "2026-03-08", "2026-03-10"], 1):
            clock.date = day
            await box.part(seq)
        await box.written()
        await box.retention._measure()
        found = box.retention._growth
        assert found.per_day_bytes == pytest.approx(4 * reserve.ROW_BYTES / 4)
        assert found.bytes == (state / "results.db").stat().st_size
        assert found.days_in(45_000) == 30 and Growth(1, 0.0).days_in(1) == float("inf")
        assert "storage_reserve" not in alarms(box)
        fs = os.statvfs(state)
        monkeypatch.setattr(os, "statvfs", lambda _: fs)  # others use this disk as well
        free = fs.f_bavail * fs.f_frsize
        box.retention._growth = Growth(1, free / 20)
        assert "in 20 days" in alarms(box)["storage_reserve"].cause
        piles = dict.fromkeys(Kind, Pile()) | {Kind.REJECT: Pile(9, free)}
        box.archive.stock = Stock(piles=piles)
        assert "storage_reserve" not in alarms(box), "pictures give way to the record"
        box.archive.stock = Stock(piles=piles, stuck=True)
        assert {"storage_reserve", "storage_stuck"} <= alarms(box).keys(), "but not those that may not"


async def test_few_names_left_on_the_disk_are_an_alarm(box, monkeypatch):
    monkeypatch.setattr(box.retention, "_free_inodes", lambda: 3999)
    assert "3999 more files" in alarms(box)["storage_inodes"].cause


@asynccontextmanager
async def full_month(state: Path, monkeypatch: pytest.MonkeyPatch, parts: int) -> AsyncIterator[tuple[Keeping, dict]]:
    """A box with parts of lot A in January, and what lets that month go with its pictures."""
    keep_few(monkeypatch)
    clock = Calendar("2026-01-10")
    async with keeping(state, clock=clock) as box:
        for seq in range(1, parts + 1):
            await box.part(seq, lot="A")
        await box.written()
        clock.date = "2026-02-10"
        await file_all(box.filing)
        sha256 = sha256_of(state / "results-2026-01.db")
        yield box, {"month": "2026-01", "sha256": sha256, "reason": "full", "with_pictures": True}


async def test_a_lot_put_on_hold_while_its_month_is_looked_at_stays(state, monkeypatch):
    async with full_month(state, monkeypatch, 6) as (box, wanted):
        look = box.filing._look

        def held_since(month):
            found = look(month)
            future = asyncio.run_coroutine_threadsafe(box.ask("hold_lot", lot="A", reason="complaint"), loop)
            assert future.result(LONG_S)
            return found

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(box.filing, "_look", held_since)
        with pytest.raises(FarewellError, match="lots on hold: A"):
            await box.ask("forget_month", **wanted)
        assert (state / "results-2026-01.db").exists() and len(box.files()) == 6


async def test_a_lot_put_on_hold_while_pictures_of_its_month_go_keeps_all_that_are_left_and_its_rows(
    state, monkeypatch
):  # fmt: skip
    async with full_month(state, monkeypatch, 30) as (box, wanted):
        held = asyncio.Event()
        with monkeypatch.context() as slow:
            slow.setattr(box.retention._clock, "sleep", lambda _: held.wait())  # after the first few of them
            going = asyncio.create_task(box.ask("forget_month", **wanted))
            while len(box.files()) == 30:  # noqa: ASYNC110 - another thread removes them
                await asyncio.sleep(0.001)
            assert await box.ask("hold_lot", lot="A", reason="complaint")
        held.set()
        left = box.files()
        with pytest.raises(FarewellError, match=f"lots on hold: A; {30 - len(left)} of its pictures had gone before"):
            await going
        assert box.files() == left and 0 < len(left) < 30
        await box.written()
        await file_all(box.filing)
        with closing(apsw.Connection(str(state / "results-2026-01.db"), flags=apsw.SQLITE_OPEN_READONLY)) as month:
            rows = list(month.execute("SELECT image, picture_gone_why FROM inspections"))
        of_month = [name for name in left if int(Path(name).stem) <= len(rows)]
        assert sorted(image for image, _ in rows if image is not None) == of_month and len(of_month) > 8
        assert all((image is None) is (why == "room") for image, why in rows)
        assert not list(box.results._journal._database._db.execute("SELECT * FROM months_gone"))


async def test_a_lot_put_on_hold_after_the_last_look_at_its_month_stops_the_note_that_it_goes(box):
    journal = box.results._journal
    month = Month("2026-01", box.state / "results-2026-01.db", "0", 1, 1, (), frozenset({"A"}))
    assert await box.ask("hold_lot", lot="A", reason="complaint")
    with pytest.raises(FarewellError, match="lots on hold: A"):
        await journal.note_gone(month, "quinn", "full")
    assert not list(journal._database._db.execute("SELECT * FROM months_gone"))


async def test_a_picture_that_gave_way_while_it_was_looked_for_is_not_missing(box, monkeypatch):
    done = await box.part(1)
    await box.written()
    late = [(done.no, f"reject/0000000/{done.no + 1:010d}.png")]  # as its row said a moment ago
    monkeypatch.setattr(reconcile.Reconciler, "_missing", lambda *_: iter(late))
    reconciler = reconcile.Reconciler(box.pictures, box.state / "aside", RecordFiles(box.state / "results.db"))
    assert reconciler.look(time.time() + 2 * reconcile.GRACE_S).missing == {}
    reconciler._files.forget()


async def test_a_hold_that_comes_after_the_word_that_a_month_goes_is_answered_once_it_is_gone(state, monkeypatch):
    async with full_month(state, monkeypatch, 6) as (box, wanted):
        remove, holds = box.filing._remove, []

        def held_meanwhile(month):
            asking = asyncio.run_coroutine_threadsafe(box.ask("hold_lot", lot="A", reason="complaint"), loop)
            with pytest.raises(TimeoutError):
                asking.result(0.1)
            holds.append(asking)
            remove(month)

        loop = asyncio.get_running_loop()
        monkeypatch.setattr(box.filing, "_remove", held_meanwhile)
        assert (await box.ask("forget_month", **wanted))["rows"] == 4
        assert await asyncio.wrap_future(holds[0]) and not (state / "results-2026-01.db").exists()


async def test_while_rows_of_a_broken_record_come_back_no_picture_counts_as_an_orphan(box):
    for seq in range(1, 4):
        await box.part(seq)
    await box.written()
    with box.results._journal._database.transaction() as db:
        db.execute("DELETE FROM inspections WHERE no = 2")
    marker = box.state / "results.regain"
    marker.write_text(json.dumps({"after_no": 1, "to_no": 3, "copied_utc_ms": 1, "rows": 1}))
    with pytest.raises(StoreError, match="still coming back"):
        await box.ask("reconcile", accept=True)
    assert len(box.files()) == 3
    marker.unlink()
    assert (await box.ask("reconcile"))["set_aside"] == 1
