"""The daemon is killed, stopped, hung and ended, as a process. Numbers are those of the fault campaign."""

from __future__ import annotations

import asyncio
import itertools
import signal
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import apsw
import psutil
import pytest
import pytest_asyncio

from inspector.cameras.faults import Fault
from inspector.failpoints import POINTS
from inspector.health import EXIT_HUNG
from plc.registers import OfflineReason, Reason, Status, Verdict, VisionState
from plc.sim import SimConfig, SimResult
from tests.support.invariants import Row
from tests.support.live_line import LOOK_S, READY_AGAIN_S, START_S, LiveLine, broken, live_line, standing

pytestmark = [pytest.mark.fault, pytest.mark.slow]

QUICK = SimConfig(ack_timeout_s=8, result_timeout_s=10, heartbeat_timeout_s=1.5, ready_timeout_s=START_S)
OFFLINE, STALE, RESTARTED = (
    (Verdict.NOT_INSPECTED, reason) for reason in (Reason.OFFLINE, Reason.STALE_TRIGGER, Reason.RESTARTED)
)
UNDECIDED = ("accepted", "opening", "grabbed", "checked", "predicted", "judged")  # stages before the decision's commit
UNTOLD = (*UNDECIDED, "decided", "loaded", "refused")  # stages at which the PLC had no result yet
PATIENT_HANG = "\n[health]\nhang_after_s = 10\n"
END_S = 2.0  # SIGTERM to the process' end
SO_TIMESTAMPNS, _STAMP = 35, struct.Struct("@ll")  # Linux, where Python does not name it


# -- row 31 ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Killed:
    """What became of the part in which the daemon was killed, and of the one after the restart."""

    hit: SimResult
    told: list[tuple[int, int]]  # (code, reason) that ever stood valid for it
    rows: list[Row]  # of its trigger id
    after: SimResult
    ready_again_s: float


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def killed(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mapping[str, Killed]]:
    """One station, killed in the second part of each life at another stage, and started again each time."""
    found: dict[str, Killed] = {}
    async with live_line(tmp_path_factory.mktemp("killed"), QUICK) as line:
        arm(line, POINTS[0])
        await line.start()
        await line.good()
        for stage, following in zip(POINTS, (*POINTS[1:], None), strict=True):
            found[stage] = await killed_at(line, stage, following)
        yield found


def arm(line: LiveLine, stage: str | None) -> None:
    nth = 1 if stage == "refused" else 2
    line.configure(more=broken({stage: f"kill@{nth}"}) if stage else "")


async def killed_at(line: LiveLine, stage: str, following: str | None) -> Killed:
    if stage == "refused":
        line.sim.next_id -= 1  # the PLC repeats an id
    playing = asyncio.create_task(line.play(line.next_good()))
    assert line.process is not None
    async with asyncio.timeout(START_S):
        assert await line.process.wait() == -signal.SIGKILL, f"stage {stage} was never reached\n{line.words()}"
    dead = line.fair()
    arm(line, following)
    await line.start()
    while not playing.done():
        await asyncio.sleep(LOOK_S)
        dead.s()
    hit = await playing
    ready_again_s = await line.ready(since=dead)
    after = await line.play(line.next_good())
    rows = [r for r in line.checked() if r["trigger_id"] == hit.trigger_id]
    return Killed(hit, line.codes_told(hit.trigger_id), rows, after, ready_again_s)


@pytest.mark.parametrize("stage", POINTS)
def test_a_daemon_killed_mid_cycle_never_passes_the_part_in_flight_and_is_ready_again(killed, stage):
    """Row 31, I1 to I4."""
    found = killed[stage]
    if stage in UNTOLD:
        assert found.hit.verdict == "reject"
        assert Verdict.PASS not in [code for code, _ in found.told if stage != "refused"]
    assert found.after.verdict == "good"
    assert found.ready_again_s <= READY_AGAIN_S


