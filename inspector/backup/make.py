"""`inspector backup`: the whole box in one file, while the line runs on. A process of its own, started by systemd."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import apsw
import structlog

from inspector.backup import shelf
from inspector.backup.crypt import read_key
from inspector.backup.errors import BackupError
from inspector.backup.opening import open_database, open_within
from inspector.backup.pace import Pace
from inspector.backup.pack import Pack, owner_of
from inspector.backup.places import (
    BUNDLES,
    CONFIG,
    HEAD,
    NUMBERS,
    OFFICE,
    RESULTS,
    Named,
    named_files,
    own_files,
    wanted_file,
)  # fmt: skip
from inspector.backup.snapshot import hold_state, snapshot
from inspector.backup.unpack import PACKAGE, Head
from inspector.config import AppConfig
from inspector.store.months import month_files
from inspector.store.record_files import seen
from inspector.store.regain import is_pending, own_folder
from inspector.store.salvage import fault_of

log = structlog.get_logger(__name__)
LAST = "last.json"  # how the newest run ended, for the daemon and the page
LOCAL = "results.db"  # a copy of the record that the daemon can read: for a record that breaks; of office.db beside it
ROOM_BYTES = 256 << 20  # left free on the record's own disk
Told = Callable[[str, int, int], None]  # what is done, bytes so far, of about so many


@dataclass(frozen=True, slots=True)
class Made:
    """A backup that lies there whole. left_out: files that it does not hold, and why."""

    path: Path
    size: int  # bytes
    took_s: float
    left_out: tuple[str, ...]
    damaged: tuple[str, ...] = ()  # months of the record that are


def make(cfg: AppConfig, config: Path, told: Told = lambda *_: None) -> Made:
    """Make one, remove what is one too many, and note how it ended. Raises BackupError.

    config: the file that `cfg` was read from.
    """
    section, own = cfg.backup, own_folder(cfg.paths.state)
    _take_note(wanted_file(cfg.paths.office_folder))
    begun_ms, begun_s = time.time_ns() // 1_000_000, time.monotonic()
    try:
        _folder(cfg)
        if not cfg.paths.state.is_dir():
            raise BackupError(f"there is no {cfg.paths.state}: has the daemon run with this configuration?")
        with _alone(own, cfg.paths.state):
            made = _made(cfg, config, own, begun_ms, told)
    except BackupError as exc:
        _note(own, {"ok": False, "utc_ms": begun_ms, "text": str(exc)})
        raise
    took_s = time.monotonic() - begun_s
    log.info("backup made", file=str(made.path), bytes=made.size, took_s=round(took_s, 1), left_out=made.left_out)
    told_of = {
        "file": made.path.name, "size": made.size, "took_s": round(took_s, 1), "left_out": made.left_out,
        "damaged": {name: list(seen(cfg.paths.state / name)) for name in made.damaged},
    }  # fmt: skip
    _note(own, {"ok": True, "utc_ms": begun_ms, "text": "", **told_of})
    if not made.damaged:  # an older one may be the last that has such a month whole
        _remove_surplus(section.keep, made.path)
    return Made(made.path, made.size, took_s, made.left_out)


def _take_note(wanted: Path) -> None:
    """First: whoever asks from now on asks for another."""
    try:
        wanted.unlink(missing_ok=True)
    except OSError as exc:
        log.warning("the page's note stays", file=str(wanted), error=str(exc))


def last_run(state: Path) -> dict[str, Any] | None:
    """How the newest run ended (ok, utc_ms, text, file, size, took_s); None: none is on record."""
    try:
        found = json.loads((own_folder(state) / LAST).read_bytes())
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def backup_found(state: Path) -> list[str]:
    """Months that the newest backup found damaged, where the same file still lies there."""
    noted = (last_run(state) or {}).get("damaged")
    found = []
    for name, then in noted.items() if isinstance(noted, dict) else ():
        with contextlib.suppress(OSError):
            if list(seen(state / str(name))) == then:
                found.append(str(name))
    return found


def _damaged(months: list[Path]) -> dict[str, str]:
    """Name -> what is wrong with it. A page deep in a month's file is read by nobody else, for years perhaps."""
    try:
        found = {month.name: fault_of(month) for month in months if not month.is_symlink()}
    except apsw.Error as exc:
        raise BackupError(f"{months[0].parent}: a month cannot be read: {exc}") from exc
    return {name: fault for name, fault in found.items() if fault is not None}


