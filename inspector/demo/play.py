"""The demo: simulated PLC, daemon and page as three processes, and a count of what came of every part."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from inspector.control import ControlError, connect_control
from inspector.demo.count import all_accounted_for, count
from inspector.demo.parts import Kind, kind_of
from inspector.demo.processes import DemoError, child, config_text, daemon, last_words
from inspector.demo.screen import Screen, Silent, View
from plc.free_port import free_port
from plc.sim import SimResult

READY_S = 100.0  # a busy machine, as in twin.py
PARTS = 200  # where nobody watches who could end it
RATE = 4.0  # parts a second, for people
LINE_PLC = "inspector.demo.line_plc"
CHANGE_EVERY = 50  # parts, then the PLC changes over to the other recipe


def is_good(part_id: int) -> bool:
    return kind_of(part_id) is Kind.GOOD


async def play(parts: int, folder: Path, view: View, *, page_port: int | None, rate: float) -> dict[str, Any]:
    """Bring `parts` parts past the camera (0: until SIGINT or SIGTERM); returns the counts. Raises DemoError."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    port, config = free_port(), folder / "demo.toml"
    config.write_text(config_text(port, folder, page_port=page_port or 8080), encoding="utf-8")
    plc = ("--port", str(port), "--parts", str(parts), "--rate", str(rate), "--change-every", str(CHANGE_EVERY))
    results: list[SimResult] = []
    changes: list[dict[str, Any]] = []
    async with contextlib.AsyncExitStack() as stack:
        others: list[asyncio.Task[object]] = []
        if page_port is not None:
            page = await stack.enter_async_context(child("inspector", "web", str(config), log=folder / "page.log"))
            others.append(asyncio.create_task(page.wait(), name="page"))
        line = await stack.enter_async_context(daemon(config))
        others.append(asyncio.create_task(line.wait(), name="daemon"))
        sim = await stack.enter_async_context(child(LINE_PLC, *plc, log=folder / "plc.log", piped=True))
        view.started(port, page_port, config)
        playing = asyncio.create_task(_play(sim, folder, results, changes, view), name="play")
        coded = asyncio.create_task(_tell_code(folder / "page.log", page_port, view), name="code")
        stopped = asyncio.create_task(stop.wait(), name="stop")
        try:
            await asyncio.wait([playing, stopped, *others], return_when=asyncio.FIRST_COMPLETED)
            if not playing.done():
                sim.send_signal(signal.SIGTERM)  # it finishes the part in flight
            for ended in (task.get_name() for task in others if task.done()):
                raise DemoError(f"the {ended} ended by itself:\n{last_words(folder / f'{ended}.log')}")
            await playing
        finally:
            for task in (playing, stopped, coded, *others):
                task.cancel()
            await asyncio.gather(playing, stopped, coded, *others, return_exceptions=True)
    if changes and not changes[-1]["ok"]:
        raise DemoError(f"the change-over to recipe {changes[-1]['recipe']} failed: {changes[-1]['text']}")
    if not stop.is_set() and len(results) < parts:
        raise DemoError(f"the simulated PLC ended after {len(results)} parts:\n{last_words(folder / 'plc.log')}")
    counts = count(results, folder / "state" / "results.db", is_good)
    return counts | {
        "change_overs": sum(c["ok"] for c in changes),
        "change_overs_failed": sum(not c["ok"] for c in changes),
    }


async def _play(
    sim: asyncio.subprocess.Process, folder: Path, results: list[SimResult], changes: list[dict[str, Any]], view: View
) -> None:
    """Wait for READY, then take in what the PLC read of each part and came of each change-over, to the last."""
    begun_s = time.monotonic()
    async for status in _statuses(folder / "run" / "control.sock", begun_s + READY_S):
        view.waiting(status)
        if status.get("ready"):
            view.ready(time.monotonic() - begun_s)
            break
    else:
        raise DemoError(f"not READY within {READY_S:.0f} s:\n{last_words(folder / 'daemon.log')}")
    if sim.stdout is None:
        raise RuntimeError("the simulated PLC has no pipe")
    async for line in sim.stdout:
        told = json.loads(line)
        if "change_over" in told:
            changes.append(told["change_over"])
            view.changed_over(changes[-1]["recipe"], ok=changes[-1]["ok"])
        elif "acknowledged" in told:
            view.acknowledged(told["acknowledged"])
        else:
            results.append(SimResult(**told))
            view.part(results)


async def _tell_code(log: Path, page_port: int | None, view: View) -> None:
    """The one-time code of the first administrator: a page of a box tells it in its journal, this one in a folder."""
    while page_port is not None:
        if (told := await asyncio.to_thread(_code_in, log)) is not None:
            view.first_start(*told)
            return
        await asyncio.sleep(0.1)


def _code_in(log: Path) -> tuple[str, str] | None:
    """Page and code in a log; None: not there yet. A line that is not whole yet is no JSON."""
    for line in log.read_bytes().splitlines() if log.exists() else ():
        with contextlib.suppress(ValueError, KeyError, TypeError):
            told = json.loads(line)
            return str(told["page"]), str(told["code"])
    return None


async def _statuses(path: Path, until_s: float) -> AsyncIterator[dict[str, Any]]:
    """What the daemon says of itself, until then; before it listens, nothing."""
    while time.monotonic() < until_s:
        with contextlib.suppress(OSError, ControlError):
            async with connect_control(path, "demo") as control:
                yield dict(await control.status())
        await asyncio.sleep(0.05)


def main(parts: int | None, headless: bool, as_json: bool, page_port: int, rate: float | None) -> int:
    """Play, print the counts, and return the exit status: 1 if any count differs."""
    watched = sys.stdout.isatty() and not headless
    if parts is None:
        parts = 0 if watched else PARTS
    if rate is None:
        rate = 0.0 if headless else RATE
    view = Silent() if headless else Screen(is_good, live=watched)
    with tempfile.TemporaryDirectory(prefix="inspector-demo-") as name, view:
        counts = asyncio.run(play(parts, Path(name), view, page_port=None if headless else page_port, rate=rate))
    print(json.dumps(counts) if as_json else _table(counts))
    sys.stdout.flush()
    return 0 if all_accounted_for(counts) else 1


def _table(counts: dict[str, Any]) -> str:
    cycle = counts["cycle_ms"]
    shown = {**counts, "cycle_ms": f"p50 {cycle['p50']}, p99 {cycle['p99']}"}
    return "\n".join(f"{key.replace('_', ' '):>16}  {value}" for key, value in shown.items())
