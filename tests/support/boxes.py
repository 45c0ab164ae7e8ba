"""A daemon with several stations, and the PLC that runs a function block for each."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from inspector.demo.parts import Kind, kind_of
from inspector.demo.processes import daemon
from plc.registers import Status
from plc.sim import SimConfig, SimPlc, SimResult
from plc.station import SPAN
from tests.support.live_line import signed_bundle

START_S = 60.0
PATIENT = {"ack_timeout_s": 8.0, "result_timeout_s": 10.0, "heartbeat_timeout_s": 4.0, "ready_timeout_s": START_S}
GOOD = [p for p in range(1, 200) if kind_of(p) is Kind.GOOD]
EMPTY = [p for p in range(1, 2000) if kind_of(p) is Kind.EMPTY]
BOX = """
[paths]
state = "{folder}/state"
run = "{folder}/run"

[[plc.links]]
name = "line1"
host = "127.0.0.1"
port = {port}
request_timeout_ms = 4000
heartbeat_timeout_ms = 4000
{link}

{stations}
{bundle}

[[recipes]]
name = "a"
[[recipes]]
name = "b"
limits = {{ min_confidence = 0.85 }}
{more}
"""
STATION = """
[[stations]]
id = "st{n}"
number = {n}
link = "line1"
deadline_ms = 4000
max_trigger_age_ms = 1500
cameras = ["cam{n}"]
recipes = {{ 1 = "a", 2 = "b" }}
{places}
[[cameras]]
id = "cam{n}"
kind = "rendered"
grab_timeout_ms = 2000
"""


def station(n: int, *, stat_of: int = 0, client: bool = True) -> str:
    base, stat = (n - 1) * SPAN, ((stat_of or n) - 1) * SPAN + 20
    places = f"ctrl_base = {base}\nstat_base = {stat}\ndiag_base = {base + 100}\nident_base = {base + 140}"
    return STATION.format(n=n, places=places if client else "")


def write_box(folder: Path, port: int, stations: Sequence[str], *, link: str = "", more: str = "") -> Path:
    config = folder / "box.toml"
    config.write_text(
        BOX.format(
            folder=folder, port=port, link=link, stations="".join(stations), more=more,
            bundle=signed_bundle(folder / "tiny.bundle"),
        )
    )  # fmt: skip
    return config


@asynccontextmanager
async def two_plcs() -> AsyncIterator[list[SimPlc]]:
    """One PLC with two function blocks, for stations 1 and 2."""
    first = SimPlc(SimConfig(number=1, **PATIENT))
    plcs = [first, SimPlc(SimConfig(number=2, **PATIENT), beside=first, base=SPAN)]
    await first.start()
    try:
        yield plcs
    finally:
        await first.close()


@asynccontextmanager
async def two_stations(folder: Path, stations: Sequence[str], more: str = "") -> AsyncIterator[list[SimPlc]]:
    """One PLC with two function blocks, one daemon with two stations."""
    async with two_plcs() as plcs, daemon(write_box(folder, plcs[0].port, stations, more=more)):
        yield plcs


async def play(plc: SimPlc, parts: Sequence[int]) -> list[SimResult]:
    await plc.idle_for(0.05)
    return await plc.play(parts)


async def beside(plc: SimPlc, work: Coroutine[Any, Any, list[SimResult]]) -> list[SimResult]:
    """This one scans on meanwhile."""
    task = asyncio.create_task(work)
    while not task.done():
        await plc.idle_for(0.02)
    return await task


async def until(plcs: Sequence[SimPlc], true: object, within_s: float = START_S) -> bool:
    """All scan on until `true()`."""
    assert callable(true)
    end = asyncio.get_running_loop().time() + within_s
    while not true():
        if asyncio.get_running_loop().time() > end:
            return False
        await asyncio.gather(*(plc.idle_for(0.02) for plc in plcs))
    return True


def ready(plc: SimPlc) -> bool:
    return bool(plc.stat()["STATUS"] & Status.TRIGGER_READY)
