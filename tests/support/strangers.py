"""Browsers that do no good: half-sent headers, screens opened in masses or that read nothing, bodies without an end.

As a program it is the load of `make bench-web`, in a process of its own: a line on its input switches it on and off.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

HOST = "127.0.0.1"
HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "
EVENTS = b"GET /events HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
TRICKLE_S = 0.5


async def status_of(reader: asyncio.StreamReader) -> int:
    """Of an answer that begins; 0: the connection ended before."""
    try:
        words = (await reader.readline()).split()
    except ConnectionError:
        return 0
    return int(words[1]) if len(words) > 1 else 0


@asynccontextmanager
async def frozen_screen(port: int) -> AsyncIterator[None]:
    """A screen whose browser was stopped: it is open, and takes nothing but what fits into its own small buffer."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(sock, (HOST, port))
        await loop.sock_sendall(sock, EVENTS)
        yield


async def slow_body(port: int, path: str, cookie: str = "") -> None:
    """Announce a form and send it byte by byte until the connection is closed."""
    reader, writer = await asyncio.open_connection(HOST, port)
    kind = "Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 5000"
    writer.write(f"POST {path} HTTP/1.1\r\nHost: {HOST}:{port}\r\n{kind}\r\nCookie: {cookie}\r\n\r\n".encode())
    gone = asyncio.create_task(_until_closed(reader))
    while not gone.done():
        with contextlib.suppress(ConnectionError):
            writer.write(b"x")
            await writer.drain()
        await asyncio.wait([gone], timeout=TRICKLE_S)
    writer.close()


async def _until_closed(reader: asyncio.StreamReader) -> None:
    with contextlib.suppress(ConnectionError):
        while await reader.read(65536):
            pass


async def _half_for_ever(port: int) -> None:
    """Headers that never end, begun anew each time that the page loses its patience."""
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(HALF)
            await _until_closed(reader)
            writer.close()
        await asyncio.sleep(0.05)


async def _screen_for_ever(port: int) -> None:
    while True:
        with contextlib.suppress(OSError):
            reader, writer = await asyncio.open_connection(HOST, port)
            writer.write(EVENTS)
            await _until_closed(reader)
            writer.close()
        await asyncio.sleep(0.2)


async def _serve_input(port: int, halves: int, screens: int) -> None:
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        if line.strip() != "on":
            continue
        tasks = [asyncio.create_task(_half_for_ever(port)) for _ in range(halves)]
        tasks += [asyncio.create_task(_screen_for_ever(port)) for _ in range(screens)]
        await loop.run_in_executor(None, sys.stdin.readline)  # until "off"
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        print("off", flush=True)


if __name__ == "__main__":
    asyncio.run(_serve_input(*map(int, sys.argv[1:4])))
