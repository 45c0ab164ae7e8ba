"""Accounts and labels that break: set aside whole, and those of the newest copy, or new ones, in their place."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from inspector.backup.make import make
from inspector.core.errors import StoreError
from inspector.office import people
from inspector.office.mending import spare_of
from inspector.office.office import Office
from inspector.office.person import Role
from inspector.office.refused import Refused
from inspector.store import audit
from inspector.store.rescue import note_of, set_aside
from tests.support.box import configure
from tests.support.office import PASSWORD, first_admin, make_hashes_cheap

HERE = "10.0.0.9"


@pytest.fixture(autouse=True)
def _cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    make_hashes_cheap(monkeypatch)


def spoil(path: Path, first: int = 0) -> None:
    """As a disk does that loses its place: most pages from `first` on are noise."""
    for end in ("-wal", "-shm"):
        path.with_name(path.name + end).unlink(missing_ok=True)
    with path.open("r+b") as file:
        for page in range(first, path.stat().st_size // 4096):
            file.seek(4096 * page + 100)
            file.write(os.urandom(3000))


async def lived_in(path: Path) -> str:
    """Anna and a code for Boris; the token of Anna's session."""
    office = Office(path)
    try:
        token = await first_admin(office)
        await office.add("Anna", "Boris", [Role.QUALITY])
    finally:
        office.close()
    with closing(apsw.Connection(str(path))) as db:
        db.pragma("journal_mode", "delete")
    return token


async def test_broken_accounts_without_a_copy_are_set_aside_and_the_log_tells_a_code_again(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    await lived_in(path)
    path.write_bytes(b"no database at all" * 100)
    office = Office(path, spare=tmp_path / "none.db")
    try:
        assert await office.first_code() is not None
        await first_admin(office, "Carla")
    finally:
        office.close()
    (aside,) = set_aside(path)
    assert (tmp_path / aside).read_bytes().startswith(b"no database")


@pytest.mark.parametrize("first", [0, 3])
async def test_accounts_come_back_from_the_newest_copy_and_nobody_is_let_in_by_what_was_good_then(
    tmp_path: Path, first: int
) -> None:
    path, spare = tmp_path / "office.db", tmp_path / "spare.db"
    token = await lived_in(path)
    shutil.copy(path, spare)
    spoil(path, first)
    office = Office(path, spare=spare)
    try:
        assert await office.first_code() is None
        assert await office.visitor(token) is None
        assert [person.code_hash for person in await office.read(people.everyone)] == [None, None]
        await office.log_in("Anna", PASSWORD, HERE)
    finally:
        office.close()
    entries, flaws, _ = audit.check_file(path)
    assert flaws == [] and entries == 4  # Anna, Boris, the copy, the log-in
    assert len(set_aside(path)) == 1


async def test_accounts_that_break_while_the_page_runs_are_mended_for_the_next_who_asks(tmp_path: Path) -> None:
    path, spare = tmp_path / "office.db", tmp_path / "spare.db"
    await lived_in(path)
    shutil.copy(path, spare)
    office = Office(path, spare=spare)

    def meets_a_broken_page(_: apsw.Connection) -> None:
        spoil(path, 3)
        raise apsw.CorruptError("database disk image is malformed")

    try:
        await office.read(people.everyone)
        with pytest.raises(StoreError):
            await office.read(meets_a_broken_page)
        assert len(await office.read(people.everyone)) == 2
        with pytest.raises(Refused):
            await office.log_in("Anna", "a wrong password", HERE)  # it is written to again, too
    finally:
        office.close()
    assert len(set_aside(path)) == 1


async def test_a_copy_that_is_no_good_is_left_alone_and_accounts_begin_anew(tmp_path: Path) -> None:
    path, spare = tmp_path / "office.db", tmp_path / "spare.db"
    await lived_in(path)
    spoil(path)
    spare.write_bytes(b"nonsense")
    office = Office(path, spare=spare)
    try:
        assert await office.first_code() is not None
    finally:
        office.close()
    assert spare.read_bytes() == b"nonsense" and not any(name.endswith(".new") for name in os.listdir(tmp_path))


@pytest.mark.parametrize("moved", [False, True])
async def test_who_is_ended_between_setting_accounts_aside_and_taking_the_copy_goes_on(
    tmp_path: Path, moved: bool
) -> None:
    """Else the page would be a new box's: who can read its log makes the first administrator."""
    path, spare = tmp_path / "office.db", tmp_path / "spare.db"
    await lived_in(path)
    shutil.copy(path, spare)
    aside = "office.broken-20260501T000000Z.db"
    note_of(path).write_text(aside)
    if moved:
        path.rename(tmp_path / aside)
    office = Office(path, spare=spare)
    try:
        assert await office.first_code() is None and len(await office.read(people.everyone)) == 2
    finally:
        office.close()
    assert set_aside(path) == [aside] and not note_of(path).exists()


async def test_accounts_that_another_process_holds_are_not_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "office.db"
    holds, asks = Office(path), Office(path)
    try:
        await first_admin(holds)
        with pytest.raises(StoreError, match="another process"):
            await asks.first_code()
        assert set_aside(path) == [] and len(await holds.read(people.everyone)) == 1
    finally:
        holds.close()
        asks.close()


async def test_a_backup_leaves_the_page_a_copy_that_nobody_else_can_read(tmp_path: Path) -> None:
    box = configure(tmp_path / "box", tmp_path / "stick")
    await lived_in(box.office / "office.db")
    box.state.mkdir(exist_ok=True)
    make(box.cfg, box.config)
    found = spare_of(box.results).stat()
    assert stat.S_IMODE(found.st_mode) == 0o600 and found.st_uid == box.office.joinpath("office.db").stat().st_uid
    spoil(box.office / "office.db")
    office = Office(box.office / "office.db", spare=spare_of(box.results))
    try:
        await office.log_in("Anna", PASSWORD, HERE)
    finally:
        office.close()
