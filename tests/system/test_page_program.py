"""A PLC program typed from docs/registers.md alone, sections 1 to 5: plain numbers, no name of ours. It has to work.

Whoever changes the page's section 4 changes `scan` below by hand, as a controls engineer would.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from plc.client import ClientLink, LinkConfig
from plc.server_link import ServerConfig, ServerLink
from tests.support.links import Judge, judging, place
from tests.support.raw_modbus import connected, serving

pytestmark = pytest.mark.system
PARTS, T_ACK, T_RESULT, T_HB = 50, 5.0, 9.0, 5.0  # generous: two busy cores
PATIENT = {"max_trigger_age_s": 5.0, "deadline_s": 5.0, "heartbeat_timeout_s": 5.0}


class Program:
    """Section 4, "as a program". M: the area of section 1, 0-based."""

    def __init__(self) -> None:
        self.M = [0] * 170
        self.state = self.id = self.hb_seen = self.hb_changes = self.part = 0
        self.hb_timer, self.t, self.beat, self.last = T_HB, 0.0, 0.0, time.monotonic()
        self.sensor = self.sensor_before = self.acked = self.late = self.trigger = self.ack = False
        self.hb_ok = self.ready = False
        self.verdict: dict[int, str] = {}
        self.part_of: dict[int, int] = {}

    def scan(self) -> None:
        S, now = [0] * 20 + self.M[20:64], time.monotonic()
        dt, self.last = now - self.last, now
        self.t += dt
        self.hb_timer += dt
        if self.hb_timer >= T_HB:
            self.hb_changes = 0
        if S[21] != self.hb_seen:
            self.hb_seen, self.hb_timer, self.hb_changes = S[21], 0.0, self.hb_changes + 1
        self.hb_ok = self.hb_changes >= 2 and self.hb_timer < T_HB
        ready, ack, valid = bool(S[20] & 1), bool(S[20] & 2), bool(S[20] & 0x80)
        self.ready = self.state == 0 and self.hb_ok and ready and not valid
        new_part, self.sensor_before = self.sensor and not self.sensor_before, self.sensor
        if new_part:
            self.id = 1 if self.id == 65535 else self.id + 1
            self.verdict[self.id], self.part_of[self.id] = "REJECT", self.part
            self.M[19] += 1
        if self.state == 0:
            self.ack = valid
            if new_part and self.ready:
                self.M[1], self.M[14], self.M[8], self.M[9] = self.id, 65535 - self.id, 0, self.part
                self.trigger, self.acked, self.late, self.t, self.state = True, False, False, 0.0, 1
                self.ready = False
        elif self.state == 1:
            self._asked(S, new_part, ack, valid)
        else:
            self.ack = valid
            if not valid and not ack:
                self.state = 0
        self.M[0] = 1 + self.trigger * 2 + self.ack * 8
        self.M[3], self.M[15] = S[21], 0xA101
        self.beat += dt
        if self.beat >= 0.05:
            self.beat, self.M[2] = 0.0, (self.M[2] + 1) & 0xFFFF

    def _asked(self, S: list[int], new_part: bool, ack: bool, valid: bool) -> None:
        if new_part:
            self.acked = False
        if ack and S[22] == self.id:
            if not self.acked:
                self.late = self.t > T_ACK
            self.acked, self.trigger = True, False
        if self.acked and valid and S[30] == self.id and whole(S):
            if good(S, self.id) and self.hb_ok and not self.late and self.t <= T_RESULT:
                self.verdict[self.id] = "GOOD"
            self.ack, self.state = True, 2
        elif valid and S[30] != self.id:
            self.ack = True
        elif not valid:
            self.ack = False
        if self.state == 1 and (new_part or self.t > T_RESULT or not self.hb_ok):
            self.state = 2
        if self.state == 2:
            self.trigger = False

    async def bring(self, exchange: Callable[[], Awaitable[None]]) -> None:
        for part in range(1, PARTS + 1):
            end = time.monotonic() + 120
            while not self.ready:
                assert time.monotonic() < end, f"no READY: OFFLINE_REASON {self.M[60]}"
                await self._turn(exchange)
            self.part, self.sensor = part, True
            await self._turn(exchange)
            self.sensor = False
        while self.state:
            await self._turn(exchange)

    async def _turn(self, exchange: Callable[[], Awaitable[None]]) -> None:
        await exchange()
        self.scan()
        await asyncio.sleep(0.002)


def whole(S: list[int]) -> bool:
    check = 0
    for word in S[29:58]:
        check ^= word
    return S[29] == S[59] and S[58] == check


def good(S: list[int], id_: int) -> bool:
    return (
        (S[20] & 0x80) != 0 and (S[20] & 0x100) != 0 and (S[20] & 0x200) == 0 and S[31] == 1 and S[30] == id_
        and whole(S) and (S[41] & 3) == 0 and (S[20] & 0x8000) != 0 and (S[20] & 0x4000) == 0 and S[61] == 0xA101
    )  # fmt: skip


def check(program: Program, judge: Judge) -> None:
    assert len(program.verdict) == PARTS
    for id_, part in program.part_of.items():
        assert program.verdict[id_] == ("GOOD" if part % 2 == 0 else "REJECT"), judge.told[id_, part]


async def test_a_program_typed_from_the_page_works_as_the_client_of_the_appliance():
    link, program = ServerLink(ServerConfig(port=0, comm_timeout_s=10.0), [place(**PATIENT)]), Program()
    async with judging(link) as judges:
        await asyncio.wait_for(link.listening.wait(), 60)
        async with connected(link.server.port) as wire:

            async def exchange() -> None:
                await wire.write(0, program.M[0:20])
                program.M[20:64] = await wire.read(20, 44)

            await program.bring(exchange)
            check(program, judges[0])


async def test_a_program_typed_from_the_page_works_as_the_server_of_the_appliance():
    program = Program()
    program.scan()

    async def nothing() -> None:
        return

    async with serving(program.M) as port, judging(ClientLink(LinkConfig(port=port), [place(**PATIENT)])) as judges:
        await program.bring(nothing)
        check(program, judges[0])
