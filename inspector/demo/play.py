"""The demo: a simulated PLC here, the real daemon as a process, and a count of what came of every part."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import apsw
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from inspector.demo.parts import Kind, kind_of
from plc.registers import Verdict
from plc.sim import SimPlc, SimResult

READY_S = 20.0
NAMES = {v.value: v.name.lower() for v in Verdict}


def config_text(port: int, folder: Path, failpoints: str = "") -> str:
    """A station like configs/demo.toml, on this PLC's port and in this folder."""
    demo = (Path(__file__).parents[1] / "demo" / "demo.toml").read_text()
    return demo.format(port=port, state=folder / "state", run=folder / "run") + failpoints


@contextlib.asynccontextmanager
async def daemon(config: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """`inspector run` as a process of its own, ended in order."""
    log = (config.parent / "daemon.log").open("ab")
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "inspector", "run", str(config), stdout=log, stderr=log
    )
    try:
        yield process
    finally:
        log.close()
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 5)
            except TimeoutError:
                process.kill()
                await process.wait()


async def play(parts: int, folder: Path, show: Progress | None) -> dict[str, object]:
    """Bring `parts` parts past the camera; returns the counts. Raises TimeoutError: the daemon was never READY."""
    sim = SimPlc()
    await sim.start()
    config = folder / "demo.toml"
    config.write_text(config_text(sim.port, folder))
    bar = show.add_task("parts", total=parts) if show else None
    try:
        async with daemon(config):
            if not await sim.wait_ready(READY_S):
                raise TimeoutError(f"not READY within {READY_S:.0f} s; see {folder / 'daemon.log'}")
            for part_id in range(1, parts + 1):
                await sim.inspect(part_id)
                if show and bar is not None:
                    show.update(bar, advance=1, description=_line(sim.results))
            triggers = sim.next_id - 1
    finally:
        await sim.close()
    return summary(sim.results, triggers, folder / "state" / "results.db")


def summary(results: list[SimResult], triggers: int, database: Path) -> dict[str, object]:
    """Counts by verdict and truth, and every difference between the record and what the PLC read."""
    db = apsw.Connection(str(database))
    rows = {t: code for t, code in db.execute("SELECT trigger_id, published_code FROM inspections")}
    db.close()
    codes = Counter(NAMES.get(r.code, "none") for r in results)
    cycles = sorted((r.valid_s - r.edge_s) * 1000 for r in results if r.valid_s is not None)
    return {
        "triggers": triggers,
        "rows": len(rows),
        "plc_results": sum(r.code != 0 for r in results),
        "mismatches": sum(rows.get(r.trigger_id) != r.code for r in results),
        **{name: codes[name] for name in NAMES.values()},
        "escapes": sum(r.verdict == "good" and kind_of(r.part_id) is not Kind.GOOD for r in results),
        "overkills": sum(r.verdict != "good" and kind_of(r.part_id) is Kind.GOOD for r in results),
        "cycle_ms": {"p50": _percentile(cycles, 0.5), "p99": _percentile(cycles, 0.99)},
    }


def _percentile(values: list[float], share: float) -> float | None:
    return round(values[min(len(values) - 1, int(share * len(values)))], 2) if values else None


def _line(results: list[SimResult]) -> str:
    good = sum(r.verdict == "good" for r in results)
    return f"passed {good}, rejected {len(results) - good}"


def main(parts: int, headless: bool, as_json: bool) -> int:
    """Play, print the counts, and return the exit status: 1 if any count differs."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    progress = contextlib.nullcontext() if headless else Progress(*columns)
    with tempfile.TemporaryDirectory(prefix="inspector-demo-") as name, progress as show:
        counts = asyncio.run(play(parts, Path(name), show))
    print(json.dumps(counts) if as_json else "\n".join(f"{key:>14}  {value}" for key, value in counts.items()))
    sys.stdout.flush()
    same = counts["triggers"] == counts["rows"] == counts["plc_results"] and counts["mismatches"] == 0
    return 0 if same else 1
