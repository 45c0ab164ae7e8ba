"""What gives way when room is short, and what never does."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from inspector.core.errors import StoreError
from inspector.store import shelf as shelves
from inspector.store.claims import RecordClaims
from inspector.store.holds import HoldError, Holds, standing
from inspector.store.months import month_files
from inspector.store.record_files import RecordFiles
from inspector.store.shelf import Bounds, Claim, Kind, NoRoom, Pile, Shelf, Unknown
from tests.support.months import Calendar, file_all, filed, keep_few, parts
from tests.support.store import FAIL, part, store

NONE, REVIEWED, STAYS = Claim.NONE, Claim.REVIEWED, Claim.STAYS


class Said:
    """Claims as a test says; NONE of the others."""

    def __init__(self) -> None:
        self.version, self.asked = 0, 0
        self.claims: dict[int, Claim] = {}

    def say(self, claim: Claim, *numbers: int) -> None:
        self.claims |= dict.fromkeys(numbers, claim)
        self.version += 1

    def of(self, numbers: Sequence[int]) -> Mapping[int, Claim]:
        self.asked += len(numbers)
        return {no: self.claims.get(no, NONE) for no in numbers}


class Disk:
    """statvfs of a disk of which `free` bytes are free before the pictures in `root`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path, free: int) -> None:
        self.root, self.free, self.inodes = root, free, 1_000_000
        monkeypatch.setattr(shelves.os, "statvfs", lambda _: self)

    f_frsize, f_files = 1, 2_000_000

    @property
    def f_blocks(self) -> int:
        return 10_000

    @property
    def f_favail(self) -> int:
        return self.inodes

    @property
    def f_bavail(self) -> int:
        return self.free - sum(file.stat().st_size for file in self.root.rglob("*.png"))


def filled(root: Path, bounds: Bounds, kinds: Sequence[Kind], said: Said | None = None) -> tuple[Shelf, list[int]]:
    """A shelf with pictures of 100 bytes, numbered from 1."""
    removed: list[int] = []
    shelf = Shelf(root, bounds, removed.append, said)
    for no, kind in enumerate(kinds, 1):
        shelf.put(kind, no, bytes(100))
    return shelf, removed