def _made(cfg: AppConfig, config: Path, own: Path, begun_ms: int, told: Told) -> Made:
    folder, state, office = _folder(cfg), cfg.paths.state, cfg.paths.office_folder
    key = read_key(cfg.backup.key) if cfg.backup.key is not None else None
    months = month_files(state / RESULTS)[: cfg.backup.months] if state.exists() else []
    whole = sum(_size(path) for path in (state / RESULTS, office / OFFICE, *months))
    _make_room(folder, own, _size(state / RESULTS) + _size(office / OFFICE))
    pace = Pace(cfg.backup.mb_per_s, lambda done: told("copying", done, 2 * whole - sum(map(_size, months))))
    copies = {name: own / f".{name}.new" for name in (RESULTS, OFFICE)}
    try:
        for name, source in ((RESULTS, state / RESULTS), (OFFICE, office / OFFICE)):
            copies[name].unlink(missing_ok=True)
            if source.exists():
                snapshot(source, copies[name], pace)
        path = folder / shelf.name_of(begun_ms, encrypted=key is not None)
        (own_pair, foreign), named = _usable(office), list(named_files(cfg))
        damaged = _damaged(months)
        lost = (f"{month}: is damaged ({fault})" for month, fault in damaged.items())
        left_out = (*lost, *foreign, *_left_out([*own_pair, *named], key is not None))
        with Pack(path, key, pace) as pack:
            schemas = {name.removesuffix(".db"): _schema(copies[name]) for name in (RESULTS, OFFICE)}
            head = Head(version(PACKAGE), begun_ms, shelf.box_name(), str(config.absolute()), schemas, left_out)
            pack.add_bytes(HEAD, head.as_json())
            pack.add_file(CONFIG, config)
            _add_record(pack, state, copies[RESULTS], months, damaged)
            if copies[OFFICE].exists():
                pack.add_file(OFFICE, copies[OFFICE], owner_of(office / OFFICE))
            _add_bundles(pack, state / BUNDLES)
            for file in (*own_pair, *named):
                if file.path.exists() and (key is not None or not file.secret):
                    pack.add_file(file.name, file.path, within=office if file in own_pair else None)
        if not is_pending(state / RESULTS):  # else rows still come back from the former one
            _keep_local(copies[RESULTS], own / LOCAL, state)
        _keep_spare(copies[OFFICE], own / OFFICE, office / OFFICE)
        return Made(path, pack.size, 0.0, left_out, tuple(damaged))
    finally:
        for copy in copies.values():
            copy.unlink(missing_ok=True)


def _folder(cfg: AppConfig) -> Path:
    folder = cfg.backup.folder
    if folder is None:
        raise BackupError("no [backup] folder is configured: name one on another disk")
    if not folder.is_dir():
        raise BackupError(f"{folder} is not there: is the stick in, or the network folder mounted?")
    return folder


def _add_record(pack: Pack, state: Path, copy: Path, months: list[Path], damaged: Mapping[str, str]) -> None:
    if copy.exists():
        pack.add_file(RESULTS, copy, owner_of(state / RESULTS))
    if (state / NUMBERS).exists():
        with open_within(state, state / NUMBERS) as file:
            pack.add_bytes(NUMBERS, file.read(), owner_of(state / NUMBERS))  # it is replaced meanwhile
    for month in months:
        if month.name in damaged:
            continue
        with _unchanging(month):
            pack.add_file(month.name, month, within=state)


@contextmanager
def _unchanging(month: Path) -> Iterator[None]:
    """A month's file is one at rest; who wants to note something in it waits so long, and tries again."""
    try:
        db = open_database(month)
        try:
            db.set_busy_timeout(5000)
            hold_state(db)
            yield
        finally:
            db.close()
    except apsw.Error as exc:
        raise BackupError(f"{month} cannot be read: {exc}") from exc


