"""A serial port on the event loop: bytes as they come, and an end to waiting when the adapter is unplugged."""

from __future__ import annotations

import asyncio
import contextlib
import os
import termios
import time
from dataclasses import dataclass
from typing import Literal

import serial

from plc.rtu_frames import char_s, gap_s
from plc.wire import LinkFault

PARITIES = {"none": serial.PARITY_NONE, "even": serial.PARITY_EVEN, "odd": serial.PARITY_ODD}
CHUNK = 4096


@dataclass(frozen=True, slots=True)
class SerialConfig:
    """A port and its line settings; both ends must agree. Modbus' own default is 19200 baud, even, 1 stop bit.

    quiet_s: silence on the line, after opening it, before the first request goes out: a late answer to a request of
    the last connection must be over by then.
    """

    device: str
    baud: int = 19_200
    parity: Literal["none", "even", "odd"] = "even"
    stop_bits: Literal[1, 2] = 1
    quiet_s: float = 0.5

    def __post_init__(self) -> None:
        if not self.device or self.baud <= 0 or self.quiet_s < 0:
            raise ValueError(f"a serial line needs a device, a speed and a quiet time: {self}")
        if self.parity not in PARITIES or self.stop_bits not in (1, 2):
            raise ValueError(f'parity is "none", "even" or "odd", stop bits are 1 or 2: {self}')

    @property
    def char_s(self) -> float:
        return char_s(self.baud, self.stop_bits, self.parity != "none")

    @property
    def gap_s(self) -> float:
        return gap_s(self.baud, self.char_s)

    def exchange_s(self, request_chars: int, reply_chars: int) -> float:
        """Seconds that a request and its answer keep the line busy, with a gap after each."""
        return (request_chars + reply_chars) * self.char_s + 2 * self.gap_s


class SerialPort:
    """An open port. Made by `open`; after a LinkFault only `close` is left."""

    def __init__(self, device: str, handle: serial.Serial) -> None:
        self._device, self._handle = device, handle
        self._loop = asyncio.get_running_loop()
        self._bytes, self._came = bytearray(), asyncio.Event()
        self._lost = ""
        self.traffic_s = time.monotonic()  # when bytes came or left last
        self._fd: int = handle.fileno()
        self._loop.add_reader(self._fd, self._on_bytes)

    @classmethod
    def open(cls, cfg: SerialConfig) -> SerialPort:
        """What the system has kept of earlier bytes is dropped. Raises LinkFault: no such port, or it is in use."""
        try:
            handle = serial.Serial(
                cfg.device, cfg.baud, parity=PARITIES[cfg.parity], stopbits=cfg.stop_bits, timeout=0, exclusive=True
            )
        except (OSError, ValueError, termios.error) as exc:  # pyserial lets all three through
            raise LinkFault(f"serial port {cfg.device} cannot be opened: {exc}") from exc
        return cls(cfg.device, handle)

    async def read(self, timeout_s: float | None) -> bytes:
        """What has come, as soon as there is anything; b"" after `timeout_s`. Raises LinkFault: the port is lost."""
        if not self._bytes and not self._lost:
            self._came.clear()
            try:
                async with asyncio.timeout(timeout_s):
                    await self._came.wait()
            except TimeoutError:
                return b""
        return self.take()

    def take(self) -> bytes:
        """What has come, without waiting. Raises LinkFault: the port is lost."""
        if self._lost:
            raise LinkFault(self._lost)
        data = bytes(self._bytes)
        self._bytes.clear()
        return data

    def write(self, frame: bytes) -> None:
        """One frame, at most 256 bytes, which the system's buffer takes at once. Raises LinkFault: it does not."""
        if self._lost:
            raise LinkFault(self._lost)
        try:
            taken = os.write(self._fd, frame)
        except OSError as exc:
            raise self._gone(f"writing failed: {exc.strerror}") from exc
        if taken != len(frame):
            raise self._gone("it takes no more bytes")
        self.traffic_s = time.monotonic()

    def close(self) -> None:
        """At once, also with bytes that nobody takes: the system would wait for them for up to 30 s."""
        if not self._handle.is_open:
            return
        self._lost = self._lost or "closed"
        self._loop.remove_reader(self._fd)
        with contextlib.suppress(OSError, termios.error):  # the device is gone, and its buffer with it
            self._handle.reset_output_buffer()
        self._handle.close()
        self._came.set()

    def _on_bytes(self) -> None:
        try:
            data = os.read(self._fd, CHUNK)
        except BlockingIOError:
            return
        except OSError as exc:
            self._gone(exc.strerror or "reading failed")
            return
        if not data:
            self._gone("it was unplugged")
            return
        self._bytes += data[: CHUNK - len(self._bytes)]  # a babbling line fills no memory; nothing of it is believed
        self.traffic_s = time.monotonic()
        self._came.set()

    def _gone(self, why: str) -> LinkFault:
        if not self._lost:
            self._lost = f"serial port {self._device} is lost: {why}"
            self._loop.remove_reader(self._fd)
            self._came.set()
        return LinkFault(self._lost)
