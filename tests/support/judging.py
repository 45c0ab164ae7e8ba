"""An appliance without camera and model: the real handshake over real Modbus, and a judge that knows by PART_ID."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import replace

from plc.client import ClientLink, LinkConfig
from plc.handshake import Handshake, HandshakeConfig, HealthInput, Record
from plc.registers import CommandResult, OfflineReason, Reason, Verdict
from plc.sim import SimConfig, SimPlc
from plc.station import StationPlace, Told
from tests.support.links import PATIENT, UNHURRIED, UNHURRIED_S

READY = HealthInput(True, OfflineReason.NONE)
RECIPES = (1, 2)
PASS = Record(int(Verdict.PASS), Reason.NONE, inspection_no=7, recipe_used=1)
FAIL = Record(int(Verdict.FAIL), Reason.CLASS, recipe_used=1)


def is_good(part_id: int) -> bool:
    """The truth of a PART_ID here: even parts are good."""
    return part_id % 2 == 0


class Judging:
    """Client direction: PASS to good parts and FAIL to bad ones, each after `delay_s`. timed: of the handshake."""

    def __init__(self, port: int, number: int = 1, **timed: float) -> None:
        config = HandshakeConfig(number, active_recipe=1, **{**UNHURRIED, "ack_timeout_s": UNHURRIED_S, **timed})
        self.handshake = Handshake(config, known=lambda id_: False)
        self.link = ClientLink(LinkConfig(port=port, request_timeout_s=UNHURRIED_S), [StationPlace(self.handshake)])
        (self.client,) = self.link.stations
        self.client.set_health(READY)
        self.told: list[Told] = []
        self.delay_s = 0.0

    async def _judge_forever(self) -> None:
        while True:
            part = await self.client.next()
            await asyncio.sleep(self.delay_s)
            good, recipe = is_good(part.part_id), self.handshake.active_recipe
            record = replace(PASS if good else FAIL, recipe_used=recipe, would_pass=good and part.test_part)
            if part.refused is not None:
                record = Record(int(Verdict.NOT_INSPECTED), part.refused, recipe_used=recipe)
            self.told.append(await self.client.publish(part, record))

    async def _obey_forever(self) -> None:
        """Recipes 1 and 2 are prepared in 50 ms; others are unknown."""
        while True:
            await asyncio.sleep(0.005)
            while self.handshake.requests:
                request = self.handshake.requests.popleft()
                self.handshake.deactivate(time.monotonic())
                await asyncio.sleep(0.05)
                known = request.arg in RECIPES
                result = CommandResult.OK if known else CommandResult.UNKNOWN_RECIPE
                self.handshake.answer(request, result, time.monotonic(), request.arg if known else None)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Judging]:
        work = (self.link.run(), self._judge_forever(), self._obey_forever())
        tasks = [asyncio.create_task(each) for each in work]
        try:
            yield self
        finally:
            await self.link.stop()
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.asynccontextmanager
async def judged(sim: SimPlc | None = None, **timed: float) -> AsyncIterator[tuple[SimPlc, Judging]]:
    """A simulated PLC and the appliance that serves it."""
    sim = sim or SimPlc(SimConfig(**PATIENT))
    await sim.start()
    try:
        async with Judging(sim.port, **timed).running() as appliance:
            yield sim, appliance
    finally:
        await sim.close()
