"""Serial lines for tests: a pair of ports from socat, and a line between two pseudo terminals that breaks on demand."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import time
import tty
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

import pytest

needs_socat = pytest.mark.skipif(shutil.which("socat") is None, reason="needs socat (Debian package socat)")
Pieces = list[tuple[float, bytes]]  # what arrives of one frame: after how many seconds, and which bytes
Fault = Callable[[bytes], Pieces]


class SocatPair:
    """Two serial ports joined by socat; `unplug` takes both away, `plug` brings them back under the same names."""

    def __init__(self, folder: Path) -> None:
        self.ports = str(folder / "plc"), str(folder / "appliance")
        self._process: subprocess.Popen[bytes] | None = None

    def plug(self) -> None:
        ends = [f"pty,raw,echo=0,link={port}" for port in self.ports]
        self._process = subprocess.Popen(["socat", *ends])
        end = time.monotonic() + 60
        while not all(os.path.exists(port) for port in self.ports):
            assert time.monotonic() < end, "socat makes no ports"
            time.sleep(0.01)

    def unplug(self) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait(10)
            self._process = None
        for port in self.ports:
            Path(port).unlink(missing_ok=True)


@contextmanager
def socat_pair(folder: Path) -> Iterator[SocatPair]:
    pair = SocatPair(folder)
    pair.plug()
    try:
        yield pair
    finally:
        pair.unplug()


class FaultyLine:
    """A line between two pseudo terminals; each answer on its way to the client takes the next of `faults`."""

    def __init__(self) -> None:
        self.faults: deque[Fault] = deque()
        self.requests: list[bytes] = []  # as the line carried them
        self._loop = asyncio.get_running_loop()
        (self._client, one), (self._server, two) = os.openpty(), os.openpty()
        self._slaves = one, two  # kept open: a terminal that nobody has open would end the line
        for slave in self._slaves:
            tty.setraw(slave)
        self.client_port, self.server_port = os.ttyname(one), os.ttyname(two)
        self._later: list[asyncio.TimerHandle] = []

    def __enter__(self) -> Self:
        self._loop.add_reader(self._client, self._to_server)
        self._loop.add_reader(self._server, self._to_client)
        return self

    def __exit__(self, *_: object) -> None:
        for handle in self._later:
            handle.cancel()
        for fd in (self._client, self._server):
            self._loop.remove_reader(fd)
            os.close(fd)
        for fd in self._slaves:
            os.close(fd)

    def say(self, data: bytes) -> None:
        """Put bytes on the line that no server sent."""
        os.write(self._client, data)

    def _to_server(self) -> None:
        data = os.read(self._client, 4096)
        self.requests.append(data)
        os.write(self._server, data)

    def _to_client(self) -> None:
        data = os.read(self._server, 4096)
        for delay_s, piece in self.faults.popleft()(data) if self.faults else [(0.0, data)]:
            if delay_s:
                self._later.append(self._loop.call_later(delay_s, os.write, self._client, piece))
            else:
                os.write(self._client, piece)


def none(frame: bytes) -> Pieces:
    return [(0.0, frame)]


def lost(frame: bytes) -> Pieces:
    return []


def wrong_crc(frame: bytes) -> Pieces:
    return [(0.0, frame[:-1] + bytes((frame[-1] ^ 1,)))]


def flipped_bit(frame: bytes) -> Pieces:
    return [(0.0, frame[:3] + bytes((frame[3] ^ 0x40,)) + frame[4:])]


def lost_byte(frame: bytes) -> Pieces:
    return [(0.0, frame[:4] + frame[5:])]


def lost_first_byte(frame: bytes) -> Pieces:
    return [(0.0, frame[1:])]


def lost_end(frame: bytes) -> Pieces:
    return [(0.0, frame[:-1])]


def surplus_byte(frame: bytes) -> Pieces:
    return [(0.0, frame + b"\x00")]


def noise_before(frame: bytes) -> Pieces:
    return [(0.0, b"\xff" + frame)]


def twice(frame: bytes) -> Pieces:
    return [(0.0, frame + frame)]


def in_pieces(frame: bytes) -> Pieces:
    return [(0.0, frame[:2]), (0.01, frame[2:5]), (0.02, frame[5:])]


def late(seconds: float) -> Fault:
    return lambda frame: [(seconds, frame)]
