"""Server direction, one station: its registers as the PLC reads and writes them, and who may write."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from plc.cycle import Cycle, Link
from plc.images import Image, WordOrder
from plc.parts import Part, Record
from plc.pdu import ILLEGAL_ADDRESS, Peer, Refused
from plc.registers import CTRL, DIAG, IDENT, STAT, Control
from plc.station import SPAN, LinkStatus, StationBase, StationPlace, Told

_SHOWS = frozenset(STAT[name].offset for name in ("STATUS", "RES_TRIGGER_ID", "RESULT_CODE"))  # what a PLC must read


class ServerStation(StationBase):
    """Implements StationPort. The first that writes CTRL or IDENT owns them until it is gone or silent.

    where: how the address that this station is served at is called in texts.
    """

    def __init__(
        self, place: StationPlace, word_order: WordOrder, comm_timeout_s: float, where: str, now: Callable[[], float]
    ) -> None:
        super().__init__(place, word_order, now, LinkStatus(text=f"listening at {where}: no PLC writes yet"))
        self.base, self._where, self._comm_timeout_s = (self.handshake.cfg.number - 1) * SPAN, where, comm_timeout_s
        self.owner: Peer | None = None
        self.ctrl, self.ident = Image(CTRL, word_order=word_order), Image(IDENT, word_order=word_order)
        self._diag = Image(DIAG, word_order=word_order)
        self._written_s = -math.inf  # by the owner
        self._unread: set[int] = set()  # of the result that stands, by the owner
        self._last_unread = False  # the same for ONLINE=0
        self._settled = asyncio.Event()  # the owner has seen the result that stands, or never will

    # -- for the line --------------------------------------------------------------------------------------------------

    async def publish(self, part: Part, record: Record) -> Told:
        """Record and flags become visible in one moment, which the deadline runs to; then wait until the owner has
        read them, has acknowledged them, or its session is over: then the delivery is unknown."""
        hs = self.handshake
        loaded = hs.load(part, record, self._now())
        for _ in range(2):  # a record that became untrue meanwhile is loaded once more, as a reject
            if loaded is None:
                break
            started = self._now()
            if hs.raise_flags(part, loaded, started):
                return Told(loaded, "confirmed" if await self._seen() else "unknown", started)
            loaded = hs.load(part, loaded, self._now())
        told = hs.give_up(part, loaded or record, self._now())
        self.queue_events()
        return Told(told, "none", self._now())

    async def _seen(self) -> bool:
        """Bounded by ack_timeout: then the handshake takes the result away."""
        self._unread = set(_SHOWS)
        self._settled.clear()
        await self._settled.wait()
        return not self._unread

    def _settle(self) -> None:
        """The result that stood is gone: acknowledged by the owner (`_unread` is empty then), or not."""
        if self.handshake.cycle is not Cycle.WAIT_ACK:
            self._settled.set()

    # -- for the server ------------------------------------------------------------------------------------------------

    def read(self, peer: Peer, first: int, count: int) -> list[int]:
        """`first` counts from the station's base. What belongs to no block reads 0."""
        words = [0] * count
        wanted = range(first, first + count)
        stat = self.handshake.outgoing
        for base, block in (
            (CTRL.base, self.ctrl.words), (STAT.base, stat), (DIAG.base, self._diag.words),
            (IDENT.base, self.ident.words),
        ):  # fmt: skip
            for address in range(max(wanted.start, base), min(wanted.stop, base + len(block))):
                words[address - first] = block[address - base]
        self.changes.stat(stat)
        if peer is self.owner:
            self._has_read(range(first - STAT.base, first + count - STAT.base))
        return words

    def _has_read(self, offsets: range) -> None:
        if STAT["STATUS"].offset in offsets:
            self._last_unread = False
        if self._unread:
            self._unread.difference_update(offsets)
            if not self._unread:
                self._settled.set()

    def write(self, peer: Peer, first: int, words: list[int]) -> None:
        """Raises Refused: not CTRL or IDENT, or somebody else owns them."""
        image = next((i for i in (self.ctrl, self.ident) if _holds(i, first, len(words))), None)
        if image is None:
            raise Refused(ILLEGAL_ADDRESS)
        self.release_silent()
        if self.owner is None:
            self._take(peer)
        if self.owner is not peer:
            raise Refused(ILLEGAL_ADDRESS)
        now, acknowledged = self._now(), self._acknowledges()
        self._note_gap(now)
        offset = first - image.block.base
        image.words[offset : offset + len(words)] = words
        if image is self.ctrl:
            self.changes.ctrl(image.words)
            self._sample(peer, now, seen=self._acknowledges() and not acknowledged)

    def _note_gap(self, now: float) -> None:
        if math.isfinite(self._written_s):
            self.status.poll_gap_max_s = max(self.status.poll_gap_max_s, now - self._written_s)
        self._written_s = now

    def _sample(self, peer: Peer, now: float, *, seen: bool) -> None:
        """seen: this image acknowledges the result that stands, and the one before it did not."""
        hs = self.handshake
        if peer.waited_s > hs.cfg.max_trigger_age_s / 2:
            hs.queued()
        hs.sample(self.ctrl.copy(), peer.since_s, now)
        if seen and hs.link is Link.LIVE:
            self._unread.clear()  # it has read the result, on whichever connection
        for part in hs.events:
            if part.refused is None:
                self.identify(part, self.ident)
        self.queue_events()
        self._settle()
        self.status.text = self._text(peer)

    def _acknowledges(self) -> bool:
        """Does CTRL acknowledge the result that stands?"""
        by_id = self.ctrl["RESULT_ACK_ID"] == self.handshake.stat["RES_TRIGGER_ID"] != 0
        by_bit = bool(Control(self.ctrl["CONTROL"]) & Control.RESULTS_ACK)
        return self.handshake.cycle is Cycle.WAIT_ACK and (by_id or by_bit)

    def _text(self, peer: Peer) -> str:
        if self.handshake.simulator is None:
            return f"{peer.name} shows no signature of station {self.handshake.cfg.number}: wrong PLC or address"
        return f"{peer.name} writes at {self._where}"

    # -- ownership -----------------------------------------------------------------------------------------------------

    def _take(self, peer: Peer) -> None:
        self.owner, self._written_s = peer, -math.inf
        self.status.connected = True
        self.handshake.link_up(self._now())
        self.changes.link(True)

    def release(self, why: str) -> None:
        """The owner is gone: nothing of what it wrote counts any more (row 20)."""
        if self.owner is None:
            return
        self.owner = None
        for image in (self.ctrl, self.ident):
            image.words[:] = [0] * image.block.size
        self.changes.ctrl(self.ctrl.words)
        self.status.connected, self.status.text = False, why
        self.status.faults += 1
        self.link_lost()
        self._settled.set()

    def release_silent(self) -> None:
        if self.owner is not None and self._now() - self._written_s > self._comm_timeout_s:
            self.release(f"{self.owner.name} wrote nothing for {self._comm_timeout_s} s")

    # -- for the supervisor's loop -------------------------------------------------------------------------------------

    def tick(self) -> None:
        self.release_silent()
        self.handshake.tick(self._now())
        self.changes.stat(self.handshake.outgoing)
        self._settle()

    def beat(self) -> None:
        self.handshake.beat(self._now())

    def fill_diag(self) -> None:
        self._diag = self.diag_image()

    def stop(self) -> None:
        self.handshake.stop(self._now())
        self._last_unread = self.owner is not None

    @property
    def goodbye_unread(self) -> bool:
        """The owner has not seen ONLINE=0 yet."""
        return self._last_unread and self.owner is not None

    def closed(self) -> None:
        """Nothing is served any more."""
        self.release("stopped")
        self._settled.set()


def _holds(image: Image, first: int, count: int) -> bool:
    return image.block.base <= first and first + count <= image.block.base + image.block.size
