"""What a fault proxy does to one direction of a connection, and what it tells of each frame that it handled."""

from __future__ import annotations

import asyncio
import struct
from dataclasses import dataclass, fields
from enum import Enum
from typing import Protocol

HEADER = 6  # transaction, protocol, length
MAX_LENGTH = 260  # of unit id and PDU; longer is no Modbus frame
Side = Enum("Side", "CLIENT SERVER")  # who said it: CLIENT sends requests, SERVER replies


@dataclass(slots=True)
class Lane:
    """The faults of one direction. Counts (duplicate, reorder, corrupt) are of frames to come; they count down.

    black_hole: bytes vanish, the sockets stay. drip_s: one byte at a time, that far apart. hold: frames are kept for
    `deliver_held`.
    """

    delay_s: float = 0.0
    jitter_s: float = 0.0
    drip_s: float | None = None
    black_hole: bool = False
    hold: bool = False
    duplicate: int = 0
    reorder: int = 0
    corrupt: int = 0

    def __str__(self) -> str:
        """What is wrong with it, by name; "" where nothing is."""
        healthy = Lane()
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return ", ".join(f"{name} {value}" for name, value in values.items() if value != getattr(healthy, name))


@dataclass(frozen=True, slots=True)
class Passage:
    """One frame at the proxy. Times: monotonic seconds, when it came in and when it went on (or to nowhere).

    connection: the proxy's count of those that were let through, from 1. fate: passed (twice where it was doubled),
    corrupted, held, lost (black hole, an end that is gone), unwanted (the reply to a doubled request).
    """

    connection: int
    side: Side
    fate: str
    came_s: float
    went_s: float
    data: bytes


class Watch(Protocol):
    """Hears of what happens at the proxy, in the order in which it happens."""

    def passed(self, passage: Passage) -> None: ...

    def happened(self, what: str) -> None:
        """A fault at once (cut, reset ...), or a connection that begins or ends."""


def transaction_of(frame: bytes) -> int:
    return int.from_bytes(frame[:2], "big")


async def rest_of(reader: asyncio.StreamReader, header: bytes) -> bytes:
    """What belongs to this header; after one that is no Modbus, whatever has come."""
    _, protocol, length = struct.unpack(">HHH", header)
    if protocol != 0 or not 2 <= length <= MAX_LENGTH:
        return await reader.read(4096)
    try:
        return await reader.readexactly(length)
    except asyncio.IncompleteReadError as exc:
        return exc.partial
