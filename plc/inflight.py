"""CYCLE of section 4 of the contract: the part in flight from its trigger to the release of its result."""

from __future__ import annotations

import math
from collections import deque

from plc.cycle import Cycle, Step, advance
from plc.images import Image, clear_record
from plc.parts import Part, Record, fill_record
from plc.reactions import MAX_REACTIONS, Acknowledged, Reaction
from plc.registers import TEST_AS_EXPECTED, Control, Reason, Status, Verdict
from plc.verdicts import PlcVerdicts

MAX_REFUSALS = 16  # waiting for their answer; a PLC that triggers more often than that is told OVERRUN once
AT_WORK = (Cycle.ACQUIRING, Cycle.INSPECTING, Cycle.PUBLISH)
# plain numbers, for what runs with every poll
_ACK, _ACQUIRING, _BUSY, _EXPOSED, _VALID, _PASS, _FAIL, _COMPLETED, _MISSED, _OVERRUN = (
    bit.value for bit in (
        Status.TRIGGER_ACK, Status.ACQUIRING, Status.SYSTEM_BUSY, Status.EXPOSURE_COMPLETE, Status.RESULTS_VALID,
        Status.PASS, Status.FAIL, Status.INSPECTION_COMPLETED, Status.MISSED_TRIGGER, Status.RESULTS_BUFFER_OVERRUN,
    )
)  # fmt: skip
_RESULT, _WORKING = _VALID | _PASS | _FAIL, _ACQUIRING | _BUSY
_ENDED_BY_DISABLE = _RESULT | _COMPLETED | _EXPOSED | _MISSED | _OVERRUN
_ENABLE, _TRIGGER, _RESULTS_ACK, _CLEAR_EXPOSURE = (
    bit.value for bit in (
        Control.TRIGGER_ENABLE, Control.TRIGGER, Control.RESULTS_ACK, Control.CLEAR_EXPOSURE_COMPLETE,
    )
)  # fmt: skip


