"""Whose files are after a restore, and who may use them: with users that every Linux has, so by root alone."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.backup.make import make
from inspector.backup.restore import restore
from tests.support.box import MONTH, BoxOnDisk, lived_in
from tests.support.disks import quick_folder
from tests.support.office import make_hashes_cheap

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files to others")

NAMELESS = 54_321  # a user and a group that this machine has no name for
Owner = tuple[str, str, int]  # user, group, mode


@pytest.fixture
def tmp_path() -> Iterator[Path]:
    with quick_folder() as folder:
        yield folder


@pytest.fixture
def box(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> BoxOnDisk:
    """Daemon and page have users of their own, and some files are of others."""
    make_hashes_cheap(monkeypatch)
    box = asyncio.run(lived_in(tmp_path / "box", tmp_path / "stick", parts=3))
    for folder, user in ((box.state, "daemon"), (box.office, "nobody")):
        for path in (folder, *folder.rglob("*")):
            shutil.chown(path, user, "daemon")
    (box.office / "web.pem").write_text("certificate")
    for path, (user, group, mode) in given(box).items():
        shutil.chown(path, user, group)
        path.chmod(mode)
    os.chown(month_of(box), NAMELESS, NAMELESS)
    return box


def given(box: BoxOnDisk) -> dict[Path, Owner]:
    """Whose some files are, and are to be again."""
    return {
        box.config: ("root", "daemon", 0o640), box.results: ("daemon", "games", 0o660),
        box.office / "office.db": ("nobody", "games", 0o600), box.office / "web.pem": ("bin", "bin", 0o444),
    }  # fmt: skip


def month_of(box: BoxOnDisk) -> Path:
    return box.state / f"results-{MONTH}.db"


def owner(path: Path) -> Owner:
    return path.owner(), path.group(), stat.S_IMODE(path.stat().st_mode)


def test_on_a_new_box_each_file_is_of_whom_it_was_and_the_folders_of_whose_database_lies_there(box: BoxOnDisk) -> None:
    made = make(box.cfg, box.config)
    wanted = given(box)
    shutil.rmtree(box.folder)
    restore(made.path, None, None)
    assert {path: owner(path) for path in wanted} == wanted
    assert owner(box.state) == ("daemon", "games", 0o750) and owner(box.office) == ("nobody", "games", 0o750)
    assert owner(month_of(box))[:2] == ("daemon", "games"), "of no name that is known here: of its folder's"
    made_anew = [box.state / "bundles", box.results.with_suffix(".lock"), box.office / "office.lock"]
    assert [owner(path)[:2] for path in made_anew] == [("daemon", "games")] * 2 + [("nobody", "games")]


def test_a_folder_that_is_there_and_of_a_user_stays_theirs(box: BoxOnDisk) -> None:
    made = make(box.cfg, box.config)
    for folder in (box.state, box.office):
        shutil.chown(folder, "games", "games")
        folder.chmod(0o700)
    restore(made.path, None, None)
    assert owner(box.state) == owner(box.office) == ("games", "games", 0o700)
    assert owner(box.results) == given(box)[box.results] and owner(month_of(box))[:2] == ("games", "games")


def test_the_copies_that_a_backup_leaves_are_of_who_may_read_them(box: BoxOnDisk) -> None:
    make(box.cfg, box.config)
    copies = box.state.with_name(f"{box.state.name}-backup")
    assert owner(copies / "results.db") == ("root", "daemon", 0o640), "of the group of the state"
    assert owner(copies / "office.db") == ("nobody", "games", 0o600), "of the page's user, and nobody else's"
    assert owner(copies)[1] == "daemon"
