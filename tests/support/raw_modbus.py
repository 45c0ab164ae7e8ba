"""Modbus TCP in a few lines of bytes, for a PLC's side that shares no code with ours."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator


class RawClient:
    """One connection, one request at a time. Raises AssertionError: an exception, or a reply to something else."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer, self._count = reader, writer, 0

    async def read(self, address: int, count: int) -> list[int]:
        return list(struct.unpack(f">{count}H", (await self._ask(struct.pack(">BHH", 3, address, count)))[2:]))

    async def write(self, address: int, words: list[int]) -> None:
        head = struct.pack(">BHHB", 16, address, len(words), 2 * len(words))
        assert (await self._ask(head + struct.pack(f">{len(words)}H", *words)))[1:] == head[1:5]

    async def _ask(self, pdu: bytes) -> bytes:
        self._count = (self._count + 1) & 0xFFFF
        self._writer.write(struct.pack(">HHHB", self._count, 0, len(pdu) + 1, 1) + pdu)
        transaction, _, length, _ = struct.unpack(">HHHB", await self._reader.readexactly(7))
        reply = await self._reader.readexactly(length - 1)
        assert transaction == self._count and reply[0] == pdu[0], reply
        return reply


@contextlib.asynccontextmanager
async def connected(port: int) -> AsyncIterator[RawClient]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()


@contextlib.asynccontextmanager
async def serving(regs: list[int]) -> AsyncIterator[int]:
    """Holding registers `regs`, functions 3 and 16, any address in range. Yields the port."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readexactly(7)
                body = await reader.readexactly(struct.unpack(">H", head[4:6])[0] - 1)
                function, address, count = struct.unpack(">BHH", body[:5])
                if function == 3:
                    reply = struct.pack(f">BB{count}H", 3, 2 * count, *regs[address : address + count])
                else:
                    regs[address : address + count] = struct.unpack(f">{count}H", body[6:])
                    reply = body[:5]
                writer.write(head[:4] + struct.pack(">HB", len(reply) + 1, head[6]) + reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the appliance is gone
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()
