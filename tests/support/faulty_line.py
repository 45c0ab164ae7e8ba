"""The demo's station with faults on purpose: the real daemon as a process, the simulated PLC, time to spare."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from inspector.control import connect_control
from inspector.demo.parts import Kind, kind_of
from inspector.demo.processes import config_text, daemon
from plc.registers import OfflineReason, Status
from plc.sim import SimConfig, SimPlc
from tests.support.invariants import Row, check

PATIENT = SimConfig(ack_timeout_s=2, result_timeout_s=5, heartbeat_timeout_s=2, ready_timeout_s=25)  # two busy cores
TOLD_WITHIN_S = 2.0  # I6: on the page and in the registers


def patient(text: str) -> str:
    """The demo's station with time to spare: what is tested is the order of things, not their speed."""
    for name, short, long in (("deadline", 300, 4000), ("grab_timeout", 200, 2000), ("max_trigger_age", 200, 1500)):
        text = text.replace(f"{name}_ms = {short}", f"{name}_ms = {long}")
    return text.replace("[[stations]]", "request_timeout_ms = 2000\nheartbeat_timeout_ms = 2000\n\n[[stations]]")


def parts_of(*kinds: Kind, below: int = 4000) -> list[int]:
    """PART_IDs that the demo's line renders as one of `kinds`."""
    return [part_id for part_id in range(1, below) if kind_of(part_id) in kinds]


@dataclass
class FaultyLine:
    """One station; `start` may be called again after a crash."""

    sim: SimPlc
    folder: Path

    @asynccontextmanager
    async def start(
        self, camera_faults: Sequence[str] = (), failpoints: Mapping[str, str] | None = None,
        change: Callable[[str], str] = lambda text: text,
    ) -> AsyncIterator[asyncio.subprocess.Process]:  # fmt: skip
        """The daemon, READY where the PLC sees it."""
        points = ", ".join(f'{point} = "{what}"' for point, what in (failpoints or {}).items())
        test = f"\n[test]\nfailpoints = {{ {points} }}\ncamera_faults = {json.dumps(list(camera_faults))}\n"
        config = self.folder / "station.toml"
        await asyncio.to_thread(config.write_text, change(patient(config_text(self.sim.port, self.folder, test))))
        async with daemon(config) as process:
            yield process

    async def status(self) -> Mapping[str, Any]:
        """What the daemon says on its control socket."""
        async with connect_control(self.folder / "run" / "control.sock", "test") as control:
            return await control.status()

    async def told(self, reason: OfflineReason, part: str) -> Mapping[str, Any]:
        """Wait until PLC and page say why the station is not ready. Raises AssertionError: not within I6's time."""
        begun = time.monotonic()
        while True:
            await self.sim.idle_for(0.05)
            status = await self.status()
            stat = self.sim.stat()
            in_plc = stat["OFFLINE_REASON"] == reason and not Status(stat["STATUS"]) & Status.TRIGGER_READY
            on_page = not status["ready"] and any(a["id"] == part for a in status["alarms"])
            if in_plc and on_page:
                return status
            late = time.monotonic() - begun > TOLD_WITHIN_S + 1.0  # two busy cores
            assert not late, f"PLC: {OfflineReason(stat['OFFLINE_REASON']).name}, page: {status['alarms']}"

    def checked(self, *, settled: bool = True) -> list[Row]:
        """The rows, after the one checker of all fault tests. settled: no life of the daemon ended by itself last."""
        results = [asdict(result) for result in self.sim.results]
        return check(self.folder / "state" / "results.db", results, settled=settled)


@asynccontextmanager
async def faulty_line(folder: Path, sim: SimConfig = PATIENT) -> AsyncIterator[FaultyLine]:
    plc = SimPlc(sim)
    await plc.start()
    try:
        yield FaultyLine(plc, folder)
    finally:
        await plc.close()
