"""`inspector restore`: a box as it was when the backup was made. Staged beside what is there, checked, then swapped in.

Nothing is changed before all of the backup has been read and found whole. What was there is kept aside. While files are
swapped a marker stands, and daemon and page do not start: a restore that was interrupted begins anew.
"""

from __future__ import annotations

import contextlib
import errno
import filecmp
import grp
import os
import pwd
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import apsw

from inspector.backup import numbers
from inspector.backup.errors import BackupError
from inspector.backup.opening import IS_A_LINK
from inspector.backup.places import (
    ASIDE,
    BUNDLES,
    CONFIG,
    NUMBERS,
    OFFICE,
    RESTORING,
    RESULTS,
    named_files,
    own_files,
)  # fmt: skip
from inspector.backup.unpack import Head, Member, Whole, read
from inspector.config import AppConfig, load_config
from inspector.core.errors import ConfigError, StoreError
from inspector.store import audit
from inspector.store.database import sync_directory, take_lock
from inspector.store.months import month_files
from inspector.store.rescue import note_of

STAGED = ".restore"
ROOT = "root"
Told = Callable[[str], None]


@dataclass(slots=True)
class _Plan:
    """Where each file goes once all are there. moves: (staged, place, aside)."""

    cfg: AppConfig
    config: Path
    stamp: str
    moves: list[tuple[Path, Path, Path]] = field(default_factory=list)

    @property
    def state(self) -> Path:
        return self.cfg.paths.state

    @property
    def office(self) -> Path:
        return self.cfg.paths.office_folder


def restore(file: Path, config: Path | None, key: Path | None, told: Told = lambda _: None) -> Whole:
    """Put the box of `file` in place. config: where its configuration goes; None: where it lay.

    Raises BackupError: damaged, newer, another key, no room, or a daemon or page runs; nothing was changed then.
    """
    stamp = datetime.fromtimestamp(time.time(), UTC).strftime("%Y%m%dT%H%M%SZ")
    whole = read(file, key)  # before anything is written
    place = (config or Path(whole.head.config)).absolute()
    with contextlib.ExitStack() as stack:
        plan = _stage(file, key, place, stamp, whole, stack)
        told(f"the backup is whole: of {whole.head.box}, {_when(whole.head)}, by version {whole.head.version}")
        highest = numbers.go_on(plan.state / STAGED, plan.state, whole.head.utc_ms)
        if highest is not None:
            told(f"numbers of parts go on above {highest}")
        _close_doors(plan.office / STAGED / OFFICE, whole.head)
        _keep_floors(plan.state / STAGED / BUNDLES, plan.state / BUNDLES)
        _own(plan, whole.files)
        _swap(plan)
    for line in whole.head.left_out:
        told(f"not in the backup: {line}")
    return whole


def _when(head: Head) -> str:
    return f"{datetime.fromtimestamp(head.utc_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"


def _stage(file: Path, key: Path | None, place: Path, stamp: str, whole: Whole, stack: contextlib.ExitStack) -> _Plan:
    """Write all of it beside the places where it goes; what is staged is removed whatever happens."""
    staged_config = place.with_name(f".{place.name}{STAGED}")
    plan: _Plan | None = None

    def put(name: str, member: Member) -> None:
        nonlocal plan
        if plan is None:
            if name != CONFIG:
                raise BackupError("the backup is damaged: it has no configuration")
            _write(staged_config, member)
            stack.callback(staged_config.unlink, missing_ok=True)
            plan = _Plan(_loaded(staged_config), place, stamp)
            plan.moves.append((staged_config, place, place.with_name(f"{place.name}.{ASIDE}{stamp}")))
            _begin(plan, stack)
            _check_room(plan, whole)
            return
        if (target := _target(plan, name)) is not None:
            _write(target, member)
            if name.startswith("named/"):
                stack.callback(target.unlink, missing_ok=True)

    if read(file, key, put).files != whole.files or plan is None:
        raise BackupError(f"{file} changed while it was read")
    return plan


