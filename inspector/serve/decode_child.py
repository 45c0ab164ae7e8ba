"""The child process that decodes uploads: what crashes, hangs or grows in a decoder ends here and not in the service.

Protocol, on the socket that is our stdin. Request: length (u64), then so many bytes, a picture file. Reply: status
(u8), height (u32), width (u32), length (u64), then so many bytes: the pixels (H x W x 3, u8, RGB), or UTF-8 text.
All big-endian. The end of the socket is our end.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import struct
import sys
import time
from enum import IntEnum

from inspector.sandbox import end_with_parent, without_network

REQUEST = struct.Struct("!Q")
REPLY = struct.Struct("!BIIQ")


class Status(IntEnum):
    PIXELS = 0
    UNREADABLE = 1
    TOO_MANY_PIXELS = 2
    WRONG_SIZE = 3  # height and width are the picture's


def receive_exactly(sock: socket.socket, count: int, by_s: float | None = None) -> bytearray:
    """`count` bytes; by_s: before this, on the monotonic clock. Raises EOFError: the other side is gone; OSError."""
    data = bytearray(count)
    view = memoryview(data)
    while view:
        if by_s is not None:
            sock.settimeout(max(by_s - time.monotonic(), 1e-3))
        got = sock.recv_into(view)
        if not got:
            raise EOFError("the other side is gone")
        view = view[got:]
    return data


def main(sizes: list[tuple[int, int]], max_megapixels: float, address_bytes: int) -> None:
    """Serve until the parent is gone. sizes: (height, width) that are wanted; address_bytes: on top of what we have."""
    end_with_parent()
    without_network()
    from inspector.serve.decode_bytes import decode  # after: numpy may start threads, and those keep the network

    _bound_memory(address_bytes)
    with socket.socket(fileno=os.dup(0)) as sock:
        sock.sendall(REPLY.pack(Status.PIXELS, 0, 0, 0))  # ready
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # what libjpeg says of broken pictures must not flood the log
        while True:
            try:
                (length,) = REQUEST.unpack(receive_exactly(sock, REQUEST.size))
                data = receive_exactly(sock, length)
            except EOFError:
                return
            status, (height, width), payload = decode(data, sizes, max_megapixels)
            sock.sendall(REPLY.pack(status, height, width, len(payload)))
            sock.sendall(payload)


def _bound_memory(address_bytes: int) -> None:
    pages = int(open("/proc/self/statm").read().split()[0])  # noqa: SIM115 - gone in a moment
    limits = {
        resource.RLIMIT_AS: pages * resource.getpagesize() + address_bytes,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_FSIZE: 0,  # it has nothing to write
    }
    for what, limit in limits.items():
        resource.setrlimit(what, (limit, limit))


if __name__ == "__main__":
    arguments = json.loads(sys.argv[1])
    main([(h, w) for h, w in arguments["sizes"]], arguments["max_megapixels"], arguments["address_bytes"])
