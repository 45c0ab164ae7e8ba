"""A free TCP port for a server that is started by number, as processes that have to find each other are."""

from __future__ import annotations

import random
import socket
from pathlib import Path

LOWEST, ENOUGH = 10240, 1000
_OUTGOING = Path("/proc/sys/net/ipv4/ip_local_port_range")


def free_port() -> int:
    """A port of the loopback interface that nobody listens on, and that no outgoing connection is given either.

    What the kernel gives on request comes from the range of outgoing connections: before the server listens, or while
    it is started again, somebody else's client could have got it. Where outgoing connections have the whole range, as
    some servers give them, it is one of theirs.
    """
    below = int(_OUTGOING.read_text(encoding="ascii").split()[0]) if _OUTGOING.exists() else 32768
    while True:
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", random.randrange(LOWEST, below) if below > LOWEST + ENOUGH else 0))
            except OSError:
                continue
            return int(sock.getsockname()[1])
