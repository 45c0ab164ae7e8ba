"""The folder of backups: how they are named, which there are, which of them go. Another process may look too."""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

PLAIN, ENCRYPTED = ".tar.gz", ".tar.gz.enc"
AHEAD_MS = 86_400_000  # a time later than this is of a clock that was wrong
_NAME = re.compile(r"inspector-(?P<box>[A-Za-z0-9_-]{1,64})-(?P<time>[0-9]{8}T[0-9]{6}Z)\.tar\.gz(?P<enc>\.enc)?")
_FORM = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, slots=True)
class Kept:
    """One backup, by its name. size: bytes."""

    path: Path
    utc_ms: int
    size: int
    encrypted: bool


def box_name() -> str:
    """What tells the backups of several boxes in one folder apart."""
    return re.sub(r"[^A-Za-z0-9_-]", "-", socket.gethostname())[:64] or "box"


def name_of(utc_ms: int, *, encrypted: bool, box: str = "") -> str:
    """The file name of a backup begun then."""
    when = datetime.fromtimestamp(utc_ms / 1000, UTC)
    return f"inspector-{box or box_name()}-{when.strftime(_FORM)}{ENCRYPTED if encrypted else PLAIN}"


def kept_in(folder: Path, now_utc_ms: int | None = None, box: str = "") -> list[Kept]:
    """This box's backups, newest first; those of a clock that was ahead come last. Raises OSError: no such folder.

    It may take for ever where a network folder hangs: never ask on a thread that anybody waits for.
    """
    now = time.time_ns() // 1_000_000 if now_utc_ms is None else now_utc_ms
    found = []
    for path in folder.iterdir():
        match = _NAME.fullmatch(path.name)
        if match is None or match["box"] != (box or box_name()):
            continue
        try:
            when = datetime.strptime(match["time"], _FORM).replace(tzinfo=UTC)
        except ValueError:
            continue  # no date: not one of ours
        found.append(Kept(path, int(when.timestamp() * 1000), path.stat().st_size, match["enc"] is not None))
    return sorted(found, key=lambda kept: (is_believable(kept, now), kept.utc_ms), reverse=True)


def is_believable(kept: Kept, now_utc_ms: int) -> bool:
    """False: its time has not come yet."""
    return kept.utc_ms <= now_utc_ms + AHEAD_MS


def age_h(kept: Iterable[Kept], now_utc_ms: int) -> float | None:
    """Hours since the newest backup; None: there is none of a time to be believed."""
    times = [one.utc_ms for one in kept if is_believable(one, now_utc_ms)]
    return max(0.0, (now_utc_ms - max(times)) / 3_600_000) if times else None


def surplus(kept: Sequence[Kept], keep: int, made: Path) -> list[Kept]:
    """What has to go so that `keep` remain; never the one just made. kept: newest first."""
    others = [one for one in kept if one.path != made]
    return others[keep - 1 :]
