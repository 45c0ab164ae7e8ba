"""The bundle that a configuration names judges, or none does; what is unchanged is neither unpacked nor tried again."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from inspector.bundle import activate
from inspector.bundle.activate import Activation, Trials
from inspector.bundle.keys import TrustedKey
from inspector.bundle.slots import Slots
from inspector.bundle.trial import TrialBounds
from inspector.bundle.verify import verify
from inspector.core.errors import BundleError
from tests.support.tiny_bundle import entries_of, make_bundle, make_key, sign_files, tiny_files, tiny_manifest

ROOT = Path(__file__).parents[4]


@pytest.fixture
def tried(monkeypatch):
    """Which bundles were opened in a child; the child itself has tests of its own below and in test_bundle_trial."""
    found: list[str] = []
    monkeypatch.setattr(activate, "first_opening", lambda bundle, _: found.append(bundle.manifest.bundle_id))
    return found


@pytest.fixture
def box(tmp_path, key, trusted):
    return Box(tmp_path, key, trusted)


class Box:
    """A state folder, and bundle files of any version."""

    def __init__(self, folder, key, trusted) -> None:
        self.folder, self._key, self._trusted = folder, key, trusted
        self.root = folder / "state" / "bundles"

    def file(self, version: int, **overrides) -> Path:
        return make_bundle(self.folder / f"{version}.bundle", self._key, version=version, **overrides)

    def activation(self) -> Activation:
        return Activation(self.root, self._trusted)

    def start(self, file: Path, product: str | None = None) -> int:
        """As at a start of the daemon, with a bundle that gives its golden answers."""
        activation = self.activation()
        brought = activation.bring_in(file, product)
        if not brought.active:
            activation.switch_to(brought.bundle)
        return self.active()

    def active(self) -> int | None:
        bundle = Slots(self.root).active(self._trusted, "tiny")
        return bundle.manifest.version if bundle else None


def test_a_new_bundle_is_tried_once_and_active_from_then_on(box, tried):
    file = box.file(1)
    assert [box.start(file) for _ in range(3)] == [1, 1, 1]
    assert len(tried) == 1


def test_a_restart_unpacks_nothing(box, tried):
    box.start(box.file(1))
    before = {p: p.stat().st_mtime_ns for p in box.root.rglob("*") if p.is_file() and p.name != ".lock"}
    inodes = {p: p.stat().st_ino for p in before}
    box.start(box.folder / "1.bundle")
    assert {p: p.stat().st_ino for p in before} == inodes
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_another_file_is_brought_into_the_free_slot_and_not_active_before_the_switch(box, tried):
    box.start(box.file(1))
    brought = box.activation().bring_in(box.file(2), None)
    assert not brought.active and brought.bundle.directory.name == "b" and box.active() == 1
    assert box.start(box.file(2)) == 2 and len(tried) == 2


def test_a_missing_file_is_refused_and_the_text_names_what_the_box_holds(box, tried):
    box.start(box.file(1))
    with pytest.raises(BundleError, match=r"gone\.bundle cannot be read.*tiny-1-\w{8}, which judged before") as caught:
        box.start(box.folder / "gone.bundle")
    assert "not used" in str(caught.value) and box.active() == 1
    with pytest.raises(BundleError, match=r"gone.bundle cannot be read: [\w ]+$"):
        Activation(box.folder / "empty", []).bring_in(box.folder / "gone.bundle", None)


def test_a_file_for_another_product_than_the_recipes_is_refused(box, tried):
    with pytest.raises(BundleError, match="this recipe inspects 'bolt'"):
        box.start(box.file(1), "bolt")
    assert tried == [] and box.active() is None


def test_a_file_of_an_unknown_or_a_revoked_key_is_refused_though_its_bundle_is_active(box, tried, trusted):
    file = box.file(1)
    box.start(file)
    other = make_bundle(box.folder / "other.bundle", make_key(), version=2)
    with pytest.raises(BundleError, match="no key"):
        box.start(other)
    revoked = [TrustedKey(k.raw, revoked=True) for k in trusted]
    with pytest.raises(BundleError, match="revoked") as caught:
        Activation(box.root, revoked).bring_in(file, None)
    assert "judged before" not in str(caught.value), "what a revoked key signed is no way out"


def test_a_bit_that_flips_in_the_active_slot_is_found_and_the_file_takes_its_place(box, tried):
    box.start(box.file(1))
    weights = Slots(box.root).active(box._trusted, "tiny").directory / "model.bin"
    content = bytearray(weights.read_bytes())
    content[3] ^= 8
    weights.write_bytes(content)
    with pytest.raises(BundleError):
        box.active()
    assert box.start(box.folder / "1.bundle") == 1


def test_the_former_bundle_comes_back_when_a_person_names_it_and_no_other_older_one_does(box, tried):
    box.start(box.file(1))
    box.start(box.file(2))
    box.start(box.file(3))
    with pytest.raises(BundleError, match="versions only grow"):
        box.start(box.folder / "1.bundle")
    assert box.active() == 3
    assert box.start(box.folder / "2.bundle") == 2
    assert box.start(box.folder / "2.bundle") == 2
    assert box.start(box.folder / "3.bundle") == 3, "and forward again"
    assert len(tried) == 3


def test_a_bundle_that_was_installed_and_never_active_is_no_way_back(box, tried):
    box.start(box.file(2))
    box.start(box.file(3))
    box.activation().bring_in(box.file(4), None)  # takes the slot of 2; its golden pictures failed, say
    assert not Slots(box.root).is_former(box.activation().bring_in(box.folder / "4.bundle", None).bundle)
    with pytest.raises(BundleError, match="versions only grow"):
        box.start(box.folder / "2.bundle")


def test_a_new_parser_tries_the_active_model_anew(box, tried, monkeypatch):
    file = box.file(1)
    box.start(file)
    monkeypatch.setattr(activate, "version", lambda _: "2031.1")
    box.start(file)
    box.start(file)
    assert len(tried) == 2


def test_a_model_that_a_new_parser_does_not_survive_is_refused_at_every_start(box, tried, monkeypatch):
    file = box.file(1)
    box.start(file)
    monkeypatch.setattr(activate, "version", lambda _: "2031.1")

    def crash(bundle, bounds):
        tried.append("crashed")
        raise BundleError("the model ended the process that opened it (SIGSEGV)")

    monkeypatch.setattr(activate, "first_opening", crash)
    for _ in range(2):
        with pytest.raises(BundleError, match="SIGSEGV"):
            box.start(file)
    assert tried[1:] == ["crashed", "crashed"]


def test_a_damaged_memory_of_trials_costs_a_trial_and_nothing_else(box, tried):
    file = box.file(1)
    box.start(file)
    (box.root / activate.TRIED).write_text("{")
    box.start(file)
    box.start(file)
    assert len(tried) == 2


def test_remembered_trials_are_bounded_and_the_newest_stay(tmp_path, tried, key, trusted):
    trials = Trials(tmp_path / "tried.json")
    bundles = [
        verify(make_bundle(tmp_path / f"{n}.bundle", key, version=n), trusted, tmp_path / f"b{n}")
        for n in range(1, activate.MAX_TRIED + 4)
    ]
    for bundle in bundles:
        trials.once(bundle)
    for bundle in reversed(bundles[3:]):
        trials.once(bundle)
    assert len(tried) == len(bundles)
    trials.once(bundles[0])
    assert len(tried) == len(bundles) + 1


@pytest.mark.slow
def test_the_real_child_opens_a_new_model_and_refuses_one_that_cannot_be_opened(box, key):
    assert box.start(box.file(1)) == 1
    assert (box.root / activate.TRIED).exists()
    files = {**tiny_files(), "model.xml": b"<net/>"}
    broken = sign_files(
        box.folder / "broken.bundle", key, tiny_manifest(version=2, files=entries_of(files)), files
    )  # fmt: skip
    with pytest.raises(BundleError, match=r"cannot be opened|ended the process"):
        box.start(broken)
    assert box.active() == 1


_START = """
import os, sys
from pathlib import Path
from inspector.bundle import activate
from inspector.bundle.activate import Activation
from inspector.bundle.keys import load_keys
kill_at, seen = int(sys.argv[4]), 0
def counted(name, real):
    def call(*args, **kwargs):
        global seen
        seen += 1
        if seen == kill_at:
            os._exit(9)
        return real(*args, **kwargs)
    return call
