"""What the link itself costs: an ideal PLC, null model, camera and store, beside a bare socket doing the same.

And eight stations at 20 parts a second each, with no store and with the real one.
"""

from __future__ import annotations

import asyncio
import random
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.bench import rows
from tests.bench.ideal_plc import FRESH_S, IdealPlc, Place
from tests.bench.rows import Row

POLL_MS = 2.0  # armed
EACH, ROUNDS = 20, 12  # parts of each client in one block, and blocks
STATIONS, RATE_HZ = 8, 20.0
START_S = 30.0
UNEVEN_S = 0.004
IDLE_S = 3.0


@dataclass(slots=True)
class Client:
    plc: IdealPlc
    process: asyncio.subprocess.Process

    @property
    def place(self) -> Place:
        return self.plc.places[0]

    async def ready(self) -> None:
        async with asyncio.timeout(START_S):
            for place in self.plc.places:
                await place.ready.wait()

    async def block(self, parts: int) -> None:
        for number in range(parts):
            await asyncio.sleep(random.uniform(0, UNEVEN_S))
            await self.place.part(number)


@asynccontextmanager
async def client(module: str, stations: int, *more: str) -> AsyncIterator[Client]:
    """A PLC of its own and the client as a process."""
    plc = IdealPlc(stations)
    port = await plc.start()
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", module, str(port), *more)
    try:
        one = Client(plc, process)
        await one.ready()
        yield one
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()
        await plc.close()


async def exchange_rows(say: Callable[[str], None]) -> list[Row]:
    """The client of the product and a bare socket, block after block."""
    say("link: ours and a bare socket, in turns")
    async with AsyncExitStack() as stack:
        ours = await stack.enter_async_context(client("tests.bench.null_line", 1, "1", str(POLL_MS)))
        busy = await _cpu_share(ours.process.pid)
        raw = await stack.enter_async_context(client("tests.bench.raw_client", 1, str(POLL_MS)))
        for _ in range(ROUNDS):
            for one in (ours, raw):
                await one.block(EACH)
    found = []
    for name, part, fixed_ms, polls in (("RESULTS_VALID", "cycles_s", 3, 0.5), ("READY", "returns_s", 6, 1.5)):
        mine, bare = getattr(ours.place, part), getattr(raw.place, part)
        p50_ms, bar_ms = 1000 * rows.p50(mine), fixed_ms + polls * POLL_MS
        found += [
            rows.at_most(f"link: edge to {name}, p50", p50_ms, "ms", bar_ms),
            rows.at_most(f"link: edge to {name}, p99 / p50", rows.p99(mine) / rows.p50(mine), "x", 3),
            rows.at_most(f"link: edge to {name}, ours / bare socket, p50", p50_ms / 1000 / rows.p50(bare), "x", 2),
        ]
    found.append(rows.at_most(f"link: client armed at {POLL_MS:g} ms, of a core", busy, "%", 25))
    wrong = ours.place.wrong + ours.place.overkills
    return [*found, Row("link: wrong verdicts read", float(wrong), "", "none", wrong == 0)]


async def _cpu_share(pid: int) -> float:
    """Percent of a core that an armed client takes while nothing happens."""
    process = psutil.Process(pid)
    process.cpu_percent()
    await asyncio.sleep(IDLE_S)
    return float(process.cpu_percent())


async def stations_rows(folder: Path, seconds: float, say: Callable[[str], None]) -> list[Row]:
    """Eight stations on one connection, null store and real store."""
    found = []
    for store, more in (("no store", ()), ("real store", ("--state", str(folder / "eight")))):
        say(f"link: {STATIONS} stations at {RATE_HZ:g} Hz, {store}")
        async with client("tests.bench.null_line", STATIONS, str(STATIONS), str(POLL_MS), *more) as eight:
            for place in eight.plc.places:
                place.gap_s = 0.0
            await asyncio.gather(*(_at_rate(place, seconds) for place in eight.plc.places))
        places, name = eight.plc.places, f"{STATIONS} stations at {RATE_HZ:g} Hz, {store}"
        cycles = [s for place in places for s in place.cycles_s]
        gap_ms = 1000 * max(place.gap_s for place in places)
        wrong = sum(place.wrong for place in places)
        found += [
            Row(f"{name}: parts", float(len(cycles))),
            Row(f"{name}: wrong accepts", float(wrong), "", "none", wrong == 0),
            Row(f"{name}: good parts rejected", float(sum(place.overkills for place in places))),
            rows.at_most(f"{name}: longest between heartbeats", gap_ms, "ms", 1000 * FRESH_S),
            *rows.milliseconds(f"{name}: edge to RESULTS_VALID", cycles),
        ]
    return found


async def _at_rate(place: Place, seconds: float) -> None:
    """Parts at the rate, each station at its own phase; a part that comes late does not shift those after it."""
    begun = time.monotonic() + random.uniform(0, 1 / RATE_HZ)
    for number in range(round(seconds * RATE_HZ)):
        await asyncio.sleep(max(0.0, begun + number / RATE_HZ - time.monotonic()))
        await place.part(number)
