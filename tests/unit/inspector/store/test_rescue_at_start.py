"""Damage that no look at the file finds before the start itself comes upon it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from tests.support.broken_record import aside, scribble, write
from tests.support.disks import quick_folder
from tests.support.store import PASS, part, store


@pytest.fixture
def path() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder / "results.db"


def flip_in_a_text(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.execute("UPDATE inspections SET station = CAST(x'6cff' AS TEXT) WHERE no = 7")


def flip_in_a_small_table(path: Path) -> None:
    """Which is read once more for what can be taken over."""
    with closing(apsw.Connection(str(path))) as db:
        db.execute("INSERT INTO plc_parts (station, raw) VALUES (CAST(x'6cff' AS TEXT), 1)")


def scribble_after_the_end(path: Path) -> None:
    with closing(apsw.Connection(str(path))) as db:
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
        root = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'inspections'").get
    scribble(path, root - 1, 1)


@pytest.mark.parametrize("damage", [flip_in_a_text, flip_in_a_small_table, scribble_after_the_end])
async def test_damage_that_only_the_start_itself_comes_upon_sets_the_record_aside_too(path, damage):
    """Of a life that ended in order nobody looks through the file, and no look finds a text that is none."""
    given = await write(path, 60)
    damage(path)
    async with store(path) as results:
        done = await part(results, 7)
        assert done.outcome == PASS and done.no > max(given)
        assert results._journal.broken == tuple(file.name for file in aside(path)) and len(aside(path)) == 1
