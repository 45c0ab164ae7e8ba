"""Two slots a product on disk, A and B: one is active, the other takes the next bundle or waits as the way back.

    ROOT/PRODUCT/a, b        unpacked bundles
    ROOT/PRODUCT/active      symbolic link to the active slot; its rename is the switch
    ROOT/PRODUCT/left.json   what was left by the last switch: the one way back
    ROOT/PRODUCT/floor.json  the highest version ever installed; lost with nothing but the disk

After an interruption at any point the active slot is the old one or the new one, and whole.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from inspector.bundle.checks import MANIFEST, require_fit
from inspector.bundle.keys import TrustedKey
from inspector.bundle.trial import first_opening
from inspector.bundle.verify import VerifiedBundle, fsync_directory, reopen, verify
from inspector.core.errors import BundleError

NAMES = ("a", "b")
ACTIVE, LEFT, FLOOR = "active", "left.json", "floor.json"
INCOMING, LOCK = ".incoming", ".lock"


class Slots:
    """The bundles under `root`. Changes are one at a time, also between processes; each method blocks."""

    def __init__(self, root: Path, trial: Callable[[VerifiedBundle], None] = first_opening) -> None:
        self._root, self._trial = root, trial

    def install(self, tar: Path, trusted: Sequence[TrustedKey], product: str | None = None) -> VerifiedBundle:
        """Verify, try and unpack into the slot that is not active; activates nothing.

        The same bytes once more give the bundle that is there. Raises BundleError: not to be trusted, for another
        product than `product`, not newer than any installed before, or its model cannot be opened.
        """
        with self._locked():
            incoming = self._root / INCOMING
            _remove(incoming)
            bundle = verify(tar, trusted, incoming)
            try:
                require_fit(bundle.manifest, product=product)
                home = self._root / bundle.manifest.product
                home.mkdir(exist_ok=True)
                if (there := self._refuse_older(home, bundle, trusted)) is not None:
                    return there
                self._trial(bundle)
                return self._place(home, bundle, trusted)
            finally:
                _remove(incoming)

    def active(self, trusted: Sequence[TrustedKey], product: str) -> VerifiedBundle | None:
        """The active bundle, every byte checked again; None: none was ever activated. Raises BundleError."""
        name = _linked(self._root / product)
        return None if name is None else _reopen(self._root / product / name, trusted, product)

    def activate(self, bundle: VerifiedBundle) -> None:
        """Make an installed bundle the active one, after it gave its golden answers (golden.replay).

        Raises BundleError: it lies in no slot, is older than the active one, or the disk failed.
        """
        home = self._root / bundle.manifest.product
        with self._locked():
            if bundle.directory.parent != home or bundle.directory.name not in NAMES:
                raise BundleError(f"{bundle.directory} is no slot of {home}: install the bundle first")
            before = _linked(home)
            if before == bundle.directory.name:
                return
            if before is not None and bundle.manifest.version < _version(home, before):
                raise BundleError(f"{bundle.manifest.bundle_id} is older than the active bundle; to go back: rollback")
            _fsync_tree(bundle.directory)
            if before is not None:  # before the switch: true already, and the way back is there once it is needed
                write_json(home / LEFT, {"slot": before, "manifest": fingerprint(home / before)})
            _switch(home, bundle.directory.name)

    def is_former(self, bundle: VerifiedBundle) -> bool:
        """True if `bundle` is the one that was active before the last switch: rollback() goes back to it."""
        home = self._root / bundle.manifest.product
        left = read_json(home / LEFT)
        return (
            left is not None
            and left["slot"] == bundle.directory.name != _linked(home)
            and left["manifest"] == fingerprint(bundle.directory)
        )

    def products(self) -> list[str]:
        """Products of which a bundle is active."""
        return sorted(link.parent.name for link in self._root.glob(f"*/{ACTIVE}"))

    def rollback(self, trusted: Sequence[TrustedKey], product: str) -> VerifiedBundle:
        """Go back to the bundle that was active before this one; once. Raises BundleError: there is none to go to."""
        home = self._root / product
        with self._locked():
            left = read_json(home / LEFT)
            now = _linked(home)
            if now is None or left is None or left["slot"] not in NAMES or left["slot"] == now:
                raise BundleError(f"there is no former bundle of {product} to go back to")
            bundle = _reopen(home / left["slot"], trusted, product)
            if left["manifest"] != fingerprint(bundle.directory):
                raise BundleError(f"the former bundle of {product} was replaced by one that was never active")
            _switch(home, bundle.directory.name)
            return bundle

    def _refuse_older(self, home: Path, bundle: VerifiedBundle, trusted: Sequence[TrustedKey]) -> VerifiedBundle | None:
        """The same bundle where a slot holds it whole; None: it may be placed. Raises BundleError: older, or equal."""
        sent = fingerprint(bundle.directory)
        same = [name for name in NAMES if fingerprint(home / name) == sent]
        for name in same:
            try:
                return _reopen(home / name, trusted, bundle.manifest.product)
            except BundleError:
                continue  # damaged since: this very bundle may be placed anew
        floor = read_json(home / FLOOR) or {"version": 0, "manifest": ""}
        version = bundle.manifest.version
        if not (version > int(floor["version"]) or same or sent == floor["manifest"]):
            raise BundleError(
                f"{bundle.manifest.bundle_id} is version {version}, and {floor['version']} was installed before: "
                "versions only grow; to go back, use the former bundle on this box"
            )
        return None

    def _place(self, home: Path, bundle: VerifiedBundle, trusted: Sequence[TrustedKey]) -> VerifiedBundle:
        """Move the incoming bundle into the slot that is not active."""
        floor = read_json(home / FLOOR) or {"version": 0}
        if bundle.manifest.version > int(floor["version"]):  # first: with the old slot gone nothing else would know it
            write_json(home / FLOOR, {"version": bundle.manifest.version, "manifest": fingerprint(bundle.directory)})
        slot = home / ("b" if _linked(home) == "a" else "a")
        _remove(slot)
        os.rename(bundle.directory, slot)
        fsync_directory(home)
        fsync_directory(self._root)
        return _reopen(slot, trusted, bundle.manifest.product)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with (self._root / LOCK).open("a") as lock:
                _lock(lock.fileno())
                yield
        except OSError as exc:
            raise BundleError(f"the bundles in {self._root} cannot be changed: {exc}") from exc


def _lock(descriptor: int) -> None:
    """Held until the descriptor is closed. Raises BundleError: another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as exc:
        raise BundleError("another process is changing the bundles; try again when it is done") from exc


