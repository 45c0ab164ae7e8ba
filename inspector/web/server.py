"""How our HTTP servers listen and end: one address, no telemetry, a clean stop within a second or two."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

from inspector.core.errors import ConfigError
from inspector.sdnotify import notify

if TYPE_CHECKING:
    from fastapi.telemetry import TelemetryConfig

NO_TELEMETRY: TelemetryConfig = {
    "auto_configure": False,
    "tracing": False,
    "metrics": False,
    "logs": False,
}  # nothing phones home
DROP_PEER_MS = 10_000  # a peer that acknowledges nothing for so long is gone
SEND_BUFFER = 256 * 1024  # bounds what the kernel holds for a browser that does not read

HEADERS_S = 6.0  # a request's headers may take so long at most, from its first byte, or from the connection
HEADERS_LEAST_S = 4.0  # and no connection less
UNREAD_S = 5.0  # and a body that nobody reads, from the answer
STALLED_S = 6.0  # a browser that takes less than uvicorn's 64 kB in so long is gone
HANDSHAKE_S = 3.5  # and TLS before them

NICE = 5  # of the page, beside the line's 0
TRANSPORT = "transport"  # in a scope's state


def bind(host: str, port: int, section: str) -> socket.socket:
    """A TCP socket bound to host and port, not listening yet. Raises ConfigError, naming `section`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Named as TCP, or asyncio leaves Nagle's waiting on: an answer's body then lies here until the browser's system has
    # acknowledged its headers, which it puts off by 40 ms.
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # accepted sockets inherit all of these
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, DROP_PEER_MS)
    try:
        sock.bind((host.strip("[]"), port))
    except OSError as exc:
        sock.close()
        raise ConfigError(f"{section} cannot listen on {host}:{port}: {exc.strerror}") from exc
    return sock


def transport_of(scope: Scope) -> asyncio.Transport:
    """The connection that a request came on, with `Impatient` as the server's protocol."""
    found: asyncio.Transport = scope["state"][TRANSPORT]
    return found


def headers_limit_s() -> float:
    """Another for each connection: hundreds that came at once and say nothing neither go nor come back in one instant,
    in which the line would have to wait for a core.
    """
    return random.uniform(HEADERS_LEAST_S, HEADERS_S)


def give_way() -> None:
    """Let the line have the cores where both want them; as the unit has it, for those who start us by hand."""
    with suppress(PermissionError):  # a unit may forbid the call; it sets the priority itself then
        if os.getpriority(os.PRIO_PROCESS, 0) < NICE:
            os.setpriority(os.PRIO_PROCESS, 0, NICE)


class Impatient(H11Protocol):
    """Closes a connection whose request does not come: half-sent headers must not keep others out.

    Nor must a body that was answered before it came, as that of a form which its sender may not send: uvicorn's own
    timer begins anew with each byte of it. Nor what a browser asked for and does not take: closing would wait for it.
    """

    _too_late: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.app_state = {**self.app_state, TRANSPORT: transport}  # of each request's scope
        self._expect(headers_limit_s())

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.is_closing():
            self._stop_waiting()
        elif self.conn.their_state is h11.IDLE:
            self._expect(headers_limit_s())  # begun, and not whole yet; each byte more gains no time
        elif not self._is_unread():
            self._stop_waiting()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._is_unread() and not self.transport.is_closing():
            self._expect(UNREAD_S)

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(STALLED_S, self.transport.abort)

    def resume_writing(self) -> None:
        self._goes_on()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        self._goes_on()
        super().connection_lost(exc)

    def _goes_on(self) -> None:
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None

    def _is_unread(self) -> bool:
        """True while a body comes in behind its answer."""
        return self.conn.their_state is h11.SEND_BODY and self.conn.our_state is h11.DONE

    def _expect(self, within_s: float) -> None:
        if self._too_late is None:
            self._too_late = self.loop.call_later(within_s, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self._too_late is not None:
            self._too_late.cancel()
            self._too_late = None


class Server(uvicorn.Server):
    """uvicorn, which tells systemd how it is and ends what would otherwise never end.

    ending: called once when the server begins to stop, e.g. to close streams.
    """

    def __init__(self, config: uvicorn.Config, ending: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        with _short_handshakes(tls=self.config.is_ssl):
            await super().startup(sockets=sockets)
        notify("READY=1")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        notify("STOPPING=1")
        if self._ending is not None:
            self._ending()
        await super().shutdown(sockets=sockets)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number in (signal.SIGTERM, signal.SIGINT):
                loop.remove_signal_handler(number)

    def stop(self) -> None:
        self.should_exit = True


@contextmanager
def _short_handshakes(*, tls: bool) -> Iterator[None]:
    """Servers made inside wait HANDSHAKE_S for TLS, not asyncio's minute, which uvicorn offers no way to change."""
    loop: Any = asyncio.get_running_loop()
    if tls:
        loop.create_server = partial(loop.create_server, ssl_handshake_timeout=HANDSHAKE_S)
    try:
        yield
    finally:
        if tls:
            del loop.create_server  # the instance's own; the class's is there again


async def feed_watchdog() -> None:
    """Tell systemd that this event loop turns; for ever."""
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(1.0)
