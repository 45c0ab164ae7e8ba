"""One station as its line sees it, whichever direction its link has: parts in, verdicts out."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from plc.changes import Changes
from plc.commands import CommandRequest
from plc.cycle import Cycle
from plc.cycle import Link as LinkState
from plc.handshake import Handshake
from plc.images import Image, WordOrder
from plc.parts import HealthInput, Part, Record
from plc.registers import DIAG
from plc.sparse_log import SparseLog

MAX_STATIONS = 8
SPAN = 200  # registers from one station to the next in a server's map
WAITING_PARTS = 32  # one in flight and what is refused behind it; more than the handshake lets wait
HEARTBEAT_STRIDE = 0x2000  # between two stations: the echo of another station's heartbeat is none of ours


@dataclass(frozen=True, slots=True)
class Told:
    """What the PLC was told of a part. state: confirmed, unknown (written, not confirmed) or none (never written)."""

    record: Record
    state: str
    mono_s: float  # start of the publishing write


@dataclass(slots=True)
class LinkStatus:
    """For the page: what the link does, and how fast.

    notice: what a person should see to although the link may work ("" for nothing): its certificates. refused: who was
    not let in lately, and why (server direction).
    """

    connected: bool = False
    text: str = "not connected yet"
    notice: str = ""
    refused: str = ""
    faults: int = 0
    exceptions: int = 0  # Modbus exceptions from the PLC, or to it
    rtt_s: deque[float] = field(default_factory=lambda: deque(maxlen=1000))  # of the connection, newest 1000 requests
    poll_gap_max_s: float = 0.0

    @property
    def rtt_p99_s(self) -> float:
        return sorted(self.rtt_s)[int(0.99 * (len(self.rtt_s) - 1))] if self.rtt_s else 0.0


class StationPort(Protocol):
    """What the line needs of a PLC, for one station."""

    handshake: Handshake
    status: LinkStatus
    changes: Changes
    word_order: WordOrder
    loaded: Callable[[], None]  # called where the record is in the PLC and its flags are not

    async def next(self) -> Part:
        """The next part, accepted or refused. READY only while someone waits here."""
        ...

    async def command(self) -> CommandRequest:
        """The next command that is the appliance's to obey; it answers by `handshake.answer`."""
        ...

    def identity(self, part: Part) -> tuple[str, str]:
        """LOT and SERIAL of the part that was just handed out, "" where the PLC gave none."""
        ...

    def exposed(self, part: Part, exposed_s: float) -> None:
        """The exposure that began at `exposed_s` is over: the part may move."""
        ...

    async def publish(self, part: Part, record: Record) -> Told:
        """Record, then flags (P6). Downgrades; never replaces a verdict whose flags were tried (P9)."""
        ...

    def set_health(self, health: HealthInput) -> None: ...

    @property
    def spare(self) -> bool:
        """No part is under way, and the PLC may not trigger now: the camera may be used for something else."""
        ...

    def occupied(self) -> AbstractContextManager[None]:
        """READY stays 0 as long as this lasts, whatever the PLC does: no part can come and find the camera busy."""
        ...


