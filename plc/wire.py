"""One connection to a PLC, whatever carries it: requests with every reply checked, given up for good when in doubt.

Subclasses bring one PDU over and one back: StreamWire here over TCP and TLS, RtuWire (`plc/rtu_wire.py`) over a serial
line. The PDUs are made and read here, strictly: pymodbus' client accepts short replies and surplus bytes
(docs/decisions/0023-transports.md).
"""

from __future__ import annotations

import asyncio
import math
import os
import socket
import ssl
import struct
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable

from plc.tls import explain

READ, WRITE, EXCEPTION = 3, 16, 0x80
MAX_PDU = 253  # Modbus application protocol 1.1b3, section 4.1
USER_TIMEOUT_MS = 3000  # unacknowledged data for longer: the other end is gone (row 18)
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class LinkFault(Exception):
    """The connection cannot be used any more: reconnect."""


def nobody(where: str, exc: OSError) -> LinkFault:
    """With what the system says of it: asyncio's own text would repeat the address as Python writes it."""
    why = os.strerror(exc.errno) if isinstance(exc, ConnectionRefusedError) and exc.errno else exc.strerror
    return LinkFault(f"no PLC answers at {where}" + (f": {why}" if why else ""))


class ExceptionReply(LinkFault):
    """The PLC answered with a Modbus exception: it did nothing, and the connection still works."""


class Wire(ABC):
    """One connection, one request at a time; never used again after a fault. `plc.transport.connect_wire` makes any.

    notice: something that the operator should see although the connection works ("" for nothing).
    """

    notice = ""

    def __init__(self, now: Callable[[], float], rtt_s: deque[float]) -> None:
        self._now, self._rtt_s = now, rtt_s
        self._fault = ""  # why this connection is given up

    @staticmethod
    async def connect(
        host: str, port: int, unit_id: int, timeout_s: float, now: Callable[[], float], rtt_s: deque[float]
    ) -> Wire:
        """Over plain TCP. Raises LinkFault: nobody answers in time."""
        try:
            async with asyncio.timeout(timeout_s):
                streams = await asyncio.open_connection(host, port)
        except OSError as exc:
            raise nobody(f"{host}:{port}", exc) from exc
        return StreamWire(streams, unit_id, timeout_s, now, rtt_s)

    async def read(self, address: int, count: int) -> list[int]:
        """`count` holding registers. Raises LinkFault."""
        reply = await self._ask(struct.pack(">BHH", READ, address, count))
        if len(reply) != 2 + 2 * count or reply[1] != 2 * count:
            raise self._given_up(f"asked for {count} registers at {address}, got {len(reply) - 2} bytes of them")
        return list(struct.unpack(f">{count}H", reply[2:]))

    async def write(self, address: int, words: list[int]) -> None:
        """Returns when the PLC confirmed. Raises LinkFault: it is then unknown whether the PLC took it."""
        count = len(words)
        reply = await self._ask(struct.pack(f">BHHB{count}H", WRITE, address, count, 2 * count, *words))
        if reply != struct.pack(">BHH", WRITE, address, count):
            raise self._given_up(f"wrote {count} registers at {address}, confirmed was {reply[1:].hex(' ')}")

    def abort(self) -> None:
        """End it at once: a half-open connection must not linger beside its successor."""
        self._fault = self._fault or "the connection is gone"
        self._abort()

    async def _ask(self, request: bytes) -> bytes:
        """The reply to `request`, of its function. A request that was cut short leaves a reply behind: never again."""
        if self._fault:
            raise LinkFault(self._fault)
        self._fault, started = "a request was cut short", self._now()
        try:
            reply = await self._exchange(request)
        except LinkFault as exc:
            raise self._given_up(str(exc)) from exc
        self._fault = ""
        self._rtt_s.append(self._now() - started)
        if len(reply) == 2 and reply[0] == request[0] | EXCEPTION:
            raise ExceptionReply(f"the PLC refused function {request[0]}: exception {reply[1]}")
        if reply[:1] != request[:1]:
            raise self._given_up(f"not an answer to function {request[0]}: {reply[:8].hex(' ')}")
        return reply

    def _given_up(self, why: str) -> LinkFault:
        self._fault = why
        return LinkFault(why)

    @abstractmethod
    async def _exchange(self, request: bytes) -> bytes:
        """The PDU that answers the PDU `request`. Raises LinkFault: none came in time, or it is of another request."""

    @abstractmethod
    def _abort(self) -> None:
        """Close without a farewell; also twice."""