for name in ("fsync", "replace", "rename", "symlink", "mkdir", "unlink"):
    setattr(os, name, counted(name, getattr(os, name)))
activate.first_opening = lambda bundle, bounds: None
activation = Activation(Path(sys.argv[1]), load_keys([sys.argv[2]]))
brought = activation.bring_in(Path(sys.argv[3]), None)
if not brought.active:
    activation.switch_to(brought.bundle)
print(seen)
"""


@pytest.mark.slow
@pytest.mark.timeout(900)  # dozens of starts
def test_a_start_that_is_killed_at_any_write_leaves_the_old_bundle_or_the_new_and_the_next_start_finishes(
    box, tried, trusted
):
    box.start(box.file(1))
    second = box.file(2)
    key_text = trusted[0].raw.hex()
    met = set()
    for kill_at in range(1, 200):
        command = [sys.executable, "-c", _START, str(box.root), key_text, str(second), str(kill_at)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240)
        assert done.returncode in (0, 9), done.stderr
        met.add(box.active())
        assert box.active() in (1, 2)
        if done.returncode == 0:
            break
        if box.active() == 2:
            assert box.start(second) == 2
            break
    assert kill_at > 10 and 1 in met
    assert box.start(second) == 2


def test_trial_bounds_at_a_start_end_before_systemd_gives_up():
    unit = (ROOT / "systemd" / "inspector.service").read_text()
    start_s = int(unit.split("TimeoutStartSec=")[1].split()[0])
    assert isinstance(activate.AT_START, TrialBounds)
    assert activate.AT_START.timeout_s <= start_s - 15, "loading and golden pictures take their time too"
