"""A Modbus TCP server of our own connections around pymodbus' PDU classes.

pymodbus' own server drops pipelined requests, never answers again after a bad protocol id, and knows neither connection
cap, allow-list nor idle timeout. One request at a time for each connection, answered in order.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import logging
import math
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from pymodbus.pdu import ModbusPDU

from plc.pdu import ILLEGAL_ADDRESS, Peer, Refused, answer
from plc.server_connection import Connection
from plc.sparse_log import SparseLog
from plc.tls import ServerTls, explain
from plc.wire import keep_alive

ACCEPT_RETRY_S = 0.2  # no file handle left: others are served on meanwhile
HANDSHAKE_S = 3.0  # of TLS
BACKLOG = 128
GOODBYE_TURNS = 10


@dataclass(frozen=True, slots=True)
class Access:
    """Who may connect, and how many at a time. allow_peers: addresses or networks; () = all.

    Raises ValueError: an entry is no address.
    """

    allow_peers: tuple[str, ...] = ()
    max_connections: int = 4
    idle_timeout_s: float = 10.0

    def __post_init__(self) -> None:
        for entry in self.allow_peers:
            ipaddress.ip_network(entry, strict=False)

    def allows(self, host: str) -> bool:
        if not self.allow_peers:
            return True
        address = ipaddress.ip_address(host.partition("%")[0])
        mapped = getattr(address, "ipv4_mapped", None)  # an IPv4 peer of a socket that listens on both
        address = mapped if mapped is not None else address
        return any(address in ipaddress.ip_network(entry, strict=False) for entry in self.allow_peers)


class ModbusServer:
    """Accepts, counts and closes connections; `respond` answers each request, `gone` learns of each end.

    Malformed frames (protocol id not 0, length out of bounds) close their connection. Peers that are not allowed and
    connections beyond the cap are closed before a byte is read of them. turned_s: the moment until which this
    process certainly read its sockets, kept by whoever runs a loop beside it; None: nobody does.
    """

    def __init__(
        self,
        respond: Callable[[bytes, Peer], ModbusPDU],
        access: Access,
        *,
        gone: Callable[[Peer], None] = lambda peer: None,
        monotonic_s: Callable[[], float] = time.monotonic,
        log: SparseLog | None = None,
    ) -> None:
        self.access, self.respond, self._gone, self.now = access, respond, gone, monotonic_s
        self.log = log or SparseLog(logging.getLogger("plc.server"), monotonic_s)
        self.turned_s: float | None = None
        self.requests = self.writes = self.refused = self.malformed = 0
        self.refusal: tuple[float, str] = -math.inf, ""  # the newest: when, who and why
        self._listening: socket.socket | None = None
        self._accepting: asyncio.Task[None] | None = None
        self._connections: set[Connection] = set()
        self._admitted: set[Peer] = set()  # each has one of the places
        self._greeting: set[asyncio.Task[None]] = set()  # on their way to a connection, by TLS handshakes perhaps

    @property
    def port(self) -> int:
        if self._listening is None:
            raise RuntimeError("not started")
        port: int = self._listening.getsockname()[1]
        return port

    @property
    def connections(self) -> int:
        return len(self._admitted)

    async def start(self, host: str = "127.0.0.1", port: int = 0, *, tls: ServerTls | None = None) -> None:
        """Listen at one address; with TLS a client's certificate says whether it may write.

        Raises OSError: the address is not ours, or taken.
        """
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        family, kind, protocol, _, where = found[0]
        sock = socket.socket(family, kind, protocol)
        try:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.setblocking(False)
            sock.bind(where)
            sock.listen(BACKLOG)
        except OSError:
            sock.close()
            raise
        self._listening = sock
        self._accepting = asyncio.create_task(self._accept_forever(sock, tls), name="plc-accept")

    async def close(self) -> None:
        task, self._accepting = self._accepting, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        sock, self._listening = self._listening, None
        if sock is not None:
            sock.close()
        await self.drop_connections()

    async def drop_connections(self) -> None:
        """Cut every connection, as a pulled cable or a restart would."""
        for task in list(self._greeting):
            task.cancel()
        await asyncio.gather(*self._greeting, return_exceptions=True)
        for connection in list(self._connections):
            connection.abort()
        for _ in range(GOODBYE_TURNS):  # the transports tell of their end in the next turn; those of TLS take longer
            if self._connections:
                await asyncio.sleep(0)

    # -- connections ---------------------------------------------------------------------------------------------------

    async def _accept_forever(self, listening: socket.socket, tls: ServerTls | None) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(0)  # whoever waits to be let in does not keep others from being served
            try:
                sock, where = await loop.sock_accept(listening)
            except OSError as exc:
                self.log.warn("accept", f"cannot accept a connection: {exc}")
                await asyncio.sleep(ACCEPT_RETRY_S)
                continue
            if not self._admits(where):
                reset(sock)
                continue
            keep_alive(sock)
            peer = Peer(f"{where[0]}:{where[1]}", self.now())
            self._admitted.add(peer)
            task = asyncio.create_task(self._greet(sock, peer, tls), name="plc-greet")
            self._greeting.add(task)
            task.add_done_callback(self._greeting.discard)

    def _admits(self, where: Sequence[object]) -> bool:
        host = str(where[0])
        if not self.access.allows(host):
            self.turn_away("peer", f"refused a connection from {host}: not in allow_peers")
            return False
        if self.connections >= self.access.max_connections:
            self.turn_away("cap", f"refused a connection from {host}: {self.connections} are open already")
            return False
        return True

    async def _greet(self, sock: socket.socket, peer: Peer, tls: ServerTls | None) -> None:
        loop = asyncio.get_running_loop()
        context, timeout_s = (tls.context, HANDSHAKE_S) if tls is not None else (None, None)
        try:
            await loop.connect_accepted_socket(
                lambda: Connection(self, peer, tls), sock, ssl=context, ssl_handshake_timeout=timeout_s
            )
        except OSError as exc:
            self._admitted.discard(peer)
            secured = isinstance(exc, ssl.SSLError)
            why = explain(exc) if isinstance(exc, ssl.SSLError) else str(exc) or type(exc).__name__
            self.turn_away(why if secured else "handshake", f"no connection with {peer.name}: {why}")
        except asyncio.CancelledError:
            self._admitted.discard(peer)
            sock.close()
            raise

    def turn_away(self, kind: str, text: str) -> None:
        """Count and tell one that was not let in. kind: of the log's lines, of which few are written."""
        self.refused += 1
        self.refusal = self.now(), text
        self.log.warn(kind, text)

    def opened(self, connection: Connection) -> None:
        self._connections.add(connection)

    def closed(self, connection: Connection) -> None:
        self._connections.discard(connection)
        self._admitted.discard(connection.peer)
        self._gone(connection.peer)