class Link(Protocol):
    """One connection to a PLC, or one listening address: up to 8 stations share it."""

    @property
    def stations(self) -> Sequence[StationPort]: ...

    async def run(self) -> None:
        """Serve until `stop()`."""
        ...

    async def stop(self) -> None:
        """The last image with ONLINE=0, within 200 ms, then close (fault table, row 28)."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class StationPlace:
    """A station and where it lies. The bases are for the client direction; a server's follow from the number.

    diag: further counters for the DIAG block (BOOT_COUNT, UPTIME, DISK_FREE ...), asked once a second.
    """

    handshake: Handshake
    ctrl_base: int = 0
    stat_base: int = 20
    diag_base: int = 100
    ident_base: int = 140
    diag: Callable[[], dict[str, int]] = dict


def _nothing() -> None:
    return


class StationBase:
    """What both directions share: the queue of parts for the line, health, and the DIAG block.

    `monotonic_s` is the clock that the handshake's times are on. Raises ValueError: the word orders differ.
    """

    def __init__(
        self, place: StationPlace, word_order: WordOrder, monotonic_s: Callable[[], float], status: LinkStatus
    ) -> None:
        self.place, self.handshake, self.status, self.word_order = place, place.handshake, status, word_order
        self.changes = Changes()
        self._now = monotonic_s
        self._parts: asyncio.Queue[Part] = asyncio.Queue(maxsize=WAITING_PARTS)
        self._commanded = asyncio.Event()
        self.loaded: Callable[[], None] = _nothing  # the record is in the PLC, its flags are not: tests break it here
        self._identity: tuple[Part | None, str, str] = (None, "", "")  # of the newest accepted part
        self._waits, self._occupied = False, 0  # the line waits for a part; so many others use its camera
        cfg = self.handshake.cfg
        self._log = SparseLog(logging.getLogger(f"plc.station{cfg.number}"), monotonic_s)
        if cfg.word_order != word_order:
            raise ValueError(f"station {cfg.number} has word order {cfg.word_order}, its link {word_order}")
        self.handshake.stat["HEARTBEAT"] = (cfg.number - 1) * HEARTBEAT_STRIDE
        self.handshake.line_free(False, self._now())

    async def next(self) -> Part:
        if not self._parts.empty():
            return self._parts.get_nowait()
        self._waits = True
        self._tell_free()
        try:
            return await self._parts.get()
        finally:
            self._waits = False
            self._tell_free()

    @property
    def spare(self) -> bool:
        hs = self.handshake
        return self._waits and self._parts.empty() and hs.cycle is Cycle.IDLE and not hs.armed

    @contextmanager
    def occupied(self) -> Iterator[None]:
        self._occupied += 1
        self._tell_free()
        try:
            yield
        finally:
            self._occupied -= 1
            self._tell_free()

    def _tell_free(self) -> None:
        self.handshake.line_free(self._waits and not self._occupied, self._now())

    async def command(self) -> CommandRequest:
        while not self.handshake.requests:
            self._commanded.clear()
            await self._commanded.wait()
        return self.handshake.requests.popleft()

    def identity(self, part: Part) -> tuple[str, str]:
        return self._identity[1:] if self._identity[0] is part else ("", "")

    def exposed(self, part: Part, exposed_s: float) -> None:
        self.handshake.exposed(part, exposed_s, self._now())

    def set_health(self, health: HealthInput) -> None:
        self.handshake.health(health, self._now())

    def queue_events(self) -> None:
        """Give new parts to the line, also when the link is gone: an accepted part gets its row whatever comes."""
        if self.handshake.requests:
            self._commanded.set()
        while self.handshake.events:
            self._parts.put_nowait(self.handshake.events.popleft())

    def identify(self, part: Part, ident: Image | None) -> None:
        """LOT and SERIAL are only believed if they are of this id. None: the PLC has none."""
        id_ = part.trigger_id
        if ident is not None and ident["IDENT_ID"] == ident["IDENT_ID_TAIL"] == id_:
            self._identity = part, ident.text("LOT"), ident.text("SERIAL")
        elif ident is not None and ident["IDENT_ID"]:
            self._log.warn("ident", f"IDENT is of {ident['IDENT_ID']}, not of {id_}: inspected without lot, serial")

    def link_lost(self) -> None:
        """This station's session is over (P8)."""
        self.changes.link(False)
        if self.handshake.link is not LinkState.DOWN:
            self.handshake.link_down(self._now())
            self.queue_events()

    def diag_image(self) -> Image:
        image = Image(DIAG, word_order=self.word_order)
        values = {**self.handshake.counts, **self.place.diag()}
        values["RTT_P99"] = round(self.status.rtt_p99_s * 10_000)
        values["POLL_GAP_MAX"] = round(self.status.poll_gap_max_s * 10_000)
        for name, value in values.items():
            image[name] = value
        return image


def checked_places(places: Sequence[StationPlace]) -> tuple[StationPlace, ...]:
    """One to eight stations with different numbers. Raises ValueError."""
    numbers = [place.handshake.cfg.number for place in places]
    if not 1 <= len(numbers) <= MAX_STATIONS:
        raise ValueError(f"a link has 1 to {MAX_STATIONS} stations, not {len(numbers)}")
    if len(set(numbers)) < len(numbers) or not all(1 <= n <= MAX_STATIONS for n in numbers):
        raise ValueError(f"station numbers are 1 to {MAX_STATIONS}, each once on a link: {numbers}")
    return tuple(places)
