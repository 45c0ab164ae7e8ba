"""Two slots: what is active is one of two verified bundles, after any interruption (invariant I5)."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from inspector.bundle.slots import Slots
from inspector.bundle.verify import VerifiedBundle
from inspector.core.errors import BundleError
from tests.support.slots import PRODUCT, Box
from tests.support.tiny_bundle import make_key, trusted_key

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("no_waiting_for_the_disk")]


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
