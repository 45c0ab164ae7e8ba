"""What the tests of serial lines share: settings, kinds of faults of one answer, and a register server on a line."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace

from plc.rtu import RtuServer
from plc.rtu_frames import sealed
from plc.serial_port import SerialConfig
from plc.server import RegisterServer
from plc.sim import SimPlc
from plc.transport import TransportConfig
from tests.support.serial_line import (
    flipped_bit,
    lost,
    lost_byte,
    lost_end,
    lost_first_byte,
    noise_before,
    wrong_crc,
)  # fmt: skip

UNIT = 7
TIMEOUT_S, QUIET_S = 0.25, 0.3
# A pulled plug, a wrong bit ... of one answer; never may anything but the true registers come out of it.
FAULTS = [
    lost, wrong_crc, flipped_bit, lost_byte,
    lost_first_byte, lost_end, noise_before,
    lambda frame: [(0.0, sealed(UNIT + 1, frame[1:-2]))],  # the same answer of another unit
    lambda frame: [(0.0, sealed(UNIT, b"\x04" + frame[2:-2]))],  # of another function
    lambda frame: [(0.0, sealed(UNIT, frame[1:2] + bytes((frame[2] - 2,)) + frame[3:-4]))],  # a register less
]  # fmt: skip
NAMES = [
    "lost", "wrong checksum", "wrong bit", "lost byte", "lost first byte", "lost end", "noise before it", "wrong unit",
    "wrong function", "short",
]  # fmt: skip


def ports(plc_port: str, appliance_port: str) -> tuple[SerialConfig, TransportConfig]:
    plc = SerialConfig(plc_port, baud=115_200, parity="none", quiet_s=QUIET_S)  # pseudo terminals have no parity
    return plc, TransportConfig("rtu", unit_id=UNIT, serial=replace(plc, device=appliance_port))


@contextlib.asynccontextmanager
async def serving(cfg: SerialConfig, registers: RegisterServer) -> AsyncIterator[RtuServer]:
    server = RtuServer(cfg, UNIT, lambda body, peer: registers.answer(body))
    await server.start()
    try:
        yield server
        server.check()
    finally:
        await server.close()


def wrong_accepts(plc: SimPlc) -> list[int]:
    """Parts that went on as good although they are odd, so judged bad."""
    return [r.part_id for r in plc.results if r.verdict == "good" and r.part_id % 2]