def reset(sock: socket.socket) -> None:
    """Close with RST: nobody waits for a peer that was not let in."""
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    sock.close()


@dataclass(slots=True)
class Memory:
    """Holding registers 0..size-1; FC04 reads the same words. `writable` says which addresses a client may write."""

    size: int = 2100
    writable: Callable[[int], bool] = lambda address: True
    words: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.words = self.words or [0] * self.size

    def read(self, address: int, count: int) -> list[int]:
        """Raises Refused."""
        if address + count > self.size:
            raise Refused(ILLEGAL_ADDRESS)
        return self.words[address : address + count]

    def write(self, address: int, words: list[int]) -> None:
        """Raises Refused."""
        addresses = range(address, address + len(words))
        if addresses.stop > self.size or not all(map(self.writable, addresses)):
            raise Refused(ILLEGAL_ADDRESS)
        self.words[addresses.start : addresses.stop] = words


class RegisterServer(ModbusServer):
    """Serves one Memory on TCP, as a PLC does. Functions 3, 4, 6 and 16."""

    def __init__(
        self,
        memory: Memory,
        *,
        max_connections: int = 4,
        idle_timeout_s: float = 10.0,
        on_write: Callable[[int, list[int]], None] | None = None,
    ) -> None:
        access = Access(max_connections=max_connections, idle_timeout_s=idle_timeout_s)
        super().__init__(lambda body, peer: self.answer(body), access)
        self.memory, self._on_write = memory, on_write

    def answer(self, body: bytes) -> ModbusPDU:
        """One request's PDU to its response's."""
        return answer(body, self.memory.read, self._write)

    def _write(self, address: int, words: list[int]) -> None:
        self.memory.write(address, words)
        self.writes += 1
        if self._on_write is not None:
            self._on_write(address, list(words))
