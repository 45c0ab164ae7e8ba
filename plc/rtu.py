"""Modbus RTU, server: answers one unit on a serial port with the same register logic as the TCP server."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from pymodbus.pdu import ModbusPDU

from plc.rtu_frames import RequestFinder, sealed
from plc.serial_port import SerialConfig, SerialPort
from plc.wire import LinkFault

HOLD_S = 0.05  # between two pieces of one request; adapters hand bytes over late
REOPEN_S = 0.2


class RtuServer:
    """Serves `answer` (a request's PDU to its response's, as RegisterServer.answer) to `unit_id` on one port.

    Other units' traffic, broken frames and broadcasts get silence. A lost port is opened again until `close`.
    requests: answered; text: what the port does, for people.
    """

    def __init__(self, cfg: SerialConfig, unit_id: int, answer: Callable[[bytes], ModbusPDU]) -> None:
        if not 1 <= unit_id <= 247:
            raise ValueError(f"units on a serial line are 1 to 247, not {unit_id}")
        self._cfg, self._unit, self._answer = cfg, unit_id, answer
        self._task: asyncio.Task[None] | None = None
        self.requests = 0
        self.text = "not started"

    async def start(self) -> None:
        """Raises LinkFault: the port cannot be opened."""
        port = SerialPort.open(self._cfg)
        self._task = asyncio.create_task(self._serve_forever(port), name="rtu-server")

    async def close(self) -> None:
        """Raises what ended the server, if a bug did."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            current = asyncio.current_task()
            if current is not None and current.cancelling():
                raise

    async def _serve_forever(self, port: SerialPort | None) -> None:
        while True:
            try:
                port = port or SerialPort.open(self._cfg)
                self.text = f"unit {self._unit} on {self._cfg.device}"
                await self._serve(port)
            except LinkFault as exc:
                self.text = str(exc)
            finally:
                if port is not None:
                    port.close()
            port = None
            await asyncio.sleep(REOPEN_S)

    async def _serve(self, port: SerialPort) -> None:
        finder = RequestFinder(self._unit, self._cfg.gap_s, HOLD_S)
        while True:
            data = await port.read(finder.wait_s(time.monotonic()))
            now = time.monotonic()
            if data:
                finder.feed(data, now)
            request = finder.request(now)
            if request is not None:
                answer = self._answer(request)
                port.write(sealed(self._unit, answer.function_code.to_bytes(1, "big") + answer.encode()))
                self.requests += 1
