"""The durable record, on a real SQLite file."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import apsw
import pytest

from inspector.core.clock import SystemClock
from inspector.core.errors import StoreError
from inspector.core.types import Delivery, DeliveryState, JudgedBy, Outcome, Prediction, Refusal, Trigger
from inspector.store.results import SqliteResults
from inspector.threads import DeviceThread
from plc.registers import Reason, Verdict
from tests.support.invariants import check, rows_of

PASS = Outcome(Verdict.PASS, Reason.NONE)
GOOD = Prediction("good", 0, 0.99, (0.99, 0.01), novelty_score=0.1)
BY = JudgedBy("disc-1-abc", 1, 1, 1)
STAGES = ("grabbed", "checked", "predicted", "judged")


@pytest.fixture
def path(tmp_path):
    return tmp_path / "results.db"


@pytest.fixture
async def results(path):
    thread = DeviceThread("store")
    results = SqliteResults(path, "st1", SystemClock(), thread)
    await results.start()
    yield results
    await results.close()
    thread.close()


def trigger(seq, budget_s=5.0):
    now = time.monotonic()
    return Trigger(seq, 1000 + seq, now + budget_s, now)


def stamps():
    return dict.fromkeys(STAGES, time.monotonic())


async def test_a_part_has_one_row_from_open_to_stamp(results, path):
    opened = results.open(trigger(7))
    decided = await results.decide(opened, PASS, GOOD, BY, stamps())
    await results.stamp(decided, Delivery(1, Reason.NONE, DeliveryState.CONFIRMED, time.monotonic()))
    told = {"trigger_id": 7, "part_id": 1007, "code": 1, "reason": 0, "verdict": "good"}
    (row,) = check(path, [told])
    assert (row["no"], row["published_code"], row["delivery"]) == (decided.no, 1, "confirmed")


async def test_a_decision_that_is_not_committed_by_the_deadline_is_storage(results):
    opened = results.open(trigger(1, budget_s=0.05))
    blocker = results._thread.submit(time.sleep, 0.2)  # a disk that stalls
    decided = await results.decide(opened, PASS, GOOD, BY, stamps())
    assert decided.outcome == Outcome(Verdict.NOT_INSPECTED, Reason.STORAGE)
    blocker.result()


async def test_a_failed_commit_is_storage_and_shows_in_alive(results, path):
    opened = results.open(trigger(1))
    await results.close()  # the file is gone for us, as after an I/O error
    decided = await results.decide(opened, PASS, GOOD, BY, stamps())
    second = await results.decide(results.open(trigger(2)), PASS, GOOD, BY, stamps())
    assert second.outcome.reason is Reason.STORAGE
    assert decided.outcome.verdict in (Verdict.PASS, Verdict.NOT_INSPECTED)
    with pytest.raises(StoreError):
        await results.alive()


async def test_a_refused_trigger_has_a_row_of_its_own_kind(results, path):
    await results.refuse(Refusal(3, 1003, Reason.DUPLICATE_ID, time.monotonic()))
    assert [r["kind"] for r in rows_of(path)] == ["refused"]
    assert results.known(3) and not results.known(4)


async def test_a_standing_id_that_has_a_row_gets_no_second_one(results, path):
    decided = await results.decide(results.open(trigger(5)), PASS, GOOD, BY, stamps())
    again = await results.refuse(Refusal(5, 1005, Reason.RESTARTED, time.monotonic(), has_row=True))
    assert again.no == decided.no and again.outcome.verdict is Verdict.NOT_INSPECTED
    assert len(rows_of(path)) == 1


async def test_a_start_closes_what_the_former_life_left_open(path):
    for life in range(2):
        thread = DeviceThread("store")
        results = SqliteResults(path, "st1", SystemClock(), thread)
        recovered = await results.start()
        if life == 0:
            opened = results.open(trigger(1))
            results._opening[opened.ticket].result()
            await results.decide(results.open(trigger(2)), PASS, GOOD, BY, stamps())
        else:
            assert (recovered.boot, recovered.undecided, recovered.unstamped) == (2, 1, 1)
        await results.close()
        thread.close()
    first, second = rows_of(path)
    assert (first["decided_code"], first["decided_reason"]) == (Verdict.NOT_INSPECTED, Reason.RESTARTED)
    assert (second["decided_code"], second["delivery"]) == (Verdict.PASS, "unknown")


async def test_a_database_of_a_newer_version_is_refused(path):
    db = apsw.Connection(str(path))
    db.pragma("user_version", 99)
    db.close()
    thread = DeviceThread("store")
    with pytest.raises(StoreError, match="newer"):
        await SqliteResults(path, "st1", SystemClock(), thread).start()
    thread.close()


_WRITER = """
import asyncio, sys, time
from pathlib import Path
from tests.unit.inspector.store import test_results as t
async def main():
    results = t.SqliteResults(Path(sys.argv[1]), "st1", t.SystemClock(), t.DeviceThread("store"))
    await results.start()
    seq = 0
    while True:
        seq += 1
        decided = await results.decide(results.open(t.trigger(seq)), t.PASS, t.GOOD, t.BY, t.stamps())
        print(decided.no, flush=True)
asyncio.run(main())
"""


@pytest.mark.parametrize("after_ms", [300, 700])
def test_every_acknowledged_row_survives_kill_9(path, after_ms):
    root = Path(__file__).parents[4]
    command = [sys.executable, "-c", _WRITER, str(path)]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=root)
    assert child.stdout is not None
    first = child.stdout.readline()
    time.sleep(after_ms / 1000)
    os.kill(child.pid, signal.SIGKILL)
    acknowledged = [int(first), *(int(line) for line in child.stdout.read().split("\n")[:-1])]
    child.wait()
    child.stdout.close()
    decided = {r["no"] for r in check(path, [], settled=False) if r["decided_code"] == Verdict.PASS}
    assert len(acknowledged) > 10 and set(acknowledged) <= decided
