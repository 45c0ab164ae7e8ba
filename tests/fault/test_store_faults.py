"""The disk stalls or fails under the real daemon: strace meddles with its fsyncs.

Numbers are those of the fault campaign.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil
import pytest

from inspector.store.journal import BEHIND_S
from plc.registers import OfflineReason, Reason, Status, Verdict
from plc.sim import SimConfig, SimResult
from tests.support.alarms import action_of
from tests.support.live_line import START_S, LiveLine, broken, live_line

STRACE = shutil.which("strace")
pytestmark = [
    pytest.mark.fault,
    pytest.mark.slow,
    pytest.mark.skipif(STRACE is None, reason="strace is not installed: apt-get install strace"),
]

SYNCS = "fsync,fdatasync"
STALL = "delay_enter=400000"  # microseconds
LATE = [(Verdict.NOT_INSPECTED, reason) for reason in (Reason.DEADLINE, Reason.STORAGE)]
PATIENT = SimConfig(ack_timeout_s=8, result_timeout_s=10, heartbeat_timeout_s=8, ready_timeout_s=START_S)
PAUSED = broken({"predicted": "stop@2"}) + "\n[health]\nhang_after_s = 10\n"


@asynccontextmanager
async def failing_syncs(
    process: asyncio.subprocess.Process, fault: str, log: Path, calls: str = SYNCS
) -> AsyncIterator[None]:
    """While the block runs, each of these calls of the daemon meets `fault`. Skips where nobody may trace."""
    assert STRACE is not None
    tracer = await asyncio.create_subprocess_exec(
        STRACE, "-f", "-p", str(process.pid), "-o", str(log), "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}",
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        assert tracer.stderr is not None
        async with asyncio.timeout(START_S):
            said = (await tracer.stderr.readline()).decode()
            while "attached" not in said:
                if "not permitted" in said or tracer.returncode is not None:
                    pytest.skip(f"this system lets nobody trace: {said}")
                said = (await tracer.stderr.readline()).decode()
        yield
    finally:
        if tracer.returncode is None:
            tracer.terminate()  # it lets the daemon go on by itself
        await tracer.communicate()


async def part_stopped_after_inference(line: LiveLine) -> tuple[asyncio.Task[SimResult], psutil.Process]:
    """A good part is under way; the daemon has judged it as PASS and stands still before it commits that."""
    playing = asyncio.create_task(line.play(line.next_good()))
    assert line.process is not None
    process = psutil.Process(line.process.pid)
    async with asyncio.timeout(START_S):
        while process.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.01)
    return playing, process


async def test_a_commit_that_stalls_after_inference_is_a_reject_and_the_row_says_what_the_plc_was_told(tmp_path):
    """Row 68, I3. Two commits of 400 ms do not fit into the deadline."""
    async with live_line(tmp_path, PATIENT) as line:
        line.configure(deadline_ms=700)
        process = await line.start()
        await line.good()
        async with failing_syncs(process, STALL, tmp_path / "syncs"):
            results = [await line.fairly(line.goods) for _ in range(3)]
            for result in results:
                assert (result.code, result.reason) in LATE
                assert line.codes_told(result.trigger_id) == [(result.code, result.reason)]
            assert "DELAYED" in (tmp_path / "syncs").read_text()
        await line.good()
        for result in results:
            row = line.row(result)
            told = (result.code, result.reason, "confirmed")
            assert (row["published_code"], row["published_reason"], row["delivery"]) == told
            assert row["decided_code"] == Verdict.NOT_INSPECTED, "the row itself must not say PASS"
        judged = [row for row in map(line.row, results) if row["label"] == "good"]
        assert judged, "the model had passed at least one of them, before its commit was late"


async def test_an_fsync_that_fails_after_inference_is_no_pass_and_only_a_restart_brings_ready_back(tmp_path):
    """Rows 51 and 68, I3, I4, I6. After a failed fsync a retry that succeeds proves nothing."""
    async with live_line(tmp_path, PATIENT) as line:
        line.configure(deadline_ms=10_000, more=PAUSED)
        process = await line.start()
        await line.good()
        playing, paused = await part_stopped_after_inference(line)
        async with failing_syncs(process, "error=EIO", tmp_path / "syncs"):
            paused.resume()
            result = await playing
            assert result.verdict == "reject"
            assert (Verdict.PASS, Reason.NONE) not in line.codes_told(result.trigger_id)
            alarm = await line.not_ready(OfflineReason.STORAGE, "out of service until a restart")
            assert "restart the service" in action_of(alarm)
            assert "EIO" in (tmp_path / "syncs").read_text()
        await line.until(lambda: not line.sim.stat()["STATUS"] & Status.RESULTS_VALID, 5)
        told = len(line.told)
        assert not await line.sim.wait_ready(2 * BEHIND_S), "the disk works again, but who knows what it lost"
        assert len(line.told) == told, "no result became valid without a record"
        assert line.sim.stat()["ERROR_CODE"] == Reason.STORAGE
        await line.end()
        await line.start()
        await line.good()
        row = line.row(result)
        assert (row["decided_code"], row["kind"]) == (Verdict.NOT_INSPECTED, "accepted")


@pytest.mark.parametrize(("calls", "fault"), [(SYNCS, "error=EIO"), ("pwrite64", "error=EROFS")], ids=["eio", "rofs"])
async def test_a_disk_that_fails_while_idle_is_told_in_time_and_a_trigger_that_comes_all_the_same_is_no_pass(
    tmp_path, calls, fault
):
    """Row 51, I6."""
    async with live_line(tmp_path, PATIENT) as line:
        line.configure()
        process = await line.start()
        await line.good()
        await line.ready()
        async with failing_syncs(process, fault, tmp_path / "syncs", calls):
            await line.not_ready(OfflineReason.STORAGE, "out of service until a restart")
        assert await line.answer(line.raise_trigger(line.next_good())) == (Verdict.NOT_INSPECTED, Reason.STORAGE)
