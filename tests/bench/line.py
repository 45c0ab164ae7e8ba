"""The whole cycle: the real daemon as a process on the bench's bundle, the simulated PLC in this one."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw

from inspector.demo.processes import daemon, last_words
from plc.sim import SimConfig, SimPlc

POLL_MS = 2.0
SCAN_S = 0.002  # of the simulated PLC's program: its own part in the cycle
CONFIG = """\
[paths]
state = "{state}"
run = "{run}"

[[plc.links]]
name = "plc"
host = "127.0.0.1"
port = {port}
armed_poll_ms = {poll}
heartbeat_timeout_ms = 2000

[[stations]]
id = "bench"
deadline_ms = 300
max_trigger_age_ms = 200

[camera]
kind = "folder"
folder = "{pictures}"
grab_timeout_ms = 200

[bundle]
file = "{bundle}"
trusted_keys = ["{key}"]

[model]
threads = {threads}
"""
READY_S = 30.0


class Line:
    """Daemon and PLC. Every part is judged and passes; one that does not is an error of the bench."""

    def __init__(self, sim: SimPlc, pid: int, ready_s: float) -> None:
        self.ready_s = ready_s  # from the daemon's start to READY seen by the PLC
        self._sim, self._pid = sim, pid
        self._next = 1

    async def part(self) -> None:
        """One part, start to end. Raises RuntimeError: the PLC did not let it pass."""
        result = await self._sim.inspect(self._next)
        self._next += 1
        if result.verdict != "good":
            raise RuntimeError(f"part {result.part_id} came out as {result.code}/{result.reason}, not PASS")

    async def idle(self, seconds: float) -> None:
        await self._sim.idle_for(seconds)

    def memory_mb(self) -> float:
        """Resident memory of the daemon."""
        for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        raise RuntimeError("no VmRSS")

    def cycles_s(self) -> list[float]:
        """Trigger edge to RESULTS_VALID, both as the PLC saw them."""
        return [r.valid_s - r.edge_s for r in self._sim.results if r.valid_s is not None]

    def acknowledged_s(self) -> list[float]:
        """Trigger edge to TRIGGER_ACK: half a poll on average, a read, a write, and the PLC's own scan."""
        return [r.ack_s - r.edge_s for r in self._sim.results if r.ack_s is not None]


@asynccontextmanager
async def running(folder: Path, bundle: Path, key: str, pictures: Path, threads: int) -> AsyncIterator[Line]:
    """Start the line in `folder`, which keeps its state from one start to the next."""
    sim = SimPlc(SimConfig(scan_s=SCAN_S, result_timeout_s=2.0, ack_timeout_s=1.0, ready_timeout_s=READY_S))
    await sim.start()
    config = folder / "station.toml"
    config.write_text(
        CONFIG.format(
            state=folder / "state", run=folder / "run", port=sim.port, poll=POLL_MS, pictures=pictures, bundle=bundle,
            key=key, threads=threads,
        ),
        encoding="utf-8",
    )  # fmt: skip
    try:
        begun_s = time.monotonic()
        async with daemon(config) as process:
            if not await sim.wait_ready(READY_S):
                raise RuntimeError(f"not READY within {READY_S:.0f} s:\n{last_words(folder / 'daemon.log')}")
            yield Line(sim, process.pid, time.monotonic() - begun_s)
    finally:
        await sim.close()


def stages_s(database: Path) -> dict[str, list[float]]:
    """Seconds that each stage took, from the record's own stamps."""
    db = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    rows = [json.loads(text) for (text,) in db.execute("SELECT stages FROM inspections WHERE kind = 'accepted'")]
    db.close()
    spans = {
        "first commit": ("accepted", "opened"), "grab": ("opening", "grabbed"), "frame checks": ("grabbed", "checked"),
        "infer": ("checked", "predicted"), "second commit": ("judged", "decided"),
        "accept to publishing": ("trigger", "publishing"),
    }  # fmt: skip
    return {name: [(row[end] - row[begin]) / 1000 for row in rows] for name, (begin, end) in spans.items()}


def write_and_fsync(file: Path) -> None:
    """What one plain durable write costs on this disk."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, bytes(4096))
        os.fsync(fd)
    finally:
        os.close(fd)


async def settle(line: Line) -> None:
    """The first parts after a start are slower: not measured."""
    for _ in range(10):
        await line.part()
    await asyncio.sleep(0)
