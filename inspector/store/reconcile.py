"""Pictures that no row names, and rows whose picture is not there: found while the line runs, on a thread of its own.

Whatever is wrong with the record or with the folder looks like a million orphans. So nothing is done where there are
too many of them, pictures are set aside and not removed, and a picture that comes back is noted on its row again.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from inspector.store.record_files import RecordFiles
from inspector.store.shelf import Kind, numbers_in

GRACE_S = 600.0  # younger ones may still be on their way into the record
SHARE = 0.05  # of all: more than this is no orphan here and there
FEW = 3  # so many may always be
CHUNK = 200
LONGEST_S = 2.0
_DAY = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", re.ASCII)


@dataclass(slots=True)
class Findings:
    """What does not fit. Paths are below the folder of pictures."""

    pictures: int = 0  # that lie there
    rows: int = 0  # that name one
    orphans: list[tuple[Kind, int]] = field(default_factory=list)  # no row knows them
    unnoted: dict[int, str] = field(default_factory=dict)  # number -> path: the row does not say that it is there
    missing: dict[int, str] = field(default_factory=dict)  # number -> path that the row names, where nothing is
    later: int = 0  # rows and pictures that do not fit either, and are too young to be believed

    @property
    def doubt(self) -> str | None:
        """Why nothing should be done about it; None: it is so little that it may be believed."""
        for found, of, text in (
            (len(self.orphans), self.pictures, "pictures have no row"),
            (len(self.missing), self.rows, "rows name a picture that is not there"),
        ):
            if found > max(FEW, SHARE * of):
                return f"{found} of {of} {text}"
        return None


class Reconciler:
    """Blocking; one thread only. Looks, and changes nothing but the set-aside folder. Raises apsw.Error, OSError."""

    def __init__(self, pictures: Path, aside: Path, files: RecordFiles) -> None:
        self.pictures, self.aside, self._files = pictures, aside, files

    def look(self, now_s: float) -> Findings:
        """Compare all pictures with all rows; now_s: UTC."""
        found, young = Findings(), Findings()
        for kind in Kind:
            for shard in sorted(numbers_in(self.pictures / kind)):
                fresh: list[int] = []
                for numbers in _chunks(self._old(kind, shard, now_s, found, fresh)):
                    self._compare(kind, numbers, found)
                for numbers in _chunks(iter(fresh)):
                    self._compare(kind, numbers, young)
        missing = dict(self._missing(now_s, found, young))
        found.missing = {no: path for no, path in missing.items() if self._named(no) == path}  # once more, at the end
        found.later = len(young.orphans) + len(young.unnoted) + young.rows
        return found

    def aside_day(self, now_s: float) -> Path:
        """The folder that pictures are set aside in today."""
        return self.aside / f"{datetime.fromtimestamp(now_s, UTC):%Y-%m-%d}"

    def set_aside(self) -> int:
        """Pictures that lie there."""
        return sum(1 for _ in self.aside.glob("*/*/*.png"))

    def sweep(self, now_s: float, days: float) -> None:
        """Remove what was set aside longer ago than `days`."""
        last = f"{datetime.fromtimestamp(now_s, UTC) - timedelta(days=days):%Y-%m-%d}"
        for folder in sorted(self.aside.iterdir()) if self.aside.is_dir() else []:
            if _DAY.fullmatch(folder.name) and folder.name < last:
                shutil.rmtree(folder)

    def _old(self, kind: Kind, shard: int, now_s: float, found: Findings, fresh: list[int]) -> Iterator[int]:
        folder = self.pictures / kind / f"{shard:07d}"
        for no in sorted(numbers_in(folder, ".png")):
            found.pictures += 1
            with suppress(FileNotFoundError):  # it gave way meanwhile
                if (folder / f"{no:010d}.png").stat().st_mtime < now_s - GRACE_S:
                    yield no
                else:
                    fresh.append(no)

    def _compare(self, kind: Kind, numbers: Sequence[int], found: Findings) -> None:
        named = self._images(numbers)
        for no in numbers:
            path = f"{kind}/{no // 1000:07d}/{no:010d}.png"
            if no not in named:
                found.orphans.append((kind, no))
            elif (says := named[no]) is None or (says != path and not self._is_there(says)):
                found.unnoted[no] = path
            elif says != path:
                found.orphans.append((kind, no))

    def _missing(self, now_s: float, found: Findings, young: Findings) -> Iterator[tuple[int, str]]:
        """Of those that are old enough; young.rows: how many of the others name a picture that is not there."""
        sql = "SELECT no, image, opened_utc_ms FROM inspections WHERE image IS NOT NULL AND no > ? ORDER BY no LIMIT ?"
        before_ms = (now_s - GRACE_S) * 1000
        self._hurry()
        for db in self._files.every():
            after = -1
            while rows := list(db.execute(sql, (after, CHUNK))):
                after = rows[-1][0]
                old = [(no, image) for no, image, opened_ms in rows if opened_ms < before_ms]
                found.rows += len(old)
                young.rows += sum(ms >= before_ms and not self._is_there(image) for _, image, ms in rows)
                yield from ((no, image) for no, image in old if no not in found.unnoted and not self._is_there(image))
                self._hurry()

    def _hurry(self) -> None:
        """No single question may take longer than this."""
        self._files.not_after_s = time.monotonic() + LONGEST_S

    def _images(self, numbers: Sequence[int]) -> dict[int, str | None]:
        """number -> path that its row names, late notes included; without those that have no row."""
        self._hurry()
        asked = (json.dumps(list(numbers)),)
        found: dict[int, str | None] = {}
        for db in self._files.every():
            sql = "SELECT no, image FROM inspections WHERE no IN (SELECT value FROM json_each(?))"
            found = dict(list(db.execute(sql, asked))) | found
        sql = "SELECT no, image FROM late_images WHERE no IN (SELECT value FROM json_each(?))"
        late = {no: image for no, image in self._files.live().execute(sql, asked) if no in found}
        return found | late

    def _named(self, no: int) -> str | None:
        path = self._images([no]).get(no)
        return path if path is not None and not self._is_there(path) else None

    def _is_there(self, path: str) -> bool:
        return os.path.exists(self.pictures / path)


def _chunks(numbers: Iterator[int]) -> Iterator[list[int]]:
    chunk: list[int] = []
    for no in numbers:
        chunk.append(no)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
