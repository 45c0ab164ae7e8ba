"""A Modbus TCP server of our own connections around pymodbus' PDU classes.

pymodbus' own server drops pipelined requests, never answers again after a bad protocol id, and knows neither connection
cap nor idle timeout; so it lends the codecs only. One request at a time for each connection, answered in order.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from pymodbus.pdu import DecodePDU, ExceptionResponse, ModbusPDU
from pymodbus.pdu.register_message import (
    ReadHoldingRegistersRequest,
    ReadHoldingRegistersResponse,
    ReadInputRegistersRequest,
    ReadInputRegistersResponse,
    WriteMultipleRegistersRequest,
    WriteMultipleRegistersResponse,
)

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
MAX_PDU = 253  # Modbus application protocol 1.1b3, section 4.1
MAX_READ, MAX_WRITE = 125, 123


@dataclass(slots=True)
class Memory:
    """Holding registers 0..size-1; FC04 reads the same words. `writable` says which addresses a client may write."""

    size: int = 2100
    writable: Callable[[int], bool] = lambda address: True
    words: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.words = self.words or [0] * self.size


class RegisterServer:
    """Serves one Memory on TCP.

    Malformed frames (protocol id not 0, length out of bounds) close their connection; unknown functions, addresses and
    counts are answered with exceptions 1, 2 and 3. Connections beyond `max_connections` are closed at once, idle ones
    after `idle_timeout_s`.
    """

    def __init__(
        self,
        memory: Memory,
        *,
        max_connections: int = 4,
        idle_timeout_s: float = 10.0,
        on_write: Callable[[int, list[int]], None] | None = None,
    ) -> None:
        self.memory, self._max, self._idle_s, self._on_write = memory, max_connections, idle_timeout_s, on_write
        self._decoder = DecodePDU(is_server=True)
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.requests = 0
        self.writes = 0

    @property
    def port(self) -> int:
        if self._server is None:
            raise RuntimeError("not started")
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    async def start(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._server = await asyncio.start_server(self._accept, host, port)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
            await self.drop_connections()
            await self._server.wait_closed()
            self._server = None

    async def drop_connections(self) -> None:
        """Cut every connection, as a pulled cable or a restart would."""
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._tasks) >= self._max:
            writer.close()
            return
        task = asyncio.current_task()
        if task is None:
            raise RuntimeError("a connection is served by a task")
        self._tasks.add(task)
        try:
            await self._serve(reader, writer)
        except (ConnectionError, TimeoutError, asyncio.IncompleteReadError):
            pass  # the peer is gone, silent, or sent half a frame: its connection ends, others are served on
        except asyncio.CancelledError:
            if self._server is not None and self._server.is_serving():
                return  # cut on demand: the server goes on
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            async with asyncio.timeout(self._idle_s):
                header = await reader.readexactly(7)
            transaction, protocol, length, unit = struct.unpack(">HHHB", header)
            if protocol != 0 or not 2 <= length <= MAX_PDU + 1:
                return  # no way to find the next frame's start
            async with asyncio.timeout(self._idle_s):
                body = await reader.readexactly(length - 1)
            self.requests += 1
            answer = self.answer(body)
            payload = answer.function_code.to_bytes(1, "big") + answer.encode()
            writer.write(struct.pack(">HHHB", transaction, 0, len(payload) + 1, unit) + payload)
            await writer.drain()

    def answer(self, body: bytes) -> ModbusPDU:
        """One request's PDU to its response's."""
        function = body[0]
        if function not in (3, 4, 16):
            return ExceptionResponse(function & 0x7F, ILLEGAL_FUNCTION)
        request = self._decoder.decode(body)
        if isinstance(request, WriteMultipleRegistersRequest):
            return self._write(request, body)
        if isinstance(request, ReadHoldingRegistersRequest | ReadInputRegistersRequest) and len(body) == 5:
            return self._read(request)
        return ExceptionResponse(function, ILLEGAL_VALUE)

    def _read(self, request: ReadHoldingRegistersRequest) -> ModbusPDU:
        if not 1 <= request.count <= MAX_READ:
            return ExceptionResponse(request.function_code, ILLEGAL_VALUE)
        if request.address + request.count > self.memory.size:
            return ExceptionResponse(request.function_code, ILLEGAL_ADDRESS)
        words = self.memory.words[request.address : request.address + request.count]
        kind = ReadHoldingRegistersResponse if request.function_code == 3 else ReadInputRegistersResponse
        return kind(registers=words)

    def _write(self, request: WriteMultipleRegistersRequest, body: bytes) -> ModbusPDU:
        count = struct.unpack(">H", body[3:5])[0]
        if not 1 <= count <= MAX_WRITE or len(body) != 6 + 2 * count or body[5] != 2 * count:
            return ExceptionResponse(16, ILLEGAL_VALUE)
        addresses = range(request.address, request.address + count)
        if addresses.stop > self.memory.size or not all(map(self.memory.writable, addresses)):
            return ExceptionResponse(16, ILLEGAL_ADDRESS)
        self.memory.words[addresses.start : addresses.stop] = request.registers
        self.writes += 1
        if self._on_write is not None:
            self._on_write(request.address, list(request.registers))
        return WriteMultipleRegistersResponse(address=request.address, count=count)
