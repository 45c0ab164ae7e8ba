"""The archive's folder: what lies there, how large it is, and what gives way when room is short."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from inspector.store.names import HEAT, heat_name

MIN_FREE_INODES = 1000  # a picture needs one, a new folder another
_NAME = re.compile(r"[0-9]{10}\.png", re.ASCII)
_HEAT = re.compile(r"[0-9]{10}" + re.escape(HEAT), re.ASCII)
_SHARD = re.compile(r"[0-9]{7}", re.ASCII)
_SHARD_OF = 1000  # pictures in one folder


class Kind(StrEnum):
    """Why a picture is kept; a folder each."""

    PASS = "pass"  # a random sample of passes
    NEAR = "near"  # a pass close to a limit
    COLLECT = "collect"  # kept without a judgement, in mode collect
    TEST = "test"  # a challenge part
    REJECT = "reject"


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much the pictures may take."""

    max_bytes: int = 50 << 30  # all pictures together
    min_free_bytes: int = 1 << 30  # of the file system; the record lives on it too
    sample_bytes: int = 2 << 30  # of passes that give way after all else: the honest source of an escape estimate


class NoRoom(Exception):
    """No picture may be written now, and none is left that could give way."""


class Shelf:
    """Pictures as `<kind>/<no // 1000>/<no>.png`, some with a heat map beside them, which counts and goes with its
    picture. Blocking; one thread only. Sizes are kept for each folder, so that a million pictures cost a thousand
    numbers.
    """

    def __init__(self, root: Path, bounds: Bounds, removed: Callable[[int], None]) -> None:
        self._root, self._bounds, self._removed = root, bounds, removed
        self._shards: dict[Kind, dict[int, int]] = {kind: {} for kind in Kind}  # shard -> bytes

    def load(self) -> None:
        """Count what lies there; what a crash left half-written or without its picture is removed. Raises OSError."""
        for kind in Kind:
            for folder in sorted(_entries(self._root / kind)):
                if _SHARD.fullmatch(folder.name):
                    self._shards[kind][int(folder.name)] = sum(_size_or_remove(f) for f in _entries(folder))

    @property
    def used_bytes(self) -> int:
        return sum(sum(shards.values()) for shards in self._shards.values())

    def put(self, kind: Kind, no: int, data: bytes, heat: bytes | None = None) -> str:
        """Write a picture, whole or not at all, after making room; its path below the root.

        heat: a JPEG to lie beside it; there before the picture, so that who sees the picture has both.
        Raises NoRoom, or OSError of the disk (which may be ENOSPC all the same).
        """
        size = len(data) + len(heat or b"")
        self._make_room(size)
        shard = no // _SHARD_OF
        folder = self._root / kind / f"{shard:07d}"
        folder.mkdir(parents=True, exist_ok=True)
        path, beside = folder / f"{no:010d}.png", folder / heat_name(no)
        try:
            if heat is not None:
                _write_whole(beside, heat)
            _write_whole(path, data)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        self._shards[kind][shard] = self._shards[kind].get(shard, 0) + size
        return str(path.relative_to(self._root))

    def _make_room(self, size: int) -> None:
        if size > self._bounds.max_bytes:
            raise NoRoom(f"a picture of {size} bytes is larger than all of the archive may be")
        while self.used_bytes + size > self._bounds.max_bytes or not self._disk_has(size):
            if not self._give_way():
                raise NoRoom(f"less than {self._bounds.min_free_bytes >> 20} MB free and no picture left to remove")

    def _disk_has(self, size: int) -> bool:
        self._root.mkdir(parents=True, exist_ok=True)
        fs = os.statvfs(self._root)
        inodes = fs.f_files == 0 or fs.f_favail >= MIN_FREE_INODES  # 0: a file system without a limit
        return inodes and fs.f_bavail * fs.f_frsize - size >= self._bounds.min_free_bytes

    def _give_way(self) -> bool:
        """Remove the oldest picture of the least wanted kind; False if nothing is left."""
        for kind, keep_bytes in (
            (Kind.PASS, self._bounds.sample_bytes), (Kind.NEAR, 0), (Kind.COLLECT, 0), (Kind.TEST, 0), (Kind.REJECT, 0),
            (Kind.PASS, 0),
        ):  # fmt: skip
            if sum(self._shards[kind].values()) > keep_bytes and self._remove_oldest(kind):
                return True
        return False

    def _remove_oldest(self, kind: Kind) -> bool:
        shards = self._shards[kind]
        for shard in sorted(shards):
            folder = self._root / kind / f"{shard:07d}"
            oldest = min((p for p in _entries(folder) if _NAME.fullmatch(p.name)), default=None)
            if oldest is not None:
                beside = folder / heat_name(int(oldest.stem))
                gone = oldest.stat().st_size + (beside.stat().st_size if beside.exists() else 0)
                shards[shard] = max(0, shards[shard] - gone)
                oldest.unlink()
                beside.unlink(missing_ok=True)
                self._removed(int(oldest.stem))
                return True
            del shards[shard]  # empty, whatever was counted
            with contextlib.suppress(OSError):  # gone already, or something that is none of ours lies in it
                folder.rmdir()
        return False


def _entries(folder: Path) -> Iterator[Path]:
    return iter(list(folder.iterdir()) if folder.is_dir() else [])


def _write_whole(path: Path, data: bytes) -> None:
    staged = path.with_suffix(".new")
    try:
        staged.write_bytes(data)
        os.replace(staged, path)
    except OSError:
        staged.unlink(missing_ok=True)
        raise


def _size_or_remove(path: Path) -> int:
    heat = _HEAT.fullmatch(path.name) is not None
    if path.suffix == ".new" or (heat and not path.with_name(path.name.removesuffix(HEAT) + ".png").exists()):
        path.unlink()
        return 0
    return path.stat().st_size if heat or _NAME.fullmatch(path.name) else 0
