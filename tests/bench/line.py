"""The whole cycle: the real daemon as a process on the bench's bundle, the simulated PLC in this one."""

from __future__ import annotations

import asyncio
import os
import random
import selectors
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from inspector.demo.processes import daemon, last_words
from plc.sim import SimConfig
from tests.bench.stages import Seen, WatchedPlc

POLL_MS = 2.0
SCAN_S = 0.001  # of the simulated PLC's program: its own part in the cycle
# While other kinds are measured the PLC of this process answers nobody: the link must outlast that.
CONFIG = """\
[paths]
state = "{state}"
run = "{run}"

[[plc.links]]
name = "plc"
host = "127.0.0.1"
port = {port}
armed_poll_ms = {poll}
request_timeout_ms = 5000
heartbeat_timeout_ms = 10000

[[stations]]
id = "bench"
deadline_ms = 1000
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
UNEVEN_S = 0.004  # parts come at no multiple of the poll interval
BREATH_S = 0.02  # long enough for the PLC to answer what the daemon has asked meanwhile
AWAKE_HEARTBEATS = 3  # the daemon's: what it wrote before a pause, and whether it is ready, is old by then


def precise_loop() -> asyncio.AbstractEventLoop:
    """For the simulated PLC: asyncio's usual epoll rounds each wait up to a millisecond, which is a whole scan."""
    return asyncio.SelectorEventLoop(selectors.SelectSelector())


class Line:
    """Daemon and PLC. Every part is judged and passes; one that does not is an error of the bench."""

    def __init__(self, plc: WatchedPlc, pid: int, ready_s: float) -> None:
        self.ready_s = ready_s  # from the daemon's start to READY seen by the PLC
        self.seen: list[Seen] = []
        self._plc, self._pid = plc, pid
        self._next = 1

    async def block(self, parts: int, warm_up: int) -> None:
        """Some parts, each as soon as the line is ready; the first `warm_up` do not count. Raises RuntimeError."""
        await self._awake()
        for number in range(warm_up + parts):
            seen = await self._part()
            if number >= warm_up:
                self.seen.append(seen)

    async def breathe(self) -> None:
        """Let the PLC answer, between calls that block this process."""
        await self._plc.idle_for(BREATH_S)

    async def _awake(self) -> None:
        """Scan until the daemon has written anew several times. Raises TimeoutError."""
        async with asyncio.timeout(READY_S):
            for _ in range(AWAKE_HEARTBEATS):
                before = self._plc.stat()["HEARTBEAT"]
                while self._plc.stat()["HEARTBEAT"] == before:
                    await self._plc.idle_for(BREATH_S)

    async def _part(self) -> Seen:
        await asyncio.sleep(random.uniform(0, UNEVEN_S))
        result = await self._plc.inspect(self._next)
        self._next += 1
        if result.verdict != "good":
            raise RuntimeError(f"part {result.part_id} came out as {result.code}/{result.reason}, not PASS")
        return self._plc.seen(result)

    @property
    def parts(self) -> int:
        """Parts since the daemon's start, counted or not."""
        return self._next - 1

    def memory_mb(self, what: str) -> float:
        """Of the daemon: VmRSS, resident now, or VmHWM, the most it ever was; 10^6 bytes."""
        for line in Path(f"/proc/{self._pid}/status").read_text().splitlines():
            if line.startswith(f"{what}:"):
                return int(line.split()[1]) * 1024 / 1e6
        raise RuntimeError(f"no {what}")

    def cycles_s(self) -> list[float]:
        """Trigger edge to RESULTS_VALID, both as the PLC saw them."""
        return [one.cycle_s for one in self.seen]


@asynccontextmanager
async def running(folder: Path, bundle: Path, key: str, pictures: Path, threads: int) -> AsyncIterator[Line]:
    """Start the line in `folder`, which keeps its state from one start to the next."""
    waits = {"result_timeout_s": 2.0, "ack_timeout_s": 1.0, "ready_timeout_s": READY_S, "heartbeat_timeout_s": 2.0}
    sim = WatchedPlc(SimConfig(scan_s=SCAN_S, **waits))
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


def write_and_fsync(file: Path) -> None:
    """What one plain durable write costs on this disk."""
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, bytes(4096))
        os.fsync(fd)
    finally:
        os.close(fd)
