"""The simulated PLC as a Modbus client: the same program, which scans an appliance that listens."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from plc.registers import CTRL, IDENT, STAT
from plc.sim import SimPlc
from plc.station import SPAN
from plc.transport import TransportConfig, connect_wire
from plc.wire import ExceptionReply, LinkFault, Wire

RECONNECT_S = 0.1
REQUEST_TIMEOUT_S = 0.5


@dataclass
class SimClientPlc(SimPlc):
    """`start(host, port)` says where the appliance listens; each scan reads STAT, runs the logic, and writes CTRL.

    STAT keeps its last words while the connection is down, as an I/O scanner that holds its inputs does; the program
    takes a heartbeat that stands still for silence. refused: writes that were answered by an exception. With `wired`
    False the cable is pulled. request_timeout_s: what is not answered by then ends the connection.
    """

    refused: int = 0
    faults: int = 0
    wired: bool = True
    request_timeout_s: float = REQUEST_TIMEOUT_S
    rtt_s: deque[float] = field(default_factory=lambda: deque(maxlen=1000))
    _wire: Wire | None = None
    transport: TransportConfig | None = None  # None: TCP to where `start` says
    _where: tuple[str, int] = ("127.0.0.1", 502)
    _retry_s: float = 0.0
    _ident: list[int] = field(default_factory=list)

    async def start(self, host: str = "127.0.0.1", port: int = 502) -> None:
        self._where = host, port

    async def close(self) -> None:
        self.cut()

    @property
    def port(self) -> int:
        return self._where[1]

    @property
    def connected(self) -> bool:
        return self._wire is not None

    def cut(self) -> None:
        """Drop the connection, as a pulled cable or a restart would; the next scan makes a new one."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abort()

    def cut_link(self) -> None:
        self.cut()

    def plug(self, plugged: bool) -> None:
        self.wired = plugged

    async def _pause(self) -> None:
        """Write what the program left, let the scan pass, read STAT: so the program finds fresh inputs."""
        await self._guarded(self._push)
        await super()._pause()
        await self._guarded(self._pull)

    async def _guarded(self, exchange: Callable[[Wire], Awaitable[None]]) -> None:
        if not self.wired:
            self.cut()
            return
        try:
            if self._wire is None:
                if time.monotonic() < self._retry_s:
                    return
                host, port = self._where
                transport = self.transport or TransportConfig(host=host, port=port, unit_id=self.unit_id)
                self._wire = await connect_wire(transport, self.request_timeout_s, time.monotonic, self.rtt_s)
                self._ident = []
            await exchange(self._wire)
        except ExceptionReply:
            self.refused += 1
        except LinkFault:
            self.faults += 1
            self.cut()
            self._retry_s = time.monotonic() + RECONNECT_S

    async def _push(self, wire: Wire) -> None:
        """IDENT before CTRL: it is read when the trigger is accepted."""
        ident = self.memory.words[self.base + IDENT.base : self.base + IDENT.base + IDENT.size]
        if ident != self._ident and (any(ident) or self._ident):
            await wire.write(self._remote + IDENT.base, ident)
            self._ident = ident
        first = self.base + CTRL.base
        await wire.write(self._remote + CTRL.base, self.memory.words[first : first + CTRL.size])

    async def _pull(self, wire: Wire) -> None:
        words = await wire.read(self._remote + STAT.base, STAT.size)
        self.memory.words[self.base + STAT.base : self.base + STAT.base + STAT.size] = words

    @property
    def _remote(self) -> int:
        return (self.cfg.number - 1) * SPAN
