"""Labels as they are kept: nothing is overwritten, nothing that was answered is lost."""

from __future__ import annotations

import contextlib
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import apsw
import pytest

from inspector.core.errors import StoreError
from inspector.office.labels import Labels, NothingToUndo
from inspector.office.settling import Box, NewTruth, Queue, Source, known
from inspector.store import audit
from tests.support.disks import quick_folder
from tests.support.labels import open_labels, undo_last
from tests.support.reviewing import said

ROOT = Path(__file__).parents[4]
_WRITER = """
import asyncio, sys
from pathlib import Path
from inspector.office.settling import NewLabel, Queue
from tests.support.labels import open_labels
async def main():
    with open_labels(Path(sys.argv[1])) as labels:
        for no in range(int(sys.argv[2]), 10**6):
            kept = await labels.add(NewLabel(no, "st1", "good", True, Queue.REJECT, "anna", str(no)))
            print(kept.said.no, flush=True)
asyncio.run(main())
"""


@pytest.fixture
def labels() -> Iterator[Labels]:
    with quick_folder() as folder, open_labels(folder / "office.db") as labels:
        yield labels


async def test_a_label_is_kept_whole(labels: Labels) -> None:
    new = said(7, "dent", note="left edge", box=Box(10, 20, 30, 40), queue=Queue.SAMPLE)
    kept = await labels.add(new)
    assert kept.said == new and kept.undone_by is None and kept.utc_ms > 1_700_000_000_000
    assert await labels.of(7) == (kept,) and await labels.of(8) == ()
    unsure = await labels.add(said(8, "unsure"))
    assert (await labels.of(8))[0] == unsure and unsure.said.acceptable is None


async def test_a_second_thought_is_added_and_a_label_that_is_taken_back_stays_in_the_history(labels: Labels) -> None:
    await labels.add(said(7, "dent"))
    await labels.add(said(7, "good"))
    taken = await undo_last(labels, "anna")
    assert taken.said.label == "good" and taken.undone_by == "anna"
    assert [(label.said.label, label.undone_by) for label in await labels.of(7)] == [("dent", None), ("good", "anna")]


async def test_a_person_takes_back_their_own_last_label_and_no_one_elses(labels: Labels) -> None:
    await labels.add(said(1))
    await labels.add(said(2))
    await labels.add(said(3, person="ben"))
    assert [(await undo_last(labels, "anna")).said.no for _ in range(2)] == [2, 1]
    with pytest.raises(NothingToUndo):
        await undo_last(labels, "anna")
    assert (await labels.of(3))[0].undone_by is None


async def test_a_label_that_is_taken_back_twice_takes_no_other_with_it(labels: Labels) -> None:
    first = await labels.add(said(1))
    second = await labels.add(said(2))
    taken = await labels.undo("anna", second.n)
    assert await labels.undo("anna", second.n) == taken, "the browser did not hear the answer and asks again"
    assert await labels.last("anna") == first.n
    third = await labels.add(said(3))
    assert (await labels.undo("anna", first.n)).said.no == 1, "another of her pages said something meanwhile"
    assert await labels.last("anna") == third.n
    with pytest.raises(NothingToUndo):
        await labels.undo("ben", third.n)
    assert await labels.last("ben") is None


async def test_a_label_that_the_browser_sends_again_is_kept_once(labels: Labels) -> None:
    first = await labels.add(said(7, ticket="t1"))
    assert await labels.add(said(7, ticket="t1")) == first
    await labels.add(said(7, ticket="t1", person="ben"))  # another browser's
    assert len(await labels.of(7)) == 2


async def test_what_was_said_can_be_neither_changed_nor_removed(labels: Labels) -> None:
    await labels.add(said(7))
    await undo_last(labels, "anna")
    await labels.undo_truth("ben", (await labels.add_truth(NewTruth("S1", Source.COMPLAINT, False, "anna"))).n)
    path = labels._database.path  # type: ignore[attr-defined]
    db = apsw.Connection(str(path))
    undos = ("label_undos", "person"), ("truth_undos", "person")
    for table, column in (("labels", "label"), ("truths", "serial"), *undos):
        for sql in (f"UPDATE {table} SET {column} = 'x'", f"DELETE FROM {table}"):
            with pytest.raises(apsw.ConstraintError, match="what a person said"):
                db.execute(sql)
    db.close()


