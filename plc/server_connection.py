"""One connection to our Modbus server: bytes to requests, in order, with a bound on how old each may be."""

from __future__ import annotations

import asyncio
import ssl
import struct
from typing import TYPE_CHECKING

from pymodbus.pdu import ExceptionResponse

from plc.pdu import ENCAPSULATED, ILLEGAL_FUNCTION, MAX_PDU, READ_HOLDING, READ_INPUT, Peer
from plc.tls import ServerTls

if TYPE_CHECKING:
    from plc.server import ModbusServer

LENGTH_END = 6  # transaction, protocol, length; the length counts what follows
HALF_FRAME_S = 1.5  # the rest of a frame that has begun; others are served meanwhile
TURN_FRAMES = 8  # answered before others have their turn
READ_SIZE = 256 * 1024  # of asyncio's transports: less at once means that nothing is left in the socket
READS = (READ_HOLDING, READ_INPUT, ENCAPSULATED)
LOOK_S = 0.25  # how often a connection's timeouts are looked at


class Connection(asyncio.Protocol):
    """Made by the server for each peer that it lets in. Reads nothing while its answers are not taken."""

    def __init__(self, server: ModbusServer, peer: Peer, tls: ServerTls | None = None) -> None:
        self.peer, self._server, self._tls = peer, server, tls
        self._may_write = tls is None  # with TLS the certificate says it
        self._why_not = ""
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._answered_s = self._request_s = self._begun_s = server.now()
        self._paused_s: float | None = None  # since when nothing was read
        self._resumed_s = 0.0
        self._full = self._again = self._backlog = False
        self._timer: asyncio.TimerHandle | None = None

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    # -- asyncio.Protocol ----------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # it is what connect_accepted_socket makes
        self._transport = transport
        self._server.opened(self)
        if self._tls is not None and not self._let_in(self._tls, transport.get_extra_info("ssl_object")):
            self.abort()
            return
        self._look()

    def _let_in(self, tls: ServerTls, secured: ssl.SSLObject) -> bool:
        """False: its certificate is good, and not of one that may connect."""
        if why := tls.refusal(secured):
            self._server.turn_away("name", f"refused the connection of {self.peer.name}: {why}")
            return False
        self._may_write = tls.may_write(secured)
        if not self._may_write:
            self._why_not = tls.why_not_write(secured)
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._buffer.clear()
        self._server.closed(self)

    def data_received(self, data: bytes) -> None:
        now = self._server.now()
        waited_s = self._waited_s(now, len(data))
        if not self._buffer:
            self._begun_s = now
            self.peer.since_s, self.peer.waited_s = self._answered_s, waited_s
        else:  # the rest of a request: as old as its first byte
            self.peer.waited_s = max(self.peer.waited_s, waited_s)
        self._buffer += data
        self._serve()

    def pause_writing(self) -> None:
        self._full = True
        self._set_reading()

    def resume_writing(self) -> None:
        self._full = False
        self._serve_again()

    # -- requests ------------------------------------------------------------------------------------------------------

    def _waited_s(self, now: float, size: int) -> float:
        """How long these bytes may have lain in the socket: since we last looked there and found less than we took."""
        turned_s = self._server.turned_s
        waited = 0.0 if turned_s is None else now - turned_s
        if self._paused_s is not None:
            if turned_s is None or turned_s <= self._resumed_s:  # not looked there since
                waited = max(waited, now - self._paused_s)
            self._paused_s = None
        if self._backlog:
            waited = max(waited, self.peer.waited_s)
        self._backlog = size >= READ_SIZE
        return waited

    def _serve(self) -> None:
        """Answer what is whole, a few at a time; the rest of the bytes waits for the next turn."""
        self._again = False
        for _ in range(TURN_FRAMES):
            if self._full or not self._serve_one():
                break
        else:
            self._again = True
            asyncio.get_running_loop().call_soon(self._serve_again)
        self._set_reading()

    def _serve_again(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._serve()

    def _serve_one(self) -> bool:
        """False: no whole frame is there, or the connection is given up."""
        buffer, server = self._buffer, self._server
        if self._transport is None or self._transport.is_closing() or len(buffer) < LENGTH_END:
            return False
        transaction, protocol, length = struct.unpack_from(">HHH", buffer)
        if protocol != 0 or not 2 <= length <= MAX_PDU + 1:
            self._give_up(f"protocol {protocol}, length {length}")  # no way to find the next frame's start
            return False
        if len(buffer) < LENGTH_END + length:
            return False
        unit, body = buffer[LENGTH_END], bytes(buffer[LENGTH_END + 1 : LENGTH_END + length])
        del buffer[: LENGTH_END + length]
        self._request_s = self._begun_s = server.now()
        server.requests += 1
        if self._may_write or body[0] in READS:
            response = server.respond(body, self.peer)
        else:
            server.turn_away("role", f"refused a write of {self.peer.name}: {self._why_not}")
            response = ExceptionResponse(body[0] & 0x7F, ILLEGAL_FUNCTION)
        payload = response.function_code.to_bytes(1, "big") + response.encode()
        self._transport.write(struct.pack(">HHHB", transaction, 0, len(payload) + 1, unit) + payload)
        self._answered_s = server.now()
        return True

    def _give_up(self, why: str) -> None:
        self._server.malformed += 1
        self._server.log.warn("malformed", f"closed the connection of {self.peer.name}: {why}")
        self.abort()

    def _set_reading(self) -> None:
        if self._transport is None:
            return
        if not (self._full or self._again):
            self._transport.resume_reading()
            self._resumed_s = self._server.now()
        elif self._transport.is_reading():
            self._transport.pause_reading()
            self._paused_s = self._server.now()

    def _look(self) -> None:
        """Idle for too long, answers that nobody takes, or half a frame."""
        now, half = self._server.now(), bool(self._buffer) and not (self._full or self._again)
        if half and now - self._begun_s > HALF_FRAME_S:
            self._give_up("half a frame")
        elif now - self._request_s > self._server.access.idle_timeout_s:
            self.abort()
        self._timer = asyncio.get_running_loop().call_later(LOOK_S, self._look)
