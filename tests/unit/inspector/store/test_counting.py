"""Shift, lot and since a reset: what is counted is what SQL counts in the rows, whatever happened in between."""

from __future__ import annotations

import asyncio
import shutil
import time as clock_time
from collections.abc import Iterator
from contextlib import ExitStack, closing
from datetime import datetime, time
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import apsw
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from inspector.core.clock import SystemClock
from inspector.core.errors import StoreError
from inspector.core.shifts import shift_at
from inspector.core.types import DeliveryState, Outcome, Refusal
from inspector.store.counts import Scope, read_heads, read_tallies
from inspector.store.filing import Filing
from inspector.store.migrations import STEPS, migrate
from inspector.store.results import SqliteResults
from inspector.threads import DeviceThread
from plc.registers import Reason, Verdict
from tests.support.counted import counted
from tests.support.disks import quick_folder
from tests.support.months import keep_few
from tests.support.store import BY, FAIL, GOOD, PASS, part, stamps, told, trigger

SHIFTS = (time(2, 30), time(14, 0))
HOUR_MS, DAY_MS = 3_600_000, 86_400_000
CAMERA = Outcome(Verdict.NOT_INSPECTED, Reason.CAMERA)


@pytest.fixture(autouse=True)
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A zone with two nights of a change."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    clock_time.tzset()
    yield
    monkeypatch.undo()
    clock_time.tzset()


def local_ms(text: str, fold: int = 0) -> int:
    return round(datetime.fromisoformat(text).replace(fold=fold).timestamp() * 1000)


class WallClock(SystemClock):
    """Runs as ever; the date is what the test says."""

    utc_ms = 0

    def utc_s(self) -> float:
        return self.utc_ms / 1000


class Line:
    """One station's record with its filing."""

    def __init__(self, path: Path, clock: WallClock) -> None:
        self.path, self.clock, self._thread = path, clock, DeviceThread("store")
        self.results = SqliteResults.of_file(path, "st1", clock, self._thread, min_free_bytes=0, shifts=SHIFTS)

    async def __aenter__(self) -> Line:
        await self.results.start()
        self.filing = Filing(self.results._journal, self.clock, DeviceThread("filing"))
        return self

    async def __aexit__(self, *_: object) -> None:
        self.filing.close()
        await self.results.close()
        self._thread.close()

    def shown(self, scope: Scope) -> dict[str, int]:
        return self.results.tallies[scope].as_status()


async def test_a_shift_begins_by_the_clock_on_the_wall_with_a_part_or_without_one(path):
    clock = WallClock()
    clock.utc_ms = local_ms("2026-06-01T13:59:59")
    async with Line(path, clock) as line:
        await part(line.results, 1)
        clock.utc_ms += 1000
        await part(line.results, 2, FAIL)
        assert line.shown(Scope.SHIFT) | {"triggers": 1, "fail": 1} == line.shown(Scope.SHIFT)
        assert line.results.tallies[Scope.SHIFT].since_utc_ms == local_ms("2026-06-01T14:00")
        clock.utc_ms = local_ms("2026-06-02T02:30")
        line.results.turn()
        await line.results.alive()
        assert line.shown(Scope.SHIFT)["triggers"] == 0 and line.results.counts.triggers == 2


@pytest.mark.parametrize(
    ("night", "hours"),
    [("2026-03-29", 23), ("2026-10-25", 25), ("2026-06-01", 24)],
)
def test_in_the_nights_of_a_change_a_shift_is_an_hour_shorter_or_longer_and_none_begins_twice(night, hours):
    begin = local_ms(f"{night}T00:00") - DAY_MS // 2
    spans = sorted({shift_at(begin + minute * 60_000, (time(0, 0), time(2, 30))) for minute in range(48 * 60)})
    assert all(one[1] == two[0] for one, two in pairwise(spans)), "no gap, no overlap"
    days = [local_ms(f"{night}T00:00"), local_ms(f"{night}T00:00") + hours * HOUR_MS]
    inside = [span for span in spans if days[0] <= span[0] < days[1]]
    assert len(inside) == 2 and sum(end - start for start, end in inside) == hours * HOUR_MS


