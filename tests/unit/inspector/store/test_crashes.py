"""Processes that are killed, power that is cut, disks that are full: what was acknowledged is there."""

from __future__ import annotations

import contextlib
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from inspector.core.errors import StoreError
from inspector.core.types import Refusal
from plc.registers import Reason, Verdict
from tests.support.disks import LossyDisk, Op, StallingDisk, mounted, quick_folder
from tests.support.invariants import check, rows_of
from tests.support.store import BY, GOOD, PASS, STORAGE, part, stamps, store, told, trigger

pytestmark = pytest.mark.slow

CUTS = 400
ROOT = Path(__file__).parents[4]
_WRITER = """
import asyncio, sys
from pathlib import Path
from tests.support.patience import be_patient
from tests.support.store import *
be_patient(within="inspector.store.")
async def main():
    async with store(Path(sys.argv[1])) as results:
        for seq in range(1, 60_000):
            done = await results.decide(results.open(trigger(seq)), PASS, GOOD, BY, stamps())
            print(done.no, flush=True)
            await results.stamp(done, told(done))
asyncio.run(main())
"""


def test_every_acknowledged_row_survives_kill_9_at_any_moment(tmp_path):
    path = tmp_path / "results.db"
    acknowledged: set[int] = set()
    luck = random.Random()  # any moment: a failure names the rows, not the moment
    for life in range(1, 4):
        command = [sys.executable, "-c", _WRITER, str(path)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        assert child.stdout is not None
        acknowledged |= {int(child.stdout.readline()) for _ in range(5)}
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=luck.uniform(0.05, 0.4))
        child.send_signal(signal.SIGKILL)
        acknowledged |= {int(line) for line in child.stdout.read().split("\n")[:-1]}
        child.wait()
        child.stdout.close()
        rows = check(path, [], settled=False)
        decided = {r["no"] for r in rows if r["decided_code"] == Verdict.PASS}
        assert acknowledged <= decided, f"lost in life {life}: {sorted(acknowledged - decided)}"
    assert len(acknowledged) > 10


async def test_after_a_kill_no_number_can_mean_two_parts(path, tmp_path):
    async with store(path) as results:
        first = await part(results, 1)
        copy = tmp_path / "killed"
        copy.mkdir()
        for file in path.parent.glob("results.db*"):
            shutil.copy(file, copy)
        told_but_lost = await part(results, 2)
    async with store(copy / "results.db"):
        """A life without a part, that ends in order."""
    async with store(copy / "results.db") as results:
        assert (await part(results, 3)).no > max(first.no, told_but_lost.no)


async def test_no_power_cut_loses_an_acknowledged_row_or_breaks_the_file(path):
    disk = LossyDisk()
    with mounted(disk):
        async with store(path, vfs=disk.name) as results:
            disk.ops.append(Op("acknowledged"))
            for seq in range(1, 25):
                opened = results.open(trigger(seq))
                done = await results.decide(opened, PASS, GOOD, BY, stamps())
                disk.ops.append(Op("acknowledged", offset=done.no))
                await results.stamp(done, told(done))
                if seq % 8 == 0:
                    await results.alive()
                    await results._journal._thread.call(results._journal._database.reading().__enter__().wal_checkpoint)
    begin = next(i for i, op in enumerate(disk.ops) if op.what == "acknowledged")
    luck = random.Random(1)
    for cut in sorted(luck.choices(range(begin, len(disk.ops) + 1), k=CUTS)):
        with quick_folder() as folder:
            disk.cut(cut, folder, luck)
            rows = check(folder / "results.db", [], settled=False)
        decided = {r["no"] for r in rows if r["decided_code"] == Verdict.PASS}
        promised = {op.offset for op in disk.ops[:cut] if op.what == "acknowledged" and op.offset}
        assert promised <= decided, f"cut after {cut} operations lost {promised - decided}"


def test_the_lossy_disk_does_lose_what_no_fsync_kept(tmp_path):
    disk = LossyDisk()
    with mounted(disk):
        db = apsw.Connection(str(tmp_path / "results.db"), vfs=disk.name)
        db.pragma("journal_mode", "wal")
        db.pragma("synchronous", "off")
        db.execute("CREATE TABLE t (x)")
        for n in range(50):
            db.execute("INSERT INTO t VALUES (?)", (n,))
        at = len(disk.ops)
        db.close()
    cut = tmp_path / "cut"
    cut.mkdir()
    disk.cut(at, cut, random.Random(1))
    with contextlib.suppress(apsw.Error):
        db = apsw.Connection(str(cut / "results.db"))
        assert db.execute("SELECT count(*) FROM t").get < 50


async def test_a_full_disk_is_4_112_and_the_record_recovers_by_itself_with_every_row(small_disk):
    folder = small_disk("size=2m")
    path, filler = folder / "results.db", folder / "filler"
    async with store(path) as results:
        await part(results, 1)
        _fill(filler)
        lost = []
        for seq in range(2, 100):
            done = await results.decide(results.open(trigger(seq)), PASS, GOOD, BY, stamps())
            with contextlib.suppress(StoreError):
                await results.stamp(done, told(done))
            if done.outcome == STORAGE:
                lost.append(seq)
                if len(lost) == 3:
                    break
        assert len(lost) == 3, "the disk never was full"
        refused = await results.refuse(Refusal(500, 1500, Reason.OFFLINE, 0.0))
        assert refused.outcome == STORAGE
        with pytest.raises(StoreError):
            await results.alive()
        filler.unlink()
        await results.alive()
        assert (await part(results, 501)).outcome is PASS
    rows = {r["trigger_id"]: r for r in check(path, [])}
    assert set(rows) == {*range(1, lost[-1] + 1), 500, 501}
    for seq in lost:
        assert (rows[seq]["decided_reason"], rows[seq]["published_reason"]) == (112, 112)


async def test_ready_drops_while_there_is_still_room_for_the_rows_of_the_refused(small_disk):
    path = small_disk("size=4m") / "results.db"
    async with store(path, min_free_bytes=2 << 20) as results:
        await results.alive()
        (path.parent / "picture").write_bytes(bytes(2 << 20))
        with pytest.raises(StoreError, match="MB free"):
            await results.alive()
        assert (await results.refuse(Refusal(1, 1, Reason.OFFLINE, 0.0))).outcome.reason is Reason.OFFLINE
    assert len(rows_of(path)) == 1


async def test_rows_that_wait_for_a_commit_are_bounded(path, monkeypatch):
    monkeypatch.setattr("inspector.store.ledger.MAX_WAITING", 3)
    disk = StallingDisk()
    with mounted(disk):
        async with store(path, vfs=disk.name) as results:
            disk.error = apsw.FullError("database or disk is full")
            for seq in range(1, 6):
                assert (await results.refuse(Refusal(seq, seq, Reason.OFFLINE, 0.0))).outcome == STORAGE
            disk.error = None
            await results.alive()
    assert [r["trigger_id"] for r in rows_of(path)] == [1, 2, 3]


def _fill(filler: Path) -> None:
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
