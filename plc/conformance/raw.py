"""Modbus TCP by hand: frames as bytes, so that wrong ones can be sent and no reply is believed unread."""

from __future__ import annotations

import asyncio
import struct

from plc.fault_proxy import reset

READ, READ_INPUT, WRITE = 3, 4, 16
REPLY_S = 2.0


class Refused(Exception):
    """A Modbus exception came back; `code` is its number."""

    def __init__(self, function: int, code: int) -> None:
        super().__init__(f"function {function} refused with exception {code}")
        self.code = code


class Lost(Exception):
    """No reply, no connection, or a reply to something else."""


def frame(transaction: int, pdu: bytes, unit: int = 1, protocol: int = 0) -> bytes:
    return struct.pack(">HHHB", transaction, protocol, len(pdu) + 1, unit) + pdu


def read_pdu(address: int, count: int, function: int = READ) -> bytes:
    return struct.pack(">BHH", function, address, count)


def write_pdu(address: int, words: list[int]) -> bytes:
    return struct.pack(f">BHHB{len(words)}H", WRITE, address, len(words), 2 * len(words), *words)


def words_of(pdu: bytes) -> list[int]:
    """Registers of a reply to FC03 or FC04. Raises Lost."""
    if len(pdu) < 2 or pdu[1] != len(pdu) - 2 or pdu[1] % 2:
        raise Lost(f"not a register reply: {pdu.hex()}")
    return list(struct.unpack(f">{pdu[1] // 2}H", pdu[2:]))


class RawModbus:
    """One connection; one request at a time through `request`, anything at all through `send`."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer
        self._transaction = 0

    @classmethod
    async def connect(cls, host: str, port: int, timeout_s: float = REPLY_S) -> RawModbus:
        """Raises Lost."""
        try:
            async with asyncio.timeout(timeout_s):
                return cls(*await asyncio.open_connection(host, port))
        except (OSError, TimeoutError) as exc:
            raise Lost(f"nobody answers at {host}:{port}") from exc

    async def send(self, data: bytes) -> None:
        """Raises Lost."""
        try:
            self.writer.write(data)
            await self.writer.drain()
        except ConnectionError as exc:
            raise Lost("the connection is gone") from exc

    async def receive(self, timeout_s: float = REPLY_S) -> tuple[int, int, bytes]:
        """Transaction, unit id and PDU of the next frame. Raises Lost."""
        try:
            async with asyncio.timeout(timeout_s):
                transaction, protocol, length, unit = struct.unpack(">HHHB", await self._reader.readexactly(7))
                pdu = await self._reader.readexactly(length - 1)
        except (OSError, TimeoutError, asyncio.IncompleteReadError) as exc:
            raise Lost(f"no reply within {timeout_s} s" if isinstance(exc, TimeoutError) else "closed") from exc
        if protocol != 0:
            raise Lost(f"protocol id {protocol}")
        return transaction, unit, pdu

    async def request(self, pdu: bytes, unit: int = 1, timeout_s: float = REPLY_S) -> bytes:
        """The reply's PDU. Raises Refused for an exception, Lost for anything that is no answer to this."""
        self._transaction = self._transaction % 0xFFFF + 1
        await self.send(frame(self._transaction, pdu, unit))
        transaction, replied_unit, reply = await self.receive(timeout_s)
        if (transaction, replied_unit) != (self._transaction, unit):
            raise Lost(f"reply to transaction {transaction} of unit {replied_unit}, not {self._transaction} of {unit}")
        if reply[0] == pdu[0] | 0x80:
            raise Refused(pdu[0], reply[1])
        if reply[0] != pdu[0]:
            raise Lost(f"reply of function {reply[0]} to function {pdu[0]}")
        return reply

    async def read(self, address: int, count: int, *, function: int = READ, unit: int = 1) -> list[int]:
        """Raises Refused, Lost."""
        words = words_of(await self.request(read_pdu(address, count, function), unit))
        if len(words) != count:
            raise Lost(f"asked for {count} registers, got {len(words)}")
        return words

    async def write(self, address: int, words: list[int], *, unit: int = 1) -> None:
        """Raises Refused, Lost."""
        reply = await self.request(write_pdu(address, words), unit)
        if reply[1:] != struct.pack(">HH", address, len(words)):
            raise Lost(f"echo {reply[1:].hex()} to a write of {len(words)} at {address}")

    async def closed(self, timeout_s: float) -> bool:
        """Did the peer end the connection within this time? What it still says is thrown away."""
        try:
            async with asyncio.timeout(timeout_s):
                while await self._reader.read(4096):
                    pass
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        return True

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return  # the peer was faster

    def reset(self) -> None:
        reset(self.writer)
