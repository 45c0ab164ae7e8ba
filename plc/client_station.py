"""Client direction, one station: polls its CTRL, writes its STAT; a thin adapter on the handshake."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from dataclasses import dataclass

from plc.cycle import Cycle, Link
from plc.images import Image, WordOrder
from plc.parts import Part, Record
from plc.registers import CTRL, IDENT, SIGNATURE, STAT
from plc.station import MAX_STATIONS, LinkStatus, StationBase, StationPlace, Told
from plc.transport import TransportConfig
from plc.wire import ExceptionReply, LinkFault, Wire

OWN_CONFLICTS = 3  # foreign heartbeats in our STAT, one after another, before we stop writing
JUDGING_POLLS = 4  # polls that are left out while a part is judged
MAX_REFUSED = 3  # Modbus exceptions, one after another, before they count as a link fault (row 23)
RETRY_S = 1.0  # until a station that was refused is looked at again
DIAG_S = 1.0
_CHECKED = slice(STAT["HEARTBEAT"].offset, STAT["STAT_SIGNATURE"].offset + 1)  # read back from our STAT


@dataclass(frozen=True, slots=True)
class LinkConfig:
    """One connection. The poll intervals are those of one or two stations; more share the rate of two."""

    host: str = "127.0.0.1"
    port: int = 502
    unit_id: int = 1
    word_order: WordOrder = "big"
    poll_s: float = 0.005
    armed_poll_s: float = 0.002
    request_timeout_s: float = 0.25
    reconnect_min_s: float = 0.1
    reconnect_max_s: float = 2.0
    heartbeat_s: float = 0.1
    two_phase: bool = True
    transport: TransportConfig | None = None  # None: Modbus TCP to host and port

    @property
    def carrier(self) -> TransportConfig:
        return self.transport or TransportConfig(host=self.host, port=self.port, unit_id=self.unit_id)

    @property
    def where(self) -> str:
        return self.carrier.where


class SharedWire:
    """The wire of the connection that stands, for all stations of a link: one request at a time, first come first."""

    def __init__(self) -> None:
        self.lock = asyncio.Lock()
        self.hurry = asyncio.Event()  # somebody's turn comes sooner than was planned
        self._wire: Wire | None = None
        self._ended = "closed"

    def set(self, wire: Wire) -> None:
        self._wire = wire

    @property
    def wire(self) -> Wire:
        """Raises LinkFault: there is no connection."""
        if self._wire is None:
            raise LinkFault(self._ended)
        return self._wire

    async def read(self, address: int, count: int) -> list[int]:
        async with self.lock:
            return await self.wire.read(address, count)

    async def write(self, address: int, words: list[int]) -> None:
        async with self.lock:
            await self.wire.write(address, words)

    def abort(self, why: str = "closed") -> None:
        wire, self._wire = self._wire, None
        if wire is not None:
            self._ended = why
            wire.abort()


class ClientStation(StationBase):
    """Implements StationPort. `busy` is held for as long as an exchange of this station must not be interrupted.

    due_s: when its next turn is. share: how many times longer the poll intervals are, for the stations beside it.
    """

    def __init__(
        self, place: StationPlace, cfg: LinkConfig, shared: SharedWire, now: Callable[[], float], status: LinkStatus
    ) -> None:
        super().__init__(place, cfg.word_order, now, status)
        self.cfg, self.busy = cfg, asyncio.Lock()
        self._where = cfg.where
        self.due_s, self.share = -math.inf, 1.0
        self._shared = shared
        self._up = False
        self._beat_due_s = self._diag_due_s = self._sent_s = -math.inf
        self._written: list[int] | None = None
        self._foreign = self._exceptions = 0

    # -- for the line --------------------------------------------------------------------------------------------------

    async def publish(self, part: Part, record: Record) -> Told:
        """Record, confirmed; then flags (P6). Nothing of this station in between: the busy lock is held."""
        hs = self.handshake
        async with self.busy:
            loaded = hs.load(part, record, self._now())
            for _ in range(2):  # a record that became untrue between the phases is loaded once more, as a reject
                if loaded is None or (self.cfg.two_phase and not await self._try_write()):
                    break
                self.loaded()
                async with self._shared.lock:  # the deadline is checked as the write starts
                    started = self._now()
                    if hs.raise_flags(part, loaded, started):
                        confirmed = await self._try_write(locked=True)
                        self._expect_ack()
                        return Told(loaded, "confirmed" if confirmed else "unknown", started)
                loaded = hs.load(part, loaded, self._now())
        told = hs.give_up(part, loaded or record, self._now())
        self.queue_events()
        return Told(told, "none", self._now())

    def _expect_ack(self) -> None:
        """While the part was judged polls were left out; the PLC acknowledges as soon as it has seen the result."""
        self.due_s = self._now() + self._pause_s(0.0)
        self._shared.hurry.set()

    # -- for the link: one turn after another -----------------------------------------------------------------------

    def connected(self) -> None:
        """A connection stands; this station has seen nothing of it yet."""
        self._up, self.due_s = False, -math.inf
        place_in_beat = (self.handshake.cfg.number - 1) / MAX_STATIONS  # not all stations at once
        self._beat_due_s = self._now() + place_in_beat * self.cfg.heartbeat_s
        self._diag_due_s = self._sent_s = -math.inf
        self._exceptions = 0
        self.status.connected, self.status.text = True, f"connected to {self._where}"

    def disconnected(self, text: str | None) -> None:
        self._up, self.status.connected = False, False
        if text is not None:
            self.status.faults += 1
            self.status.text = text
        self.link_lost()

    @property
    def armed(self) -> bool:
        """The PLC may trigger or acknowledge at any moment: served before others."""
        return self.handshake.link is Link.LIVE and self.handshake.cycle not in (Cycle.ACQUIRING, Cycle.INSPECTING)

    @property
    def excluded(self) -> bool:
        """The PLC answers with nothing but exceptions."""
        return self._exceptions >= MAX_REFUSED

    async def turn(self) -> None:
        """What is due: make the session, poll, beat. Raises LinkFault: the connection is of no use any more.

        A PLC's exceptions concern this station only; its trigger's age goes on growing meanwhile.
        """
        async with self.busy:
            try:
                if not self._up:
                    await self._bring_up()
                else:
                    await self._poll()
                    if self._now() >= self._beat_due_s:
                        await self._beat()
                self._exceptions = 0
            except ExceptionReply as exc:
                self._refused_by_plc(exc)

    def _refused_by_plc(self, exc: ExceptionReply) -> None:
        """Counted, never taken as data (row 23)."""
        self.status.exceptions += 1
        self._exceptions += 1
        self.due_s = self._now() + self.cfg.poll_s
        if self._exceptions >= MAX_REFUSED:
            self._refuse(str(exc))

    def _refuse(self, why: str) -> None:
        """This station is not served for a while; the others are."""
        self._up, self.status.text = False, why
        self.due_s = self._now() + RETRY_S
        self.status.faults += 1
        self.link_lost()

    async def _bring_up(self) -> None:
        """The first look at our STAT there: what a former life acknowledged, and whether it is another station's."""
        found = Image(STAT, await self._shared.read(self.place.stat_base, STAT.size), self.word_order)
        number, signature = self.handshake.cfg.number, found["STAT_SIGNATURE"]
        if signature - SIGNATURE in range(1, MAX_STATIONS + 1) and signature != SIGNATURE + number:
            self._refuse(
                f"{self._where} shows the result of station {signature - SIGNATURE} at {self.place.stat_base}, "
                f"not of {number}: swapped addresses, or clear that area in the PLC"
            )
            return
        self._written, self._foreign = None, 0
        self.handshake.link_up(self._now(), found["TRIGGER_ID_ACK"] if signature == SIGNATURE + number else 0)
        self._up, self.due_s = True, -math.inf
        self.changes.link(True)

    async def _poll(self) -> None:
        c, hs = self.cfg, self.handshake
        async with self._shared.lock:
            sent = self._now()  # the request's own time, not that of waiting for the wire
            words = await self._shared.wire.read(self.place.ctrl_base, CTRL.size)
        if math.isfinite(self._sent_s):
            self.status.poll_gap_max_s = max(self.status.poll_gap_max_s, sent - self._sent_s)
        self._sent_s = sent
        self.changes.ctrl(words)
        received = self._now()
        hs.sample(Image(CTRL, words, c.word_order), sent, received)
        hs.tick(received)
        await self._hand_out()
        await self._write_changes()
        self.status.text = self._text()
        self.due_s = min(self._now() + self._pause_s(self._now() - sent), self._beat_due_s)

    def _pause_s(self, took_s: float) -> float:
        """Short while a trigger or an acknowledgement may come; long while a part is judged and needs the cores.

        Then nothing of the PLC's is urgent: an edge is an overrun whenever it is seen, and the result is written, not
        polled. Half the age of the oldest trigger that is still taken keeps the link from being called degraded.
        took_s: since this poll's request was sent.
        """
        c, hs = self.cfg, self.handshake
        if hs.link is not Link.LIVE:
            return c.poll_s * self.share
        armed_s = c.armed_poll_s * self.share
        if hs.cycle in (Cycle.ACQUIRING, Cycle.INSPECTING):
            return max(armed_s, min(JUDGING_POLLS * c.poll_s, hs.cfg.max_trigger_age_s / 2))
        return pause_s(armed_s, took_s)

    def _text(self) -> str:
        hs, base = self.handshake, self.place.ctrl_base
        if hs.simulator is None:
            return f"{self._where} shows no signature of station {hs.cfg.number} at {base}: wrong PLC or address"
        if hs.owner_doubted:
            return "another appliance writes to this PLC's result area: stopped writing"
        notice = self.status.notice
        return f"connected to {self._where}" + (f"; {notice}" if notice else "")

    async def _hand_out(self) -> None:
        """Lot and serial come before the line begins. The acknowledge does not: its request is sent before the line's
        first step, and the picture is taken while the PLC answers. Whatever fails, an accepted part goes to the line.
        """
        accepted = next((part for part in self.handshake.events if part.refused is None), None)
        try:
            if accepted is not None:
                self.identify(accepted, await self._read_ident())
        finally:
            self.queue_events()

    async def _read_ident(self) -> Image | None:
        """None: the PLC has no such block, and the part is inspected without."""
        try:
            words = await self._shared.read(self.place.ident_base, IDENT.size)
        except ExceptionReply as exc:
            self.status.exceptions += 1
            self._log.warn("ident", f"IDENT cannot be read ({exc}): inspected without lot, serial")
            return None
        return Image(IDENT, words, self.word_order)

    async def _write_changes(self) -> None:
        if self._may_write() and self.handshake.outgoing != self._written:
            await self._write()

    async def _beat(self) -> None:
        """Heartbeat, full image (P5) and, once a second, DIAG; the read-back shows a second writer."""
        now, due_s = self._now(), self._beat_due_s + self.cfg.heartbeat_s
        self._beat_due_s = due_s if due_s > now else now + self.cfg.heartbeat_s
        self.due_s = min(self.due_s, self._beat_due_s)
        self.handshake.beat(now)
        if self._may_write():
            await self._check_owner()
        if self._may_write():
            await self._write()
            if now >= self._diag_due_s:
                self._diag_due_s = now + DIAG_S
                await self._shared.write(self.place.diag_base, self.diag_image().words)

    async def _check_owner(self) -> None:
        if self._written is None:
            return
        first, *_, signature = await self._shared.read(self.place.stat_base + _CHECKED.start, _CHECKED.stop - 1)
        # 0: the PLC cleared its area
        beats = first not in (self._written[STAT["HEARTBEAT"].offset], 0)
        signs = signature not in (SIGNATURE + self.handshake.cfg.number, 0)
        self._foreign = self._foreign + 1 if beats or signs else 0
        if self._foreign >= OWN_CONFLICTS:
            self._foreign = 0
            self.handshake.owner_conflict(self._now())

    # -- writing -------------------------------------------------------------------------------------------------------

    def _may_write(self) -> bool:
        """Only to a PLC that shows the signature on this connection, and only if the area is ours alone."""
        return self._up and self.handshake.simulator is not None and not self.handshake.owner_doubted

    async def _write(self, *, locked: bool = False) -> None:
        """The newest full image. locked: the caller holds the wire. Raises LinkFault."""
        words = list(self.handshake.outgoing)
        writer = self._shared.wire if locked else self._shared
        await writer.write(self.place.stat_base, words)
        self._written = words
        self.changes.stat(words)

    async def _try_write(self, *, locked: bool = False) -> bool:
        """False: not confirmed. A refusal ends this station's session, anything else the connection."""
        if not self._may_write():
            return False
        try:
            await self._write(locked=locked)
        except ExceptionReply as exc:
            self.status.exceptions += 1
            self._exceptions = MAX_REFUSED
            self._refuse(str(exc))
            return False
        except LinkFault as exc:
            self._shared.abort(f"write failed: {exc}")  # the exchange sees it and reconnects
            return False
        return True

    async def last_write(self) -> None:
        """ONLINE=0, at an orderly end."""
        async with self.busy:
            await self._try_write()


def pause_s(interval_s: float, took_s: float) -> float:
    """What is left of an interval that is counted from request to request; half of it at least, for a slow PLC.

    In whole milliseconds, rounded down: asyncio's epoll rounds up, and a trigger would wait longer than the interval.
    """
    return max(interval_s / 2, math.floor(1000 * (interval_s - took_s)) / 1000)
