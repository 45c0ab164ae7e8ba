"""The shipped function blocks against the real links, over real sockets: the PLC as client, and the PLC as server.

The PLC's side is a few lines of raw Modbus and the interpreted text; nothing of `plc` but the text itself.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

import pytest

from plc.client import ClientLink, LinkConfig
from plc.server_link import ServerConfig, ServerLink
from tests.support.links import LONG_S, UNHURRIED_S, Judge, judging, place
from tests.support.raw_modbus import connected, serving
from tests.support.st.compile import run
from tests.support.st.line import program
from tests.support.st.types import Instance

pytestmark = pytest.mark.system
PARTS, GATE = 200, 40
GENEROUS = {"ackMs": 20_000, "resultMs": 20_000, "heartbeatMs": 20_000}  # two busy cores


class Plc:
    """regs: what both sides share. One call of `scan` is one scan of the program."""

    def __init__(self) -> None:
        self.regs, self.station, self.first = [0] * 170, program(), True
        self.part_no, self.sensor = 0, False
        self.belt = 0  # counts; it stands while a part is inspected
        self.ids: dict[int, int] = {}  # id -> part number
        self.verdicts: dict[int, int] = {}  # id -> PLC_VERDICT

    def scan(self) -> Instance:
        run(
            self.station, firstScan=self.first, nowMs=int(time.monotonic() * 1000) % 2**32, partSensor=self.sensor,
            partNo=self.part_no, encoder=self.belt, simulator=True, recipe=1, regs=self.regs,
            gateCounts=GATE, windowCounts=10, confirmCounts=0, maxRejects=0, testAfterStart=False,
            lot=list(b"LOT 7".ljust(16, b"\0")), serial=list(str(self.part_no).encode().ljust(40, b"\0")), **GENEROUS,
        )  # fmt: skip
        self.first = False
        self.belt += 5 * (self.station.inspect.state == 0)
        if self.sensor:
            self.ids[self.station.id] = self.part_no
        if self.regs[16]:
            self.verdicts[self.regs[16]] = self.regs[17]
        return self.station

    async def bring(self, parts: int, exchange: Callable[[], Awaitable[None]]) -> None:
        """Each part comes when the program is idle and READY; `exchange` brings registers in and out between scans."""
        for _ in range(parts):
            end = time.monotonic() + LONG_S
            while not self.station.ready:
                assert time.monotonic() < end, f"no READY: OFFLINE_REASON {self.regs[60]}"
                await self._turn(exchange)
            self.part_no, self.sensor = self.part_no + 1, True
            await self._turn(exchange)
            self.sensor = False
        end = time.monotonic() + LONG_S
        while any(p.state for p in self.station.track.place) and time.monotonic() < end:
            await self._turn(exchange)

    async def _turn(self, exchange: Callable[[], Awaitable[None]]) -> None:
        await exchange()
        self.scan()
        await asyncio.sleep(0.002)


def check(plc: Plc, judge: Judge) -> None:
    """Every even part is good, and no other; each with the verdict that was told for its own id."""
    assert len(plc.ids) == len(plc.verdicts) == PARTS
    for id_, part_no in plc.ids.items():
        told = judge.told[id_, part_no]
        assert plc.verdicts[id_] == (1 if part_no % 2 == 0 else 2), (id_, part_no, told)
        assert told.record.code == (1 if part_no % 2 == 0 else 2) and told.state == "confirmed"
        assert judge.lots[part_no] == ("LOT 7", str(part_no))


async def test_the_function_block_as_a_modbus_client_that_scans_the_appliance():
    link, plc = ServerLink(ServerConfig(port=0, comm_timeout_s=UNHURRIED_S), [place()]), Plc()
    async with judging(link) as judges:
        await link.listening.wait()
        async with connected(link.server.port) as wire:

            async def exchange() -> None:
                """The round of section 1 of the register page: IDENT, CTRL, STAT."""
                await wire.write(140, plc.regs[140:170])
                await wire.write(0, plc.regs[0:20])
                plc.regs[20:64] = await wire.read(20, 44)

            await plc.bring(PARTS, exchange)
            check(plc, judges[0])


async def test_the_function_block_as_a_modbus_server_that_the_appliance_polls():
    plc = Plc()
    plc.scan()  # the program runs: SIGNATURE stands before anyone looks

    async def nothing() -> None:
        return

    async with serving(plc.regs) as port:
        link = ClientLink(LinkConfig(port=port, request_timeout_s=UNHURRIED_S), [place()])
        async with judging(link) as judges:
            await plc.bring(PARTS, nothing)
            check(plc, judges[0])
