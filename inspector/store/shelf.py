"""The archive's folder: what lies there, how large it is, and what gives way when room is short."""

from __future__ import annotations

import contextlib
import os
import re
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from typing import Protocol

from inspector.store.names import HEAT, heat_name

MIN_FREE_INODES = 1000  # a picture needs one, a new folder another
STEP = 8  # pictures that give way before one is written, and in one turn: the archive's thread has others to write
LOOKED = 512  # pictures looked at for it, at most
_CHUNK = 64  # of them in one question to the record
_NAME = re.compile(r"[0-9]{10}\.png", re.ASCII)
_HEAT = re.compile(r"[0-9]{10}" + re.escape(HEAT), re.ASCII)
_SHARD = re.compile(r"[0-9]{7}", re.ASCII)
_SHARD_OF = 1000  # pictures in one folder


class Kind(StrEnum):
    """Why a picture is kept; a folder each."""

    PASS = "pass"  # a random sample of passes
    NEAR = "near"  # a pass close to a limit
    COLLECT = "collect"  # kept without a judgement, in mode collect
    TEST = "test"  # a challenge part; never removed
    REJECT = "reject"


class Claim(Enum):
    """What stands against a picture's removal."""

    NONE = "none"
    REVIEWED = "reviewed"  # people have settled what it shows
    STAYS = "stays"  # its lot is on hold, or no row knows it


class Unknown(Exception):
    """What stands against a removal cannot be told now; ask again."""


class Claims(Protocol):
    @property
    def version(self) -> int:
        """Another one whenever an answer may be another one."""
        ...

    def of(self, numbers: Sequence[int]) -> Mapping[int, Claim]:
        """Of each number. Blocking, on the archive's thread. Raises Unknown: then nothing goes."""
        ...


