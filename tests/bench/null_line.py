"""The appliance with nothing in it but the link and the data path: null model, camera and, unless asked, store.

    python -m tests.bench.null_line PORT STATIONS POLL_MS [--state FOLDER]

An even PART_ID passes, an odd one fails. SIGTERM ends it.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np

from inspector.core.clock import SystemClock
from inspector.core.ports import OpenRow, Results
from inspector.core.types import (
    Delivery,
    Frame,
    Image,
    Inspection,
    JudgedBy,
    Limits,
    Mode,
    Outcome,
    Prediction,
    Proof,
    Refusal,
    Trigger,
)
from inspector.line import Judge, Station, inspect_forever
from inspector.link import PlcLink
from inspector.store.journal import Journal
from inspector.store.results import SqliteResults
from inspector.threads import DeviceThread
from plc.client import ClientLink, LinkConfig
from plc.handshake import Handshake, HandshakeConfig, HealthInput
from plc.registers import OfflineReason, Verdict
from plc.station import SPAN, StationPlace

CLOCK = SystemClock()
LIMITS = Limits(0.5, None, (0.0, 1.0), frozenset({"good"}))
BY = JudgedBy("null", 1, 1, 1)


class NullCamera:
    """Exposes in no time; the picture's one pixel is the part."""

    simulated = False

    async def grab(self, trigger: Trigger) -> Frame:
        image: Image = np.full((1, 1, 3), trigger.part_id & 0xFF, np.uint8)
        return Frame(image, trigger.seq, CLOCK.monotonic_s(), 0, Proof.HARDWARE_EDGE, trigger.seq)

    async def alive(self) -> None:
        return


class NullModel:
    judged_by = BY

    async def predict(self, view: Image) -> Prediction:
        label = "bad" if view[0, 0, 0] % 2 else "good"
        return Prediction(label, 0, 1.0, (1.0,), 0.5)

    async def alive(self) -> None:
        return


class NullStage:
    """Gate, recipe and archive: nothing is checked, cut or kept."""

    def check(self, frame: Frame, trigger: Trigger) -> Frame:
        return frame

    def view(self, image: Image) -> Image:
        return image

    def offer(self, decided: Inspection, frame: Frame | None) -> None:
        return


class NullResults:
    """No record at all."""

    def __init__(self) -> None:
        self._no = 0

    def open(self, trigger: Trigger) -> OpenRow:
        self._no += 1
        return OpenRow(trigger, self._no)

    async def decide(
        self, opened: OpenRow, outcome: Outcome, prediction: Prediction | None, judged_by: JudgedBy,
        stamps: Mapping[str, float],
    ) -> Inspection:  # fmt: skip
        return Inspection(opened.ticket, opened.trigger, outcome, prediction, judged_by, 0.0, stamps)

    async def refuse(self, refusal: Refusal) -> Inspection:
        trigger = Trigger(refusal.seq, refusal.part_id, 0.0, refusal.accepted_mono_s)
        outcome = Outcome(Verdict.NOT_INSPECTED, refusal.reason)
        return await self.decide(self.open(trigger), outcome, None, BY, {})

    async def stamp(self, decided: Inspection, delivery: Delivery) -> None:
        return

    async def alive(self) -> None:
        return


async def serve(port: int, stations: int, poll_s: float, state: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        journal = None
        if state is not None:
            thread = DeviceThread("store")
            stack.callback(thread.close)
            journal = Journal(state / "results.db", CLOCK, thread)
            await journal.start()
            stack.push_async_callback(journal.close)
        places = [_place(number) for number in range(1, stations + 1)]
        link = ClientLink(LinkConfig(port=port, poll_s=max(0.005, poll_s), armed_poll_s=poll_s), places)
        async with asyncio.TaskGroup() as tasks:
            running = [tasks.create_task(link.run(), name="plc")]
            for port_ in link.stations:
                port_.set_health(HealthInput(True, OfflineReason.NONE))
                name = f"station{port_.handshake.cfg.number}"
                results = SqliteResults(journal, name, CLOCK) if journal is not None else NullResults()
                plc = PlcLink(port_, simulated=False)
                plc.judged_with(1, LIMITS, None)
                running.append(tasks.create_task(inspect_forever(_station(plc, results)), name=name))
            await stop.wait()
            await link.stop()
            for task in running:
                task.cancel()


def _place(number: int) -> StationPlace:
    base = SPAN * (number - 1)
    cfg = HandshakeConfig(number, active_recipe=1, max_trigger_age_s=0.2, deadline_s=0.5)
    return StationPlace(Handshake(cfg, lambda id_: False), base, base + 20, base + 100, base + 140)


def _station(plc: PlcLink, results: Results) -> Station:
    stage = NullStage()
    return Station(
        mode=Mode.INSPECT, clock=CLOCK, plc=plc, camera=NullCamera(),
        judge=Judge(stage, stage, NullModel(), LIMITS, BY), results=results, archive=stage,
        failpoint=lambda point: None, watch=lambda done, error: None,
    )  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("port", type=int)
    parser.add_argument("stations", type=int)
    parser.add_argument("poll_ms", type=float)
    parser.add_argument("--state", type=Path)
    args = parser.parse_args()
    asyncio.run(serve(args.port, args.stations, args.poll_ms / 1000, args.state))