class InFlight:
    """One part at a time, the refused ones behind it, and its record in STAT.

    events: parts for the line, accepted or refused. reactions: for the parts' rows. flags: the bits of STATUS that
    follow from the cycle.
    """

    def __init__(self, stat: Image, counts: dict[str, int], verdicts: PlcVerdicts) -> None:
        self._stat, self._counts, self._verdicts = stat, counts, verdicts
        self.cycle = Cycle.IDLE
        self.current: Part | None = None
        self.events: deque[Part] = deque()
        self.reactions: deque[Reaction] = deque(maxlen=MAX_REACTIONS)
        self.flags = 0
        self.dropped_because = Reason.OFFLINE
        self.exposed_s: float | None = None
        self._waiting: deque[Part] = deque()
        self._valid_since_s = math.inf
        self._seq = self._valid_no = 0  # _valid_no: INSPECTION_NO of what stands

    @property
    def idle(self) -> bool:
        return self.cycle is Cycle.IDLE and not self._waiting

    # -- a trigger is answered -----------------------------------------------------------------------------------------

    def accept(self, part: Part) -> None:
        self.cycle = advance(self.cycle, Step.ACCEPTED)
        self.current, self.exposed_s = part, None
        self._verdicts.accepted(part.trigger_id, part.part_id)
        self._acknowledge_id(part)
        self.flags &= ~(_EXPOSED | _BUSY)
        self.flags |= _ACQUIRING
        self.events.append(part)

    def refuse(self, part: Part) -> bool:
        """False: too many wait already, this one is not answered at all."""
        if len(self._waiting) >= MAX_REFUSALS:
            self.flags |= _OVERRUN
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
        self.flags |= _ACK
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
        self.flags = (self.flags & ~_ACQUIRING) | _EXPOSED | _BUSY

    def may_load(self, part: Part) -> bool:
        return part is self.current and not part.record_only and self.cycle in AT_WORK

    def load(self, part: Part, record: Record, now_s: float) -> None:
        """The record into STAT, flags down (P6)."""
        self.cycle = advance(self.cycle, Step.LOADED)
        self._seq = self._seq % 0xFFFF + 1
        exposed_s = part.accepted_s if self.exposed_s is None else self.exposed_s
        fill_record(self._stat, self._seq, part, record, now_s, part.trigger_age_s + exposed_s - part.accepted_s)
        self.flags &= ~(_ACQUIRING | _RESULT)

    def raise_flags(self, part: Part, code: int, now_s: float, inspection_no: int) -> None:
        """VALID and PASS xor FAIL. now_s: the publishing write starts."""
        self.cycle = advance(self.cycle, Step.FLAGGED)
        self.flags |= _VALID | (_PASS if code == Verdict.PASS else _FAIL)
        self.flags ^= _COMPLETED
        self.flags &= ~_BUSY
        self._valid_since_s, self._valid_no = now_s, inspection_no
        self.remember(part, code, inspection_no, now_s)

    def settle(self) -> None:
        """The line knows that nothing is published for the part in flight."""
        self.cycle = advance(self.cycle, Step.SETTLED)
        self._finish()

    def remember(self, part: Part, code: int, inspection_no: int, told_s: float | None = None) -> None:
        """Count once for each trigger, and keep what the PLC's own verdict is held against. told_s: None: it was not
        told."""
        if not part.has_row:
            self._counts["TEST" if code >= TEST_AS_EXPECTED else Verdict(code).name] += 1
        if early := self._verdicts.told(part.trigger_id, part.part_id, code, inspection_no, told_s):
            self.reactions.append(early)

    # -- the result ends -----------------------------------------------------------------------------------------------

    def see(self, ctrl: Image, now_s: float) -> None:
        """TRIGGER, RESULTS_ACK, TRIGGER_ENABLE and CLEAR_EXPOSURE_COMPLETE of one image."""
        control = ctrl["CONTROL"]
        if not control & _TRIGGER:
            self.flags &= ~_ACK
        if self.cycle is Cycle.WAIT_ACK:
            by_id = ctrl["RESULT_ACK_ID"] and ctrl["RESULT_ACK_ID"] == self._stat["RES_TRIGGER_ID"]
            if control & _RESULTS_ACK or by_id:
                self.clear_valid(now_s, by_plc=True)
        if self.cycle is Cycle.WAIT_DROP and not control & _TRIGGER:
            self.cycle = advance(self.cycle, Step.RELEASED)
            self._finish()
        if not control & _ENABLE:
            self.abort(Reason.OFFLINE)  # the documented re-sync: no VALID for the part in flight, its row is 4/110
            self.flags &= ~_ENDED_BY_DISABLE
        if control & _CLEAR_EXPOSURE:
            self.flags &= ~_EXPOSED

    def unacknowledged(self, now_s: float, timeout_s: float) -> bool:
        """Does a result stand for longer than `timeout_s`?"""
        return self.cycle is Cycle.WAIT_ACK and now_s - self._valid_since_s > timeout_s

    def clear_valid(self, now_s: float, *, by_plc: bool) -> None:
        """by_plc: it acknowledged the result that stands; else it did not in time.

        Of an id that is told anew, as 4/107 or 4/108, only its first result goes on record so.
        """
        if self._valid_no and self.current is not None and not self.current.has_row:
            self.reactions.append(Acknowledged(self._valid_no, by_plc, now_s - self._valid_since_s))
        self.cycle = advance(self.cycle, Step.ACKED)
        self.flags &= ~_RESULT
        self._valid_since_s = math.inf

    def session_ended(self, because: Reason) -> None:
        """A result that stands ends here; what the line still works on is downgraded when it publishes."""
        if self.cycle in (Cycle.WAIT_ACK, Cycle.WAIT_DROP):
            self.abort(because)
        if self.cycle is not Cycle.PUBLISH:
            clear_record(self._stat)
        self.flags &= ~(_RESULT | _ACK)

    def abort(self, because: Reason) -> None:
        """What is in flight ends without a (further) result."""
        if self.cycle is Cycle.IDLE:
            return
        if self.cycle is not Cycle.DROPPED:
            self.dropped_because = because
        self.cycle = advance(self.cycle, Step.ABORTED)
        self.flags &= ~(_WORKING | _RESULT)
        if self.cycle is Cycle.IDLE:
            self._finish()
        else:
            self.flags |= _BUSY  # the line still has it: a PLC that waits to change over must see that

    def _finish(self) -> None:
        self.current = None
        self.flags &= ~_WORKING
        self._next_refusal()
