"""Where a fake PLC's two images live: in its own memory behind a server (client direction), or behind a wire."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Protocol

from pymodbus.pdu import ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersResponse,
    ReadInputRegistersResponse,
    WriteMultipleRegistersResponse,
)

from plc.conformance.checker import Checker
from plc.conformance.raw import READ, WRITE, Lost, RawModbus, Refused
from plc.pdu import Peer
from plc.registers import CTRL, DIAG, IDENT, STAT
from plc.server import Memory, RegisterServer
from plc.server_connection import Connection

RECONNECT_S = 0.05
Wrong = Enum("Wrong", "SHORT LONG FUNCTION ECHO")  # replies that are none


class PortLost(Exception):
    """The images could not be exchanged in this scan."""


class Port(Protocol):
    """A PLC's access to the images of one station. connection: the number of the newest one between the two."""

    @property
    def connection(self) -> int: ...

    async def read_stat(self) -> list[int]:
        """Raises PortLost."""

    async def write_ctrl(self, words: list[int]) -> None:
        """Raises PortLost."""

    async def write_ident(self, words: list[int]) -> None:
        """Raises PortLost."""

    async def read_diag(self) -> list[int]:
        """Raises PortLost."""

    async def close(self) -> None: ...


class FaultyServer(RegisterServer):
    """A register server that can answer wrongly. refuse: exception numbers for the next requests, 0 = a right answer.

    served: called with each image of CTRL that was read; it is what the appliance knows. asking: the number of the
    connection whose request is answered just now, counted as they were accepted; accepted: that of the newest.
    """

    def __init__(self, memory: Memory, *, max_connections: int = 8, on_write: Callable[[int, list[int]], None]) -> None:
        super().__init__(memory, max_connections=max_connections, idle_timeout_s=120.0, on_write=on_write)
        self.respond = self._respond
        self.asking = self.accepted = 0
        self._numbers: dict[Peer, int] = {}
        self.refuse: deque[int] = deque()
        self.wrong: deque[Wrong] = deque()
        self.served: Callable[[list[int]], None] = lambda words: None
        self.reads_of_ctrl = 0

    def opened(self, connection: Connection) -> None:
        self.accepted += 1
        self._numbers[connection.peer] = self.accepted
        super().opened(connection)

    def closed(self, connection: Connection) -> None:
        self._numbers.pop(connection.peer, None)
        super().closed(connection)

    def _respond(self, body: bytes, peer: Peer) -> ModbusPDU:
        self.asking = self._numbers[peer]
        return self.answer(body)

    def answer(self, body: bytes) -> ModbusPDU:
        if self.refuse and (code := self.refuse.popleft()):
            return ExceptionResponse(body[0] & 0x7F, code)
        reply = super().answer(body)
        if body[:5] == bytes((READ, 0, CTRL.base, 0, CTRL.size)) and isinstance(reply, ReadHoldingRegistersResponse):
            self.reads_of_ctrl += 1
            self.served(list(reply.registers))
        return self._wrong(self.wrong.popleft(), reply) if self.wrong else reply

    def _wrong(self, how: Wrong, reply: ModbusPDU) -> ModbusPDU:
        if isinstance(reply, WriteMultipleRegistersResponse):
            if how is Wrong.FUNCTION:
                return ReadHoldingRegistersResponse(registers=[0])
            return WriteMultipleRegistersResponse(address=reply.address + 1, count=reply.count)
        registers = list(reply.registers)
        if how is Wrong.SHORT:
            return ReadHoldingRegistersResponse(registers=registers[:-1])
        if how is Wrong.LONG:
            return ReadHoldingRegistersResponse(registers=[*registers, 0])
        return ReadInputRegistersResponse(registers=registers)