def _reopen(slot: Path, trusted: Sequence[TrustedKey], product: str) -> VerifiedBundle:
    bundle = reopen(slot, trusted)
    require_fit(bundle.manifest, product=product)
    return bundle


def _linked(home: Path) -> str | None:
    """The name of the active slot. Raises BundleError: the link points elsewhere."""
    try:
        name = os.readlink(home / ACTIVE)
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise BundleError(f"{home / ACTIVE} cannot be read: {exc}") from exc
    if name not in NAMES:
        raise BundleError(f"{home / ACTIVE} points to {name!r}, which is no slot")
    return name


def _switch(home: Path, name: str) -> None:
    """Readers see the old slot or the new, never half."""
    staged = home / f".{ACTIVE}.new"
    staged.unlink(missing_ok=True)
    staged.symlink_to(name)
    os.replace(staged, home / ACTIVE)
    fsync_directory(home)


def _fsync_tree(directory: Path) -> None:
    for path in directory.iterdir():
        with path.open("rb") as file:
            os.fsync(file.fileno())
    fsync_directory(directory)
    fsync_directory(directory.parent)


def _version(home: Path, slot: str) -> int:
    """Of the bundle in a slot, or where that is damaged of the highest ever installed."""
    try:
        return int(json.loads((home / slot / MANIFEST).read_bytes())["version"])
    except (OSError, ValueError, KeyError, TypeError):
        return int((read_json(home / FLOOR) or {"version": 0})["version"])


def fingerprint(directory: Path) -> str | None:
    """SHA-256 of the manifest, which holds the hash of every other file; None: there is none to read."""
    try:
        return hashlib.sha256((directory / MANIFEST).read_bytes()).hexdigest()
    except OSError:
        return None


def write_json(path: Path, value: dict[str, Any]) -> None:
    """The file is the old one or the new one, whole, after any interruption."""
    staged = path.with_name(f".{path.name}.new")
    with staged.open("w") as file:
        json.dump(value, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(staged, path)
    fsync_directory(path.parent)


def read_json(path: Path) -> dict[str, Any] | None:
    """None: there is no such file. Raises BundleError: it cannot be read, and what it said must not be guessed."""
    try:
        value = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as exc:
        raise BundleError(f"{path} cannot be read: {exc}") from exc
    if not isinstance(value, dict):
        raise BundleError(f"{path} is damaged")
    return value


def _remove(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