async def test_parts_of_the_hour_that_comes_twice_are_of_one_shift(path):
    clock = WallClock()
    async with Line(path, clock) as line:
        for seq, (text, fold) in enumerate(
            [("2026-10-25T02:29", 0), ("2026-10-25T02:31", 0), ("2026-10-25T02:29", 1), ("2026-10-25T02:31", 1)], 1
        ):
            clock.utc_ms = local_ms(text, fold)
            await part(line.results, seq)
        assert line.shown(Scope.SHIFT)["triggers"] == 3 and line.results.counts.triggers == 4


async def test_a_clock_that_was_wrong_for_a_while_takes_no_part_from_the_shift(path):
    clock = WallClock()
    clock.utc_ms = now = local_ms("2026-06-01T13:00")
    async with Line(path, clock) as line:
        await part(line.results, 1)
        for seq, clock.utc_ms in ((2, now + 3650 * DAY_MS), (3, now - HOUR_MS), (4, now + 2 * HOUR_MS), (5, now)):
            await part(line.results, seq)
        assert line.shown(Scope.SHIFT)["triggers"] == 3, "of the parts 1, 3 and 5"
        clock.utc_ms = 10**17
        await part(line.results, 6)  # the clock shows no date at all
        assert line.results.counts.triggers == 6


async def test_a_lot_goes_on_where_it_comes_back_and_a_refused_trigger_is_of_the_lot_that_runs(path):
    clock = WallClock()
    clock.utc_ms = local_ms("2026-06-01T13:00")
    async with Line(path, clock) as line:
        for seq, lot in enumerate(["A", "A", "B", "", "A"], 1):
            await part(line.results, seq, lot=lot)
        refused = await line.results.refuse(Refusal(6, 6, Reason.OVERRUN, clock.monotonic_s()))
        await line.results.stamp(refused, told(refused))
        lot = line.results.tallies[Scope.LOT]
        assert (lot.key, lot.triggers, lot.passed) == ("A", 4, 3)
    async with Line(path, clock) as line:
        assert line.results.tallies[Scope.LOT] == lot
        await part(line.results, 7, lot="B")
        assert line.shown(Scope.LOT)["triggers"] == 3


async def test_stations_count_apart(path):
    clock = WallClock()
    clock.utc_ms = local_ms("2026-06-01T13:00")
    async with Line(path, clock) as line:
        other = SqliteResults(line.results._journal, "st2", clock, SHIFTS)
        await part(line.results, 1, lot="A")
        await part(other, 1, FAIL, lot="Z")
        await part(other, 2, FAIL, lot="Z")
        await other.begin_period("anna", "")
        assert line.results.counts.triggers == line.shown(Scope.LOT)["triggers"] == 1
        assert other.counts.triggers == 0 and other.tallies[Scope.LOT].fail == 2


async def test_what_the_plc_counts_goes_along_over_lots_resets_and_restarts(path):
    clock = WallClock()
    clock.utc_ms = local_ms("2026-06-01T13:00")
    raw = 100
    async with Line(path, clock) as line:
        line.results.counting.plc.see(raw)
        line.results.turn()
        for seq, lot in enumerate(["A", "A", "B"], 1):
            raw += 1
            line.results.counting.plc.see(raw)  # the part reaches the camera, then comes its trigger
            await part(line.results, seq, lot=lot)
            assert line.results.counting.difference() == 0
            told = line.results.counts
            assert told.plc_parts == told.triggers == seq, "both numbers are of one moment"
        line.results.turn()
        for _ in range(2):  # given to the store's thread, then on the disk
            await line.results._journal.call(int)
            assert [line.results.tallies[s].plc_parts for s in Scope] == [3, 3, 1]
            await line.results.alive()
        await line.results.begin_period("anna", "")
        line.results.counting.plc.see(raw := raw + 2)  # nothing was triggered
        assert line.results.counting.difference() == 2 == line.results.counts.plc_parts
        line.results.turn()
    async with Line(path, clock) as line:
        assert line.results.counting.difference() == 2
        line.results.counting.plc.see(raw + 3)  # while the daemon was away
        assert line.results.counting.difference() == 5
        line.results.counting.plc.see(0)
        line.results.counting.plc.see(1)  # the PLC began anew
        assert line.results.counting.difference() == 6
        line.results.turn()
        await line.results.alive()
        assert [line.results.tallies[s].plc_parts for s in Scope] == [6, 9, 7]


