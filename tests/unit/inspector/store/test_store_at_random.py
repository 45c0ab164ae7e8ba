"""Any sequence of parts, refusals, stamps, reactions of the PLC and deaths, against a model of a few lines."""

from __future__ import annotations

import asyncio
import shutil
import time
from contextlib import AsyncExitStack, ExitStack
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from inspector.core.ports import OpenRow
from inspector.core.types import DeliveryState, Inspection, Outcome, Refusal
from inspector.store.results import SqliteResults
from plc.reactions import Acknowledged, Reported
from plc.registers import Reason, Verdict
from tests.support.disks import quick_folder
from tests.support.invariants import check
from tests.support.store import BY, FAIL, GOOD, PASS, stamps, store, told, trigger

UNCERTAIN = Outcome(Verdict.UNCERTAIN, Reason.LOW_CONFIDENCE)
NOT_INSPECTED = Outcome(Verdict.NOT_INSPECTED, Reason.CAMERA)
RESTARTED = (4, int(Reason.RESTARTED))


class TheRecord(RuleBasedStateMachine):
    """The model: no -> what its row must say."""

    def __init__(self) -> None:
        super().__init__()
        self.closing = ExitStack()
        self.root = self.closing.enter_context(quick_folder())
        self.runner = asyncio.Runner()
        self.life = 0
        self.seq = 0
        self.rows: dict[int, dict[str, Any]] = {}
        self.open_now: Any = None
        self.unstamped: list[Inspection] = []
        self.ids_told: set[int] = set()
        self.reacted: dict[int, tuple[int, int]] = {}  # no -> how often, and how many of those are on the disk for sure

    @initialize()
    def begin(self) -> None:
        self._live()

    @precondition(lambda self: self.open_now is None)
    @rule()
    def accept(self) -> None:
        self.seq += 1
        self.open_now = self.runner.run(self._opened())
        self._new_number(self.open_now.ticket)
        self.rows[self.open_now.ticket] = {"kind": "accepted", "decided": None, "published": None, "delivery": None}

    async def _opened(self) -> OpenRow:
        return self.results.open(trigger(self.seq))

    @precondition(lambda self: self.open_now is not None)
    @rule(outcome=st.sampled_from([PASS, FAIL, UNCERTAIN, NOT_INSPECTED]))
    def decide(self, outcome: Outcome) -> None:
        opened, self.open_now = self.open_now, None
        done = self.runner.run(self.results.decide(opened, outcome, GOOD, BY, stamps()))
        assert done.no == opened.ticket and done.outcome == outcome
        self.rows[done.no]["decided"] = (int(outcome.verdict), int(outcome.reason))
        self.unstamped.append(done)

    @precondition(lambda self: self.unstamped)
    @rule(state=st.sampled_from(DeliveryState), downgrade=st.booleans())
    def stamp(self, state: DeliveryState, downgrade: bool) -> None:
        done = self.unstamped.pop(0)
        delivery = told(done, state, code=4 if downgrade else None)
        self.runner.run(self.results.stamp(done, delivery))
        row = self.rows[done.no]
        if state is not DeliveryState.NONE or row["delivery"] in (None, "none"):
            row |= {"published": (delivery.code, int(delivery.reason)), "delivery": str(state)}

    @rule(reason=st.sampled_from([Reason.DUPLICATE_ID, Reason.OVERRUN]))
    def refuse(self, reason: Reason) -> None:
        self.seq += 1
        done = self.runner.run(self.results.refuse(Refusal(self.seq, self.seq, reason, time.monotonic())))
        self._new_number(done.no)
        self.rows[done.no] = {"kind": "refused", "decided": (4, int(reason)), "published": None, "delivery": None}
        self.unstamped.append(done)

    @precondition(lambda self: self.rows and self.open_now is None)
    @rule()
    def refuse_the_standing_id(self) -> None:
        refusal = Refusal(self.results.last_id(), 0, Reason.RESTARTED, time.monotonic(), has_row=True)
        done = self.runner.run(self.results.refuse(refusal))
        assert done.no == max(self.rows)
        self.unstamped = [d for d in self.unstamped if d.no != done.no] + [done]

    @precondition(lambda self: self.rows)
    @rule(data=st.data())
    def react(self, data: st.DataObject) -> None:
        """The PLC acknowledged a result, and says something of the part; each time something else, here its number."""
        no = data.draw(st.sampled_from(sorted(self.rows)))
        times, sure = self.reacted.get(no, (0, 0))
        self.reacted[no] = times + 1, sure
        seen_s = time.monotonic()
        self.results.react([Acknowledged(no, True, times + 1.0), Reported(no, times + 1, seen_s, None)])

    @rule()
    def alive(self) -> None:
        self.runner.run(self.results.alive())
        self.reacted = {no: (times, times) for no, (times, _) in self.reacted.items()}

    @rule()
    def end_in_order_and_start(self) -> None:
        self.runner.run(self.stack.aclose())
        self.reacted = {no: (times, times) for no, (times, _) in self.reacted.items()}
        self._settle()
        self._live()

    @rule(drained=st.booleans())
    def die_and_start(self, drained: bool) -> None:
        """As kill -9 leaves it: the files as they are, and what no commit took is gone."""
        if drained:
            self.results._journal._thread.submit(lambda: None).result()
        former, self.life = self.folder, self.life + 1
        self.folder.mkdir()
        for file in sorted(former.glob("results.db*"), reverse=True):  # -wal, then the file: no checkpoint between
            if not file.name.endswith("-shm"):
                shutil.copy(file, self.folder)
        self.runner.run(self.stack.aclose())
        if self.open_now is not None and not drained:
            no = self.open_now.ticket
            if no not in {r["no"] for r in check(self.folder / "results.db", [], settled=False)}:
                del self.rows[no]  # it was accepted, and answered by nobody
                self.reacted.pop(no, None)
        for row in check(self.folder / "results.db", [], settled=False):  # a death may lose the newest
            times, sure = self.reacted.pop(row["no"], (0, 0))
            kept = row["plc_verdict"] or 0
            assert sure <= kept <= times
            self.reacted[row["no"]] = kept, kept
        self._settle()
        self._live()

    @invariant()
    def the_rows_say_what_the_model_says(self) -> None:
        if not hasattr(self, "results"):
            return
        self.results._journal._thread.submit(lambda: None).result()
        found = {r["no"]: r for r in check(self.folder / "results.db", [], settled=False)}
        assert set(found) == set(self.rows)
        for no, row in self.rows.items():
            real = found[no]
            assert real["kind"] == row["kind"] and real["delivery"] == row["delivery"], no
            assert _pair(real, "decided") == row["decided"] and _pair(real, "published") == row["published"], no
            times, sure = self.reacted.get(no, (0, 0))
            assert sure <= (real["plc_verdict"] or 0) <= times, no
            assert real["ack_ms"] == (1000.0 * real["plc_verdict"] if real["plc_verdict"] else None), no
        settled = sum(row["delivery"] is not None for row in self.rows.values())
        counts = self.results.counts.as_status()
        assert counts.pop("triggers") == settled == sum(counts.values())
        passed = [r["published"] or r["decided"] for r in self.rows.values() if r["delivery"] is not None]
        assert counts["pass"] == sum(p[0] == Verdict.PASS for p in passed)

    def teardown(self) -> None:
        if hasattr(self, "results"):
            self.runner.run(self.stack.aclose())
        self.runner.close()
        self.closing.close()

    @property
    def folder(self) -> Path:
        return self.root / str(self.life)

    def _new_number(self, no: int) -> None:
        assert no not in self.ids_told, "one number, two parts"
        self.ids_told.add(no)

    def _live(self) -> None:
        async def begin() -> tuple[AsyncExitStack, SqliteResults]:
            stack = AsyncExitStack()
            return stack, await stack.enter_async_context(store(self.folder / "results.db"))

        self.stack, self.results = self.runner.run(begin())

    def _settle(self) -> None:
        """What a start makes of what it finds."""
        self.open_now, self.unstamped = None, []
        for row in self.rows.values():
            row["decided"] = row["decided"] or RESTARTED
            row["delivery"] = row["delivery"] or "unknown"


def _pair(row: Any, what: str) -> tuple[int, int] | None:
    return None if row[f"{what}_code"] is None else (row[f"{what}_code"], row[f"{what}_reason"])


TestTheRecord = TheRecord.TestCase
TestTheRecord.settings = settings(
    max_examples=15, stateful_step_count=25, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
