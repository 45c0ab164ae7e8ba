"""An appliance in small: a client whose judge passes even parts and fails odd ones, over any transport."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from plc.client import ClientLink, LinkConfig
from plc.handshake import Handshake, HandshakeConfig, HealthInput, Record
from plc.registers import OfflineReason, Reason, Verdict
from plc.sim import SimPlc
from plc.station import LinkStatus, StationPlace
from plc.transport import TransportConfig

PASS = Record(int(Verdict.PASS), Reason.NONE, inspection_no=7, recipe_used=1)
FAIL = Record(int(Verdict.FAIL), Reason.CLASS, recipe_used=1)


class Judge:
    """Judges after `delay_s`."""

    def __init__(self, transport: TransportConfig, *, timeout_s: float = 0.25) -> None:
        config = HandshakeConfig(active_recipe=1, deadline_s=0.4, max_trigger_age_s=0.2)
        self.handshake = Handshake(config, known=lambda id_: False)
        link = LinkConfig(transport=transport, request_timeout_s=timeout_s, reconnect_max_s=0.2)
        self.link = ClientLink(link, [StationPlace(self.handshake)])
        (self._station,) = self.link.stations
        self._station.set_health(HealthInput(True, OfflineReason.NONE))
        self.delay_s = 0.0

    @property
    def status(self) -> LinkStatus:
        return self._station.status

    async def judge_forever(self) -> None:
        while True:
            part, _, _ = await self._station.next()
            await asyncio.sleep(self.delay_s)
            record = PASS if part.part_id % 2 == 0 else FAIL
            if part.refused is not None:
                record = Record(int(Verdict.NOT_INSPECTED), part.refused, recipe_used=1)
            await self._station.publish(part, record)


@asynccontextmanager
async def judging(transport: TransportConfig, **options: float) -> AsyncIterator[Judge]:
    judge = Judge(transport, **options)
    tasks = [asyncio.create_task(judge.link.run()), asyncio.create_task(judge.judge_forever())]
    try:
        yield judge
    finally:
        await judge.link.stop()
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                raise result


def wrong_accepts(plc: SimPlc) -> list[int]:
    """Parts that went on as good although they were odd, so judged bad."""
    return [r.part_id for r in plc.results if r.verdict == "good" and r.part_id % 2]
