"""How our HTTP servers listen and end: one address, no telemetry, a clean stop within a second or two."""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import uvicorn

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


def bind(host: str, port: int, section: str) -> socket.socket:
    """A TCP socket bound to host and port, not listening yet. Raises ConfigError, naming `section`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
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


class Server(uvicorn.Server):
    """uvicorn, which tells systemd how it is and ends what would otherwise never end.

    ending: called once when the server begins to stop, e.g. to close streams.
    """

    def __init__(self, config: uvicorn.Config, ending: Callable[[], None] | None = None) -> None:
        super().__init__(config)
        self._ending = ending

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
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


async def feed_watchdog() -> None:
    """Tell systemd that this event loop turns; for ever."""
    while True:
        notify("WATCHDOG=1")
        await asyncio.sleep(1.0)
