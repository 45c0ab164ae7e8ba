"""Free TCP ports, for servers that a test starts by number."""

from __future__ import annotations

import random
import socket
from pathlib import Path

_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def a_free_port() -> int:
    """A port of the loopback interface that nobody listens on, and that no outgoing connection is given either.

    What the kernel gives on request comes from the range of outgoing connections: before the test's server listens, or
    while it is started again, another test's client could have got it.
    """
    below = int(_RANGE.read_text().split()[0]) if _RANGE.exists() else 32768
    while True:
        port = random.randrange(10240, below)
        with socket.socket() as sock:
            try:
                sock.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
