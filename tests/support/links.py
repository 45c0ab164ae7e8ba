"""An appliance without a camera, for tests of links: every station judges by part id."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable

from plc.client import ClientLink, LinkConfig
from plc.conformance.raw import RawModbus
from plc.handshake import Handshake, HandshakeConfig, HealthInput, Record
from plc.registers import OfflineReason, Reason, Verdict
from plc.station import Link, StationPlace, StationPort, Told
from plc.transport import TransportConfig, connect_wire
from plc.wire import Wire

READY = HealthInput(True, OfflineReason.NONE)
LONG_S = 60.0  # for what comes by itself, on cores that others use as well
# Limits that a test is not about: a machine that holds up appliance and PLC for a moment must reach none of them.
UNHURRIED_S = 20.0
UNHURRIED = {"deadline_s": UNHURRIED_S, "max_trigger_age_s": UNHURRIED_S, "heartbeat_timeout_s": UNHURRIED_S}
PATIENT = {  # the PLC's side
    "ack_timeout_s": UNHURRIED_S, "result_timeout_s": UNHURRIED_S, "heartbeat_timeout_s": UNHURRIED_S,
    "ready_timeout_s": LONG_S,
}  # fmt: skip


def handshake(number: int = 1, **changed: float) -> Handshake:
    """With generous times: two busy cores."""
    config = {"active_recipe": 1, **UNHURRIED, **changed}
    return Handshake(HandshakeConfig(number=number, **config), known=lambda id_: False)


def place(number: int = 1, **changed: float) -> StationPlace:
    return StationPlace(handshake(number, **changed))


class Judge:
    """The line of one station: PASS to even parts, FAIL to odd ones, after `delay_s`. told: by trigger and part id.

    may_tell: cleared, it holds what it judged until it is set again.
    """

    def __init__(self, port: StationPort) -> None:
        self.port = port
        self.told: dict[tuple[int, int], Told] = {}
        self.lots: dict[int, tuple[str, str]] = {}
        self.delay_s = 0.0
        self.may_tell = asyncio.Event()
        self.may_tell.set()
        port.set_health(READY)

    async def forever(self) -> None:
        while True:
            part = await self.port.next()
            await asyncio.sleep(self.delay_s)
            await self.may_tell.wait()
            if part.refused is not None:
                record = Record(int(Verdict.NOT_INSPECTED), part.refused, recipe_used=1)
            elif part.part_id % 2 == 0:
                record = Record(int(Verdict.PASS), Reason.NONE, inspection_no=part.part_id, recipe_used=1)
            else:
                record = Record(int(Verdict.FAIL), Reason.CLASS, inspection_no=part.part_id, recipe_used=1)
            self.lots[part.part_id] = self.port.identity(part)
            self.told[part.trigger_id, part.part_id] = await self.port.publish(part, record)


async def until(true: Callable[[], object]) -> None:
    """Wait until it is so. Raises TimeoutError."""
    async with asyncio.timeout(LONG_S):
        while not true():  # noqa: ASYNC110 - a state without an event
            await asyncio.sleep(0.005)


async def arrived() -> None:
    """All that was on its way between sockets of this process is there: turns of the loop, and not time, bring it."""
    for _ in range(50):
        await asyncio.sleep(0.001)


class PatientModbus(RawModbus):
    """Waits for replies as long as `until` does: for tests that are not about how long one takes."""

    async def receive(self, timeout_s: float = LONG_S) -> tuple[int, int, bytes]:
        return await super().receive(max(timeout_s, LONG_S))


@contextlib.asynccontextmanager
async def judging(link: Link) -> AsyncIterator[list[Judge]]:
    """Run the link and a judge for each of its stations."""
    judges = [Judge(station) for station in link.stations]
    test = asyncio.current_task()
    run = asyncio.create_task(link.run(), name="link")
    run.add_done_callback(lambda done: done.cancelled() or done.exception() is None or (test and test.cancel()))
    lines = [asyncio.create_task(judge.forever(), name="judge") for judge in judges]
    try:
        yield judges
    finally:
        await link.stop()
        for task in lines:
            task.cancel()
        await asyncio.gather(run, *lines, return_exceptions=True)
        assert not run.cancelled() and run.exception() is None, run.exception()


@contextlib.asynccontextmanager
async def inspecting(transport: TransportConfig, **link: float) -> AsyncIterator[Judge]:
    """The appliance as a client over `transport`."""
    client = ClientLink(LinkConfig(transport=transport, reconnect_max_s=0.2, **link), [place()])
    async with judging(client) as (judge,):
        yield judge


@contextlib.asynccontextmanager
async def wire_to(transport: TransportConfig, timeout_s: float) -> AsyncIterator[Wire]:
    """One connection over `transport`, for requests of the test's own."""
    wire = await connect_wire(transport, timeout_s, time.monotonic, deque())
    try:
        yield wire
    finally:
        wire.abort()
