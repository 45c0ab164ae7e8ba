"""The support bundle: what helps to find a fault, in one .zip. No secret, no picture, no account.

Every text in it goes through redact.py, whatever it is thought to hold.
"""

from __future__ import annotations

import asyncio
import json
import os
import platform
import shutil
import subprocess
import tempfile
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from inspector.backup.errors import BackupError
from inspector.backup.make import last_run
from inspector.backup.unpack import PACKAGE, known_schemas
from inspector.config import AppConfig
from inspector.control import ControlError, connect_control
from inspector.core.errors import StoreError
from inspector.logs import recent
from inspector.store.history import SqliteHistory
from inspector.support.redact import redact, redact_line, scrub
from inspector.threads import DeviceThread
from inspector.upkeep.trends import FILE, Trends
from inspector.web.export import cells, csv_text, keys
from inspector.web.records import Filters, Unreadable

ROWS, LOG_LINES = 1000, 3000
MOST_FILES = 5000  # listed
DAEMON_S = 5.0
UNITS = ("inspector", "inspector-web", "inspector-backup")
LIBRARIES = ("apsw", "cryptography", "fastapi", "numpy", "opencv-python-headless", "openvino", "pydantic", "pymodbus",
             "structlog", "uvicorn")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sources:
    """Where it is gathered from. config: the parsed configuration, as JSON has it."""

    state: Path
    config: Mapping[str, Any]
    socket: Path
    results_db: Path


def sources_of(cfg: AppConfig) -> Sources:
    """config: what was written in it, without its comments."""
    config = cfg.model_dump(mode="json", exclude_unset=True)
    return Sources(cfg.paths.state, config, cfg.paths.run / "control.sock", cfg.paths.state / "results.db")


def write_support(cfg: AppConfig, out: Path) -> None:
    """Write the bundle to the new file `out`. Raises BackupError: no .zip, there already, or it cannot be written."""
    if out.suffix.lower() != ".zip":
        raise BackupError(f"{out}: what is written is a .zip file: call it {out.with_suffix('.zip').name}")
    if not out.parent.is_dir():
        raise BackupError(f"{out}: there is no folder {out.parent}: make it, or name another")
    if out.exists():
        raise BackupError(f"{out} is there already; nothing is overwritten")
    made = support_file(sources_of(cfg), out.parent)
    os.replace(made, out)


def support_file(sources: Sources, folder: Path | None = None) -> Path:
    """Make the bundle as a temporary file, which the caller removes; blocking, some seconds. Raises BackupError."""
    where = folder or (Path("/var/tmp") if Path("/var/tmp").is_dir() else None)
    try:
        fd, name = tempfile.mkstemp(prefix=".inspector-support-", suffix=".zip", dir=where)
        try:
            with open(fd, "wb") as file, zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
                for member, text in _members(sources):
                    out.writestr(member, scrub(text))
        except BaseException:
            os.unlink(name)
            raise
    except OSError as exc:
        raise BackupError(f"the support bundle cannot be written: {exc.strerror or exc}") from exc
    return Path(name)


def _members(sources: Sources) -> Iterator[tuple[str, str]]:
    """(name, text); what cannot be had is named with the reason, and the rest goes on."""
    daemon = asyncio.run(_ask(sources.socket))
    told = daemon.pop("support", {})
    status = daemon.get("status", {})
    yield "about.json", _json(_about())
    yield "config.json", _json(sources.config)
    yield "daemon.json", _json(daemon)
    yield "alarms.json", _json(status.get("alarms", []))
    yield "registers.json", _json(told.get("registers", {}))
    yield "health.json", _json(_or_why(lambda: _health(sources.state)))
    yield "backup.json", _json(last_run(sources.state) or {"text": "no backup is on record"})
    yield "bundles.json", _json(_or_why(lambda: _bundles(sources.state / "bundles")))
    yield "files.txt", "\n".join(_files(sources.state))
    yield "daemon.log", "\n".join(map(redact_line, told.get("log", ())))
    yield "page.log", "\n".join(map(redact_line, recent()))
    yield "journal.log", "\n".join(map(redact_line, _journal()))
    yield "rows.csv", asyncio.run(_rows(sources.results_db))