class MemoryPort:
    """Client direction: the PLC's memory, which the appliance reads and writes through our server.

    taken: what the appliance writes stays in memory; False: it is answered and forgotten, as where an area is frozen.
    """

    def __init__(self, checker: Checker, *, max_connections: int = 8) -> None:
        self._checker = checker
        writable = range(STAT.base, IDENT.base)
        self.memory = Memory(writable=lambda address: address in writable)
        self.server = FaultyServer(self.memory, max_connections=max_connections, on_write=self._wrote)
        self.server.served = lambda words: checker.ctrl(words, self.server.asking)
        self.wrote: Callable[[], None] = lambda: None  # called after each write of the appliance

    async def start(self) -> None:
        await self.server.start()

    @property
    def connection(self) -> int:
        return self.server.accepted

    def _wrote(self, address: int, words: list[int]) -> None:
        self._checker.write(address, words, STAT.base, DIAG.base, self.server.asking)
        self.wrote()

    def _area(self, base: int, size: int) -> list[int]:
        return self.memory.words[base : base + size]

    async def read_stat(self) -> list[int]:
        return self._area(STAT.base, STAT.size)

    async def write_ctrl(self, words: list[int]) -> None:
        self.memory.words[CTRL.base : CTRL.base + CTRL.size] = words

    async def write_ident(self, words: list[int]) -> None:
        self.memory.words[IDENT.base : IDENT.base + IDENT.size] = words

    async def read_diag(self) -> list[int]:
        return self._area(DIAG.base, DIAG.size)

    def zero(self) -> None:
        """A watchdog cleared the whole area."""
        self.memory.words[:] = [0] * self.memory.size

    async def close(self) -> None:
        await self.server.close()


class WirePort:
    """Server direction: the PLC connects to the appliance; its communication block reconnects by itself.

    raw: the connection in use, None while there is none.
    """

    def __init__(self, checker: Checker, address: tuple[str, int], *, timeout_s: float = 1.0, base: int = 0) -> None:
        self._checker, self.address, self._timeout_s, self._base = checker, address, timeout_s, base
        self.raw: RawModbus | None = None
        self._tried_s = -RECONNECT_S
        self.connection = 0

    async def read_stat(self) -> list[int]:
        words = await self._exchange(lambda raw: raw.read(self._base + STAT.base, STAT.size))
        if any(words):
            self._checker.stat(words, self.connection)
        return words

    async def write_ctrl(self, words: list[int]) -> None:
        await self._exchange(lambda raw: raw.write(self._base + CTRL.base, words))
        self._checker.ctrl(words, self.connection)

    async def write_ident(self, words: list[int]) -> None:
        await self._exchange(lambda raw: raw.write(self._base + IDENT.base, words))

    async def read_diag(self) -> list[int]:
        return await self._exchange(lambda raw: raw.read(self._base + DIAG.base, DIAG.size))

    async def _exchange(self, ask: Callable[[RawModbus], Awaitable[list[int] | None]]) -> list[int]:
        raw = self.raw or await self._connect()
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await ask(raw)
        except (Lost, TimeoutError) as exc:
            self.drop()
            raise PortLost(str(exc) or "no reply in time") from exc
        except Refused as exc:  # the connection still works
            raise PortLost(str(exc)) from exc
        return answer or []

    async def _connect(self) -> RawModbus:
        now = time.monotonic()
        if now - self._tried_s < RECONNECT_S:
            raise PortLost("waits before it connects again")
        self._tried_s = now
        try:
            self.raw = await RawModbus.connect(*self.address, timeout_s=self._timeout_s)
        except Lost as exc:
            raise PortLost(str(exc)) from exc
        self.connection += 1
        return self.raw

    def drop(self) -> None:
        """Give the connection up."""
        if self.raw is not None:
            self.raw.reset()
            self.raw = None
            self._checker.session("the PLC's connection ended")

    async def close(self) -> None:
        raw, self.raw = self.raw, None
        if raw is not None:
            await raw.close()


__all__ = ["READ", "WRITE", "FaultyServer", "MemoryPort", "Port", "PortLost", "WirePort", "Wrong"]
