"""The daemon stopped (SIGSTOP) at each stage of a part, for longer than the part's deadline and for less. Row 32."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace

import psutil
import pytest
import pytest_asyncio

from inspector.failpoints import POINTS
from plc.registers import Reason, Verdict
from plc.sim import SimConfig, SimResult
from tests.support.invariants import Row
from tests.support.live_line import PATIENT, START_S, LiveLine, broken, live_line

pytestmark = [pytest.mark.fault, pytest.mark.slow]

STAGES = tuple(point for point in POINTS if point != "refused")
UNTOLD = STAGES[: STAGES.index("loaded") + 1]  # stages at which the PLC had no result yet
DEADLINE_S = 2.5  # so long the machine may hold up a part that shall pass
SHORT_S = 0.3
SHORT_DEADLINE_S = 10.0  # far beyond a short stop, also on busy cores
SHORT_AT = ("accepted", "grabbed", "judged", "decided", "loaded")
PATIENT_HANG = "\n[health]\nhang_after_s = 10\n"
QUICK = SimConfig(ack_timeout_s=8, result_timeout_s=10, heartbeat_timeout_s=2, ready_timeout_s=START_S)
LATE = {(Verdict.NOT_INSPECTED, Reason.DEADLINE), (Verdict.NOT_INSPECTED, Reason.STORAGE)}


@dataclass(frozen=True)
class Stopped:
    """What became of the part in which the daemon was stopped, and of the one after it."""

    hit: SimResult
    before: list[tuple[int, int]]  # (code, reason) told of it while the daemon stood still
    told: list[tuple[int, int]]  # at the end
    rows: list[Row]
    after: SimResult


def stops(stages: Sequence[str]) -> str:
    """Each stage stops another part of one life: the second, the fourth and so on, the last stage first.

    So no part that was stopped before has missed one of the stages that are still to come.
    """
    backwards = {stage: f"stop@{2 * n}" for n, stage in enumerate(reversed(stages), start=1)}
    return broken(backwards | {"refused": "stop@1"}) + PATIENT_HANG


async def at_each_stage(line: LiveLine, stages: Sequence[str], for_s: float) -> Mapping[str, Stopped]:
    found: dict[str, Stopped] = {}
    await line.start()
    await line.good()
    for stage in reversed(stages):
        found[stage] = await stopped_at(line, for_s)
    line.sim.next_id -= 1  # the PLC repeats an id
    found["refused"] = await stopped_at(line, for_s)
    return found


async def stopped_at(line: LiveLine, for_s: float) -> Stopped:
    assert line.process is not None
    process = psutil.Process(line.process.pid)
    await line.ready()
    seen = len(line.told)
    playing = asyncio.create_task(line.play(line.next_good()))
    async with asyncio.timeout(START_S):
        while process.status() != psutil.STATUS_STOPPED:  # noqa: ASYNC110 - the kernel tells nobody
            await asyncio.sleep(0.005)
    await asyncio.sleep(for_s)
    at_stop = line.told[seen:]
    process.resume()
    hit = await playing
    await line.ready()
    told = line.told[seen:]
    after = await line.play(line.next_good())
    rows = [r for r in line.checked() if (r["trigger_id"], r["part_id"]) == (hit.trigger_id, hit.part_id)]
    return Stopped(hit, of(hit, at_stop), of(hit, told), rows, after)


def of(hit: SimResult, told: Sequence[tuple[int, int, int]]) -> list[tuple[int, int]]:
    return [(code, reason) for id_, code, reason in told if id_ == hit.trigger_id]


def published(row: Row) -> tuple[int, int]:
    return row["published_code"], row["published_reason"]


# -- longer than the deadline ------------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stopped(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mapping[str, Stopped]]:
    """One station in one life, stopped in every second part at another stage, until that part's deadline is over."""
    async with live_line(tmp_path_factory.mktemp("stopped"), QUICK) as line:
        line.configure(deadline_ms=round(1000 * DEADLINE_S), more=stops(STAGES))
        yield await at_each_stage(line, STAGES, DEADLINE_S + 0.2)


@pytest.mark.parametrize("stage", UNTOLD)
def test_a_part_in_which_the_daemon_stood_still_beyond_the_deadline_is_never_passed_late(stopped, stage):
    """I1: a good part. Nothing was told before the stop, and no PASS after it, however soon the PLC gave up."""
    found = stopped[stage]
    assert found.before == []
    assert found.hit.verdict == "reject"
    assert all(code == Verdict.NOT_INSPECTED for code, _ in found.told), found


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage not in UNTOLD])
def test_a_pass_that_was_told_in_time_before_the_stop_stands_and_is_not_told_again(stopped, stage):
    found = stopped[stage]
    assert found.before == found.told == [(Verdict.PASS, Reason.NONE)]
    assert (found.hit.verdict, found.hit.code) == ("good", Verdict.PASS), "the PLC read it at once"


@pytest.mark.parametrize("stage", STAGES)
def test_the_row_of_a_part_in_which_the_daemon_stood_still_says_what_the_plc_was_told(stopped, stage):
    """I2 and I3. The decision that was committed before the stop stands beside what was published."""
    found = stopped[stage]
    assert len(found.rows) == 1, found.rows
    (row,) = found.rows
    assert row["kind"] == "accepted"
    if stage not in UNTOLD:
        assert published(row) == (Verdict.PASS, Reason.NONE) and row["delivery"] == "confirmed"
        return
    assert published(row) in LATE, row
    if stage in ("decided", "loaded"):
        assert (row["decided_code"], published(row)[1]) == (Verdict.PASS, Reason.DEADLINE)


def test_a_refused_trigger_in_whose_answer_the_daemon_stood_still_stays_refused(stopped):
    found = stopped["refused"]
    assert found.hit.verdict == "reject"
    (row,) = found.rows
    assert row["kind"] == "refused"
    assert (row["decided_code"], row["decided_reason"]) == (Verdict.NOT_INSPECTED, Reason.DUPLICATE_ID)


@pytest.mark.parametrize("stage", [*STAGES, "refused"])
def test_after_a_stop_the_line_is_ready_by_itself_and_the_next_good_part_passes(stopped, stage):
    """I4: the fixture waited for READY, and started nothing anew."""
    assert (stopped[stage].after.verdict, stopped[stage].after.code) == ("good", Verdict.PASS)


# -- shorter than the deadline -----------------------------------------------------------------------------------------


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def paused(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Mapping[str, Stopped]]:
    """As above, but the daemon goes on long before the deadline."""
    async with live_line(tmp_path_factory.mktemp("paused"), replace(PATIENT, heartbeat_timeout_s=8)) as line:
        line.configure(deadline_ms=round(1000 * SHORT_DEADLINE_S), more=stops(SHORT_AT))
        yield await at_each_stage(line, SHORT_AT, SHORT_S)


@pytest.mark.parametrize("stage", SHORT_AT)
def test_a_verdict_in_time_counts_although_the_daemon_stood_still_for_a_moment(paused, stage):
    found = paused[stage]
    assert (found.hit.verdict, found.hit.code) == ("good", Verdict.PASS), found
    assert found.before == [] and found.told == [(Verdict.PASS, Reason.NONE)]
    (row,) = found.rows
    assert published(row) == (Verdict.PASS, Reason.NONE) and row["delivery"] == "confirmed"
    assert SHORT_S <= found.hit.valid_s - found.hit.edge_s < SHORT_DEADLINE_S
