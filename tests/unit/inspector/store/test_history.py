"""The record as the page reads it, while the daemon writes."""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator

import apsw
import pytest

from inspector.core.types import Outcome, Refusal
from inspector.store.counts import read_heads, read_tallies
from inspector.store.history import SqliteHistory
from inspector.threads import DeviceThread
from inspector.web.records import Filters, Unreadable
from plc.registers import Reason, Verdict
from tests.support.store import BY, FAIL, GOOD, PASS, part, stamps, store, told, trigger

_ONE_PART_THEN_KILLED = """
import asyncio, os, sys
from pathlib import Path
from tests.support.patience import be_patient
from tests.support.store import *
be_patient(within="inspector.store.")
async def main():
    async with store(Path(sys.argv[1])) as results:
        await part(results, 1)
        os.kill(os.getpid(), 9)
asyncio.run(main())
"""


@pytest.fixture
async def history(path) -> AsyncIterator[SqliteHistory]:
    history = SqliteHistory(path, DeviceThread("records"))
    yield history
    history.close()


async def numbers(history: SqliteHistory, filters: Filters | None = None, before: int | None = None, limit: int = 50):
    return [row["no"] for row in await history.page(filters or Filters(), before, limit)]


async def test_pages_go_back_by_number_and_lose_nothing(results, history):
    for seq in range(1, 8):
        await part(results, seq)
    first = await numbers(history, limit=3)
    second = await numbers(history, before=first[-1], limit=3)
    await part(results, 8)  # a new part does not shift the pages
    assert first + second + await numbers(history, before=second[-1], limit=3) == [7, 6, 5, 4, 3, 2, 1]


async def test_every_filter_finds_its_rows_and_they_combine(results, history):
    await part(results, 1)
    await part(results, 2, FAIL)
    refused = await results.refuse(Refusal(3, 77, Reason.OVERRUN, time.monotonic()))
    found = {
        "verdict": (Filters(verdict=2), [2]),
        "reason": (Filters(reason=105), [3]),
        "label": (Filters(label="good"), [2, 1]),
        "part": (Filters(part_id=77), [3]),
        "trigger": (Filters(trigger_id=1), [1]),
        "both": (Filters(label="good", verdict=1), [1]),
        "neither": (Filters(part_id=77, verdict=1), []),
    }
    for what, (filters, expected) in found.items():
        assert await numbers(history, filters) == expected, what
    at = (await history.row(refused.no))["opened_utc_ms"]
    assert await numbers(history, Filters(from_utc_ms=at, to_utc_ms=at)) and not await numbers(
        history, Filters(from_utc_ms=at + 60_000)
    )


async def test_what_the_plc_was_told_counts_and_before_that_what_was_decided(results, history):
    done = await results.decide(results.open(trigger(1)), PASS, GOOD, BY, stamps())
    assert await numbers(history, Filters(verdict=1)) == [1]
    await results.stamp(done, told(done, code=4))
    assert await numbers(history, Filters(verdict=1)) == [] and await numbers(history, Filters(verdict=4)) == [1]


async def test_one_inspection_is_there_whole_with_its_neighbours(results, history):
    for seq in (1, 2, 3):
        await part(results, seq)
    row = await history.row(2)
    assert row is not None and row["trigger_id"] == 2 and row["bundle_id"] == BY.bundle_id and row["stages"]
    assert await history.neighbours(2) == (1, 3) and await history.neighbours(1) == (None, 2)
    assert await history.row(99) is None


async def test_the_counts_are_those_of_the_daemon(results, history):
    for seq, outcome in enumerate([PASS, FAIL, FAIL, Outcome(Verdict.NOT_INSPECTED, Reason.CAMERA)], 1):
        await part(results, seq, outcome)
    assert await history.ask(lambda db: read_tallies(db, read_heads(db, "st1"))) == results.tallies
    assert results.counts.reasons == ((Reason.CLASS, 2), (Reason.CAMERA, 1))


async def test_before_the_daemon_ever_ran_the_page_is_offline_and_finds_the_record_later(path, history):
    with pytest.raises(Unreadable):
        await numbers(history)
    assert not path.exists(), "the page makes no record"
    async with store(path) as results:
        await part(results, 1)
        assert await numbers(history) == [1]


async def test_the_page_reads_on_though_the_daemon_was_killed(path, history):
    child = await asyncio.create_subprocess_exec(sys.executable, "-c", _ONE_PART_THEN_KILLED, str(path))
    assert await child.wait() == -signal.SIGKILL
    assert await numbers(history) == [1]
    async with store(path) as results:
        no = (await part(results, 2)).no
        assert await numbers(history) == [no, 1]


async def test_a_record_that_was_put_in_the_place_of_another_is_read_after_one_error(path, history, tmp_path):
    async with store(path) as results:
        await part(results, 1)
        assert await numbers(history) == [1]
    with pytest.raises(Unreadable):
        await history._ask(lambda db: list(db.execute("SELECT * FROM nowhere")))
    for file in path.parent.glob("results.db*"):
        shutil.move(file, tmp_path / file.name)
    async with store(path) as results:
        for seq in (1, 2):
            await part(results, seq)
        assert await numbers(history) == [2, 1]


async def test_nothing_can_be_written_through_the_history(results, history):
    await part(results, 1)
    with pytest.raises(Unreadable):
        await history._ask(lambda db: list(db.execute("DELETE FROM inspections")))
    assert await numbers(history) == [1]


async def test_a_reader_holds_up_no_commit(results, history, path):
    await part(results, 1)
    reader = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    reader.execute("BEGIN")
    assert reader.execute("SELECT count(*) FROM inspections").get == 1
    done = await results.decide(results.open(trigger(2)), PASS, GOOD, BY, stamps())
    assert done.outcome == PASS
    reader.close()


async def test_a_question_that_takes_too_long_is_given_up(results, history, monkeypatch):
    endless = "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n) SELECT count(*) FROM n"
    with monkeypatch.context() as hasty:
        hasty.setattr("inspector.store.history.LONGEST_S", 0.05)
        with pytest.raises(Unreadable):
            await history._ask(lambda db: db.execute(endless).get)
    assert await numbers(history) == []


async def test_questions_do_not_block_the_page(results, history):
    await asyncio.gather(*(numbers(history) for _ in range(20)))


async def test_a_record_that_was_begun_anew_is_the_one_that_is_read(path, history):
    async with store(path) as results:
        for seq in (1, 2, 3):
            await part(results, seq)
    assert await numbers(history) == [3, 2, 1]
    for file in list(path.parent.glob("results.db*")):
        file.rename(file.with_name(f"broken-{file.name}"))
    async with store(path) as results:
        done = await part(results, 9)
        assert await numbers(history) == [done.no] and (await history.row(done.no))["trigger_id"] == 9
