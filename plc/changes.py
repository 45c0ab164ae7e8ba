"""What a station and its PLC told each other of late: every change of both images, cheap to keep, decoded when asked.

An image is compared with the one before and, where it differs, packed into a ring of bounded length. Heartbeats and
their echo change all the time: alone they are no change, and their age is kept instead.
"""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from plc.images import Image, WordOrder, changed
from plc.registers import CTRL, STAT, Block
from plc.values import BITS, set_bits, spelled

KEPT = 4096  # changed images, about 200 bytes each
LINK = "LINK"
_BLOCKS = {block.name: block for block in (CTRL, STAT)}
# first and last + 1 of what changes by itself
_BEATS = {"CTRL": (CTRL["PLC_HEARTBEAT"].offset, CTRL["HB_ECHO"].offset + 1), "STAT": (1, STAT["HEARTBEAT"].offset + 1)}


@dataclass(frozen=True, slots=True)
class Change:
    """One image that differs from the one before it, packed; of the link, one byte: up or down. no: counts from 1."""

    no: int
    utc_ms: int
    block: str  # CTRL, STAT or LINK
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Edge:
    """One register or bit that changed; before and after as a person reads them."""

    no: int  # of the change that it belongs to
    utc_ms: int
    writer: str  # plc, appliance or link
    name: str  # CTRL.CONTROL.TRIGGER, STAT.RESULT_CODE, LINK
    before: str
    after: str


class _Side:
    """One image: its newest words, when they were seen, and when its heartbeat moved."""

    def __init__(self, block: Block, heartbeat: int) -> None:
        self.block, self.words = block, list[int]()
        self.seen_ms = self.beat_ms = 0
        self._heartbeat, (self._first, self._end) = heartbeat, _BEATS[block.name]
        self.pack = struct.Struct(f">{block.size}H").pack

    def differs(self, words: Sequence[int], now_ms: int) -> bool:
        """Take the newest words. True: more than heartbeats changed since the words before."""
        old, self.words, self.seen_ms = self.words, list(words), now_ms
        if not old:
            self.beat_ms = now_ms
            return False
        if old[self._heartbeat] != self.words[self._heartbeat]:
            self.beat_ms = now_ms
        first, end = self._first, self._end
        return old[:first] != self.words[:first] or old[end:] != self.words[end:]


class Changes:
    """The ring of one station. `ctrl` and `stat` are called for every image, and take microseconds."""

    def __init__(self, utc_s: Callable[[], float] = time.time) -> None:
        self.no = 0
        self.ctrl_side = _Side(CTRL, CTRL["PLC_HEARTBEAT"].offset)
        self.stat_side = _Side(STAT, STAT["HEARTBEAT"].offset)
        self.up = False
        self._utc_s = utc_s
        self._ring: deque[Change] = deque(maxlen=KEPT)

    def ctrl(self, words: Sequence[int]) -> None:
        """CTRL as it was read of the PLC, or written by it."""
        self._saw(self.ctrl_side, words)

    def stat(self, words: Sequence[int]) -> None:
        """STAT as it was written to the PLC, or as it reads it."""
        self._saw(self.stat_side, words)

    def link(self, up: bool) -> None:
        if up != self.up:
            self._add(int(1000 * self._utc_s()), LINK, bytes([self.up]), bytes([up]))
            self.up = up

    def newest(self, limit: int, after: int = 0, before: int | None = None) -> list[Change]:
        """At most the newest `limit` changes with after < no < before, oldest first."""
        last = self.no if before is None else min(self.no, before - 1)
        first = max(after + 1, last - limit + 1, self.no - len(self._ring) + 1)
        skipped = first - (self.no - len(self._ring) + 1)
        return list(islice(self._ring, skipped, skipped + max(0, last - first + 1)))

    def _saw(self, side: _Side, words: Sequence[int]) -> None:
        now_ms, old = int(1000 * self._utc_s()), side.words
        if side.differs(words, now_ms):
            self._add(now_ms, side.block.name, side.pack(*old), side.pack(*side.words))

    def _add(self, now_ms: int, block: str, before: bytes, after: bytes) -> None:
        self.no += 1
        self._ring.append(Change(self.no, now_ms, block, before, after))


def edges(change: Change, word_order: WordOrder = "big") -> Iterator[Edge]:
    """What differs in one change, register by register and bit by bit. Raises ValueError: of another map's size."""
    if change.block == LINK:
        yield Edge(change.no, change.utc_ms, "link", LINK, str(change.before[0]), str(change.after[0]))
        return
    block = _BLOCKS[change.block]
    old, new = (unpacked(block, packed, word_order) for packed in (change.before, change.after))
    first, end = _BEATS[block.name]
    for register in changed(old, new):
        if first <= register.offset < end:
            continue
        name = f"{block.name}.{register.name}"
        if register.name not in BITS:
            yield Edge(change.no, change.utc_ms, block.writer, name, spelled(old, register), spelled(new, register))
            continue
        before, after = old[register.name], new[register.name]
        for bit in set_bits(register.name, before ^ after):
            up = bit in set_bits(register.name, after)
            yield Edge(change.no, change.utc_ms, block.writer, f"{name}.{bit}", str(int(not up)), str(int(up)))


def unpacked(block: Block, packed: bytes, word_order: WordOrder = "big") -> Image:
    """Raises ValueError: not the size of `block`."""
    if len(packed) != 2 * block.size:
        raise ValueError(f"{block.name} has {2 * block.size} bytes, got {len(packed)}")
    return Image(block, struct.unpack(f">{block.size}H", packed), word_order)
