"""The durable record, on a real SQLite file."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import replace

import apsw
import pytest

from inspector.core.clock import SystemClock
from inspector.core.errors import StoreBroken, StoreError
from inspector.core.types import DeliveryState, Refusal
from inspector.store.results import SqliteResults
from inspector.threads import DeviceThread
from plc.reactions import Acknowledged, Reported
from plc.registers import Reason, Verdict
from tests.support.disks import StallingDisk, mounted
from tests.support.invariants import check, rows_of
from tests.support.store import BY, FAIL, GOOD, PASS, STORAGE, part, stamps, store, told, trigger

RESTARTED = (Verdict.NOT_INSPECTED, Reason.RESTARTED)


@pytest.fixture
def disk() -> Iterator[StallingDisk]:
    disk = StallingDisk()
    with mounted(disk):
        yield disk


def refusal(seq: int, reason: Reason = Reason.DUPLICATE_ID, **changes: bool) -> Refusal:
    return Refusal(seq, 1000 + seq, reason, time.monotonic(), **changes)


async def test_a_part_has_one_row_from_open_to_stamp(results, path):
    done = await part(results, 7)
    seen = {"trigger_id": 7, "part_id": 1007, "code": 1, "reason": 0, "verdict": "good"}
    (row,) = check(path, [seen])
    assert (row["no"], row["published_code"], row["delivery"]) == (done.no, 1, "confirmed")
    assert row["station"] == "st1" and row["boot"] == 1 and row["bundle_id"] == BY.bundle_id


async def test_the_row_holds_every_stage_in_order_and_the_whole_equals_the_parts(results, path):
    done = await part(results, 1)
    (row,) = rows_of(path)
    stages = json.loads(row["stages"])
    assert {"opened", "judged", "decided", "publishing"} <= set(stages)
    assert stages["judged"] <= stages["decided"] <= stages["publishing"]
    assert stages["decided"] == pytest.approx(row["elapsed_ms"], abs=0.01) == pytest.approx(done.elapsed_ms, abs=0.01)
    assert stages["opened"] == pytest.approx((done.stamps["opened"] - done.trigger.accepted_mono_s) * 1000, abs=0.01)


async def test_opening_a_row_does_not_wait_for_the_disk(path, disk):
    async with store(path, vfs=disk.name) as results:
        with disk.stalled():
            opened = results.open(trigger(1))
        await results.decide(opened, PASS, GOOD, BY, stamps())


async def test_a_stalling_disk_makes_the_part_4_112_at_its_deadline_and_not_later(path, disk):
    async with store(path, vfs=disk.name) as results:
        opened = results.open(trigger(1, budget_s=0.15))
        await asyncio.sleep(0)
        await results._journal.call(int)  # the row is open
        with disk.stalled():  # after the inference, and for longer than the part may take
            done = await results.decide(opened, PASS, GOOD, BY, stamps())
        assert done.outcome == STORAGE
        await results._journal._thread.call(time.sleep, 0)  # until that fsync is over
        await results.stamp(done, told(done))
        (row,) = rows_of(path)
        assert (row["decided_code"], row["decided_reason"]) == (4, 112)
        assert (row["published_code"], row["published_reason"]) == (4, 112), "the row says what the PLC was told"
        assert row["label"] == "good", "and what the model had said"


async def test_a_reject_past_its_deadline_still_waits_a_moment_for_its_row(path, disk, monkeypatch):
    async with store(path, vfs=disk.name) as results:
        opened = results.open(trigger(1, budget_s=-0.01))
        late = replace(STORAGE, reason=Reason.DEADLINE)
        done = await results.decide(opened, late, None, BY, stamps())
        assert done.outcome.reason is Reason.DEADLINE
        monkeypatch.setattr("inspector.store.results.GRACE_S", 0.05)
        with disk.stalled():
            done = await results.decide(results.open(trigger(2, budget_s=-0.01)), late, None, BY, stamps())
        assert done.outcome.reason is Reason.STORAGE


async def test_a_pass_that_comes_after_its_deadline_is_never_a_pass(results):
    done = await results.decide(results.open(trigger(1, budget_s=-0.01)), PASS, GOOD, BY, stamps())
    assert done.outcome == STORAGE


async def test_a_store_that_is_behind_is_not_alive_and_a_hanging_one_hangs_the_next_question(path, disk, monkeypatch):
    async with store(path, vfs=disk.name) as results:
        await results.alive()
        with disk.stalled(), monkeypatch.context() as hasty:
            hasty.setattr("inspector.store.journal.BEHIND_S", 0.1)
            with pytest.raises(StoreError, match="behind"):
                await results.alive()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await results.alive()
        await results.alive()


async def test_a_failed_fsync_is_never_taken_back_by_a_retry(path, disk):
    async with store(path, vfs=disk.name) as results:
        disk.error = apsw.IOError("fsync: input/output error")
        done = await results.decide(results.open(trigger(1)), PASS, GOOD, BY, stamps())
        assert done.outcome == STORAGE
        disk.error = None  # the kernel says that all is well again
        done = await results.decide(results.open(trigger(2)), PASS, GOOD, BY, stamps())
        assert done.outcome == STORAGE
        with pytest.raises(StoreBroken, match="until a restart"):
            await results.alive()
        with pytest.raises(StoreError):
            await results.stamp(done, told(done))
    async with store(path) as results:
        assert (await part(results, 3)).outcome is PASS


async def test_a_row_whose_opening_failed_is_4_112_though_the_next_commit_works(results, path):
    intruder = apsw.Connection(str(path))
    intruder.execute("BEGIN IMMEDIATE")  # somebody looks around with a tool of his own
    opened = results.open(trigger(1))
    await asyncio.sleep(0)  # the camera begins first
    await results._journal._thread.call(time.sleep, 0)
    intruder.execute("ROLLBACK")
    intruder.close()
    done = await results.decide(opened, PASS, GOOD, BY, stamps())
    assert done.outcome == STORAGE
    (row,) = rows_of(path)
    assert (row["decided_code"], row["decided_reason"], row["trigger_id"]) == (4, 112, 1)
    await results.alive()
    assert (await part(results, 2)).outcome is PASS


async def test_after_the_end_nothing_is_recorded_and_nothing_passes(path):
    async with store(path) as results:
        pass
    done = await results.decide(results.open(trigger(1)), PASS, GOOD, BY, stamps())
    assert done.outcome == STORAGE
    with pytest.raises(StoreError):
        await results.alive()


async def test_a_bug_on_the_thread_is_no_storage_error_and_is_not_lost(results):
    results.note_image(1, None)
    results._journal.submit(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        for _ in range(2):
            await results.alive()


async def test_a_refused_trigger_has_a_row_of_its_own_kind(results, path):
    done = await results.refuse(refusal(3))
    (row,) = rows_of(path)
    assert (row["kind"], row["decided_code"], row["decided_reason"], row["no"]) == ("refused", 4, 104, done.no)
    assert results.known(3) and not results.known(4) and results.last_id() == 3


async def test_a_refusal_that_cannot_be_committed_is_answered_with_4_112(path, disk):
    async with store(path, vfs=disk.name) as results:
        disk.error = apsw.IOError("fsync")
        assert (await results.refuse(refusal(3))).outcome == STORAGE
        disk.error = None


async def test_a_standing_id_that_has_a_row_gets_no_second_one(results, path):
    decided = await results.decide(results.open(trigger(5)), PASS, GOOD, BY, stamps())
    again = await results.refuse(refusal(5, Reason.RESTARTED, has_row=True))
    assert again.no == decided.no and again.outcome.verdict is Verdict.NOT_INSPECTED
    await results.stamp(again, told(again))
    (row,) = rows_of(path)
    assert (row["decided_code"], row["published_code"], row["published_reason"]) == (1, 4, 108)


async def test_both_deliveries_of_a_standing_id_are_kept(results, path):
    await part(results, 5)
    again = await results.refuse(refusal(5, Reason.LINK_LOST, has_row=True))
    await results.stamp(again, told(again))
    (row,) = rows_of(path)
    db = apsw.Connection(str(path))
    assert list(db.execute("SELECT no, code, delivery FROM earlier_deliveries")) == [(row["no"], 1, "confirmed")]
    db.close()
    assert (row["published_code"], row["published_reason"]) == (4, 107)
    assert results.counts.passed == 0 and results.counts.not_inspected == 1 == results.counts.triggers


async def test_a_second_answer_that_never_left_does_not_hide_the_first(results, path):
    await part(results, 5)
    again = await results.refuse(refusal(5, Reason.LINK_LOST, has_row=True))
    await results.stamp(again, told(again, DeliveryState.NONE))
    (row,) = rows_of(path)
    assert (row["published_code"], row["delivery"]) == (1, "confirmed")


async def test_an_acknowledged_id_without_a_row_gets_one(results, path):
    await results.refuse(refusal(9, Reason.LINK_LOST, has_row=True))
    assert [(r["kind"], r["trigger_id"]) for r in rows_of(path)] == [("refused", 9)]


async def test_counts_add_up_to_the_triggers_and_say_what_the_plc_was_told(results, path):
    for seq, outcome in enumerate((PASS, PASS, FAIL, STORAGE), 1):
        await part(results, seq, outcome)
    tested = await results.decide(results.open(trigger(5, test_part=True)), FAIL, GOOD, BY, stamps())
    await results.stamp(tested, told(tested, code=5))
    downgraded = await results.decide(results.open(trigger(6)), PASS, GOOD, BY, stamps())
    await results.stamp(downgraded, told(downgraded, code=4))
    refused = await results.refuse(refusal(6))
    await results.stamp(refused, told(refused))
    counts = results.counts.as_status()
    assert counts == {"triggers": 7, "pass": 2, "fail": 1, "uncertain": 0, "not_inspected": 3, "test": 1}
    assert sum(counts.values()) == 2 * len(rows_of(path))


async def test_a_reset_of_the_counts_begins_a_period_and_deletes_nothing(results, path):
    await part(results, 1)
    open_across = results.open(trigger(2))
    await results.begin_period("anna", "new shift")
    assert results.counts.triggers == 0
    await part(results, 3, FAIL)
    done = await results.decide(open_across, PASS, GOOD, BY, stamps())
    await results.stamp(done, told(done))
    assert results.counts.as_status() | {"triggers": 1, "fail": 1, "pass": 0} == results.counts.as_status()
    assert len(rows_of(path)) == 3
    db = apsw.Connection(str(path))
    assert list(db.execute("SELECT period, sum(n) FROM counts GROUP BY 1")) == [(1, 2), (2, 1)]
    assert db.execute("SELECT actor, why FROM periods WHERE (kind, key) = ('reset', '2')").get == ("anna", "new shift")
    db.close()


async def test_a_start_closes_what_the_former_life_left_open(path):
    async with store(path) as results:
        results.open(trigger(1))
        await results.decide(results.open(trigger(2)), PASS, GOOD, BY, stamps())
        await part(results, 3, FAIL)
    thread = DeviceThread("store")
    results = SqliteResults.of_file(path, "st1", SystemClock(), thread)
    recovered = await results.start()
    assert (recovered.boot, recovered.undecided, recovered.unstamped) == (2, 1, 1)
    assert results.known(1) and results.known(2) and results.last_id() == 3
    assert results.counts.as_status() | {"triggers": 3, "pass": 1, "fail": 1} == results.counts.as_status()
    await results.close()
    thread.close()
    first, second, third = rows_of(path)
    assert (first["decided_code"], first["decided_reason"]) == RESTARTED
    assert (second["decided_code"], second["published_code"], second["delivery"]) == (Verdict.PASS, None, "unknown")
    assert (third["delivery"], third["published_code"]) == ("confirmed", Verdict.FAIL)


async def test_numbers_go_on_after_an_end_in_order(path):
    for boot in (1, 2):
        async with store(path) as results:
            assert results.boot == boot
            await part(results, boot)
    assert [r["no"] for r in rows_of(path)] == [1, 2]


async def test_the_newest_trigger_id_is_last_though_it_was_used_before(path):
    async with store(path) as results:
        for seq in (1, 2, 3, 1):
            await part(results, seq)
        assert results.last_id() == 1
    async with store(path) as results:
        assert results.last_id() == 1


async def test_only_so_many_ids_are_remembered_since_ids_wrap(path, monkeypatch):
    monkeypatch.setattr("inspector.store.results.RECENT", 3)
    async with store(path) as results:
        for seq in (1, 2, 3, 4):
            await part(results, seq)
        assert [results.known(seq) for seq in (1, 2, 3, 4)] == [False, True, True, True]
    async with store(path) as results:
        assert [results.known(seq) for seq in (1, 2, 3, 4)] == [False, True, True, True]


async def test_a_kept_picture_is_noted_on_its_row_with_the_next_commit(results, path):
    done = await part(results, 1)
    results.note_image(done.no, "reject/0000000/0000000001.png")
    await results.alive()
    assert rows_of(path)[0]["image"] == "reject/0000000/0000000001.png"
    results.note_image(done.no, None)
    await results.alive()
    assert rows_of(path)[0]["image"] is None


async def test_the_wal_stays_small_over_many_parts(results, path, monkeypatch):
    monkeypatch.setattr("inspector.store.database.CHECKPOINT_PAGES", 32)
    for seq in range(1, 80):
        await part(results, seq)
        await results.alive()
    assert path.with_name("results.db-wal").stat().st_size < 600_000


async def test_the_wal_stays_for_the_page_when_the_daemon_ends(path):
    async with store(path) as results:
        await part(results, 1)
    assert path.with_name("results.db-wal").exists()


async def test_two_daemons_never_write_one_record(results, path):
    thread = DeviceThread("store")
    with pytest.raises(StoreError, match="another process"):
        await SqliteResults.of_file(path, "st1", SystemClock(), thread).start()
    thread.close()
    await part(results, 1)


@pytest.mark.parametrize("content", [b"not a database, but long enough to look like one" * 100, b"\0" * 4096])
async def test_a_file_that_is_no_record_is_set_aside_as_it_is(path, content):
    path.write_bytes(content)
    async with store(path) as results:
        assert (await part(results, 1)).no == 1
    (aside,) = path.parent.glob("results.broken-*.db")
    assert aside.read_bytes() == content


async def test_a_database_of_a_newer_version_is_refused(path):
    db = apsw.Connection(str(path))
    db.pragma("user_version", 99)
    db.close()
    thread = DeviceThread("store")
    with pytest.raises(StoreError, match="newer"):
        await SqliteResults.of_file(path, "st1", SystemClock(), thread).start()
    thread.close()


async def test_what_the_plc_did_is_written_with_the_next_commit_and_none_is_made_for_it(path):
    async with store(path) as results:
        one = await part(results, 1)
        ledger = results._journal.ledger
        commits = ledger._database.transaction
        made = []
        ledger._database.transaction = lambda: made.append(1) or commits()
        before_s, seen_s, after_s = time.time() - 2.0, time.monotonic() - 2.0, time.time() - 2.0
        results.react([Acknowledged(one.no, False, 10.0), Reported(one.no, 2, seen_s, -0.003)])
        await results._journal.call(lambda: None)
        assert made == [] and rows_of(path)[0]["ack"] is None
        await part(results, 2)
        row, other = rows_of(path)
        assert (row["ack"], row["ack_ms"], row["plc_verdict"], row["plc_verdict_ms"]) == ("timeout", 10_000.0, 2, -3.0)
        assert 1000 * before_s - 5 <= row["plc_verdict_utc_ms"] <= 1000 * after_s + 5  # the clocks are rounded
        assert other["ack"] is None and other["plc_verdict"] is None


async def test_what_the_plc_did_never_takes_the_room_of_a_row_that_waits(path, monkeypatch):
    monkeypatch.setattr("inspector.store.ledger.MAX_WAITING", 6)
    async with store(path) as results:
        for seq in range(1, 10):
            await part(results, seq)
        results.react(Acknowledged(no, True, 0.01) for no in range(1, 10))
        await results._journal.call(lambda: None)
        assert len(results._journal.ledger._waiting) == 3
        assert (await part(results, 10)).outcome == PASS
