"""Two slots, and the power cut before each change of a file: the old bundle is active or the new (invariant I5)."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from inspector.core.errors import BundleError
from tests.support.slots import Box

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_waiting_for_the_disk")]


class PowerCut(BaseException):
    """Not an Exception: nothing on a box catches a power cut."""


class Power:
    """Cuts the power at the n-th change of a file under `root`; from then on nothing changes, cleaning up included.

    Python audits every opening, renaming, linking and removing of a file before it happens. A write that the cut tears
    is a file opened and left empty, for the bytes that are not there yet are what is missing in it.
    """

    CHANGES = frozenset({"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.symlink", "os.truncate", "os.link"})

    def __init__(self) -> None:
        self.root, self.left, self.on = "", -1, False
        sys.addaudithook(self._hook)  # stays for good; `on` says whether it looks

    def _hook(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.on or not (event in self.CHANGES or (event == "open" and self._writes(args))):
            return
        if not str(args[0]).startswith(self.root) and not isinstance(args[0], int):
            return
        if self.left <= 0:
            raise PowerCut(event, args)
        self.left -= 1

    @staticmethod
    def _writes(args: tuple[Any, ...]) -> bool:
        _, mode, flags = args
        return bool(flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)) or (isinstance(mode, str) and mode[0] in "wax")

    @contextmanager
    def cut_after(self, changes: int, root: Path) -> Iterator[None]:
        self.root, self.left, self.on = str(root), changes, True
        try:
            yield
        finally:
            self.on = False


POWER = Power()


def cut_everywhere(
    tmp_path: Path, key: Ed25519PrivateKey, before: Callable[[Box], Any], what: Callable[[Box], Any]
) -> Iterator[Box]:
    """Do `what` with the power cut before its first change, its second ...; yields the box as it starts again."""
    (start := tmp_path / "start").mkdir()
    before(Box(start, key))
    for changes in range(200):
        root = shutil.copytree(start, tmp_path / str(changes), symlinks=True)
        try:
            with POWER.cut_after(changes, root):
                what(Box(root, key))
            assert changes > 2  # there were places to cut at
            return
        except PowerCut:
            yield Box(root, key)
        shutil.rmtree(root)
    raise AssertionError("it never came to an end")


def two_versions(box: Box) -> None:
    box.switch_to(1)
    box.switch_to(2)


def versions_after(boxes: Iterator[Box], next_tar: Path) -> set[int | None]:
    """What was active after each cut; what the cut left behind must stop nobody."""
    seen = set()
    for box in boxes:
        seen.add(box.version())
        box.slots.activate(box.slots.install(next_tar, box.trusted))
        assert box.version() == 9
    return seen


def test_a_power_cut_at_any_point_of_a_first_installation_leaves_none_or_the_new(tmp_path, key):
    maker = Box(tmp_path, key)
    tar, later = maker.tar(1), maker.tar(9)
    boxes = cut_everywhere(
        tmp_path, key, lambda box: None, lambda box: box.slots.activate(box.slots.install(tar, box.trusted))
    )
    assert versions_after(boxes, later) == {None}  # the switch is the last change of all


def test_a_power_cut_at_any_point_of_a_change_leaves_the_old_or_the_new(tmp_path, key):
    maker = Box(tmp_path, key)
    tar, later = maker.tar(3), maker.tar(9)
    boxes = cut_everywhere(
        tmp_path, key, two_versions, lambda box: box.slots.activate(box.slots.install(tar, box.trusted))
    )
    assert versions_after(boxes, later) == {2}


def test_a_power_cut_at_any_point_of_a_rollback_leaves_the_bundle_that_was_active(tmp_path, key):
    later = Box(tmp_path, key).tar(9)
    assert versions_after(cut_everywhere(tmp_path, key, two_versions, lambda box: box.rollback()), later) == {2}


def test_after_a_power_cut_no_older_version_gets_in(tmp_path, key):
    """The slot that held the highest version is emptied for the next one: the floor must know it by then."""
    maker = Box(tmp_path, key)
    tar, old = maker.tar(6), maker.tar(3)

    def went_back(box: Box) -> None:
        box.switch_to(1)
        box.switch_to(5)
        box.rollback()

    for box in cut_everywhere(tmp_path, key, went_back, lambda box: box.slots.install(tar, box.trusted)):
        with pytest.raises(BundleError, match="versions only grow"):
            box.slots.install(old, box.trusted)