@pytest.mark.parametrize("parts", [0, 1])
async def test_numbers_that_a_kill_skipped_are_never_given_out_and_a_count_begun_meanwhile_counts(path, parts):
    clock = WallClock()
    async with Line(path, clock) as line:
        for seq in range(1, parts + 1):
            await part(line.results, seq)
    with closing(apsw.Connection(str(path))) as db:
        db.execute("UPDATE boots SET ended_utc_ms = NULL")  # as a kill leaves it
    async with Line(path, clock) as line:
        await line.results.begin_period("anna", "")
        skipped = line.results._journal.next_no
    async with Line(path, clock) as line:  # it ended in order, and no part came
        assert line.results._journal.next_no == skipped > parts + 1
        await part(line.results, 9)
        assert line.results.counts.triggers == 1


async def test_a_reset_that_does_not_reach_the_disk_counts_on(path, monkeypatch):
    def full(*_: Any) -> None:
        raise StoreError("disk full")

    clock = WallClock()
    clock.utc_ms = local_ms("2026-06-01T13:00")
    async with Line(path, clock) as line:
        line.results.counting.plc.see(7)
        await part(line.results, 1)
        line.results.counting.plc.see(8)
        with monkeypatch.context() as broken:
            broken.setattr(line.results._journal.ledger, "begin_now", full)
            with pytest.raises(StoreError):
                await line.results.begin_period("anna", "")
        line.results.counting.plc.see(9)
        line.results.turn()
        await line.results.alive()
        assert line.results.counts.triggers == 1 and line.results.counts.plc_parts == 3  # one moved to its first row
        assert line.results.counting.difference() == 2


