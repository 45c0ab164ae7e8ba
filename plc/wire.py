"""One Modbus connection to a PLC: requests with every reply checked, the socket aborted when in doubt.

pymodbus accepts short replies and wrong functions, hands exceptions over as objects, turns a cancellation into an error
of its own and lingers on close (docs/decisions/0002-libraries.md): all of that ends here.
"""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from typing import TypeVar

from pymodbus.client import AsyncModbusTcpClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

READ, WRITE = 3, 16
USER_TIMEOUT_MS = 3000  # unacknowledged data for longer: the other end is gone (row 18)
R = TypeVar("R")


class LinkFault(Exception):
    """The connection cannot be used any more: reconnect."""


class ExceptionReply(LinkFault):
    """The PLC answered with a Modbus exception: it did nothing, and the connection still works."""


class Wire:
    """One TCP connection, one request at a time. Made by `connect`; never used again after a fault."""

    def __init__(self, client: AsyncModbusTcpClient, unit_id: int, now: Callable[[], float], rtt_s: deque[float]):
        self._client, self._unit, self._now, self._rtt_s = client, unit_id, now, rtt_s

    @classmethod
    async def connect(
        cls, host: str, port: int, unit_id: int, timeout_s: float, now: Callable[[], float], rtt_s: deque[float]
    ) -> Wire:
        """Raises LinkFault: nobody answers in time."""
        client = AsyncModbusTcpClient(host, port=port, timeout=timeout_s, retries=0, reconnect_delay=0, name="plc")
        wire = cls(client, unit_id, now, rtt_s)
        try:
            if not await wire._guarded(client.connect()):
                raise LinkFault(f"no PLC answers at {host}:{port}")
        except BaseException:
            wire.abort()
            raise
        wire._tune()
        return wire

    async def read(self, address: int, count: int) -> list[int]:
        """`count` holding registers. Raises LinkFault."""
        self._check()
        started = self._now()
        request = self._client.read_holding_registers(address, count=count, device_id=self._unit)
        reply = await self._answer(request, READ)
        self._rtt_s.append(self._now() - started)
        if len(reply.registers) != count:
            raise LinkFault(f"asked for {count} registers at {address}, got {len(reply.registers)}")
        return list(reply.registers)

    async def write(self, address: int, words: list[int]) -> None:
        """Returns when the PLC confirmed. Raises LinkFault: it is then unknown whether the PLC took it."""
        self._check()
        started = self._now()
        reply = await self._answer(self._client.write_registers(address, words, device_id=self._unit), WRITE)
        self._rtt_s.append(self._now() - started)
        if (reply.address, reply.count) != (address, len(words)):
            raise LinkFault(f"wrote {len(words)} at {address}, confirmed was {reply.count} at {reply.address}")

    def abort(self) -> None:
        """Reset the socket at once: a half-open connection must not linger beside its successor."""
        transport = self._client.ctx.transport
        if isinstance(transport, asyncio.Transport):
            transport.abort()
        self._client.close()

    def _check(self) -> None:
        """pymodbus would connect again by itself, and nobody would know that this is another session (P8)."""
        if not self._client.connected:
            raise LinkFault("the connection is gone")

    async def _answer(self, request: Awaitable[ModbusPDU], function: int) -> ModbusPDU:
        reply = await self._guarded(request)
        if reply.function_code == function | 0x80:
            raise ExceptionReply(f"the PLC refused function {function}: exception {reply.exception_code}")
        if reply.isError() or reply.function_code != function:
            raise LinkFault(f"not an answer to function {function}: {reply}")
        return reply

    async def _guarded(self, request: Awaitable[R]) -> R:
        task = asyncio.current_task()
        try:
            return await request
        except (ModbusException, OSError, TimeoutError) as exc:
            if task is not None and task.cancelling():
                raise asyncio.CancelledError from exc  # pymodbus swallowed it
            raise LinkFault(str(exc) or type(exc).__name__) from exc

    def _tune(self) -> None:
        transport = self._client.ctx.transport
        sock = transport.get_extra_info("socket") if transport is not None else None
        if sock is not None:
            keep_alive(sock)


def keep_alive(sock: socket.socket) -> None:
    """Have the system find out within seconds that the other end is gone (row 18)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_USER_TIMEOUT": USER_TIMEOUT_MS, "TCP_NODELAY": 1}
    for name, value in options.items():
        if hasattr(socket, name):  # not on every system
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
