"""Malformed frames by the hundred thousand at the server, while its owner's cycle goes on undisturbed.

PLC_FUZZ_FRAMES sets how many (the soak: 1000000), PLC_FUZZ_SEED which.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import struct
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from plc.registers import STAT
from plc.server_link import ServerConfig, ServerLink
from plc.sim import SimConfig
from plc.sim_client import SimClientPlc
from tests.support.links import LONG_S, PATIENT, UNHURRIED_S, judging, place

ROOT = Path(__file__).parents[2]
FRAMES = int(os.environ.get("PLC_FUZZ_FRAMES", "100000"))
SEED = int(os.environ.get("PLC_FUZZ_SEED", "1"))
pytestmark = [pytest.mark.system, pytest.mark.slow]
BURST = 40  # frames that are sent before their answers are read
PERIOD_S = 0.05  # of the owner's parts
LATE_S = 1.0  # so long none of them takes, but for the machine's sake
LIMIT_S = 120 + FRAMES / 1000


def answered(rng: random.Random) -> bytes:
    """A frame with a sound header and anything behind it: it is answered, whatever it is. It may write CTRL."""
    function = rng.choice((3, 4, 6, 16, 22, 23, 43, rng.randrange(256)))
    match rng.randrange(4):
        case 0:
            body = rng.randbytes(rng.randrange(0, 40))
        case 1:
            body = struct.pack(">HH", rng.randrange(0x10000), rng.randrange(0x10000))
        case 2:
            count = rng.choice((0, 1, 2, 20, 44, 123, 124, 125, 126, rng.randrange(0x10000)))
            body = struct.pack(">HHB", rng.choice((0, 15, 20, 64, 140, 1999, 2000, 65535)), count, 2 * count & 0xFF)
            body += rng.randbytes(min(2 * count & 0xFF, 240) if rng.random() < 0.7 else rng.randrange(30))
        case _:
            body = bytes((14, rng.randrange(256), rng.randrange(256)))
    return struct.pack(">HHHBB", rng.randrange(0x10000), 0, len(body) + 2, rng.randrange(256), function) + body


def closing(rng: random.Random) -> bytes:
    """One that leaves no way to find the next frame's start, or half of one."""
    whole = bytearray(answered(rng))
    match rng.randrange(4):
        case 0:
            whole[2:4] = struct.pack(">H", rng.randrange(1, 0x10000))
        case 1:
            whole[4:6] = struct.pack(">H", rng.choice((0, 1, 255, 300, 0xFFFF)))
        case 2:
            return b"\xff" + rng.randbytes(rng.randrange(5, 60)).replace(b"\0", b"\1")
        case _:
            return bytes(whole[: rng.randrange(1, len(whole))])
    return bytes(whole)


def bursts(rng: random.Random, frames: int) -> Iterator[tuple[bytes, int, bool]]:
    """Bytes, how many answers they get, and whether the connection is of no use afterwards."""
    while frames > 0:
        count = min(rng.randrange(1, BURST), frames)
        ends = rng.random() < 0.15
        yield b"".join(answered(rng) for _ in range(count - ends)) + ends * closing(rng), count - ends, ends
        frames -= count


async def attack(port: int, rng: random.Random, frames: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for data, answers, ends in bursts(rng, frames):
            writer.write(data)
            for _ in range(answers):
                header = await reader.readexactly(7)
                await reader.readexactly(int.from_bytes(header[4:6], "big") - 1)
            if ends:
                writer.transport.abort()
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
    finally:
        writer.transport.abort()


async def attack_from_outside(port: int, seed: int, frames: int) -> None:
    """In a process of its own, as a peer is. Raises AssertionError: it was not answered."""
    code = f"from tests.system.test_server_fuzz import main; main({port}, {seed}, {frames})"
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", code, cwd=ROOT)
    try:
        assert await process.wait() == 0, f"seed {seed}: a frame that should have been answered was not"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def main(port: int, seed: int, frames: int) -> None:
    asyncio.run(attack(port, random.Random(seed), frames))


@pytest.mark.timeout(LIMIT_S)
async def test_malformed_frames_leave_the_owners_cycle_undisturbed_and_the_log_short():
    link = ServerLink(ServerConfig(port=0, max_connections=6, comm_timeout_s=UNHURRIED_S), [place()])
    async with judging(link) as (judge,):
        await link.listening.wait()
        plc = SimClientPlc(SimConfig(**PATIENT), request_timeout_s=UNHURRIED_S)
        await plc.start(port=link.server.port)
        assert await plc.wait_ready(LONG_S)
        fuzz = asyncio.create_task(attack_from_outside(link.server.port, SEED, FRAMES))
        results, part = [], 100
        while not fuzz.done():
            results += await plc.play([part], PERIOD_S)
            part += 1
        await fuzz
        await plc.close()
    assert len(results) >= 10
    assert [r.verdict for r in results] == (["good", "reject"] * len(results))[: len(results)]
    late = [r for r in results if r.valid_s is None or r.valid_s - r.edge_s > LATE_S]
    assert len(late) <= len(results) / 10, "the machine may hold up some of them, by rule it would be each"
    assert [r.part_id for r in results] == [part_id for _, part_id in judge.told]
    assert plc.refused == plc.faults == 0
    assert judge.port.handshake.counts["LINK_SESSIONS"] == 1
    assert link.server.requests > FRAMES * 0.8
    assert link.server.malformed > FRAMES * 0.002
    assert link.log.lines <= 4 * (2 + LIMIT_S / 10)


async def test_half_frames_and_slow_bytes_of_others_do_not_keep_a_place_for_longer_than_two_seconds():
    link = ServerLink(ServerConfig(port=0, max_connections=4), [place()])
    rng = random.Random(SEED)
    async with judging(link):
        await link.listening.wait()
        halves = [await asyncio.open_connection("127.0.0.1", link.server.port) for _ in range(4)]
        for _, writer in halves:
            writer.write(struct.pack(">HHHB", 1, 0, 200, 1) + rng.randbytes(5))
        end = time.monotonic() + 2.0
        while link.server.connections and (turn_s := time.monotonic()) < end:
            for _, writer in halves:
                with contextlib.suppress(ConnectionError):
                    writer.write(rng.randbytes(1))
            await asyncio.sleep(0.05)
            end += max(0.0, time.monotonic() - turn_s - 0.1)  # the server turns in this loop: it stood still as well
        assert link.server.connections == 0
        for _, writer in halves:
            writer.transport.abort()
        reader, writer = await asyncio.open_connection("127.0.0.1", link.server.port)
        writer.write(struct.pack(">HHHBBHH", 7, 0, 6, 1, 3, STAT.base + 41, 1))
        assert (await reader.readexactly(11))[-2:] == b"\xa1\1"
        writer.transport.abort()