class AnyDays(RuleBasedStateMachine):
    """Parts, refusals, lots, resets, days, clocks that are set, ends of the process, months that are filed."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = ExitStack()
        self.patches = pytest.MonkeyPatch()
        keep_few(self.patches)
        self.root = self.closing.enter_context(quick_folder())
        self.runner = asyncio.Runner()
        self.clock = WallClock()
        self.life = self.seq = 0
        self.reset_from = 1

    @initialize(day=st.sampled_from(["2026-03-28T13:00", "2026-10-24T13:00", "2026-06-30T12:00", "2026-12-31T22:00"]))
    def begin(self, day: str) -> None:
        self.clock.utc_ms = local_ms(day)
        self.live()

    @rule(
        outcome=st.sampled_from([PASS, PASS, FAIL, CAMERA]), lot=st.sampled_from(["", "A", "A", "B"]),
        state=st.sampled_from(DeliveryState), test_part=st.booleans(),
    )  # fmt: skip
    def part(self, outcome: Outcome, lot: str, state: DeliveryState, test_part: bool) -> None:
        self.runner.run(self.one_part(outcome, lot, state, test_part))

    @rule(stamped=st.booleans())
    def refusal(self, stamped: bool) -> None:
        self.runner.run(self.one_refusal(stamped))

    @rule()
    def the_standing_id_is_told_something_else(self) -> None:
        self.runner.run(self.standing())

    @rule(hours=st.sampled_from([0.1, 1, 5, 13, 24 * 20, -1, -14, 24 * 3650, -24 * 3650]))
    def time_passes_or_the_clock_is_set(self, hours: float) -> None:
        self.clock.utc_ms += round(hours * HOUR_MS)
        self.line.results.turn()

    @rule()
    def reset(self) -> None:
        self.reset_from = self.line.results._journal.next_no
        self.runner.run(self.line.results.begin_period("anna", "because"))

    @rule()
    def file(self) -> None:
        self.runner.run(self.line.filing.turn())

    @rule()
    def end_in_order_and_start(self) -> None:
        self.runner.run(self.line.__aexit__())
        self.live()

    @rule()
    def die_and_start(self) -> None:
        """As kill -9 leaves it: the files as they are."""
        former, self.life = self.folder, self.life + 1
        self.folder.mkdir()
        for file in sorted(former.glob("results*"), reverse=True):  # -wal, then the file: no checkpoint between
            if not file.name.endswith(("-shm", ".lock")):
                shutil.copy(file, self.folder)
        self.runner.run(self.line.__aexit__())
        self.live()

    @invariant()
    def the_counts_are_those_of_sql(self) -> None:
        if not hasattr(self, "line"):
            return
        self.line.results._journal._thread.submit(lambda: None).result()
        tallies = self.line.results.tallies
        for scope, counts in tallies.items():
            assert counts.as_status() == counted(self.line.path, partial(self.is_of, scope)), scope
        assert set(tallies) >= {Scope.RESET, Scope.SHIFT}

    def is_of(self, scope: Scope, row: Any) -> bool:
        counts = self.line.results.tallies[scope]
        match scope:
            case Scope.RESET:
                return bool(row["no"] >= self.reset_from)
            case Scope.SHIFT:
                return shift_at(row["opened_utc_ms"], SHIFTS)[0] == counts.since_utc_ms
            case _:
                return bool(row["running_lot"] == counts.key)

    def teardown(self) -> None:
        if hasattr(self, "line"):
            self.runner.run(self.line.__aexit__())
        self.runner.close()
        self.closing.close()
        self.patches.undo()

    @property
    def folder(self) -> Path:
        return self.root / str(self.life)

    def live(self) -> None:
        self.folder.mkdir(exist_ok=True)
        self.line = self.runner.run(self.begun())
        self.line.results.turn()

    async def begun(self) -> Line:
        return await Line(self.folder / "results.db", self.clock).__aenter__()

    async def one_part(self, outcome: Outcome, lot: str, state: DeliveryState, test_part: bool) -> None:
        self.seq += 1
        opened = self.line.results.open(trigger(self.seq, lot=lot, test_part=test_part))
        done = await self.line.results.decide(opened, outcome, GOOD, BY, stamps())
        code = None if not test_part else 5 if outcome is FAIL else 6
        await self.line.results.stamp(done, told(done, state, code))

    async def one_refusal(self, stamped: bool) -> None:
        self.seq += 1
        done = await self.line.results.refuse(Refusal(self.seq, self.seq, Reason.OVERRUN, self.clock.monotonic_s()))
        if stamped:
            await self.line.results.stamp(done, told(done))

    async def standing(self) -> None:
        if last := self.line.results.last_id():
            refusal = Refusal(last, 0, Reason.RESTARTED, self.clock.monotonic_s(), has_row=True)
            done = await self.line.results.refuse(refusal)
            await self.line.results.stamp(done, told(done))


TestAnyDays = AnyDays.TestCase
TestAnyDays.settings = settings(
    max_examples=20, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)


def test_a_record_of_the_former_version_counts_on(path):
    db = apsw.Connection(str(path))
    migrate(db, STEPS[:4])
    db.execute(
        "INSERT INTO boots (started_utc_ms) VALUES (1);"
        "INSERT INTO periods VALUES (1, 1, 5, 'inspector', 'first start'), (2, 3, 9, 'anna', 'new coil');"
    )
    for n in range(1, 6):
        db.execute(
            "INSERT INTO inspections (station, boot, kind, trigger_id, part_id, opened_utc_ms, decided_code,"
            " decided_reason, delivery) VALUES ('st1', 1, 'accepted', ?, ?, ?, 2, 10, 'unknown')", (n, n, n),
        )  # fmt: skip
    migrate(db, STEPS)
    (counts,) = read_tallies(db, read_heads(db, "st1")).values()
    assert (counts.key, counts.since_utc_ms, counts.fail) == ("2", 9, 3)
    db.execute("UPDATE inspections SET decided_code = 4, decided_reason = 101 WHERE no IN (1, 5)")
    assert list(db.execute("SELECT period, code, n FROM counts ORDER BY 1, 2")) == [
        (1, 2, 1), (1, 4, 1), (2, 2, 2), (2, 4, 1),
    ]  # fmt: skip
    db.close()
