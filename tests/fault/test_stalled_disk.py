"""The whole daemon on a disk that stalls or fails (docs/faults.md): no result without a record."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from inspector.demo.parts import Kind
from plc.registers import OfflineReason, Reason, Verdict
from tests.support.faulty_line import faulty_line, parts_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed (apt install strace)"),
]

GOOD = parts_of(Kind.GOOD)
SYNCS = "fsync,fdatasync"


@asynccontextmanager
async def injected(pid: int, fault: str) -> AsyncIterator[None]:
    """While inside, every sync of process `pid` meets `fault`. Skips where this user may not trace."""
    command = ("strace", "-f", "-qq", "-p", str(pid), "-e", f"trace={SYNCS}", "-e", f"inject={SYNCS}:{fault}")
    tracer = await asyncio.create_subprocess_exec(
        *command, "-o", "/dev/null", stderr=asyncio.subprocess.PIPE, stdin=asyncio.subprocess.DEVNULL
    )
    try:
        await asyncio.sleep(1.0)
        if tracer.returncode is not None:
            pytest.skip(f"strace cannot attach here: {(await tracer.communicate())[1].decode().strip()}")
        yield
    finally:
        if tracer.returncode is None:
            tracer.terminate()
        await tracer.communicate()


def strict(text: str) -> str:
    """A deadline that a stalled commit misses."""
    return text.replace("deadline_ms = 4000", "deadline_ms = 300").replace(
        "grab_timeout_ms = 2000", "grab_timeout_ms = 200"
    )


async def test_a_commit_that_stalls_beyond_the_deadline_is_no_pass_and_the_row_says_what_the_plc_was_told(tmp_path):
    """Fault row 68: fsync takes 400 ms longer."""
    async with faulty_line(tmp_path) as line, line.start(change=strict) as process:
        await line.sim.play(GOOD[:2])
        async with injected(process.pid, "delay_enter=400000"):
            line.sim.cfg.ready_timeout_s = 3
            (stalled,) = await line.sim.play(GOOD[2:3])
        line.sim.cfg.ready_timeout_s = 25
        (after,) = await line.sim.play(GOOD[3:4])
    assert stalled.verdict == "reject"
    assert (stalled.code, stalled.reason) in [
        (0, 0),  # not READY in time, or no word in time
        (Verdict.NOT_INSPECTED, Reason.STORAGE),
        (Verdict.NOT_INSPECTED, Reason.DEADLINE),
    ]
    assert after.verdict == "good"
    line.checked()


async def test_a_disk_that_fails_takes_ready_away_and_only_a_restart_brings_it_back(tmp_path):
    """EIO on fsync: what the kernel then calls clean may never have reached the disk, so a retry proves nothing."""
    async with faulty_line(tmp_path) as line:
        async with line.start() as process:
            await line.sim.play(GOOD[:2])
            async with injected(process.pid, "error=EIO"):
                status = await line.told(OfflineReason.STORAGE, "store")
            line.sim.cfg.ready_timeout_s = 1
            (refused,) = await line.sim.play(GOOD[2:3])  # the disk works again, and still:
        assert refused.verdict == "reject" and "restart" in status["alarms"][0]["action"].lower()
        line.sim.cfg.ready_timeout_s = 25
        async with line.start():
            (after,) = await line.sim.play(GOOD[3:4])
    assert after.verdict == "good"
    line.checked()
