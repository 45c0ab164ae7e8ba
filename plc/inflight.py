"""CYCLE of section 4 of the contract: the part in flight from its trigger to the release of its result."""

from __future__ import annotations

import math
from collections import deque

from plc.cycle import Cycle, Step, advance
from plc.images import Image, clear_record
from plc.parts import Part, Record, fill_record
from plc.registers import TEST_AS_EXPECTED, Control, Reason, Status, Verdict
from plc.verdicts import PlcVerdicts

MAX_REFUSALS = 16  # waiting for their answer; a PLC that triggers more often than that is told OVERRUN once
RESULT = Status.RESULTS_VALID | Status.PASS | Status.FAIL
AT_WORK = (Cycle.ACQUIRING, Cycle.INSPECTING, Cycle.PUBLISH)
_WORKING = Status.ACQUIRING | Status.SYSTEM_BUSY
_ENDED_BY_DISABLE = (
    RESULT | Status.INSPECTION_COMPLETED | Status.EXPOSURE_COMPLETE | Status.MISSED_TRIGGER
    | Status.RESULTS_BUFFER_OVERRUN
)  # fmt: skip


class InFlight:
    """One part at a time, the refused ones behind it, and its record in STAT.

    events: parts for the line, accepted or refused. flags: the bits of STATUS that follow from the cycle.
    """

    def __init__(self, stat: Image, counts: dict[str, int], verdicts: PlcVerdicts) -> None:
        self._stat, self._counts, self._verdicts = stat, counts, verdicts
        self.cycle = Cycle.IDLE
        self.current: Part | None = None
        self.events: deque[Part] = deque()
        self.flags = Status(0)
        self.dropped_because = Reason.OFFLINE
        self.exposed_s: float | None = None
        self._waiting: deque[Part] = deque()
        self._valid_since_s = math.inf
        self._seq = 0

    @property
    def idle(self) -> bool:
        return self.cycle is Cycle.IDLE and not self._waiting

    # -- a trigger is answered -----------------------------------------------------------------------------------------

    def accept(self, part: Part) -> None:
        self.cycle = advance(self.cycle, Step.ACCEPTED)
        self.current, self.exposed_s = part, None
        self._verdicts.accepted(part.trigger_id, part.part_id)
        self._acknowledge_id(part)
        self.flags &= ~(Status.EXPOSURE_COMPLETE | Status.SYSTEM_BUSY)
        self.flags |= Status.ACQUIRING
        self.events.append(part)

    def refuse(self, part: Part) -> bool:
        """False: too many wait already, this one is not answered at all."""
        if len(self._waiting) >= MAX_REFUSALS:
            self.flags |= Status.RESULTS_BUFFER_OVERRUN
            return False
        self._acknowledge_id(part)
        self._queue(part)
        return True

    def record_only(self, part: Part) -> None:
        """A part that was acknowledged in a former life: a row, no further acknowledge."""
        self._counts["TRIGGERS"] += 1
        self._queue(part)

    def _acknowledge_id(self, part: Part) -> None:
        self._stat["TRIGGER_ID_ACK"] = part.trigger_id
        self.flags |= Status.TRIGGER_ACK
        self._counts["TRIGGERS"] += not part.has_row

    def _queue(self, part: Part) -> None:
        self._waiting.append(part)
        self._next_refusal()

    def _next_refusal(self) -> None:
        if self.cycle is Cycle.IDLE and self._waiting:
            self.current, self.exposed_s = self._waiting.popleft(), None
            self.cycle = advance(self.cycle, Step.REFUSED)
            self.events.append(self.current)

    # -- the line works on it, and publishes -----------------------------------------------------------------------

    def exposed(self, part: Part, exposed_s: float) -> None:
        if part is not self.current or self.cycle is not Cycle.ACQUIRING:
            return
        self.cycle = advance(self.cycle, Step.EXPOSED)
        self.exposed_s = exposed_s
        self.flags = (self.flags & ~Status.ACQUIRING) | Status.EXPOSURE_COMPLETE | Status.SYSTEM_BUSY

    def may_load(self, part: Part) -> bool:
        return part is self.current and not part.record_only and self.cycle in AT_WORK

    def load(self, part: Part, record: Record, now_s: float) -> None:
        """The record into STAT, flags down (P6)."""
        self.cycle = advance(self.cycle, Step.LOADED)
        self._seq = self._seq % 0xFFFF + 1
        exposed_s = part.accepted_s if self.exposed_s is None else self.exposed_s
        fill_record(self._stat, self._seq, part, record, now_s, part.trigger_age_s + exposed_s - part.accepted_s)
        self.flags &= ~(Status.ACQUIRING | RESULT)

    def raise_flags(self, part: Part, code: int, now_s: float) -> None:
        """VALID and PASS xor FAIL."""
        self.cycle = advance(self.cycle, Step.FLAGGED)
        self.flags |= Status.RESULTS_VALID | (Status.PASS if code == Verdict.PASS else Status.FAIL)
        self.flags ^= Status.INSPECTION_COMPLETED
        self.flags &= ~Status.SYSTEM_BUSY
        self._valid_since_s = now_s
        self.remember(part, code)

    def settle(self) -> None:
        """The line knows that nothing is published for the part in flight."""
        self.cycle = advance(self.cycle, Step.SETTLED)
        self._finish()

    def remember(self, part: Part, code: int) -> None:
        """Count once for each trigger, and keep what the PLC's own verdict is held against."""
        if not part.has_row:
            self._counts["TEST" if code >= TEST_AS_EXPECTED else Verdict(code).name] += 1
        self._verdicts.told(part.trigger_id, part.part_id, code)

    # -- the result ends -----------------------------------------------------------------------------------------------

    def see(self, ctrl: Image) -> None:
        """TRIGGER, RESULTS_ACK, TRIGGER_ENABLE and CLEAR_EXPOSURE_COMPLETE of one image."""
        control = Control(ctrl["CONTROL"])
        if not control & Control.TRIGGER:
            self.flags &= ~Status.TRIGGER_ACK
        if self.cycle is Cycle.WAIT_ACK:
            by_id = ctrl["RESULT_ACK_ID"] and ctrl["RESULT_ACK_ID"] == self._stat["RES_TRIGGER_ID"]
            if control & Control.RESULTS_ACK or by_id:
                self.clear_valid()
        if self.cycle is Cycle.WAIT_DROP and not control & Control.TRIGGER:
            self.cycle = advance(self.cycle, Step.RELEASED)
            self._finish()
        if not control & Control.TRIGGER_ENABLE:
            self.abort(Reason.OFFLINE)  # the documented re-sync: no VALID for the part in flight, its row is 4/110
            self.flags &= ~_ENDED_BY_DISABLE
        if control & Control.CLEAR_EXPOSURE_COMPLETE:
            self.flags &= ~Status.EXPOSURE_COMPLETE

    def unacknowledged(self, now_s: float, timeout_s: float) -> bool:
        """Does a result stand for longer than `timeout_s`?"""
        return self.cycle is Cycle.WAIT_ACK and now_s - self._valid_since_s > timeout_s

    def clear_valid(self) -> None:
        self.cycle = advance(self.cycle, Step.ACKED)
        self.flags &= ~RESULT
        self._valid_since_s = math.inf

    def session_ended(self, because: Reason) -> None:
        """A result that stands ends here; what the line still works on is downgraded when it publishes."""
        if self.cycle in (Cycle.WAIT_ACK, Cycle.WAIT_DROP):
            self.abort(because)
        if self.cycle is not Cycle.PUBLISH:
            clear_record(self._stat)
        self.flags &= ~(RESULT | Status.TRIGGER_ACK)

    def abort(self, because: Reason) -> None:
        """What is in flight ends without a (further) result."""
        if self.cycle is Cycle.IDLE:
            return
        if self.cycle is not Cycle.DROPPED:
            self.dropped_because = because
        self.cycle = advance(self.cycle, Step.ABORTED)
        self.flags &= ~(_WORKING | RESULT)
        if self.cycle is Cycle.IDLE:
            self._finish()
        else:
            self.flags |= Status.SYSTEM_BUSY  # the line still has it: a PLC that waits to change over must see that

    def _finish(self) -> None:
        self.current = None
        self.flags &= ~_WORKING
        self._next_refusal()
