"""`make bench-web`: the line's cycle while the page is left alone, and while 564 strangers sit on it, in turns.

The demo's line: real daemon, rendered parts, simulated PLC; the page as a process. Load: 500 half-sent headers, each
begun anew when the page closes it, and 64 open screens. Writes docs/bench/web.json; exit status 1 if the bar is missed.

    python -m tests.bench.web_load [--turns 12] [--parts 100] [--out docs/bench/web.json]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import httpx
import psutil
from rich.console import Console

from inspector.demo.parts import Kind
from inspector.demo.processes import child, config_text, daemon, last_words
from inspector.runtime import cpu_model
from plc.free_port import free_port as a_free_port
from plc.sim import SimConfig
from tests.bench import rows
from tests.bench.line import READY_S, SCAN_S, UNEVEN_S, precise_loop
from tests.bench.rows import Row
from tests.bench.stages import WatchedPlc
from tests.support.live_line import parts_of
from training.train import source_commit

HALVES, SCREENS = 500, 64
SHARE, BAR_MS = 0.10, 2.0  # the p99 may be higher by this share of itself, or by so many ms, whichever is more
SETTLE_S = 2.0  # after the load came or went
WARM_UP = 5
PATIENCE_S = 5.0  # of the PLC for a result; one that does not come counts as so long
PATIENT = "request_timeout_ms = 5000\nheartbeat_timeout_ms = 10000\n"
DEADLINE_MS = 1000  # a part that is late on a busy machine counts too, and must not end the bench


class Load:
    """The strangers, in a process of their own, which stands for other machines."""

    def __init__(self, process: subprocess.Popen[str], page: psutil.Process) -> None:
        self._process, self._page = process, page

    async def switch(self, on: bool) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write("on\n" if on else "off\n")
        self._process.stdin.flush()
        if not on:
            await asyncio.to_thread(self._process.stdout.readline)
        await asyncio.sleep(SETTLE_S)

    def connections(self) -> int:
        """That the page holds now."""
        return sum(c.status == psutil.CONN_ESTABLISHED for c in self._page.net_connections(kind="tcp"))

    def memory_mb(self) -> float:
        return float(self._page.memory_info().rss) / 1e6


@contextmanager
def strangers(port: int, page: int) -> Iterator[Load]:
    command = [sys.executable, "-m", "tests.support.strangers", str(port), str(HALVES), str(SCREENS)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Load(process, psutil.Process(page))
        finally:
            process.terminate()


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[tuple[WatchedPlc, int, int]]:
    """PLC, daemon and page; yields the PLC, and the page's port and process."""
    waits = {
        "result_timeout_s": PATIENCE_S,
        "ack_timeout_s": 1.0,
        "ready_timeout_s": READY_S,
        "heartbeat_timeout_s": 2.0,
    }
    sim = WatchedPlc(SimConfig(scan_s=SCAN_S, **waits))
    await sim.start()
    port = a_free_port()
    text = config_text(sim.port, folder, page_port=port).replace("deadline_ms = 300", f"deadline_ms = {DEADLINE_MS}")
    text = text.replace("grab_timeout_ms = 200", f"grab_timeout_ms = {DEADLINE_MS // 2}")
    config = folder / "station.toml"
    config.write_text(text.replace(f"port = {sim.port}\n", f"port = {sim.port}\n{PATIENT}"), encoding="utf-8")
    try:
        async with daemon(config), child("inspector", "web", str(config), log=folder / "page.log") as page:
            if not await sim.wait_ready(READY_S):
                raise RuntimeError(f"not READY within {READY_S:.0f} s:\n{last_words(folder / 'daemon.log')}")
            await _opened(port, folder)
            yield sim, port, page.pid
    finally:
        await sim.close()


async def _opened(port: int, folder: Path) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        end_s = time.monotonic() + READY_S
        while time.monotonic() < end_s:
            try:
                if (await client.get("/readyz")).status_code == 200:
                    return
            except httpx.TransportError:
                pass
            await asyncio.sleep(0.1)
    raise RuntimeError(f"the page did not open:\n{last_words(folder / 'page.log')}")


@dataclass
class Taken:
    """What came of the parts of one kind. cycles_s: from the edge to RESULTS_VALID."""

    cycles_s: list[float] = field(default_factory=list)
    rejected: int = 0  # late, on a machine that others use; their cycles count

    async def block(self, sim: WatchedPlc, good: Iterator[int], parts: int) -> None:
        """So many good parts."""
        for number in range(WARM_UP + parts):
            await asyncio.sleep(random.uniform(0, UNEVEN_S))
            result = await sim.inspect(next(good))
            if number < WARM_UP:
                continue
            self.rejected += result.verdict != "good"
            self.cycles_s.append(PATIENCE_S if result.valid_s is None else sim.seen(result).cycle_s)


async def measure(folder: Path, turns: int, parts: int, console: Console) -> list[Row]:
    alone, loaded, held, memory = Taken(), Taken(), list[int](), list[float]()
    good = parts_of(Kind.GOOD)
    begun_load = os.getloadavg()[0]
    async with running(folder) as (sim, port, pid):
        with strangers(port, pid) as load:
            for number in range(turns):
                await alone.block(sim, good, parts)
                await load.switch(on=True)
                held.append(load.connections())
                await loaded.block(sim, good, parts)
                memory.append(load.memory_mb())
                await load.switch(on=False)
                console.print(f"turn {number + 1} of {turns}: {held[-1]} connections")
    return told(alone, loaded, held, memory, begun_load)


def told(alone: Taken, loaded: Taken, held: list[int], memory: list[float], others: float) -> list[Row]:
    """others: what ran on the machine beside us when we began, as its load average."""
    before, after = 1000 * rows.p99(alone.cycles_s), 1000 * rows.p99(loaded.cycles_s)
    bar = before + max(SHARE * before, BAR_MS)
    return [
        *rows.milliseconds("cycle, page left alone", alone.cycles_s),
        *rows.milliseconds("cycle, page under load", loaded.cycles_s),
        Row("p99 under load - p99 alone", after - before, "ms", f"at most {bar - before:.3g}", after <= bar),
        rows.at_least("connections that the page held under load, fewest", min(held), "", HALVES * 0.8 + SCREENS),
        Row("parts, each", len(alone.cycles_s)), Row("good parts rejected, page left alone", alone.rejected),
        Row("good parts rejected, page under load", loaded.rejected),
        Row("resident memory of the page under load, most", max(memory), "MB"),
        Row("load average of the machine at the start", others), Row("CPU", cpu_model()),
        Row("cores", len(os.sched_getaffinity(0))), Row("commit", source_commit() or "unknown"),
        Row("date", datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=12)
    parser.add_argument("--parts", type=int, default=100, help="of each kind in one turn")
    parser.add_argument("--out", type=Path, default=Path("docs/bench/web.json"))
    args = parser.parse_args()
    console = Console()
    with (
        tempfile.TemporaryDirectory(prefix=".bench-", dir=".") as name,
        asyncio.Runner(loop_factory=precise_loop) as runner,
    ):
        found = runner.run(measure(Path(name).resolve(), args.turns, args.parts, console))
    rows.show(found, console, "make bench-web")
    rows.write_json(found, args.out)
    console.print(f"written: {args.out}")
    return 1 if rows.missed(found) else 0


if __name__ == "__main__":
    sys.exit(main())