def _loaded(config: Path) -> AppConfig:
    try:
        return load_config(config)
    except ConfigError as exc:
        raise BackupError(f"the configuration in the backup cannot be used by this version: {exc}") from exc


def _begin(plan: _Plan, stack: contextlib.ExitStack) -> None:
    """Folders, and the locks of both databases: nothing of the box may run. Raises BackupError."""
    for folder in (plan.state, plan.office):
        staged = folder / STAGED
        try:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(staged, ignore_errors=True)
            staged.mkdir(mode=0o700)
        except OSError as exc:
            raise BackupError(f"{staged} cannot be made: {exc.strerror}") from exc
        stack.callback(shutil.rmtree, staged, ignore_errors=True)
    for what, database in (("inspector", plan.state / RESULTS), ("inspector-web", plan.office / OFFICE)):
        try:
            fd = take_lock(database)
        except OSError as exc:
            why = IS_A_LINK if exc.errno == errno.ELOOP else exc.strerror
            raise BackupError(f"{exc.filename} {why}") from exc
        except StoreError as exc:
            raise BackupError(f"stop it first (systemctl stop {what}): {database} is in use") from exc
        stack.callback(os.close, fd)


def _check_room(plan: _Plan, whole: Whole) -> None:
    needed = sum(int(one["size"]) for one in whole.files.values())
    free = shutil.disk_usage(plan.state).free
    if free < needed * 1.05 + (64 << 20):
        raise BackupError(f"{plan.state}: {free >> 20} MB are free, the backup holds {needed >> 20} MB")


def _target(plan: _Plan, name: str) -> Path | None:
    """Where a member is staged; None: the configuration in the backup does not know it."""
    if name.startswith("named/"):
        for file in named_files(plan.cfg):
            if file.name == name:
                staged = file.path.with_name(f".{file.path.name}{STAGED}")
                plan.moves.append((staged, file.path, file.path.with_name(f"{file.path.name}.{ASIDE}{plan.stamp}")))
                return staged
        return None
    if name == OFFICE or name.startswith("web."):
        return plan.office / STAGED / name
    return plan.state / STAGED / name


