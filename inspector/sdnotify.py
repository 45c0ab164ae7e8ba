"""Tell systemd how we are (sd_notify(3)): one datagram to the socket that it names in the environment."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send e.g. `READY=1` or `WATCHDOG=1`. False where no service manager listens, or it takes nothing just now.

    Never waits and never raises: whether the line may go on is not the service manager's socket to say.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    if address.startswith("@"):  # abstract socket
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.setblocking(False)
        try:
            sock.sendto(state.encode(), address)
        except OSError:
            return False
    return True