def _add_bundles(pack: Pack, root: Path) -> None:
    """Slots as they are; the active one's link as a file that names it."""
    for path in sorted(root.glob("*/*")) if root.is_dir() else ():
        product = path.parent.name
        if path.is_symlink() and path.name == "active":
            pack.add_bytes(f"{BUNDLES}/{product}/active", os.readlink(path).encode(), owner_of(root))
        elif path.name in ("left.json", "floor.json"):
            pack.add_file(f"{BUNDLES}/{product}/{path.name}", path, within=root.parent)
        elif path.name in ("a", "b") and not product.startswith("."):
            for file in sorted(path.iterdir()):
                pack.add_file(f"{BUNDLES}/{product}/{path.name}/{file.name}", file, within=root.parent)
    if (root / ".tried.json").exists():
        pack.add_file(f"{BUNDLES}/.tried.json", root / ".tried.json", within=root.parent)


def _usable(office: Path) -> tuple[list[Named], list[str]]:
    """The page's own certificate; what lies in its place and is none of the page's files, and why not."""
    files: list[Named] = []
    left_out: list[str] = []
    for file in own_files(office):
        try:
            open_within(office, file.path).close()
            files.append(file)
        except FileNotFoundError:
            continue
        except OSError as exc:
            left_out.append(f"{file.path}: {exc.strerror}")
    return files, left_out


def _left_out(files: list[Named], sealed: bool) -> Iterator[str]:
    for file in files:
        if not file.path.exists() and file.name.startswith("named/"):
            yield f"{file.path}: is not there"
        elif file.path.exists() and file.secret and not sealed:
            yield f"{file.path}: a private key, and [backup] key names none to encrypt with"


def _make_room(folder: Path, own: Path, needed: int) -> None:
    """Room for the copy on our own disk, and for a backup like the last one in the folder. Raises BackupError."""
    if shutil.disk_usage(own).free < needed + ROOM_BYTES:
        text = f"{needed >> 20} MB, and {ROOM_BYTES >> 20} MB to spare"
        raise BackupError(f"{own}: no room for a copy of the record: {text}")
    kept = shelf.kept_in(folder)
    while len(kept) > 1 and shutil.disk_usage(folder).free < 1.2 * kept[0].size:
        _remove(kept.pop())


def _keep_local(copy: Path, place: Path, state: Path) -> None:
    """For the daemon, which may read no backup: they hold what is not for its eyes."""
    if copy.exists():
        copy.chmod(0o640)
        _share(copy, state)
        os.replace(copy, place)


def _keep_spare(copy: Path, place: Path, like: Path) -> None:
    """For the page, and nobody else: the daemon may not read who may log in."""
    if copy.exists():
        copy.chmod(0o600)
        if os.geteuid() == 0:
            found = like.stat()
            os.chown(copy, found.st_uid, found.st_gid)
        os.replace(copy, place)


def _share(path: Path, state: Path) -> None:
    """Daemon and page are of the group of the state, and may look."""
    if os.geteuid() == 0:
        os.chown(path, -1, state.stat().st_gid)


def _remove_surplus(keep: int, made: Path) -> None:
    try:
        for old in shelf.surplus(shelf.kept_in(made.parent), keep, made):
            _remove(old)
    except OSError as exc:
        log.warning("old backups cannot be removed", error=str(exc))


def _remove(kept: shelf.Kept) -> None:
    log.info("old backup removed", file=kept.path.name)
    kept.path.unlink(missing_ok=True)


@contextmanager
def _alone(own: Path, state: Path) -> Iterator[None]:
    """One at a time. What fails here because of a disk is told in words."""
    try:
        own.mkdir(mode=0o750, parents=True, exist_ok=True)
        _share(own, state)
        with (own / "lock").open("a") as lock:
            fcntl.flock(lock.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError as exc:
        raise BackupError("a backup is being made already") from exc
    except OSError as exc:
        full = " (the disk is full)" if exc.errno in (errno.ENOSPC, errno.EDQUOT) else ""
        raise BackupError(f"{exc.filename or own}: {exc.strerror or exc}{full}") from exc


def _note(own: Path, told: dict[str, Any]) -> None:
    staged = own / f".{LAST}.new"
    with contextlib.suppress(OSError):  # the age of the newest backup tells it as well
        own.mkdir(mode=0o750, parents=True, exist_ok=True)
        staged.write_text(json.dumps(told))
        staged.chmod(0o644)
        os.replace(staged, own / LAST)


def _schema(database: Path) -> int:
    if not database.exists():
        return 0
    db = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        found = int(db.pragma("user_version"))
    finally:
        db.close()
    return found


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
