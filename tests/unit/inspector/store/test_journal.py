"""Several stations write through one journal: their commits are shared, and none is told of before it is done."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from inspector.core.clock import SystemClock
from inspector.core.errors import StoreError
from inspector.store.journal import Journal
from inspector.store.results import SqliteResults
from inspector.threads import DeviceThread
from plc.registers import Reason, Verdict
from tests.support.store import BY, GOOD, PASS, part, stamps, told, trigger

STATIONS = [f"st{n}" for n in range(1, 9)]


@pytest.fixture
async def journal(tmp_path):
    thread = DeviceThread("store")
    journal = Journal(tmp_path / "results.db", SystemClock(), thread, min_free_bytes=0)
    await journal.start()
    yield journal
    await journal.close()
    thread.close()


def stations(journal: Journal) -> list[SqliteResults]:
    return [SqliteResults(journal, name, SystemClock()) for name in STATIONS]


async def test_rows_of_eight_stations_that_wait_are_committed_together(journal, monkeypatch):
    commits, commit = [], journal.ledger.commit

    def counted() -> None:
        commits.append(len(journal.ledger._waiting))
        commit()

    monkeypatch.setattr(journal.ledger, "commit", counted)
    over = threading.Event()
    journal._thread.submit(over.wait, 60)  # another station's commit
    every = stations(journal)
    opened = [results.open(trigger(7)) for results in every]
    decided = [
        asyncio.create_task(results.decide(row, PASS, GOOD, BY, stamps()))
        for results, row in zip(every, opened, strict=True)
    ]
    await asyncio.sleep(0.1)
    assert not any(task.done() for task in decided), "told before the commit"
    over.set()
    done = await asyncio.gather(*decided)
    assert [d.outcome for d in done] == [PASS] * 8 and sorted(d.no for d in done) == list(range(1, 9))
    assert [n for n in commits if n] == [8], "one commit for all that waited"


async def test_a_commit_that_fails_is_a_reject_for_every_station_in_it(journal, monkeypatch):
    def full() -> None:
        raise StoreError("full")

    monkeypatch.setattr(journal.ledger, "commit", full)
    journal._thread.submit(time.sleep, 0.1)
    every = stations(journal)
    opened = [results.open(trigger(7)) for results in every]
    done = await asyncio.gather(
        *(r.decide(row, PASS, GOOD, BY, stamps()) for r, row in zip(every, opened, strict=True))
    )
    monkeypatch.undo()
    assert {(d.outcome.verdict, d.outcome.reason) for d in done} == {(Verdict.NOT_INSPECTED, Reason.STORAGE)}


async def test_a_change_that_fails_by_itself_takes_no_other_with_it(journal, monkeypatch):
    def fails() -> None:
        raise StoreError("this one")

    journal._thread.submit(time.sleep, 0.1)
    results = stations(journal)[0]
    bad = journal.change(fails)
    good = asyncio.create_task(part(results, 1))
    assert (await good).outcome == PASS
    assert isinstance(bad.exception(), StoreError)


async def test_an_id_of_another_station_is_not_known_to_this_one_also_after_a_restart(tmp_path):
    thread = DeviceThread("store")
    for life in (1, 2):
        journal = Journal(tmp_path / "results.db", SystemClock(), thread, min_free_bytes=0)
        await journal.start()
        one, two = (SqliteResults(journal, name, SystemClock()) for name in ("st1", "st2"))
        if life == 1:
            await part(one, 17)
        assert one.known(17) and not two.known(17)
        await journal.close()
    thread.close()


async def test_a_closed_journal_leaves_nobody_waiting(tmp_path):
    thread = DeviceThread("store")
    journal = Journal(tmp_path / "results.db", SystemClock(), thread, min_free_bytes=0)
    await journal.start()
    results = SqliteResults(journal, "st1", SystemClock())
    done = await part(results, 1)
    await journal.close()
    thread.close()
    async with asyncio.timeout(60):
        with pytest.raises(StoreError):
            await results.stamp(done, told(done))


async def test_a_busy_station_does_not_push_out_the_ids_of_a_slow_one_over_a_restart(tmp_path, monkeypatch):
    """An id that stands at the PLC and that is not known would get a second row."""
    monkeypatch.setattr("inspector.store.journal.RECENT", 2)
    thread = DeviceThread("store")
    for life in (1, 2):
        journal = Journal(tmp_path / "results.db", SystemClock(), thread, min_free_bytes=0)
        await journal.start()
        slow, busy = (SqliteResults(journal, name, SystemClock()) for name in ("st1", "st2"))
        if life == 1:
            for seq in (7, 8, 9):
                await part(slow, seq)
            for seq in range(1, 21):
                await part(busy, seq)
        await journal.close()
    assert [id_ for _, id_, _ in journal.recovered.recent] == [8, 9, 19, 20]
    assert slow.last_id() == 9 and busy.last_id() == 20
    thread.close()