@pytest.mark.parametrize("stage", POINTS)
def test_a_part_in_flight_when_the_daemon_is_killed_has_its_row_whatever_the_stage(killed, stage):
    """Row 31, I2 and I3: every acknowledged id has a row; what was decided stands, what was not is 4/108."""
    found = killed[stage]
    if stage == "accepted" and found.hit.ack_s is None and not found.told:
        assert found.rows == [] or decided(found.rows[0]) == RESTARTED, "never acknowledged, so it needs no row"
        return
    assert found.rows, found
    row = next(r for r in found.rows if r["part_id"] in (found.hit.part_id, 0))
    if stage in UNDECIDED:
        assert decided(row) in (RESTARTED, STALE)
    elif stage == "refused":
        assert row["kind"] == "refused" and decided(row) == (Verdict.NOT_INSPECTED, Reason.DUPLICATE_ID)
    else:
        assert decided(row) == (Verdict.PASS, Reason.NONE)
        assert row["delivery"] == ("confirmed" if stage in ("stamped", "archived") else "unknown")


def decided(row: Row) -> tuple[int, int]:
    return row["decided_code"], row["decided_reason"]


# -- row 32 ------------------------------------------------------------------------------------------------------------


@dataclass
class Notified:
    """What a service manager hears (sd_notify), and when it was said."""

    heard: list[tuple[float, str]] = field(default_factory=list)  # UTC seconds at which it was sent

    def pings(self) -> list[float]:
        return [at for at, text in self.heard if text == "WATCHDOG=1"]

    def longest_gap_s(self) -> float:
        return max((b - a for a, b in itertools.pairwise(self.pings())), default=0.0)


@pytest.fixture
def notified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Notified:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    return Notified()


@contextmanager
def listening(folder: Path, notified: Notified) -> Iterator[None]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(folder / "notify"))
        sock.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)  # the kernel's: we may read it late
        sock.setblocking(False)

        def hear() -> None:
            text, ((_, _, stamp),), *_ = sock.recvmsg(4096, socket.CMSG_SPACE(_STAMP.size))
            seconds, ns = _STAMP.unpack(stamp)
            notified.heard.append((seconds + ns / 1e9, text.decode()))

        loop = asyncio.get_running_loop()
        loop.add_reader(sock, hear)
        try:
            yield
        finally:
            loop.remove_reader(sock)


async def stopped(line: LiveLine) -> psutil.Process:
    """The daemon, once SIGSTOP has reached it."""
    assert line.process is not None
    process = psutil.Process(line.process.pid)
    async with asyncio.timeout(START_S):
        while process.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.01)
    return process


async def test_a_daemon_stopped_mid_cycle_is_a_reject_and_never_passes_that_part_late(tmp_path, notified):
    """Row 32, I1. It is stopped once after the decision was committed as PASS, and once before; PLC: heartbeat gone.

    The pause ends while the link still stands: nothing but its age makes that result a reject.
    """
    async with live_line(tmp_path, replace(QUICK, result_timeout_s=2.5, heartbeat_timeout_s=1.5)) as line:
        stops = broken({"decided": "stop@2", "judged": "stop@4"})
        patient = "request_timeout_ms = 5000\nheartbeat_timeout_ms = 8000"
        line.configure(deadline_ms=2500, ack_timeout_ms=1000, more=stops + PATIENT_HANG, link=patient)
        with listening(tmp_path, notified):
            await line.start()
            await line.good()
            for reason in (Reason.DEADLINE, Reason.STORAGE):  # the second one's commit was not done in time either
                playing = asyncio.create_task(line.play(line.next_good()))
                process, stopped_s, stopped_utc_s = await stopped(line), time.monotonic(), time.time()
                result = await playing
                assert (result.verdict, result.code) == ("reject", 0)
                assert not await line.sim.wait_ready(0.2), "the heartbeat is gone"
                await line.sim.idle_for(stopped_s + 2.7 - time.monotonic())  # beyond its deadline
                assert [at for at in notified.pings() if at > stopped_utc_s] == []
                process.resume()
                await line.ready()
                assert all(code == Verdict.NOT_INSPECTED for code, _ in line.codes_told(result.trigger_id))
                row = line.row(result)
                assert (row["published_code"], row["published_reason"]) == (Verdict.NOT_INSPECTED, reason)
                await line.good()
            assert notified.heard[0][1] == "READY=1" and notified.pings()[-1] > stopped_utc_s
        assert len(line.checked()) == len(line.sim.results)


