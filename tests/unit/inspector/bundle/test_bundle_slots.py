"""Two slots: what is active is one of two verified bundles, after any interruption (invariant I5)."""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from inspector.bundle.slots import Slots
from inspector.bundle.verify import VerifiedBundle
from inspector.core.errors import BundleError
from tests.support.tiny_bundle import make_bundle, make_key, trusted_key

pytestmark = pytest.mark.slow

PRODUCT = "tiny"


class Box:
    """Slots on a disk, and bundles of any version."""

    def __init__(self, root: Path, key: Ed25519PrivateKey) -> None:
        self.root, self._key, self.trusted = root, key, [trusted_key(key)]
        self.tried: list[str] = []
        self.slots = Slots(root / "bundles", trial=lambda bundle: self.tried.append(bundle.manifest.bundle_id))

    def tar(self, version: int, **overrides: Any) -> Path:
        name = self.root / f"{version}-{len(list(self.root.iterdir()))}.bundle"
        return make_bundle(name, self._key, version=version, **overrides)

    def install(self, version: int) -> VerifiedBundle:
        return self.slots.install(self.tar(version), self.trusted, PRODUCT)

    def switch_to(self, version: int) -> None:
        self.slots.activate(self.install(version))

    def version(self) -> int | None:
        bundle = self.slots.active(self.trusted, PRODUCT)
        return None if bundle is None else bundle.manifest.version

    def rollback(self) -> int:
        return self.slots.rollback(self.trusted, PRODUCT).manifest.version


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cuts below stop the process, not the kernel; that files are made durable in time has a test of its own."""
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def box(tmp_path: Path, key: Ed25519PrivateKey) -> Box:
    return Box(tmp_path, key)


def damage(directory: Path, name: str = "model.bin") -> None:
    content = bytearray((directory / name).read_bytes())
    content[7] ^= 1
    (directory / name).write_bytes(content)


def test_an_empty_box_has_no_active_bundle(box):
    assert box.version() is None
    with pytest.raises(BundleError, match="no former bundle"):
        box.rollback()


def test_installing_tries_the_model_and_changes_nothing_on_the_line(box):
    box.switch_to(1)
    bundle = box.install(2)
    assert box.tried == ["tiny-1-" + bundle.manifest.bundle_id[-8:], bundle.manifest.bundle_id]
    assert box.version() == 1


def test_a_model_that_does_not_survive_its_trial_is_not_installed(box):
    box.switch_to(1)

    def crash(bundle: VerifiedBundle) -> None:
        raise BundleError("the model ended the process that opened it (SIGSEGV)")

    with pytest.raises(BundleError, match="SIGSEGV"):
        Slots(box.root / "bundles", crash).install(box.tar(2), box.trusted)
    assert sorted(p.name for p in (box.root / "bundles" / PRODUCT).iterdir()) == ["a", "active", "floor.json"]
    assert box.version() == 1


@pytest.mark.parametrize("version", [1, 2])
def test_an_older_or_equal_version_with_other_content_is_refused(box, version):
    box.switch_to(2)
    other = box.tar(version, created_utc="2027-01-01T00:00:00Z")
    with pytest.raises(BundleError, match="versions only grow"):
        box.slots.install(other, box.trusted)
    assert box.version() == 2


def test_the_same_bytes_again_are_the_bundle_that_is_there(box):
    box.switch_to(2)
    bundle = box.install(2)
    assert bundle.directory.name == "a" and len(box.tried) == 1


def test_versions_never_shrink_even_when_the_higher_one_is_gone(box):
    box.switch_to(1)
    box.switch_to(5)
    assert box.rollback() == 1
    with pytest.raises(BundleError, match="5 was installed before"):
        box.install(3)
    box.switch_to(6)
    with pytest.raises(BundleError, match="6 was installed before"):
        box.install(5)


def test_a_version_that_was_only_installed_counts_too(box):
    box.install(5)
    with pytest.raises(BundleError, match="5 was installed before"):
        box.install(4)


def test_rollback_goes_to_the_bundle_active_before_and_only_once(box):
    box.switch_to(1)
    with pytest.raises(BundleError, match="no former bundle"):
        box.rollback()
    box.switch_to(2)
    assert box.rollback() == 1
    assert box.version() == 1
    with pytest.raises(BundleError, match="no former bundle"):
        box.rollback()


def test_a_bundle_that_was_never_active_is_no_way_back(box):
    box.switch_to(1)
    box.switch_to(2)
    box.install(3)  # takes the slot of 1, and was never active
    with pytest.raises(BundleError, match="never active"):
        box.rollback()
    assert box.version() == 2


def test_an_older_bundle_is_active_again_by_rollback_only(box):
    box.switch_to(1)
    box.switch_to(2)
    with pytest.raises(BundleError, match="older than the active"):
        box.slots.activate(box.install(1))
    assert box.version() == 2


def test_a_damaged_former_bundle_is_no_way_back(box):
    box.switch_to(1)
    former = box.slots.active(box.trusted, PRODUCT)
    box.switch_to(2)
    damage(former.directory)
    with pytest.raises(BundleError, match="signed content"):
        box.rollback()
    assert box.version() == 2


def test_a_damaged_active_bundle_is_found_and_the_former_one_takes_over(box):
    box.switch_to(1)
    box.switch_to(2)
    damage(box.slots.active(box.trusted, PRODUCT).directory)
    with pytest.raises(BundleError, match="signed content"):
        box.version()
    assert box.rollback() == 1


def test_a_damaged_active_bundle_is_mended_by_the_same_bytes(box):
    box.switch_to(2)
    damage(box.slots.active(box.trusted, PRODUCT).directory)
    box.switch_to(2)
    assert box.version() == 2


def test_a_damaged_manifest_does_not_open_the_way_for_an_older_one(box):
    box.switch_to(1)
    former = box.tar(1)
    box.switch_to(2)
    damage(box.root / "bundles" / PRODUCT / "b", "manifest.json")
    with pytest.raises(BundleError, match="older than the active"):
        box.slots.activate(box.slots.install(former, box.trusted))


def test_each_product_has_slots_of_its_own(box):
    box.switch_to(7)
    disc = box.slots.install(box.tar(1, product="disc"), box.trusted)
    box.slots.activate(disc)
    assert box.version() == 7
    assert box.slots.active(box.trusted, "disc").manifest.product == "disc"


def test_a_bundle_for_another_product_is_refused_and_leaves_nothing(box):
    with pytest.raises(BundleError, match="for product 'disc'"):
        box.slots.install(box.tar(1, product="disc"), box.trusted, PRODUCT)
    assert [p.name for p in (box.root / "bundles").iterdir()] == [".lock"]


def test_a_key_that_is_no_longer_trusted_ends_the_bundle_it_approved(box):
    box.switch_to(1)
    with pytest.raises(BundleError, match="no key that this box trusts"):
        box.slots.active([trusted_key(make_key())], PRODUCT)


def test_a_link_to_somewhere_else_is_no_slot(box):
    box.switch_to(1)
    link = box.root / "bundles" / PRODUCT / "active"
    link.unlink()
    link.symlink_to("/tmp")
    with pytest.raises(BundleError, match="no slot"):
        box.version()


def test_a_bundle_outside_the_slots_is_not_activated(box, tmp_path):
    from inspector.bundle.verify import verify

    with pytest.raises(BundleError, match="install the bundle first"):
        box.slots.activate(verify(box.tar(1), box.trusted, tmp_path / "x"))


def test_a_floor_that_cannot_be_read_is_not_guessed(box):
    box.switch_to(2)
    (box.root / "bundles" / PRODUCT / "floor.json").write_text("{")
    with pytest.raises(BundleError, match="cannot be read"):
        box.install(3)
    assert box.version() == 2


def test_two_processes_do_not_change_the_bundles_at_once(box):
    box.switch_to(1)
    with (box.root / "bundles" / ".lock").open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(BundleError, match="another process"):
            box.install(2)
    box.switch_to(2)


def test_a_full_disk_is_an_error_and_the_active_bundle_stays(box, monkeypatch):
    box.switch_to(1)
    tar = box.tar(2)
    with monkeypatch.context() as patch, pytest.raises(BundleError, match="No space left"):
        patch.setattr(os, "fsync", _no_space)
        box.slots.install(tar, box.trusted)
    assert box.version() == 1
    box.switch_to(2)


def _no_space(descriptor: int) -> None:
    raise OSError(28, "No space left on device")


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


def test_files_are_durable_before_the_name_that_points_to_them(box, monkeypatch):
    done: list[str] = []
    replace = os.replace
    monkeypatch.setattr(os, "fsync", lambda fd: done.append(os.readlink(f"/proc/self/fd/{fd}")))
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append(f"switch {b}"), replace(a, b))[1])
    bundle = box.install(1)
    done.clear()
    box.slots.activate(bundle)
    home = str(bundle.directory.parent)
    switch = done.index(f"switch {home}/active")
    assert {str(p) for p in bundle.directory.iterdir()} | {str(bundle.directory), home} <= set(done[:switch])
    assert done[switch + 1 :] == [home]
