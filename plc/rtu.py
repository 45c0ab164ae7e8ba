"""Modbus RTU, server: answers one unit on a serial port with the same register logic as the TCP server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from pymodbus.pdu import ModbusPDU

from plc.pdu import Peer
from plc.rtu_frames import RequestFinder, sealed
from plc.serial_port import SerialConfig, SerialPort
from plc.wire import LinkFault

HOLD_S = 0.05  # between two pieces of one request; adapters hand bytes over late
REOPEN_S = 0.2


class RtuServer:
    """Serves `respond` to `unit_id` on one port, as ModbusServer does on TCP: one peer, whoever is the line's master.

    Other units' traffic, broken frames and broadcasts get silence. A lost port is opened again until `close`; `gone`
    learns of each loss. turned_s: as ModbusServer's. text: what the port does, for people.
    """

    def __init__(
        self,
        cfg: SerialConfig,
        unit_id: int,
        respond: Callable[[bytes, Peer], ModbusPDU],
        *,
        gone: Callable[[Peer], None] = lambda peer: None,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        if not 1 <= unit_id <= 247:
            raise ValueError(f"units on a serial line are 1 to 247, not {unit_id}")
        self._cfg, self._unit, self._respond, self._gone, self._now = cfg, unit_id, respond, gone, monotonic_s
        self._task: asyncio.Task[None] | None = None
        self.turned_s: float | None = None
        self.requests = self.writes = 0
        self.text = "not started"

    async def start(self) -> None:
        """Raises LinkFault: the port cannot be opened."""
        port = SerialPort.open(self._cfg)
        self._task = asyncio.create_task(self._serve_forever(port), name="rtu-server")

    def check(self) -> None:
        """Raises what ended the server, if a bug did."""
        if self._task is not None and self._task.done() and not self._task.cancelled():
            self._task.result()

    async def close(self) -> None:
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _serve_forever(self, port: SerialPort | None) -> None:
        while True:
            peer = Peer(self._cfg.device, self._now())
            try:
                port = port or SerialPort.open(self._cfg)
                self.text = f"unit {self._unit} on {self._cfg.device}"
                await self._serve(port, peer)
            except LinkFault as exc:
                self.text = str(exc)
            finally:
                if port is not None:
                    port.close()
                    self._gone(peer)
            port = None
            await asyncio.sleep(REOPEN_S)

    async def _serve(self, port: SerialPort, peer: Peer) -> None:
        """A master asks again only when it has its answer, or has given up: what we answer is younger than the last."""
        finder = RequestFinder(self._unit, self._cfg.gap_s, HOLD_S)
        while True:
            data = await port.read(finder.wait_s(self._now()))
            now = self._now()
            if data:
                lay_s = 0.0 if self.turned_s is None else max(0.0, now - self.turned_s)
                peer.waited_s = max(peer.waited_s, lay_s) if finder.begun else lay_s
                finder.feed(data, now)
            request = finder.request(now)
            if request is not None:
                answer = self._respond(request, peer)
                port.write(sealed(self._unit, answer.function_code.to_bytes(1, "big") + answer.encode()))
                self.requests += 1
                peer.since_s = self._now()