async def test_a_trigger_that_came_while_the_daemon_was_stopped_is_stale(tmp_path):
    """Row 32. A PLC that does not look at the heartbeat: the frozen image still shows READY."""
    async with live_line(tmp_path, QUICK) as line:
        line.configure(more=PATIENT_HANG)
        process = psutil.Process((await line.start()).pid)
        await line.good()
        await line.ready()
        process.suspend()
        await stopped(line)
        assert line.sim.stat()["STATUS"] & Status.TRIGGER_READY
        late = line.raise_trigger(line.next_good())
        await line.sim.idle_for(2)  # longer than a trigger may be old
        process.resume()
        assert await line.answer(late) == STALE
        assert line.row(late)["kind"] == "refused"
        await line.good()


async def test_a_hung_driver_stops_the_pings_and_ends_the_process_and_its_part_is_4_108_after_the_restart(
    tmp_path, notified
):
    """Row 32 (and 13), I4. A ping comes from a finished turn of loop and threads: a loop that stalls sends none."""
    async with live_line(tmp_path) as line:
        faults = broken({"judged": "stall:1000@1"}, standing(tmp_path, Fault.HANG))
        line.configure(deadline_ms=6000, more=faults + "\n[health]\nhang_after_s = 2\n")
        with listening(tmp_path, notified):
            process = await line.start()
            await line.play(line.next_good())
            await line.until(lambda: notified.longest_gap_s() >= 0.9, START_S)
            assert notified.longest_gap_s() >= 0.9, "pings went on while the loop stood still"
            with line.fault(Fault.HANG):
                await line.ready()
                hung = line.raise_trigger(line.next_good())
                assert await line.until(lambda: process.returncode is not None, 10)
            ended_utc_s, ended = time.time(), line.fair()
            assert process.returncode == EXIT_HUNG
            assert notified.pings()[-1] < ended_utc_s - 0.2, "systemd was fed until the end"
            assert line.codes_told(hung.trigger_id) == []
            await line.start()
            assert await line.answer(hung) == RESTARTED
            await line.ready(READY_AGAIN_S, ended)
        row = line.row(hung)
        assert row["kind"] == "accepted" and decided(row) == RESTARTED
        await line.good()


# -- an orderly end ----------------------------------------------------------------------------------------------------


async def test_sigterm_ends_an_idle_daemon_in_time_with_online_0_in_the_plc(tmp_path):
    async with live_line(tmp_path) as line:
        line.configure()
        process = await line.start()
        await line.good()
        await line.ready()
        assert line.sim.stat()["STATUS"] & Status.ONLINE
        await terminated(line, process)
        assert ended_in_order(line)


async def test_sigterm_answers_the_part_in_flight_with_4_110_before_it_ends(tmp_path):
    async with live_line(tmp_path) as line:
        line.configure(more=broken({"judged": "stop@2"}) + PATIENT_HANG)
        process = await line.start()
        await line.good()
        playing = asyncio.create_task(line.play(line.next_good()))
        paused = await stopped(line)
        process.terminate()  # it waits for SIGCONT
        paused.resume()
        await terminated(line, process)
        result = await playing
        assert (result.code, result.reason) == OFFLINE
        row = line.row(result)
        assert (row["decided_code"], row["published_code"], row["delivery"]) == (1, 4, "confirmed")
        assert ended_in_order(line)


async def terminated(line: LiveLine, process: asyncio.subprocess.Process) -> None:
    process.terminate()
    assert await line.until(lambda: process.returncode is not None, END_S), line.words()
    assert process.returncode == 0, line.words()
    stat = line.sim.stat()
    assert not stat["STATUS"] & (Status.ONLINE | Status.TRIGGER_READY | Status.PASS)
    assert (stat["STATE"], stat["OFFLINE_REASON"]) == (VisionState.HALTED, OfflineReason.SET_OFFLINE)


def ended_in_order(line: LiveLine) -> bool:
    """The record says so, and no row is open."""
    line.checked()
    db = apsw.Connection(str(line.db))
    try:
        return bool(db.execute("SELECT ended_utc_ms IS NOT NULL FROM boots ORDER BY boot DESC LIMIT 1").get)
    finally:
        db.close()
