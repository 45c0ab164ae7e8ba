"""Client direction: we poll the PLC's memory and write our results into it. One connection, up to eight stations."""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from plc.client_station import ClientStation, LinkConfig, SharedWire
from plc.station import LinkStatus, StationPlace, checked_places
from plc.transport import CertificateWatch, connect_wire
from plc.wire import LinkFault, Wire

__all__ = ["ClientLink", "LinkConfig"]

STOP_S = 0.2  # for the last write (row 28)
CERTIFICATES_S = 2.0  # how often they are looked at


class ClientLink:
    """Implements station.Link. `monotonic_s` is the clock that the handshakes' times are on.

    connect: makes the wire, given where round-trip times go; None: over the configured transport. Raises LinkFault.
    """

    def __init__(
        self,
        cfg: LinkConfig,
        places: Sequence[StationPlace],
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        connect: Callable[[deque[float]], Awaitable[Wire]] | None = None,
    ) -> None:
        self.cfg, self._now, self._connect = cfg, monotonic_s, connect or self._connect_carrier
        self._shared, self._stopped = SharedWire(), asyncio.Event()
        self._rtt_s: deque[float] = deque(maxlen=1000)
        self.stations: tuple[ClientStation, ...] = tuple(
            ClientStation(place, cfg, self._shared, monotonic_s, LinkStatus(rtt_s=self._rtt_s))
            for place in checked_places(places)
        )
        self._delay_s = cfg.reconnect_min_s
        self._certificates, self._certificates_s = CertificateWatch(cfg.carrier), -math.inf
        for station in self.stations:
            station.share = max(1.0, len(self.stations) / 2)

    async def run(self) -> None:
        """Connect, serve, reconnect with back-off; until `stop()`."""
        while not self._stopped.is_set():
            fault = None
            try:
                self._look_at_certificates(None)
                wire = await self._connect(self._rtt_s)
                self._shared.set(wire)
                self._look_at_certificates(wire)
                for station in self.stations:
                    station.connected()
                await self._take_turns(wire)
            except LinkFault as exc:
                fault = str(exc)
            finally:
                self._disconnect(fault)
            if not self._stopped.is_set():
                await self._pause(self._delay_s)
                self._delay_s = min(2 * self._delay_s, self.cfg.reconnect_max_s)

    async def stop(self) -> None:
        """Last writes with ONLINE=0, within 200 ms together, then close (fault table, row 28)."""
        for station in self.stations:
            station.handshake.stop(self._now())
        late = None
        try:
            async with asyncio.timeout(STOP_S):
                await asyncio.gather(*(station.last_write() for station in self.stations))
                async with self._shared.lock:
                    pass  # no request is on its way any more
        except TimeoutError:
            late = "the PLC did not take the last write in time"
        self._stopped.set()
        self._disconnect(late)

    async def _connect_carrier(self, rtt_s: deque[float]) -> Wire:
        return await connect_wire(self.cfg.carrier, self.cfg.request_timeout_s, self._now, rtt_s)

    def _look_at_certificates(self, wire: Wire | None) -> None:
        self._certificates_s = self._now() + CERTIFICATES_S
        notice = self._certificates.notice(wire, self._now())
        for station in self.stations:
            station.status.notice = notice

    async def _take_turns(self, wire: Wire) -> None:
        """One exchange after another. Raises LinkFault."""
        while not self._stopped.is_set():
            if self._now() >= self._certificates_s:
                self._look_at_certificates(wire)
            self._shared.hurry.clear()
            station = self._next_in_turn(self._now())
            wait_s = station.due_s - self._now()
            if wait_s > 0:
                await self._until_due(min(wait_s, self.cfg.heartbeat_s))
                continue
            await station.turn()
            if all(s.excluded for s in self.stations):
                raise LinkFault(station.status.text)
            if not station.excluded:
                self._delay_s = self.cfg.reconnect_min_s

    async def _until_due(self, seconds: float) -> None:
        """Or until somebody is in a hurry: an alarm clock in place of a timeout, for its exception costs as much as a
        poll."""
        hurry = self._shared.hurry
        alarm = asyncio.get_running_loop().call_later(seconds, hurry.set)
        try:
            await hurry.wait()
        finally:
            alarm.cancel()

    def _next_in_turn(self, now: float) -> ClientStation:
        """Of those that are due the one that waited longest, the armed ahead by one poll; else the next to be due.

        One that publishes is passed over meanwhile.
        """
        free = [s for s in self.stations if not s.busy.locked()] or self.stations
        due = [s for s in free if s.due_s <= now]
        ahead_s = self.cfg.poll_s if due else 0.0
        return min(due or free, key=lambda s: s.due_s - ahead_s * s.armed)

    def _disconnect(self, fault: str | None) -> None:
        self._shared.abort()
        for station in self.stations:
            station.disconnected(fault)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return