class StreamWire(Wire):
    """One TCP or TLS connection; each answer is matched to its request by the transaction id.

    timeout_s: for a whole answer, however it trickles in.
    """

    def __init__(
        self,
        streams: Streams,
        unit_id: int,
        timeout_s: float,
        now: Callable[[], float],
        rtt_s: deque[float],
    ) -> None:
        super().__init__(now, rtt_s)
        self._reader, self._writer = streams
        self._unit, self._timeout_s = unit_id, timeout_s
        self._transaction, self._answered = 0, False
        self._due_s = math.inf  # of the answer, on the loop's clock
        self._alarm: asyncio.TimerHandle | None = None  # one for all requests
        sock = self._writer.get_extra_info("socket")
        if sock is not None:
            keep_alive(sock)

    @property
    def peer_certificate(self) -> bytes | None:
        """The server's certificate, DER; None on plain TCP."""
        found = self._writer.get_extra_info("ssl_object")
        return found.getpeercert(binary_form=True) if found is not None else None

    async def _exchange(self, request: bytes) -> bytes:
        if self._writer.is_closing() or self._reader.at_eof():
            raise LinkFault("the connection is gone")
        self._transaction = self._transaction % 0xFFFF + 1
        header = struct.pack(">HHHB", self._transaction, 0, len(request) + 1, self._unit)
        self._set_alarm()
        try:
            self._writer.write(header + request)
            reply = await self._reply()
        except TimeoutError as exc:
            raise LinkFault(f"no answer within {1000 * self._timeout_s:g} ms") from exc
        except (OSError, asyncio.IncompleteReadError) as exc:
            raise LinkFault(self._ended(exc)) from exc
        finally:
            self._due_s = math.inf
        self._answered = True
        return reply

    def _set_alarm(self) -> None:
        """A timeout of its own for each request would cost as much as making and reading it."""
        loop = asyncio.get_running_loop()
        self._due_s = loop.time() + self._timeout_s
        if self._alarm is None:
            self._alarm = loop.call_at(self._due_s, self._is_due)

    def _is_due(self) -> None:
        """Or only of an earlier request; while none is under way there is no alarm."""
        self._alarm, loop = None, asyncio.get_running_loop()
        if self._due_s <= loop.time():
            self._reader.set_exception(TimeoutError())
        elif math.isfinite(self._due_s):
            self._alarm = loop.call_at(self._due_s, self._is_due)

    async def _reply(self) -> bytes:
        header = await self._reader.readexactly(7)
        transaction, protocol, length, unit = struct.unpack(">HHHB", header)
        if protocol != 0 or not 2 <= length <= MAX_PDU + 1:
            raise LinkFault(f"not Modbus: {header.hex(' ')}")
        if (transaction, unit) != (self._transaction, self._unit):
            raise LinkFault(
                f"an answer of unit {unit} to request {transaction}; asked was unit {self._unit}, {self._transaction}"
            )
        return await self._reader.readexactly(length - 1)

    def _ended(self, exc: Exception) -> str:
        """A TLS 1.3 server tells only after the handshake that it refuses us; some just hang up."""
        if isinstance(exc, ssl.SSLError):
            return explain(exc)
        if not self._answered and self.peer_certificate is not None:
            return "the PLC hung up before its first answer: it may not accept our certificate"
        return "the PLC closed the connection" if isinstance(exc, EOFError) else str(exc) or type(exc).__name__

    def _abort(self) -> None:
        if self._alarm is not None:
            self._alarm.cancel()
        self._writer.transport.abort()


def keep_alive(sock: socket.socket) -> None:
    """Have the system find out within seconds that the other end is gone (row 18)."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    options = {"TCP_KEEPIDLE": 1, "TCP_KEEPINTVL": 1, "TCP_USER_TIMEOUT": USER_TIMEOUT_MS, "TCP_NODELAY": 1}
    for name, value in options.items():
        if hasattr(socket, name):  # not on every system
            sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)
