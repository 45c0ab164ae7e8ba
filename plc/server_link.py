"""Server direction: the appliance listens, the PLC reads STAT and writes CTRL. One address, up to eight stations."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor

from pymodbus.pdu import ExceptionResponse, ModbusPDU

from plc.images import Image, WordOrder
from plc.pdu import DEVICE_FAILURE, ILLEGAL_ADDRESS, Peer, Refused, answer
from plc.registers import DEVICE, MAP_VERSION, SIGNATURE
from plc.rtu import RtuServer
from plc.serial_port import SerialConfig
from plc.server import Access, ModbusServer
from plc.server_station import ServerStation
from plc.sparse_log import SparseLog
from plc.station import SPAN, StationPlace, checked_places
from plc.tls import ServerTls
from plc.wire import LinkFault

STOP_S = 0.2  # for the owners to read ONLINE=0 (row 28)
DIAG_S = 1.0
CERTIFICATES_S = 2.0  # how often they are looked at
REFUSAL_S = 60.0  # so long the page tells who was not let in
TICK_S = 0.02  # the handshakes' own timeouts
RETRY_S = 1.0  # until the address can be listened at
WORD_ORDER = 0x12345678
MAX_TURN_S, MIN_TURN_S = 0.01, 0.001


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """One listening address, or a serial line where `serial` is given: host, port, peers and idle timeout are TCP's.

    unit_id: ours on a serial line; over TCP any is answered. name: of the device, for DEVICE and function 43.
    Raises ValueError: every address of this machine without a list of peers, or an entry of it is no address.
    """

    host: str = "127.0.0.1"
    port: int = 502
    allow_peers: tuple[str, ...] = ()
    max_connections: int = 4
    comm_timeout_s: float = 1.0
    idle_timeout_s: float = 10.0
    heartbeat_s: float = 0.1
    word_order: WordOrder = "big"
    name: str = "part-inspector"
    serial: SerialConfig | None = None
    unit_id: int = 1

    def __post_init__(self) -> None:
        if self.serial is None and not self.allow_peers and self.anywhere:
            raise ValueError(f"host {self.host!r} listens at every address: name the peers in allow_peers")

    @property
    def anywhere(self) -> bool:
        try:
            return not self.host or ipaddress.ip_address(self.host).is_unspecified
        except ValueError:
            return False  # a name

    @property
    def where(self) -> str:
        return f"unit {self.unit_id} on {self.serial.device}" if self.serial is not None else f"{self.host}:{self.port}"


class ServerLink:
    """Implements station.Link. `monotonic_s` is the clock of the handshakes' times, and of the loop."""

    def __init__(
        self,
        cfg: ServerConfig,
        places: Sequence[StationPlace],
        *,
        monotonic_s: Callable[[], float] = time.monotonic,
        tls: ServerTls | None = None,
    ) -> None:
        self.cfg, self._now, self._tls = cfg, monotonic_s, tls
        self.stations: tuple[ServerStation, ...] = tuple(
            ServerStation(place, cfg.word_order, cfg.comm_timeout_s, cfg.where, monotonic_s)
            for place in checked_places(places)
        )
        self._by_number = {station.handshake.cfg.number: station for station in self.stations}
        self.log = SparseLog(logging.getLogger("plc.server"), monotonic_s)
        access = Access(cfg.allow_peers, cfg.max_connections, cfg.idle_timeout_s)
        self.server: ModbusServer | RtuServer
        if cfg.serial is not None:
            self.server = RtuServer(cfg.serial, cfg.unit_id, self.respond, gone=self.gone, monotonic_s=monotonic_s)
        else:
            self.server = ModbusServer(self.respond, access, gone=self.gone, monotonic_s=monotonic_s, log=self.log)
        youngest_s = min(station.handshake.cfg.max_trigger_age_s for station in self.stations)
        self._turn_s = min(MAX_TURN_S, max(MIN_TURN_S, youngest_s / 10))
        self._identity = _identity(cfg.name)
        self._bug: Exception | None = None
        self._stopped = asyncio.Event()
        self.listening = asyncio.Event()

    async def run(self) -> None:
        """Listen until `stop()`; where the address is not there yet, try again."""
        try:
            await self._listen()
            await self._supervise()
        finally:
            await self.server.close()
            for station in self.stations:
                station.closed()

    async def stop(self) -> None:
        """ONLINE=0, and 200 ms for the owners to read it; then close (fault table, row 28)."""
        for station in self.stations:
            station.stop()
        end = self._now() + STOP_S
        while any(station.goodbye_unread for station in self.stations) and self._now() < end:  # noqa: ASYNC110 - a state
            await asyncio.sleep(MIN_TURN_S)
        self._stopped.set()
        await self.server.close()
        for station in self.stations:
            station.closed()

    # -- requests ------------------------------------------------------------------------------------------------------

    def respond(self, body: bytes, peer: Peer) -> ModbusPDU:
        """Any unit id; also for other transports than our TCP server. A bug is told to the peer, and ends `run()`."""
        try:
            return answer(
                body,
                lambda address, count: self._read(peer, address, count),
                lambda address, words: self._write(peer, address, words),
                self._identity,
            )
        except Exception as exc:
            self._bug = self._bug or exc
            return ExceptionResponse(body[0] & 0x7F, DEVICE_FAILURE)

    def gone(self, peer: Peer) -> None:
        """The peer's connection is over; what it owned is free."""
        for station in self.stations:
            if station.owner is peer:
                station.release(f"{peer.name} is gone")

    def _read(self, peer: Peer, address: int, count: int) -> Sequence[int]:
        if DEVICE.base <= address and address + count <= DEVICE.base + DEVICE.size:
            first = address - DEVICE.base
            return self._device().words[first : first + count]
        station, first = self._at(address, count)
        return station.read(peer, first, count)

    def _write(self, peer: Peer, address: int, words: list[int]) -> None:
        station, first = self._at(address, len(words))
        try:
            station.write(peer, first, words)
        except Refused:
            owner = station.owner.name if station.owner is not None else "nobody"
            self.log.warn(
                "write", f"refused a write of {peer.name} at {address}, {len(words)} registers; owner: {owner}"
            )
            raise
        self.server.writes += 1

    def _at(self, address: int, count: int) -> tuple[ServerStation, int]:
        """Raises Refused: no station of ours has all these registers."""
        number, first = address // SPAN + 1, address % SPAN
        if number not in self._by_number or first + count > SPAN:
            raise Refused(ILLEGAL_ADDRESS)
        return self._by_number[number], first

    def _device(self) -> Image:
        image = Image(DEVICE, word_order=self.cfg.word_order)
        image["DEVICE_SIGNATURE"], image["MAP_VERSION"], image["STATIONS"] = SIGNATURE, MAP_VERSION, len(self.stations)
        image["DEVICE_CHECKSUM"] = reduce(xor, (s.handshake.settings_checksum for s in self.stations))
        image["WORD_ORDER"] = WORD_ORDER
        image.set_text("NAME", self.cfg.name)
        return image

    # -- the supervisor's loop -----------------------------------------------------------------------------------------

    async def _start(self) -> None:
        """Raises OSError, LinkFault: the address or the port is not there."""
        if isinstance(self.server, RtuServer):
            await self.server.start()
        else:
            await self.server.start(self.cfg.host, self.cfg.port, tls=self._tls)

    async def _listen(self) -> None:
        while not self._stopped.is_set():
            try:
                await self._start()
            except (OSError, LinkFault) as exc:
                for station in self.stations:
                    station.status.text = f"cannot listen at {self.cfg.where}: {exc}"
                await self._pause(RETRY_S)
            else:
                self.listening.set()
                return

    async def _supervise(self) -> None:
        """Heartbeat, timeouts and DIAG; and the note of how far our reading of the sockets has come.

        A loop that stood still finds its timer late and the sockets full: what lies there is as old as the moment at
        which the timer was due.
        """
        beat_s = tick_s = diag_s = certificates_s = self._now()
        while not self._stopped.is_set():
            if self._bug is not None:
                raise self._bug  # the process ends, and the PLC takes silence as a reject
            if isinstance(self.server, RtuServer):
                self.server.check()
            now = self._now()
            if now >= tick_s:
                tick_s = now + TICK_S
                for station in self.stations:
                    station.tick()
            if now >= beat_s:
                beat_s = max(beat_s + self.cfg.heartbeat_s, now)
                for station in self.stations:
                    station.beat()
            if now >= diag_s:
                diag_s = now + DIAG_S
                for station in self.stations:
                    station.fill_diag()
                self._tell_refusals(now)
            if now >= certificates_s:
                certificates_s = now + CERTIFICATES_S
                self._look_at_certificates()
            due_s = self._now() + self._turn_s
            await asyncio.sleep(self._turn_s)
            self.server.turned_s = due_s

    def _look_at_certificates(self) -> None:
        """New ones are taken without a restart; what a person should see to is told."""
        if self._tls is None:
            return
        self._tls.follow(self._say)
        notice = "; ".join(self._tls.notices())
        for station in self.stations:
            station.status.notice = notice

    def _say(self, text: str) -> None:
        logging.getLogger("plc.server").warning("%s: %s", self.cfg.where, text)

    def _tell_refusals(self, now: float) -> None:
        """To the stations that nobody writes to: whoever should may be the one that is not let in."""
        if isinstance(self.server, RtuServer):
            return
        at_s, text = self.server.refusal
        for station in self.stations:
            station.status.refused = text if station.owner is None and now - at_s < REFUSAL_S else ""

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopped.wait()
        except TimeoutError:
            return


def _identity(name: str) -> dict[int, bytes]:
    """Function 43/14: vendor, product code, revision, vendor URL, product name, model name, application name."""
    revision = f"{MAP_VERSION >> 8}.{MAP_VERSION & 0xFF}"
    texts = ("part-inspector", "part-inspector", revision, "", "part-inspector", "quality inspection", name)
    return {number: text.encode("ascii", "replace")[:32] for number, text in enumerate(texts) if text}
