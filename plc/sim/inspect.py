"""The contract's function block FB_Inspect, one call a scan: STAT in, CTRL out, no I/O, time injected."""

from __future__ import annotations

from enum import Enum

from plc.images import Image, record_xor
from plc.registers import SIGNATURE, Control, Status, Verdict
from plc.sim.parts import Habits, NewPart, SimConfig, SimResult
from plc.values import meaning

UNACKNOWLEDGED_S = 15.0  # a program that never acknowledges waits longer than the appliance's ack_timeout

Step = Enum("Step", "IDLE WAIT RELEASE")


class FbInspect:
    """One part at a time. Every part gets an id and a reject at once; good is written only to its own result.

    done: results that the block is finished with, as they came to be so; the caller takes them away.
    """

    def __init__(self, cfg: SimConfig, ctrl: Image, habits: Habits) -> None:
        self.cfg, self.ctrl, self.habits = cfg, ctrl, habits
        self.step = Step.IDLE
        self.next_id = 1
        self.done: list[SimResult] = []
        self.current: SimResult | None = None
        self._acked = self._late_ack = False
        self._released_s = 0.0
        self._scans = 0

    def scan(self, stat: Image, new: NewPart | None, encoder: int, hb_ok: bool, now_s: float) -> SimResult | None:
        """One scan. new: a part came to the camera in it. Returns the new part's result, a reject so far."""
        torn = stat["RES_SEQ"] != stat["RES_SEQ_TAIL"]  # nothing of it counts
        valid = not torn and stat.any_set("STATUS", Status.RESULTS_VALID)
        result = self._admit(new, encoder) if new is not None else None
        if result is not None:
            result.why = self._why_not(stat, valid, hb_ok)
        match self.step:
            case Step.IDLE:
                self._idle(stat, result, valid, hb_ok, now_s)
            case Step.WAIT:
                self._wait(stat, result, valid, hb_ok, now_s)
            case Step.RELEASE:
                self._release(stat, valid, now_s)
        if result is not None and result is not self.current:
            self.done.append(result)  # the block is busy or the appliance not ready: it stays a reject
        return result

    def _admit(self, new: NewPart, encoder: int) -> SimResult:
        if self.habits.freeze_ids:
            id_ = self.next_id - 1 or 0xFFFF  # that of the part before
        else:
            id_, self.next_id = self.next_id, self.next_id % 0xFFFF + 1
        id_ *= not self.habits.zero_ids
        self.ctrl["PLC_PART_COUNT"] = (self.ctrl["PLC_PART_COUNT"] + 1) & 0xFFFFFFFF
        return SimResult(id_, new.part_id, encoder=encoder, test_part=new.test_part)

    def _idle(self, stat: Image, result: SimResult | None, valid: bool, hb_ok: bool, now_s: float) -> None:
        if not self.ctrl.any_set("CONTROL", Control.TRIGGER):  # one that is set by hand is left alone
            self._ack(valid)  # leftovers are discarded, else deadlock
        if result is None or result.why:
            return
        ctrl = self.ctrl
        if not self.habits.tear_ids:
            ctrl["TRIGGER_ID"], ctrl["TRIGGER_ID_INV"] = result.trigger_id, result.trigger_id ^ 0xFFFF
        else:
            ctrl["TRIGGER_ID_INV"] = 0
        ctrl["PART_ID"], ctrl["ENCODER"] = result.part_id, result.encoder
        self._set(Control.TEST_PART, result.test_part)
        self._set(Control.TRIGGER, True)
        self.current, self.step, result.edge_s = result, Step.WAIT, now_s
        self._acked = self._late_ack = False
        self._scans = 0
        if self.habits.ack_early:
            self._set(Control.RESULTS_ACK, True)

    def _why_not(self, stat: Image, valid: bool, hb_ok: bool) -> str:
        """What keeps a new part from being triggered; "" for nothing."""
        if self.step is not Step.IDLE:
            return "the part before it is still at work"
        if not self.ctrl.any_set("CONTROL", Control.TRIGGER_ENABLE):
            return "TRIGGER_ENABLE is 0"
        if not hb_ok:
            return "no heartbeat of an appliance"
        if not stat.any_set("STATUS", Status.TRIGGER_READY):
            return f"not READY: {meaning('OFFLINE_REASON', stat['OFFLINE_REASON']) or 'busy'}"
        return "an older result still stands" if valid else ""

    def _wait(self, stat: Image, new: SimResult | None, valid: bool, hb_ok: bool, now_s: float) -> None:
        part = self.current
        if part is None:
            raise RuntimeError("the block waits for no part")
        self._scans += 1
        self.ctrl["TRIGGER_ID"] = part.trigger_id
        age_s = now_s - part.edge_s
        if stat.any_set("STATUS", Status.TRIGGER_ACK) and stat["TRIGGER_ID_ACK"] == part.trigger_id:
            if not self._acked:
                self._acked, self._late_ack, part.ack_s = True, age_s > self.cfg.ack_timeout_s, now_s
            self._set(Control.TRIGGER, self.habits.hold_trigger)
        if self.habits.drop_after_scans is not None and self._scans >= self.habits.drop_after_scans:
            self._set(Control.TRIGGER, False)
        if self._acked and valid and stat["RES_TRIGGER_ID"] == part.trigger_id:
            part.code, part.reason, part.valid_s = stat["RESULT_CODE"], stat["REASON"], now_s
            right = good(stat, part.trigger_id, self.ctrl, self.cfg.number) and not part.test_part  # P11
            if right and hb_ok and not self._late_ack:
                part.verdict = "good"
            self._leave(valid, now_s)
            return
        self._ack((valid and stat["RES_TRIGGER_ID"] != part.trigger_id) or self.habits.ack_early)  # foreign or late
        part.why = self._why_given_up(new is not None, age_s, hb_ok)
        if part.why:
            self._leave(valid, now_s)

    def _why_given_up(self, next_came: bool, age_s: float, hb_ok: bool) -> str:
        """What ends the wait for a result; "" for nothing."""
        acked = "acknowledged" if self._acked else "never acknowledged"
        if not hb_ok:
            return f"no heartbeat of an appliance for {self.cfg.heartbeat_timeout_s:g} s; {acked}"
        if age_s > self.cfg.result_timeout_s:
            return f"no result within {self.cfg.result_timeout_s:g} s; {acked}"
        return f"the next part came before its result; {acked}" if next_came else ""

    def _leave(self, valid: bool, now_s: float) -> None:
        self._set(Control.TRIGGER, self.habits.hold_trigger)
        self._ack(valid)
        self.step, self._released_s = Step.RELEASE, now_s

    def _release(self, stat: Image, valid: bool, now_s: float) -> None:
        """Acknowledge until VALID and ACK are gone; a dead appliance is not waited for."""
        self._set(Control.TRIGGER, self.habits.hold_trigger)
        self._ack(valid)
        if self.habits.hold_trigger:
            return
        gone = not valid and not stat.any_set("STATUS", Status.TRIGGER_ACK)
        patience_s = UNACKNOWLEDGED_S if self.habits.never_ack else self.cfg.result_timeout_s
        if gone or now_s - self._released_s > patience_s:
            self._set(Control.TEST_PART, False)
            self.step = Step.IDLE
            if self.current is not None:
                self.done.append(self.current)
                self.current = None

    def _ack(self, on: bool) -> None:
        self._set(Control.RESULTS_ACK, on and not self.habits.never_ack)

    def _set(self, bit: Control, on: bool) -> None:
        set_bit(self.ctrl, bit, on)


def set_bit(ctrl: Image, bit: Control, on: bool) -> None:
    """On plain numbers, for this is done several times a scan."""
    control, mask = ctrl["CONTROL"], bit.value
    ctrl["CONTROL"] = control | mask if on else control & ~mask


def good(stat: Image, trigger_id: int, ctrl: Image, number: int) -> bool:
    """P2 of the contract but for the timers: all of it, or the part is a reject."""
    status = Status(stat["STATUS"])
    wanted = Status.RESULTS_VALID | Status.PASS | Status.ONLINE
    return (
        status & wanted == wanted
        and not status & (Status.FAIL | Status.ERROR)
        and stat["RESULT_CODE"] == Verdict.PASS
        and stat["RES_TRIGGER_ID"] == trigger_id
        and stat["RES_SEQ"] == stat["RES_SEQ_TAIL"]
        and stat["RES_XOR"] == record_xor(stat)
        and ctrl["RECIPE_EXPECTED"] in (0, stat["RECIPE_USED"])
        and stat["RESULT_FLAGS"] & 3 == 0
        and stat["STAT_SIGNATURE"] == SIGNATURE + number
    )