async def test_labels_are_found_by_the_stretch_of_numbers(labels: Labels) -> None:
    for no in (3, 5, 5, 9):
        await labels.add(said(no, ticket=str(random.random())))
    found = await labels.between(4, 9)
    assert {no: len(of) for no, of in found.items()} == {5: 2, 9: 1}


async def test_the_newest_truth_of_a_serial_counts_and_all_remain(labels: Labels) -> None:
    await labels.add_truth(NewTruth("S1", Source.COMPLAINT, False, "anna", "came back"))
    assert await labels.bad_serials() == ("S1",)
    await labels.add_truth(NewTruth("S1", Source.REINSPECTION, True, "ben"))
    assert await labels.bad_serials() == ()
    found = await labels.truths(["S1", "", "S2"])
    assert [truth.said.source for truth in found["S1"]] == ["complaint", "reinspection"] and len(found) == 1


async def test_a_truth_that_is_taken_back_counts_no_more_and_stays_in_the_history(labels: Labels) -> None:
    bad = await labels.add_truth(NewTruth("S1", Source.COMPLAINT, False, "anna"))
    good = await labels.add_truth(NewTruth("S1", Source.REINSPECTION, True, "anna", "another part"))
    taken = await labels.undo_truth("ben", good.n)
    assert taken == replace(good, undone_by="ben")
    assert await labels.bad_serials() == ("S1",), "the one before counts again"
    assert (await labels.truths(["S1"]))["S1"] == (bad, taken)
    await labels.undo_truth("ben", bad.n)
    assert await labels.bad_serials() == () and known((await labels.truths(["S1"]))["S1"]) is None


async def test_a_truth_that_is_taken_back_twice_is_audited_once_and_stays_with_who_was_first(labels: Labels) -> None:
    told = [await labels.add_truth(NewTruth(serial, Source.COMPLAINT, False, "anna")) for serial in ("S1", "S2", "S3")]
    taken = await labels.undo_truth("ben", told[1].n)
    assert await labels.undo_truth("cem", told[1].n) == taken and taken.undone_by == "ben"
    assert await labels.newest_truths(2) == (told[2], taken)
    assert await labels.newest_truths(9, before_n=told[1].n) == (told[0],)
    with pytest.raises(NothingToUndo):
        await labels.undo_truth("ben", 99)
    with labels._database.reading() as db:  # nothing else is running on its thread
        audited = [(entry.actor, entry.action, entry.what) for entry in audit.newest(db, None, 9)]
    assert audited == [("ben", "truth.undone", "S2")]


async def test_a_disk_that_fails_is_told_and_the_label_is_not_taken_for_kept() -> None:
    with quick_folder() as folder, open_labels(folder / "office.db") as labels:
        await labels.add(said(1))
        blocker = apsw.Connection(str(folder / "office.db"))
        blocker.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreError):
            await labels.add(said(2))
        blocker.execute("ROLLBACK")
        blocker.close()
        assert await labels.of(2) == ()
        await labels.add(said(2))


def test_every_label_that_was_answered_survives_kill_9_at_any_moment(tmp_path: Path) -> None:
    path, answered, luck = tmp_path / "office.db", set[int](), random.Random()
    for life in range(2):
        child = subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(path), str(1000 * life + 1)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
        )
        assert child.stdout is not None
        answered |= {int(child.stdout.readline()) for _ in range(6)}
        with contextlib.suppress(subprocess.TimeoutExpired):
            child.wait(timeout=luck.uniform(0.05, 0.3))
        child.send_signal(signal.SIGKILL)
        answered |= {int(line) for line in child.stdout.read().split("\n")[:-1]}
        child.wait()
        child.stdout.close()
    db = apsw.Connection(str(path))
    kept = {no for (no,) in db.execute("SELECT no FROM labels")}
    assert db.pragma("integrity_check") == "ok"
    db.close()
    assert answered <= kept, f"lost: {sorted(answered - kept)}"
    assert len(answered) > 10


def test_labels_are_committed_with_an_fsync_each() -> None:
    with quick_folder() as folder, open_labels(folder / "office.db") as labels:

        def asked() -> int:
            with labels._database.reading() as db:
                return int(db.pragma("synchronous"))

        assert labels._thread.submit(asked).result() == 2  # FULL
