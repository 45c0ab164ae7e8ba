"""What the commands `hold`, `release`, `reconcile`, `export month` and `forget` do."""

from __future__ import annotations

import asyncio
import getpass
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import apsw

from inspector.asking import ask_daemon
from inspector.config import AppConfig
from inspector.core.errors import InspectorError
from inspector.store.database import sync_directory
from inspector.store.farewell import file_of, sha256_of
from inspector.store.history import SqliteHistory
from inspector.store.reconcile import GRACE_S
from inspector.store.salvage import fault_of
from inspector.threads import DeviceThread
from inspector.web.records import Filters, Unreadable


class MonthError(InspectorError):
    """The month was not written, is damaged, or what was written cannot be read."""


def ask(cfg: AppConfig, method: str, params: Mapping[str, Any], patience_s: float = 60.0) -> Any:
    """Ask the daemon as who is logged in at the box. Raises ControlError, NoDaemon."""
    actor = f"{_user()} at the box"
    return asyncio.run(ask_daemon(cfg.paths.run / "control.sock", actor, method, params, patience_s))


def hold_lot(cfg: AppConfig, lot: str, reason: str, *, release: bool) -> list[str]:
    """Put a lot on hold, or let it go. Raises ControlError, NoDaemon."""
    ask(cfg, "release_lot" if release else "hold_lot", {"lot": lot, "reason": reason})
    done = f"lot {lot} is {'released' if release else 'on hold'}"
    if release or asyncio.run(_is_on_record(cfg, lot)):
        return [done]
    return [
        done,
        "No part of it is on record yet. If there should be some: the name must be exactly as the PLC sends it.",
    ]


async def _is_on_record(cfg: AppConfig, lot: str) -> bool:
    """Whether a part of the lot is; True, too, where nobody can tell."""
    history = SqliteHistory(cfg.paths.state / "results.db", DeviceThread("records"))
    try:
        async for _ in history.export(Filters(lot=lot)):
            return True
        return False
    except Unreadable:
        return True
    finally:
        history.close()


def told_of_look(found: Mapping[str, Any]) -> list[str]:
    """What a look for orphans found and did, in lines."""
    compared = f"{found['pictures']} pictures and {found['rows']} rows that name one"
    later = [] if not found["later"] else [
        f"{found['later']} more do not fit and were left for later: they are younger than {GRACE_S / 60:g} minutes and "
        f"may be on their way. Run it again in {GRACE_S / 60:g} minutes, as you did now, or an alarm asks for it."
    ]  # fmt: skip
    if found["doubt"]:
        return [
            f"compared {compared}",
            f"nothing was done: {found['doubt']}, which is too many to be believed",
            "If that is so all the same, say --accept.",
            *later,
        ]
    return [
        f"compared {compared}",
        f"{found['set_aside']} pictures without a row set aside, {found['missing']} rows told that their picture is "
        f"gone, {found['noted']} pictures noted on their rows again",
        *later,
    ]


def export_month(cfg: AppConfig, month: str, folder: Path) -> list[str]:
    """Copy a month's file, read the copy back, and write its checksum beside it; nothing here changes.

    One that is damaged is not copied: whoever has a copy with a checksum lets the month go. Raises FarewellError,
    MonthError.
    """
    source = file_of(cfg.paths.state / "results.db", month)
    target = folder / source.name
    sums = folder / f"{source.name}.sha256"
    staged = folder / f".{source.name}.new"
    _require_whole(source, month)
    try:
        before = sha256_of(source)
        folder.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise MonthError(f"{target} is there already; overwrites nothing")
        try:
            with source.open("rb") as read, staged.open("wb") as write:
                shutil.copyfileobj(read, write)
                write.flush()
                os.fsync(write.fileno())
            if sha256_of(staged) != before or sha256_of(source) != before:
                raise MonthError(f"{source.name} changed while it was copied, or the copy is not whole: try again")
            sums.write_text(f"{before}  {source.name}\n")
            os.replace(staged, target)
            sync_directory(folder)
        finally:
            staged.unlink(missing_ok=True)
    except OSError as exc:
        raise MonthError(f"{month} could not be written to {folder}: {exc.strerror}") from exc
    return [
        f"{target}, {target.stat().st_size} bytes", f"SHA-256 {before}",
        "Take it to where it is to stay, check it there, and only then: "
        f"inspector forget CONFIG {month} --export {source.name}",
    ]  # fmt: skip


def forget_month(cfg: AppConfig, month: str, export: Path, reason: str, *, with_pictures: bool) -> list[str]:
    """Read the export where it lies now, and have the daemon let the month go if it is the same.

    Raises FarewellError, MonthError, ControlError, NoDaemon.
    """
    source = file_of(cfg.paths.state / "results.db", month)
    try:
        if export.samefile(source):  # by another name, too: it would be the same as itself, and there would be no copy
            raise MonthError(f"{export} is the month's own file and no export of it; nothing went")
        written = sha256_of(export)
    except OSError as exc:
        raise MonthError(f"{export} cannot be read: {exc.strerror}; nothing went") from exc
    sent = {"month": month, "sha256": written, "reason": reason, "with_pictures": with_pictures}
    gone = ask(cfg, "forget_month", sent, 600.0)
    return [f"{gone['rows']} rows of {month} and {gone['pictures']} pictures are gone from this box"]


def salvage_month(cfg: AppConfig, month: str) -> list[str]:
    """Have the daemon put in the place of a damaged month what can be read of it. Raises ControlError, NoDaemon."""
    done = ask(cfg, "salvage_month", {"month": month}, 600.0)
    return [
        f"{done['rows']} rows of {month} could be read and are in the record again; at most {done['lost']} could not",
        f"the damaged file is kept as {done['aside']}: a backup's file of this month, if it is whole, is better",
    ]


def _require_whole(source: Path, month: str) -> None:
    """Raises MonthError."""
    try:
        fault = fault_of(source)
    except (apsw.Error, OSError) as exc:
        raise MonthError(f"{source.name} cannot be read: {exc}") from exc
    if fault is not None:
        raise MonthError(
            f"{source.name} is damaged, and was not exported ({' '.join(fault.split())}). Put the file of a backup "
            f"in its place, or run `inspector salvage CONFIG {month}`; then export it"
        )


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a user without a name
        return f"user {os.getuid()}"
