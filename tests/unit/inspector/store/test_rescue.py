"""A broken record is set aside whole, a new one goes on above every number that was given out."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from inspector.backup.pace import Pace
from inspector.backup.snapshot import snapshot
from inspector.core.clock import SystemClock
from inspector.core.errors import StoreError
from inspector.store import regain
from inspector.store.database import Database
from inspector.store.filing import Filing
from inspector.store.history import SqliteHistory
from inspector.store.months import month_files
from inspector.store.rescue import rescue
from inspector.store.results import SqliteResults
from inspector.threads import DeviceThread
from inspector.web.records import Filters
from tests.support.broken_record import as_killed, aside, scribble, write
from tests.support.disks import quick_folder
from tests.support.invariants import rows_of
from tests.support.store import PASS, part, store

ENDS = ("db", "db-wal", "db-shm", "lock", "numbers")  # of what lies there beside the one that was set aside


@pytest.fixture
def path() -> Iterator[Path]:
    """In a folder of its own, as beside the state lies what backups leave."""
    with quick_folder() as folder:
        (folder / "state").mkdir()
        yield folder / "state" / "results.db"


@pytest.mark.parametrize("first", [0, 30])
async def test_a_broken_record_is_set_aside_and_numbers_never_repeat(path, first):
    given = await write(path, 60)
    as_killed(path)
    broken = scribble(path, first)
    async with store(path) as results:
        done = await part(results, 7)
        assert done.outcome == PASS and done.no > max(given)
        assert results._journal.broken == tuple(file.name for file in aside(path))
    (kept,) = aside(path)
    assert kept.read_bytes() == broken and [row["no"] for row in rows_of(path)] == [done.no]
    async with store(path) as results:
        assert results._journal.broken == (kept.name,), "told until a person has moved it away"


async def test_the_wal_of_a_broken_record_is_set_aside_with_it(path):
    path.write_bytes(b"scribbled over" * 1000)
    wal = path.with_name("results.db-wal")
    wal.write_bytes(b"rows of the last minute" * 1000)
    async with store(path) as results:
        await part(results, 1)
    (kept,) = aside(path)
    assert kept.with_name(f"{kept.name}-wal").read_bytes() == b"rows of the last minute" * 1000


_KILLED = """
import os, shutil, signal, sys
from pathlib import Path
from inspector.store.database import Database
from inspector.store.rescue import rescue
state, seen, at = Path(sys.argv[1]), 0, 0
def dies(call):
    def counted(*args):
        global seen
        seen += 1
        if seen == at: os.kill(os.getpid(), signal.SIGKILL)
        return call(*args)
    return counted
os.rename, os.replace, os.unlink, os.fsync = map(dies, (os.rename, os.replace, os.unlink, os.fsync))
ended = -signal.SIGKILL
while ended:
    at += 1
    here = state.with_name(f"killed-{at}") / "state"
    shutil.copytree(state, here)
    if not (child := os.fork()):
        rescue(Database(here / "results.db"), 1_790_000_000_000)
        os._exit(0)
    ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert ended in (0, -signal.SIGKILL), ended
