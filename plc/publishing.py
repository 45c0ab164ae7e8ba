"""How a verdict is published: record, then flags, and only ever as less than what was decided."""

from __future__ import annotations

from plc.cycle import Cycle, Link
from plc.parts import Part, Record, as_test_part, lesser
from plc.registers import OfflineReason, Reason, Status2, Verdict
from plc.standing import Standing


class Publishing(Standing):
    """What the line asks of the handshake for its part in flight."""

    def exposed(self, part: Part, exposed_s: float, now_s: float) -> None:
        """The exposure of `part`, begun at `exposed_s`, ended: it may move."""
        self._flight.exposed(part, exposed_s)
        self._compose(now_s)

    def load(self, part: Part, record: Record, now_s: float) -> Record | None:
        """Put the record of `part` into STAT, flags still down (P6). Returns what stands there now: it may only be less
        than what was decided. None: nothing may be published for this part (aborted, or no link)."""
        if not self._flight.may_load(part) or self.simulator is None:
            return None
        record = self.downgrade(part, record, now_s)
        if record.reason == Reason.CAMERA and part.refused is None:
            self._latched |= Status2.ACQ_ERROR.value
        self._flight.load(part, record, now_s)
        self._compose(now_s)
        return record

    def raise_flags(self, part: Part, loaded: Record, now_s: float) -> bool:
        """The record is confirmed and its publishing write starts now: VALID and PASS xor FAIL.

        False: no longer true, load again (or give up).
        """
        if part is not self.current or self.cycle is not Cycle.PUBLISH or self.simulator is None:
            return False
        if self.downgrade(part, loaded, now_s) != loaded:
            return False
        self._flight.raise_flags(part, loaded.code, now_s, loaded.inspection_no)
        self._compose(now_s)
        return True

    def downgrade(self, part: Part, record: Record, now_s: float) -> Record:
        """P8, P9, P11, P12: the same record, or a lesser one that says why."""
        record = as_test_part(record) if part.test_part else record
        if part.refused is not None:
            return record if record.code == Verdict.NOT_INSPECTED else lesser(record, part.refused)
        if record.code == Verdict.NOT_INSPECTED:
            return record
        reason = self._why_less(part, record, now_s)
        return record if reason is None else lesser(record, reason)

    def give_up(self, part: Part, record: Record, now_s: float) -> Record:
        """Nothing was published for `part`, and the next one may come. Returns what its row must say: not `record`."""
        because = self._session.doubt
        if part is self.current:
            if self.cycle is Cycle.DROPPED:
                because = self._flight.dropped_because
            self._flight.settle()
        if self._stopping:
            because = Reason.OFFLINE
        told = record if record.code == Verdict.NOT_INSPECTED and part.refused is not None else lesser(record, because)
        self._flight.remember(part, told.code, record.inspection_no)
        self._compose(now_s)
        return told

    def _why_less(self, part: Part, record: Record, now_s: float) -> Reason | None:
        session, exposed_s = self._session, self._flight.exposed_s
        if self._offline_reason(now_s) is OfflineReason.SET_OFFLINE:
            return Reason.OFFLINE
        if part.session != session.key or session.link is not Link.LIVE:
            return session.doubt
        if not session.watch.beating(now_s):
            return Reason.PLC_HEARTBEAT
        expected = session.ctrl["RECIPE_EXPECTED"] if session.ctrl is not None else 0
        if part.activation != self._activations or record.recipe_used != self.active_recipe:
            return Reason.RECIPE_MISMATCH
        if expected not in (0, self.active_recipe):
            return Reason.RECIPE_MISMATCH
        if not now_s <= part.deadline_s:
            return Reason.DEADLINE
        if exposed_s is not None and not exposed_s - part.accepted_s <= self.cfg.exposure_delay_s:
            return Reason.STALE_TRIGGER  # we were paused: the part may have moved on
        if record.code == Verdict.PASS and record.simulated and not self.simulator:
            return Reason.SIMULATED
        return None