def _json(value: Any) -> str:
    return json.dumps(redact(value), indent=1, ensure_ascii=False, default=str)


def _or_why(fn: Callable[[], Any]) -> Any:
    try:
        return fn()
    except (OSError, StoreError, ValueError) as exc:
        return {"cannot be read": str(exc)}


async def _ask(socket: Path) -> dict[str, Any]:
    """status and support of the daemon, or why not."""
    found: dict[str, Any] = {}
    try:
        async with asyncio.timeout(DAEMON_S), connect_control(socket, "support") as control:
            for method in ("status", "support"):
                found[method] = await control.call(method)
    except (OSError, ControlError, TimeoutError, ValueError) as exc:
        found["cannot be reached"] = str(exc) or "it gives no answer"
    return found


def _about() -> dict[str, Any]:
    return {
        "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"), "version": _version(PACKAGE), "schemas": known_schemas(),
        "libraries": {name: _version(name) for name in LIBRARIES}, "python": platform.python_version(),
        "system": platform.platform(), "cores": os.cpu_count(),
    }  # fmt: skip


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def _health(state: Path) -> dict[str, Any]:
    """Figures now, and how they went: the last day by minutes, a quarter by hours."""
    trends = Trends(state / FILE)
    found: dict[str, Any] = {}
    for reading in trends.newest():
        m = reading.measure
        found[m.key] = {
            "value": m.value, "unit": m.unit, "low": m.low, "high": m.high, "state": m.state, "text": m.fault or m.text,
            "utc_ms": reading.utc_ms, "day": trends.series(m.key, "day"), "quarter": trends.series(m.key, "quarter"),
        }  # fmt: skip
    return found


def _bundles(root: Path) -> dict[str, Any]:
    """Manifests as signed, and which slot is active."""
    return {
        product.name: {
            "active": os.readlink(link) if (link := product / "active").is_symlink() else None,
            **{slot: json.loads(file.read_bytes()) for slot in ("a", "b")
               if (file := product / slot / "manifest.json").exists()},
        }
        for product in (sorted(root.iterdir()) if root.is_dir() else ())
        if product.is_dir() and not product.name.startswith(".")
    }  # fmt: skip


def _files(state: Path) -> Iterator[str]:
    """Sizes of what lies in the state; of pictures only how many."""
    shown = 0
    for folder, folders, files in os.walk(state):
        folders.sort()
        if Path(folder).name == "pictures":
            folders.clear()
            yield f"{folder}: pictures are not listed"
            continue
        for name in sorted(files):
            if (shown := shown + 1) > MOST_FILES:
                yield "and more"
                return
            path = Path(folder) / name
            try:
                found = path.lstat()
            except OSError as exc:
                yield f"{path}: {exc.strerror}"
                continue
            when = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(found.st_mtime))
            yield f"{found.st_size:>14,} {when} {path.relative_to(state)}"


def _journal() -> list[str]:
    """What systemd kept, where this user may read it."""
    program = shutil.which("journalctl")
    if program is None:
        return ["there is no journalctl"]
    units = [text for unit in UNITS for text in ("-u", unit)]
    command = [program, *units, "-n", str(LOG_LINES), "-o", "cat", "--no-pager", "-q"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=15, check=False)
    except (OSError, subprocess.TimeoutExpired) as exc:
        return [f"the journal cannot be read: {exc}"]
    return done.stdout.splitlines() or [done.stderr.strip() or "the journal holds nothing of these units"]


async def _rows(results_db: Path) -> str:
    """The newest rows, without their pictures."""
    history = SqliteHistory(results_db, DeviceThread("support rows"))
    lines = [keys()]
    try:
        before: int | None = None
        while len(lines) <= ROWS:
            page = await history.page(Filters(), before, min(250, ROWS + 1 - len(lines)))
            lines += [cells(row) for row in page]
            before = int(page[-1]["no"]) if page else page.searched_to_no
            if not page:
                break
    except Unreadable as exc:
        return f"the record cannot be read: {exc}\n"
    finally:
        history.close()
    return csv_text(lines)