def _write(target: Path, member: Member) -> None:
    """To the disk. Raises BackupError."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as out:
            for piece in member.pieces():
                out.write(piece)
            out.flush()
            os.fsync(out.fileno())
    except OSError as exc:
        raise BackupError(f"{target} cannot be written: {exc.strerror or exc}") from exc


def _close_doors(office: Path, head: Head) -> None:
    """No log-in and no one-time code of then is good now; the audit says what happened."""
    if not office.exists():
        return
    db = apsw.Connection(str(office))
    try:
        with db:
            db.execute("DELETE FROM sessions")
            db.execute("UPDATE people SET code_hash = NULL, code_until_utc_ms = NULL")
            audit.append(db, time.time_ns() // 1_000_000, ROOT, "box.restored", f"{head.box} {_when(head)}")
    except apsw.Error as exc:
        raise BackupError(f"the accounts in the backup cannot be used: {exc}") from exc
    finally:
        db.close()


def _keep_floors(staged: Path, present: Path) -> None:
    """A restore is no way back to a bundle that is older than what this box had."""
    for folder in (present, *present.parent.glob(f"{ASIDE}*/{BUNDLES}")):  # also what a restore that was ended moved
        numbers.keep_floors(staged, folder)
    for link in staged.glob("*/active") if staged.is_dir() else ():
        slot = link.read_text()
        if slot not in ("a", "b"):
            raise BackupError(f"the backup is damaged: {slot!r:.20} is no slot")
        link.unlink()
        link.symlink_to(slot)


def _own(plan: _Plan, files: Mapping[str, Mapping[str, Any]]) -> None:
    """Rights and owners as they were, where this machine knows these names; else those of the folder."""
    for folder, database in ((plan.state, RESULTS), (plan.office, OFFICE)):
        _own_folder(folder, files.get(database, {}))
        _give((folder / database).with_suffix(".lock"), {}, folder)
    staged = {name: path for name in files if (path := _staged(plan, name)) is not None}
    for name, path in staged.items():
        if path.is_symlink() or not path.exists():
            continue
        folder = plan.office if path.is_relative_to(plan.office) else plan.state
        _give(path, files[name], folder)
    for folder in (plan.state, plan.office):
        for path in (folder / STAGED).rglob("*"):
            if path.is_dir():
                path.chmod(0o750)
                _give(path, {}, folder)


def _own_folder(folder: Path, database: Mapping[str, Any]) -> None:
    """On a new box we have just made it, as root: it is of whose database lies in it, or nobody could open that."""
    if os.geteuid() == 0 and folder.stat().st_uid == 0:
        _give(folder, {**database, "mode": 0o750}, folder)


def _staged(plan: _Plan, name: str) -> Path | None:
    if name == CONFIG:
        return plan.moves[0][0]
    if name.startswith("named/"):
        return next(
            (s for f in named_files(plan.cfg) if f.name == name for s, place, _ in plan.moves if place == f.path), None
        )
    base = plan.office if name == OFFICE or name.startswith("web.") else plan.state
    return base / STAGED / name


def _give(path: Path, owner: Mapping[str, Any], folder: Path) -> None:
    if isinstance(mode := owner.get("mode"), int) and not path.is_symlink():
        path.chmod(mode & 0o777)
    if os.geteuid() != 0:
        return
    like = folder.stat()
    uid, gid = like.st_uid, like.st_gid
    with contextlib.suppress(KeyError):
        uid = pwd.getpwnam(str(owner.get("user", ""))).pw_uid
    with contextlib.suppress(KeyError):
        gid = grp.getgrnam(str(owner.get("group", ""))).gr_gid
    os.chown(path, uid, gid, follow_symlinks=False)


def _swap(plan: _Plan) -> None:
    """Renames alone, each on its own disk; the marker stands while they go on."""
    marker = plan.state / RESTORING
    try:
        for source, place, aside in _all_moves(plan):
            if not marker.exists():
                marker.touch()
                sync_directory(plan.state)
            if place.exists() or place.is_symlink():
                aside.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                os.rename(place, aside)
            if source.exists():
                os.rename(source, place)
                sync_directory(place.parent)
        marker.unlink(missing_ok=True)
        sync_directory(plan.state)
    except OSError as exc:
        raise BackupError(
            f"{exc.filename}: {exc.strerror}; the restore stopped half-way: run it again, nothing starts before"
        ) from exc


def _all_moves(plan: _Plan) -> Iterator[tuple[Path, Path, Path]]:
    """What leaves although nothing takes its place goes too: a WAL of another record would be read into the new one."""
    old = [plan.state / (RESULTS + end) for end in ("-wal", "-shm")]
    old += [note_of(plan.state / RESULTS)]  # what is put in its place is not to be set aside
    old += [*month_files(plan.state / RESULTS), plan.state / RESULTS, plan.state / NUMBERS, plan.state / BUNDLES]
    new = [path for path in (plan.state / STAGED).iterdir()]
    for name in dict.fromkeys(path.name for path in (*old, *new)):
        yield plan.state / STAGED / name, plan.state / name, plan.state / f"{ASIDE}{plan.stamp}" / name
    office = [
        note_of(Path(OFFICE)).name,
        f"{OFFICE}-wal",
        f"{OFFICE}-shm",
        OFFICE,
        *(file.path.name for file in own_files(plan.office)),
    ]
    web = {path.name for path in (plan.office / STAGED).iterdir()}
    for name in office:
        if name in web or (name.startswith(Path(OFFICE).stem) and OFFICE in web):
            yield plan.office / STAGED / name, plan.office / name, plan.office / f"{ASIDE}{plan.stamp}" / name
    for source, place, aside in plan.moves:
        if not (place.is_file() and filecmp.cmp(source, place, shallow=False)):  # the same stays as it is
            yield source, place, aside
