"""Modbus RTU, client: one request, one answer that is exactly the one asked for, or the port is closed.

RTU has no transaction ids, so an answer that comes late looks like the answer to the next request. Three things keep
it from being taken for one (row 24): after a timeout nothing more is asked on this connection; a new one waits until
the line has been quiet; and a byte that nobody asked for ends it again. docs/decisions/0023-transports.md.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable

from plc.rtu_frames import MAX_FRAME, is_intact, sealed
from plc.serial_port import SerialConfig, SerialPort
from plc.wire import EXCEPTION, READ, LinkFault, Wire

MAX_QUIET_WAITS = 4  # quiet times until a line that never falls silent is given up
EXCEPTION_FRAME, WRITE_FRAME = 5, 8


class RtuWire(Wire):
    """One opened port. timeout_s: from the end of the request to the end of its answer, line time included."""

    def __init__(
        self,
        port: SerialPort,
        cfg: SerialConfig,
        unit_id: int,
        timeout_s: float,
        now: Callable[[], float],
        rtt_s: deque[float],
    ) -> None:
        super().__init__(now, rtt_s)
        self._port, self._cfg, self._unit, self._timeout_s = port, cfg, unit_id, timeout_s

    @classmethod
    async def open(
        cls, cfg: SerialConfig, unit_id: int, timeout_s: float, now: Callable[[], float], rtt_s: deque[float]
    ) -> RtuWire:
        """Opens the port and waits for silence. Raises LinkFault: no port, or somebody else talks on the line."""
        port = SerialPort.open(cfg)
        try:
            await _quiet(port, cfg.quiet_s)
        except BaseException:
            port.close()
            raise
        return cls(port, cfg, unit_id, timeout_s, now, rtt_s)

    async def _exchange(self, request: bytes) -> bytes:
        await asyncio.sleep(max(0.0, self._port.traffic_s + self._cfg.gap_s - time.monotonic()))
        surplus = self._port.take()
        if surplus:
            raise LinkFault(f"{len(surplus)} bytes that nobody asked for: {surplus[:8].hex(' ')}")
        frame = sealed(self._unit, request)
        self._port.write(frame)
        end_s = time.monotonic() + len(frame) * self._cfg.char_s + self._timeout_s
        reply = b""
        while len(reply) < (length := _length(reply, request)):
            data = await self._port.read(max(0.0, end_s - time.monotonic()))
            if not data:
                raise LinkFault(self._late(len(reply), length))
            reply += data
            self._check(reply, request)
        if len(reply) != length or not is_intact(reply):
            what = "its checksum is wrong" if len(reply) == length else f"{len(reply)} bytes came in place of {length}"
            raise LinkFault(f"not an answer to function {request[0]}: {what}")
        return reply[1:-2]

    def _check(self, reply: bytes, request: bytes) -> None:
        """What is certainly no answer to `request` is not waited for."""
        if reply[0] != self._unit:
            raise LinkFault(f"an answer of unit {reply[0]}; asked was unit {self._unit}")
        if len(reply) > 1 and reply[1] & ~EXCEPTION != request[0]:
            raise LinkFault(f"not an answer to function {request[0]}: {reply[:8].hex(' ')}")

    def _late(self, came: int, length: int) -> str:
        within = f"within {1000 * self._timeout_s:g} ms"
        return f"only {came} of {length} bytes of an answer {within}" if came else f"no answer {within}"

    def _abort(self) -> None:
        self._port.close()


def _length(reply: bytes, request: bytes) -> int:
    """Length of the frame that answers `request`; shorter if it is an exception."""
    if len(reply) > 1 and reply[1] & EXCEPTION:
        return EXCEPTION_FRAME
    return 5 + 2 * int.from_bytes(request[3:5], "big") if request[0] == READ else WRITE_FRAME


async def _quiet(port: SerialPort, quiet_s: float) -> None:
    """Wait until nothing has come for `quiet_s`. Raises LinkFault: the line does not fall silent."""
    end_s, heard = time.monotonic() + MAX_QUIET_WAITS * quiet_s, b""
    while data := await port.read(quiet_s):
        heard = (heard + data)[-MAX_FRAME:]
        if time.monotonic() > end_s:
            raise LinkFault(f"the line does not fall silent; is there another master? heard {heard[-8:].hex(' ')}")