class NoClaims:
    """Nobody wants anything kept."""

    version = 0

    def of(self, numbers: Sequence[int]) -> Mapping[int, Claim]:
        return dict.fromkeys(numbers, Claim.NONE)


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much the pictures may take. None: by the floor, and by how large the disk is."""

    max_bytes: int = 50 << 30  # all pictures together
    min_free_bytes: int = 1 << 30  # the floor of the file system: below it none is written; the record lives there too
    sample_bytes: int = 2 << 30  # of passes that give way after all else: the honest source of an escape estimate
    begin_free_bytes: int | None = None  # less is free: pictures give way,
    stop_free_bytes: int | None = None  # until so much is free

    def marks(self, disk_bytes: int) -> tuple[int, int]:
        """(begin, stop) in free bytes of a disk: twice and two and a half times the floor, or nearer on a small one."""
        floor, above = self.min_free_bytes, max(0, disk_bytes - self.min_free_bytes)
        begin, stop = self.begin_free_bytes, self.stop_free_bytes
        begin = floor + min(floor, above // 10) if begin is None else begin
        return begin, max(begin, floor + min(floor * 3 // 2, above * 3 // 20) if stop is None else stop)


@dataclass(frozen=True, slots=True)
class Pile:
    """Pictures, and their bytes with the heat maps beside them."""

    count: int = 0
    bytes: int = 0


class NoRoom(Exception):
    """No picture may be written now."""


@dataclass(slots=True)
class _Lane:
    """Pictures of one kind that go at one rank. What stays is not looked at again until the claims change."""

    kind: Kind
    claim: Claim
    spares_sample: bool = False  # only what is beyond the sample's own room
    begin: int = 0  # numbers below were looked at
    ready: deque[int] = field(default_factory=deque)


def _lanes() -> tuple[_Lane, ...]:
    """Rejects over reviewed over passes: what comes first goes first, each lane from its oldest."""
    first = [_Lane(Kind.PASS, Claim.NONE, True), _Lane(Kind.NEAR, Claim.NONE), _Lane(Kind.COLLECT, Claim.NONE)]
    reviewed = [_Lane(kind, Claim.REVIEWED) for kind in (Kind.NEAR, Kind.COLLECT, Kind.REJECT)]
    sample = [_Lane(Kind.PASS, Claim.REVIEWED), _Lane(Kind.PASS, Claim.NONE)]
    return (*first, _Lane(Kind.PASS, Claim.REVIEWED, True), *reviewed, _Lane(Kind.REJECT, Claim.NONE), *sample)


class Shelf:
    """Pictures as `<kind>/<no // 1000>/<no>.png`, some with a heat map beside them, which counts and goes with its
    picture. Blocking; one thread only. Sizes are kept for each folder, so that a million pictures cost a thousand
    numbers.
    """

    def __init__(
        self, root: Path, bounds: Bounds, removed: Callable[[int], None], claims: Claims | None = None
    ) -> None:  # fmt: skip
        self._root, self._bounds, self._removed = root, bounds, removed
        self._claims: Claims = claims or NoClaims()
        self._shards: dict[Kind, dict[int, Pile]] = {kind: {} for kind in Kind}
        self.piles = dict.fromkeys(Kind, Pile())  # of each kind
        self._lanes, self._version = _lanes(), self._claims.version
        self.giving_way = False  # from less than begin to more than stop
        self.stuck = False  # room is short, and all that is left stays

    def load(self) -> None:
        """Count what lies there; what a crash left half-written or without its picture is removed. Raises OSError."""
        for kind in Kind:
            for shard in numbers_in(self._root / kind):
                self.recount(kind, shard)

    def recount(self, kind: Kind, shard: int) -> None:
        """Of one folder, after others than we took something out. Raises OSError."""
        sizes = [(_NAME.fullmatch(f.name) is not None, _size_or_remove(f)) for f in _entries(self._folder(kind, shard))]
        self._set(kind, shard, Pile(sum(picture for picture, _ in sizes), sum(size for _, size in sizes)))

    @property
    def used_bytes(self) -> int:
        return sum(pile.bytes for pile in self.piles.values())

    def put(self, kind: Kind, no: int, data: bytes, heat: bytes | None = None) -> str:
        """Write a picture, whole or not at all, after a few others gave way where room is short; its path below the
        root.

        heat: a JPEG to lie beside it; there before the picture, so that who sees the picture has both.
        Raises NoRoom, or OSError of the disk (which may be ENOSPC all the same).
        """
        size = len(data) + len(heat or b"")
        self.tend(STEP, size)
        self._check_room(size)
        shard = no // _SHARD_OF
        folder = self._folder(kind, shard)
        folder.mkdir(parents=True, exist_ok=True)
        path, beside = folder / f"{no:010d}.png", folder / heat_name(no)
        try:
            if heat is not None:
                _write_whole(beside, heat)
            _write_whole(path, data)
        except OSError:
            beside.unlink(missing_ok=True)
            raise
        self._add(kind, shard, 1, size)
        return str(path.relative_to(self._root))

    def tend(self, limit: int = STEP, coming: int = 0) -> int:
        """Let at most `limit` pictures give way, the least wanted first, where room is short; how many did.

        coming: bytes about to be written. Raises OSError.
        """
        self._root.mkdir(parents=True, exist_ok=True)
        removed, looks, self.stuck = 0, LOOKED, False
        while removed < limit and self._is_short(coming):
            if self._version != self._claims.version:  # whatever was looked at may have another answer now
                self._lanes, self._version = _lanes(), self._claims.version
            try:
                found, looked = self._next(looks)
            except Unknown:
                break
            looks -= looked
            if found is None:
                self.stuck = looks > 0  # else there is more to look at, in the next turn
                break
            if self._version == self._claims.version:  # nothing was put on hold since it was looked at
                self.take_out(*found, None)
                self._removed(found[1])
                removed += 1
        return removed

    def take_out(self, kind: Kind, no: int, to: Path | None) -> bool:
        """Move a picture with its heat map to the folder `to`, or remove them; False: it is gone already.

        Raises OSError.
        """
        folder = self._folder(kind, no // _SHARD_OF)
        gone, size = False, 0
        if to is not None:
            to.mkdir(parents=True, exist_ok=True)
        for path in (folder / f"{no:010d}.png", folder / heat_name(no)):
            try:
                length = path.stat().st_size
                path.unlink() if to is None else os.replace(path, to / path.name)
            except FileNotFoundError:
                continue
            gone, size = gone or path.suffix == ".png", size + length
        self._add(kind, no // _SHARD_OF, -1 if gone else 0, -size)
        if not self._shards[kind][no // _SHARD_OF].count:
            self._clear(kind, no // _SHARD_OF)
        return gone

    # -- room ----------------------------------------------------------------------------------------------------------

    def _check_room(self, size: int) -> None:
        bounds = self._bounds
        if size > bounds.max_bytes:
            raise NoRoom(f"a picture of {size} bytes is larger than all of the archive may be")
        if self.used_bytes + size <= bounds.max_bytes and self._disk_has(size):
            return
        left = "all that is kept is on hold or may not go" if self.stuck else "none can give way just now"
        raise NoRoom(f"less than {bounds.min_free_bytes >> 20} MB free, or the archive is full, and {left}")

    def _disk_has(self, size: int) -> bool:
        fs = os.statvfs(self._root)
        inodes = fs.f_files == 0 or fs.f_favail >= MIN_FREE_INODES  # 0: a file system without a limit
        blocks = size + 3 * fs.f_frsize  # the last of picture and map, and a new folder
        return inodes and fs.f_bavail * fs.f_frsize - blocks >= self._bounds.min_free_bytes

    def _is_short(self, coming: int) -> bool:
        """Between the two marks, as it was: it begins late and goes on a while, and does not come and go."""
        bounds, fs, going = self._bounds, os.statvfs(self._root), self.giving_way
        begin, stop = bounds.marks(fs.f_blocks * fs.f_frsize)
        slack = min(stop - bounds.min_free_bytes, bounds.max_bytes // 20)
        short = fs.f_bavail * fs.f_frsize - coming < (stop if going else begin)
        short = short or self.used_bytes + coming > bounds.max_bytes - (slack if going else 0)
        inodes = 2 * MIN_FREE_INODES + (MIN_FREE_INODES // 2 if going else 0)
        self.giving_way = short or (fs.f_files > 0 and fs.f_favail < inodes)
        return self.giving_way

    def _next(self, looks: int) -> tuple[tuple[Kind, int] | None, int]:
        """The least wanted picture, and how many were looked at; None: none was found among so many."""
        looked = 0
        for lane in self._lanes:
            if lane.spares_sample and self.piles[lane.kind].bytes <= self._bounds.sample_bytes:
                continue
            while not lane.ready and (chunk := self._chunk(lane.kind, lane.begin)):
                if looked >= looks:
                    return None, looked
                claims = self._claims.of(chunk)
                lane.ready.extend(no for no in chunk if claims[no] is lane.claim)
                lane.begin, looked = chunk[-1] + 1, looked + len(chunk)
            if lane.ready:
                return (lane.kind, lane.ready.popleft()), looked
        return None, looked

    def _chunk(self, kind: Kind, begin: int) -> list[int]:
        """The oldest pictures from number `begin` on; of one folder."""
        for shard in sorted(shard for shard in self._shards[kind] if shard >= begin // _SHARD_OF):
            numbers = sorted(numbers_in(self._folder(kind, shard), ".png"))
            if not numbers:  # whatever was counted
                self._clear(kind, shard)
            if found := [no for no in numbers if no >= begin]:
                return found[:_CHUNK]
        return []

    def _clear(self, kind: Kind, shard: int) -> None:
        """An empty folder goes."""
        self._set(kind, shard, Pile())
        del self._shards[kind][shard]
        with contextlib.suppress(OSError):  # gone already, or something that is none of ours lies in it
            self._folder(kind, shard).rmdir()

    def _add(self, kind: Kind, shard: int, count: int, size: int) -> None:
        pile = self._shards[kind].get(shard, Pile())
        self._set(kind, shard, Pile(max(0, pile.count + count), max(0, pile.bytes + size)))

    def _set(self, kind: Kind, shard: int, pile: Pile) -> None:
        was, total = self._shards[kind].get(shard, Pile()), self.piles[kind]
        self.piles[kind] = Pile(total.count + pile.count - was.count, total.bytes + pile.bytes - was.bytes)
        self._shards[kind][shard] = pile

    def _folder(self, kind: Kind, shard: int) -> Path:
        return self._root / kind / f"{shard:07d}"


def numbers_in(folder: Path, ending: str = "") -> list[int]:
    """Of the shards in a kind's folder; of the pictures in a shard's, whose names end in .png."""
    wanted = _NAME if ending else _SHARD
    return [int(path.name.removesuffix(ending)) for path in _entries(folder) if wanted.fullmatch(path.name)]


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