"""


def killed_at_each_step(state: Path) -> list[Path]:
    """Copies of the record whose rescue was ended before its first rename, removal or sync, its second, and so on."""
    command = [sys.executable, "-c", _KILLED, str(state)]
    subprocess.run(command, cwd=Path(__file__).parents[4], check=True, capture_output=True)
    found = list(state.parent.glob("killed-*"))
    return [found[0].with_name(f"killed-{at}") / "state" / "results.db" for at in range(1, len(found))]


def broken_with_a_wal(path: Path) -> None:
    """As a kill leaves it: the newest row, a hold, is in the WAL alone."""
    db = apsw.Connection(str(path))
    db.pragma("journal_mode", "wal")
    db.wal_autocheckpoint(0)
    db.execute("UPDATE boots SET ended_utc_ms = NULL")
    db.execute("INSERT INTO lot_holds (lot, held, actor, reason, utc_ms) VALUES ('L-9', 1, 'anna', 'complaint', 9)")
    root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'months_gone'").get
    for end in ("", "-wal"):
        shutil.copy(f"{path}{end}", f"{path}{end}.kept")
    db.close()
    for end in ("", "-wal"):
        os.replace(f"{path}{end}.kept", f"{path}{end}")
    path.with_name(f"{path.name}-shm").unlink(missing_ok=True)
    with path.open("r+b") as file:
        file.seek(4096 * (root - 1))
        file.write(os.urandom(4096))


async def test_who_is_killed_while_a_broken_record_is_set_aside_loses_no_row_of_its_wal(path):
    given = await write(path, 12)
    broken_with_a_wal(path)
    cuts = killed_at_each_step(path.parent)
    for cut in cuts:
        async with store(cut) as results:
            assert (await part(results, 7)).no > given[-1], cut
            assert results._journal.holds.lots == {"L-9"}, cut
            (aside_as,) = results._journal.broken
        left = {file.name.removeprefix(aside_as) for file in cut.parent.iterdir()}
        assert left <= {"", "-wal", "-shm", *(f"results.{end}" for end in ENDS)}, cut
    assert len(cuts) > 10


async def test_a_broken_record_that_another_daemon_writes_is_not_taken_from_under_it(path):
    async with store(path) as results:
        await part(results, 1)
        scribble(path, 0)
        with pytest.raises(StoreError, match="running twice"):
            async with store(path):
                pass
    assert not aside(path)


async def test_a_life_that_ended_in_order_is_not_read_through(path, monkeypatch):
    given = await write(path, 60)
    monkeypatch.setattr("inspector.store.rescue.move_aside", None)  # would not be called
    scribble(path, 30, 1)
    async with store(path) as results:
        assert (await part(results, 7)).no == given[-1] + 1


async def pages_of_an_empty_record(path: Path) -> int:
    """Every table begins in them; rows of parts fill further ones."""
    async with store(path) as results:
        return int(results._journal._thread.submit(results._journal._database._db.pragma, "page_count").result())


async def test_recipes_and_counts_that_can_be_read_are_taken_over(path):
    first = await pages_of_an_empty_record(path.with_name("empty.db"))
    await write(path, 60)
    as_killed(path)
    scribble(path, first)
    async with store(path) as results:
        (revision,) = results.recipes.revisions(1)
        assert revision.actor == "anna" and results.counts.passed == 60


async def test_a_check_that_takes_too_long_sets_nothing_aside(path, monkeypatch):
    await write(path, 60)
    as_killed(path)
    scribble(path, 30, 1)
    monkeypatch.setattr("inspector.store.rescue._STEPS", 1)
    with monkeypatch.context() as patch:
        patch.setattr("inspector.store.rescue.CHECK_S", -1.0)
        rescue(Database(path), 1)
        assert not aside(path)
    rescue(Database(path), 1)
    assert len(aside(path)) == 1


async def test_a_record_that_is_whole_stays_after_a_kill(path):
    given = await write(path, 5)
    as_killed(path)
    async with store(path):
        pass
    assert not aside(path) and [row["no"] for row in rows_of(path)] == given


async def test_a_disk_that_cannot_be_read_sets_nothing_aside(path, monkeypatch):
    await write(path, 5)

    def unreadable(*_: object, **__: object) -> apsw.Connection:
        raise apsw.CantOpenError("unable to open database file")

    monkeypatch.setattr("inspector.store.rescue.apsw.Connection", unreadable)
    with pytest.raises(StoreError, match="cannot be opened"):
        async with store(path):
            pass
    monkeypatch.undo()
    assert not aside(path) and len(rows_of(path)) == 5


async def copied(path: Path, count: int, more: int) -> tuple[list[int], list[int]]:
    """A record with a copy of its first rows: their numbers, and those of the rows since; it broke behind page 30."""
    first = await write(path, count)
    regain.own_folder(path.parent).mkdir()
    snapshot(path, regain.copy_of(path), Pace(10_000))
    async with store(path) as results:
        since = [(await part(results, seq)).no for seq in range(count + 1, count + more + 1)]
    as_killed(path)
    return first, since


async def filed(results: SqliteResults) -> Filing:
    """The filing, once nothing is left for it to do."""
    thread = DeviceThread("filing")
    filing = Filing(results._journal, SystemClock(), thread)
    while await filing.turn():
        pass
    filing.close()
    return filing


async def seen(path: Path) -> list[int]:
    history = SqliteHistory(path, DeviceThread("records"))
    try:
        return sorted(row["no"] for row in await history.page(Filters(), None, 1000))
    finally:
        history.close()


@pytest.mark.parametrize("first_page", [0, 30])
async def test_rows_of_a_broken_record_come_back_from_its_copy_and_numbers_go_on(path, first_page):
    first, since = await copied(path, 60, 8)
    scribble(path, first_page)
    async with store(path) as results:
        done = await part(results, 7)
        assert done.no > since[-1] and regain.is_pending(path), "the line did not wait for them"
        (revision,) = results.recipes.revisions(1)
        assert revision.actor == "anna" and results.counts.passed >= 60
        filing = await filed(results)
        assert filing.regained is not None and filing.regained.done and filing.regained.rows == 60
        assert await seen(path) == [*first, done.no]
    assert not regain.is_pending(path)
    (kept,) = aside(path)
    kept.unlink()
    async with store(path):
        assert regain.state_of(path) is None


async def test_a_row_that_a_months_file_holds_already_is_newer_than_its_copy_and_stays(path):
    first, _ = await copied(path, 8, 0)
    scribble(path, 0)
    async with store(path) as results:
        await filed(results)
        (month,) = month_files(path)
        month.chmod(0o640)
        with closing(apsw.Connection(str(month))) as db:
            db.execute("UPDATE inspections SET image = 'reject/newer.png' WHERE no = ?", (first[0],))
        path.with_suffix(".regain").write_text(json.dumps({"after_no": 0, "to_no": first[-1], "copied_utc_ms": 0}))
        filing = await filed(results)
        assert filing.regained is not None and filing.regained.done
        assert {row["no"]: row["image"] for row in rows_of(month)}[first[0]] == "reject/newer.png"


async def test_a_copy_of_another_record_is_not_taken_for_ours(path):
    await copied(path, 60, 1)
    for file in path.parent.glob("results*"):
        file.unlink()
    given = await write(path, 5)
    as_killed(path)
    path.with_suffix(".numbers").write_text(str(given[-1]))
    scribble(path, 0)
    async with store(path) as results:
        assert not regain.is_pending(path)
        await filed(results)
    assert not list(path.parent.glob("results-*.db"))


async def test_a_restart_goes_on_with_what_is_still_to_come_back(path, monkeypatch):
    monkeypatch.setattr(regain, "BATCH", 10)
    first, _ = await copied(path, 35, 1)
    scribble(path, 30)
    async with store(path) as results:
        thread = DeviceThread("filing")
        filing = Filing(results._journal, SystemClock(), thread)
        assert await filing.turn() == 10
        filing.close()
    async with store(path) as results:
        filing = await filed(results)
        assert filing.regained is not None and filing.regained.rows == 35
    assert await seen(path) == first


async def test_numbers_are_on_record_before_they_run_out(path, monkeypatch):
    monkeypatch.setattr("inspector.store.rescue.RESERVED", 4)
    monkeypatch.setattr("inspector.store.journal.RESERVED", 4)
    async with store(path) as results:
        for seq in range(1, 12):
            done = await part(results, seq)
            await results.alive()
            assert int(path.with_suffix(".numbers").read_text()) > done.no + 1


async def test_lots_on_hold_that_the_broken_record_has_lost_come_from_its_copy(path):
    lots = [f"L-{n}" for n in range(200)]
    async with store(path) as results:
        for n, lot in enumerate(lots):
            results._journal.holds.enter(lot, True, "anna", "complaint " * 40, n)
    regain.own_folder(path.parent).mkdir()
    async with store(path) as results:
        await part(results, 1)
    snapshot(path, regain.copy_of(path), Pace(1000))
    as_killed(path)
    scribble(path, path.stat().st_size // 4096 - 12)
    async with store(path) as results:
        assert aside(path) and results._journal.holds.lots == frozenset(lots)