def drained(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that may go does."""
    monkeypatch.setattr(Shelf, "_is_short", lambda self, coming: True)
    while shelf.tend():
        pass


ALL = [Kind.REJECT, Kind.PASS, Kind.TEST, Kind.PASS, Kind.NEAR, Kind.COLLECT, Kind.REJECT, Kind.NEAR, Kind.PASS]


def test_passes_go_first_then_what_was_reviewed_then_rejects_then_the_sample_and_test_parts_never(
    tmp_path, monkeypatch
):
    said = Said()
    shelf, removed = filled(tmp_path, Bounds(min_free_bytes=0, sample_bytes=100), ALL, said)
    said.say(REVIEWED, 1, 5)
    drained(shelf, monkeypatch)
    assert removed == [2, 4, 8, 6, 5, 1, 7, 9]
    assert shelf.stuck and shelf.piles[Kind.TEST] == Pile(1, 100) and shelf.used_bytes == 100
    assert [file.name for file in tmp_path.rglob("*") if file.is_file()] == ["0000000003.png"]


def test_what_is_on_hold_stays_and_once_it_is_all_that_is_left_no_picture_is_written(tmp_path, monkeypatch):
    said = Said()
    bounds = Bounds(max_bytes=500, min_free_bytes=0, sample_bytes=0)
    shelf, removed = filled(tmp_path, bounds, [Kind.REJECT] * 5, said)
    said.say(STAYS, 1, 2, 3, 4)
    shelf.put(Kind.REJECT, 6, bytes(100))
    assert removed == [5], "not the oldest: those are on hold"
    said.say(STAYS, 6)
    with pytest.raises(NoRoom, match="on hold"):
        shelf.put(Kind.REJECT, 7, bytes(100))
    assert shelf.stuck and shelf.used_bytes == 500
    said.say(NONE, 2)
    shelf.put(Kind.REJECT, 8, bytes(100))
    assert removed == [5, 2] and not shelf.stuck


def test_a_lot_that_is_put_on_hold_between_the_look_and_the_removal_stays(tmp_path, monkeypatch):
    said = Said()
    shelf, removed = filled(tmp_path, Bounds(min_free_bytes=0, sample_bytes=0), [Kind.REJECT] * 4, said)
    look = shelf._next

    def held_meanwhile(looks: int):
        found = look(looks)
        said.say(STAYS, 1, 2)
        return found

    monkeypatch.setattr(shelf, "_next", held_meanwhile)
    monkeypatch.setattr(Shelf, "_is_short", lambda self, coming: len(removed) < 2 and said.version < 8)
    shelf.tend()
    assert 1 not in removed and 2 not in removed


def test_what_stays_is_not_looked_at_again_and_a_turn_looks_at_a_few_only(tmp_path, monkeypatch):
    said = Said()
    shelf, removed = filled(tmp_path, Bounds(min_free_bytes=0, sample_bytes=0), [Kind.REJECT] * 200, said)
    said.say(STAYS, *range(1, 151))
    monkeypatch.setattr(shelves, "LOOKED", 128)
    monkeypatch.setattr(Shelf, "_is_short", lambda self, coming: True)
    assert shelf.tend(4) == 0 and not shelf.stuck, "nothing yet; it goes on in the next turn"
    while not removed:
        shelf.tend(4)
    assert removed == [151, 152, 153, 154]
    asked = said.asked
    shelf.tend(4)
    assert len(removed) == 8 and said.asked == asked


def test_while_the_record_cannot_be_asked_nothing_goes_and_afterwards_nothing_was_passed_over(tmp_path, monkeypatch):
    said = Said()
    shelf, removed = filled(tmp_path, Bounds(min_free_bytes=0, sample_bytes=0), [Kind.REJECT] * 4, said)
    monkeypatch.setattr(Shelf, "_is_short", lambda self, coming: True)
    with monkeypatch.context() as patch:
        patch.setattr(said, "of", _unknown)
        assert shelf.tend(2) == 0 and not shelf.stuck
    assert shelf.tend(2) == 2 and removed == [1, 2]


def _unknown(_: Sequence[int]) -> Mapping[int, Claim]:
    raise Unknown


def test_room_is_made_from_below_the_upper_mark_until_above_the_lower_one_and_never_below_the_floor(
    tmp_path, monkeypatch
):
    bounds = Bounds(1 << 30, min_free_bytes=1000, sample_bytes=0, begin_free_bytes=1500, stop_free_bytes=2000)
    disk = Disk(monkeypatch, tmp_path, 4000)
    shelf, removed = filled(tmp_path, bounds, [Kind.REJECT] * 25)
    assert removed == [] and not shelf.giving_way, "1500 are free"
    shelf.put(Kind.REJECT, 26, bytes(100))
    assert len(removed) == 6, "until 2000 are free with it"
    assert disk.f_bavail == 2000
    for no in range(27, 32):
        shelf.put(Kind.REJECT, no, bytes(100))
    assert len(removed) == 6 and not shelf.giving_way, "it does not come and go"
    disk.free -= 450
    with pytest.raises(NoRoom):
        filled(tmp_path / "other", Bounds(min_free_bytes=1000), [Kind.REJECT])
    monkeypatch.setattr(shelf, "_next", lambda looks: (None, 0))
    with pytest.raises(NoRoom, match="on hold"):
        shelf.put(Kind.REJECT, 40, bytes(100))
    assert disk.f_bavail >= 1000


def test_pictures_give_way_for_inodes_as_they_do_for_bytes(tmp_path, monkeypatch):
    disk = Disk(monkeypatch, tmp_path, 1 << 40)
    shelf, removed = filled(tmp_path, Bounds(min_free_bytes=0, sample_bytes=0), [Kind.REJECT] * 20)
    disk.inodes = 2 * shelves.MIN_FREE_INODES - 1
    assert shelf.tend(5) == 5 and removed == [1, 2, 3, 4, 5]
    disk.inodes = shelves.MIN_FREE_INODES - 1
    monkeypatch.setattr(shelf, "_next", lambda looks: (None, 0))
    with pytest.raises(NoRoom):
        shelf.put(Kind.REJECT, 30, bytes(1))


def test_by_itself_the_marks_follow_the_floor_and_on_a_small_disk_the_disk():
    assert Bounds(min_free_bytes=10).marks(1000) == (20, 25)
    assert Bounds(min_free_bytes=100).marks(200) == (110, 115)
    assert Bounds(min_free_bytes=100).marks(50) == (100, 100)


def test_an_emptied_folder_goes_and_what_is_taken_out_is_not_counted_any_more(tmp_path):
    shelf, _ = filled(tmp_path / "pictures", Bounds(min_free_bytes=0), [Kind.REJECT, Kind.REJECT])
    assert shelf.take_out(Kind.REJECT, 1, tmp_path / "aside") and not shelf.take_out(Kind.REJECT, 1, None)
    assert shelf.piles[Kind.REJECT] == Pile(1, 100)
    assert shelf.take_out(Kind.REJECT, 2, None)
    assert shelf.used_bytes == 0 and not list((tmp_path / "pictures" / "reject").iterdir())
    assert [file.name for file in (tmp_path / "aside").iterdir()] == ["0000000001.png"]


# -- what the record says ----------------------------------------------------------------------------------------------


async def test_pictures_of_a_lot_on_hold_stay_wherever_their_rows_lie_and_those_without_a_row_too(path, monkeypatch):
    keep_few(monkeypatch)
    clock = Calendar()
    async with filed(path, clock) as (results, filing):
        for seq, lot in enumerate(["A", "B", "A"], 1):
            await part(results, seq, FAIL, lot=lot)
        await parts(results, clock, ["2026-03-01"] * 3)
        assert await file_all(filing) == 3 and month_files(path)
        await part(results, 7, FAIL, lot="A")
        await part(results, 8, FAIL, test_part=True)
        journal, files = results._journal, RecordFiles(path)
        claims = RecordClaims(files, journal.holds)
        for lot in ("A", "never seen"):
            await _call(results, journal.holds.enter, lot, True, "quinn", "complaint 17", 5)
        await _call(results, journal.holds.mark_reviewed, [2, 3, 4], [])
        found = claims.of([1, 2, 3, 4, 5, 7, 8, 99])
        assert found == {1: STAYS, 2: REVIEWED, 3: STAYS, 4: REVIEWED, 5: NONE, 7: STAYS, 8: STAYS, 99: STAYS}
        version = claims.version
        await _call(results, journal.holds.enter, "A", False, "rita", "closed", 6)
        await _call(results, journal.holds.mark_reviewed, [], [4])
        assert claims.version > version
        assert claims.of([1, 4, 7]) == {1: NONE, 4: NONE, 7: NONE}
        files.forget()


async def test_a_record_that_cannot_be_asked_lets_no_picture_go(path):
    async with store(path) as results:
        await part(results, 1, FAIL)
        holds, files = results._journal.holds, RecordFiles(path)
        assert RecordClaims(files, holds).of([1]) == {1: NONE}
        files.forget()
        os.rename(path, path.with_name("elsewhere"))
        with pytest.raises(Unknown):
            RecordClaims(files, holds).of([1])
        os.rename(path.with_name("elsewhere"), path)
        holds.lots = None  # not read yet
        with pytest.raises(Unknown):
            RecordClaims(files, holds).of([1])
        files.forget()


async def test_a_hold_has_an_actor_and_a_reason_is_kept_for_good_and_stands_after_a_restart(path):
    async with store(path) as results:
        holds: Holds = results._journal.holds
        for lot, reason in (("", "x"), ("A", " "), ("A" * 65, "x"), ("A\n", "x" * 501)):
            with pytest.raises(HoldError):
                await _call(results, holds.enter, lot, True, "quinn", reason, 1)
        with pytest.raises(HoldError, match="not on hold"):
            await _call(results, holds.enter, "A", False, "quinn", "x", 1)
        await _call(results, holds.enter, "A", True, "quinn", "complaint 17", 1)
        with pytest.raises(HoldError, match="already"):
            await _call(results, holds.enter, " A ", True, "quinn", "x", 1)
        await _call(results, holds.enter, "B", True, "quinn", "x", 2)
        await _call(results, holds.enter, "B", False, "rita", "closed", 3)
        with results._journal._database.reading() as db:
            assert [(h.lot, h.actor, h.reason, h.utc_ms) for h in standing(db)] == [("A", "quinn", "complaint 17", 1)]
        for sql in ("DELETE FROM lot_holds", "UPDATE lot_holds SET held = 0"):
            with pytest.raises(StoreError, match="a hold is kept"):
                await _call(results, _execute, results._journal._database, sql)
    async with store(path) as results:
        assert results._journal.holds.lots == {"A"}


async def test_a_row_says_since_when_its_picture_is_gone_and_why_also_in_a_months_file(path, monkeypatch):
    keep_few(monkeypatch)
    clock = Calendar()
    async with filed(path, clock) as (results, filing):
        await parts(results, clock, ["2026-01-10"] * 3 + ["2026-03-01"] * 3)
        for no in (1, 4):
            results.note_image(no, f"reject/0000000/{no:010d}.png")
        await results.alive()
        await file_all(filing)
        results.note_image(1, None)
        results.note_image(4, None, "missing")
        await results.alive()
        await file_all(filing)
        files = RecordFiles(path)
        files.not_after_s = float("inf")
        sql = "SELECT no, image, picture_gone_utc_ms, picture_gone_why FROM inspections WHERE no IN (1, 4)"
        rows = sorted(row for db in files.every() for row in db.execute(sql))
        now_ms = int(clock.utc_s() * 1000)
        assert rows == [(1, None, now_ms, "room"), (4, None, now_ms, "missing")]
        results.note_image(1, "reject/0000000/0000000001.png")  # it came back
        await results.alive()
        await file_all(filing)
        assert (1, "reject/0000000/0000000001.png", None, None) in [r for db in files.every() for r in db.execute(sql)]
        files.forget()


async def _call(results, fn, *args):
    return await results._journal.call(fn, *args)


def _execute(database, sql: str) -> None:
    with database.transaction() as db:
        db.execute(sql)
