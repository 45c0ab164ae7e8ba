"""The contract's state machine, without I/O: CTRL images in, accepted triggers and STAT images out. Time is injected.

Both directions are thin adapters on this. All times are seconds on one monotonic clock. The rules' numbers (P1 to P12)
are those of the contract.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

from plc.cycle import LINK_NEXT, Cycle, HandshakeError, Link, LinkStep, Step, advance
from plc.errors import ErrorQueue
from plc.images import Image, clear_record
from plc.parts import HandshakeConfig, HealthInput, Part, Record, as_test_part, fill_record, lesser
from plc.registers import (
    LATCHED2,
    SIGNATURE,
    SIMULATOR_SIGNATURE,
    STAT,
    TEST_AS_EXPECTED,
    Control,
    OfflineReason,
    Reason,
    Status,
    Status2,
    Verdict,
    VisionState,
)
from plc.watch import PlcWatch

__all__ = ["Cycle", "Handshake", "HandshakeConfig", "HandshakeError", "HealthInput", "Link", "Part", "Record"]

MAX_REFUSALS = 16  # waiting for their answer; a PLC that triggers more often than that is told OVERRUN once
TOLD_IDS = 64  # newest verdicts that PLC_VERDICT is held against
COMMAND_HELD_S = 10.0  # EXECUTE_COMMAND kept high so long after the answer: the answer is taken away
RESULT = Status.RESULTS_VALID | Status.PASS | Status.FAIL
_REFUSED_BECAUSE = {
    OfflineReason.CAMERA: Reason.CAMERA,
    OfflineReason.MODEL: Reason.INFERENCE,
    OfflineReason.STORAGE: Reason.STORAGE,
    OfflineReason.PLC_HEARTBEAT: Reason.PLC_HEARTBEAT,
}


class Handshake:
    """Feed samples and decisions; take parts from `events`, and write `stat` whenever it changed and each heartbeat.

    known: does the store have a row of this trigger id?
    """

    def __init__(self, cfg: HandshakeConfig, known: Callable[[int], bool]) -> None:
        self.cfg, self._known = cfg, known
        self.link, self.cycle = Link.DOWN, Cycle.IDLE
        self.stat = Image(STAT, word_order=cfg.word_order)
        self.events: deque[Part] = deque()
        counts = "TRIGGERS PASS FAIL UNCERTAIN NOT_INSPECTED TEST MISSED DUPLICATES STALE ID_GAPS LINK_SESSIONS"
        self.counts = dict.fromkeys((*counts.split(), "ACK_TIMEOUTS"), 0)
        self.clear_errors = 0  # how often the PLC asked; health watches it
        self.wrong_accepts = 0  # the PLC took a part as good that we did not pass: a critical alarm
        self.simulator: bool | None = None  # None: this connection has not shown the right signature
        self.simulated_camera = False  # the camera's pictures are not of this moment (P12)
        self.current: Part | None = None
        self._health = HealthInput()
        self._watch = PlcWatch(cfg.heartbeat_timeout_s, cfg.max_trigger_age_s)
        self._errors = ErrorQueue()
        self._stopping = self._line_busy = self._been_ready = False
        self._refusals: deque[Part] = deque()
        self._prev: Image | None = None
        self._last_id = self._acked_before = 0
        self._new_session = True  # ids may begin anywhere
        self._confirming = self._protocol_error = self._duplicate_error = self._wrongly_accepted = False
        self._ready = self._restarted = False
        self._link_session = self._plc_session = 0
        self._doubt = Reason.LINK_LOST  # why the link is not LIVE
        self._dropped_because = Reason.OFFLINE
        self._exposed_s: float | None = None
        self._valid_since_s = self._answered_s = math.inf
        self._told: dict[int, int] = {}
        self._verdict = (0, 0)
        self._seq = 0
        self._flags = Status(0)  # the bits of STATUS that the cycle owns
        self._latched = Status2(0)
        self._compose(0.0)

    # -- what happens ------------------------------------------------------------------------------------------------

    def link_up(self, now_s: float, id_ack_in_plc: int = 0) -> None:
        """A connection stands. `id_ack_in_plc`: TRIGGER_ID_ACK found in our STAT there, of a former life perhaps."""
        self._link_session += 1
        self.counts["LINK_SESSIONS"] += 1
        self._restarted = self._link_session == 1
        if self._restarted:
            self._acked_before = self.stat["TRIGGER_ID_ACK"] = id_ack_in_plc
        self._link_step(LinkStep.CONNECTED, Reason.LINK_LOST)
        self._compose(now_s)

    def link_down(self, now_s: float) -> None:
        """No PASS crosses a session: what is in flight ends in the log only, or as 4/107 where its id still stands.

        The signature has to be shown anew: behind the same address another PLC may answer next time (P8, row 21).
        """
        self.simulator = None
        self._link_step(LinkStep.LOST, Reason.LINK_LOST)
        self._compose(now_s)

    def sample(self, ctrl: Image, sent_s: float, received_s: float) -> None:
        """One image of CTRL, with the send time of the request that fetched it (P7: a reply may be late)."""
        if not self._signature_right(ctrl["SIGNATURE"]):
            self._link_step(LinkStep.DOUBTED, Reason.LINK_LOST)
            self._compose(received_s)
            return
        prev = self._prev
        restarted = self._watch.sample(prev, ctrl, sent_s, received_s)
        if restarted or (self.link is Link.LIVE and not self._watch.beating(received_s)):
            self._plc_session += 1
            self._new_session = True
            self._link_step(LinkStep.DOUBTED, Reason.LINK_LOST if restarted else Reason.PLC_HEARTBEAT)
            prev = None
        self._prev = ctrl
        control = Control(ctrl["CONTROL"])
        if prev is None:
            self._first_image(control, ctrl, received_s)
        else:
            self._see_edge(Control(prev["CONTROL"]), control, prev, ctrl, received_s)
        if not control & Control.TRIGGER:
            self._watch.saw_no_trigger(sent_s)
            self._protocol_error = False
            self._flags &= ~Status.TRIGGER_ACK
            if self.link is Link.BASELINE and self._watch.beats >= 2:
                self.link = LINK_NEXT[self.link, LinkStep.BASED]
        self._acknowledge(control, ctrl)
        self._obey(control, ctrl, prev, received_s)
        self._check_verdict(ctrl)
        self._compose(received_s)

    def tick(self, now_s: float) -> None:
        """Time passed: timeouts and freshness."""
        if self.cycle is Cycle.WAIT_ACK and now_s - self._valid_since_s > self.cfg.ack_timeout_s:
            self._latched |= Status2.ACK_TIMEOUT
            self.counts["ACK_TIMEOUTS"] += 1
            self._clear_valid()
        if now_s - self._answered_s > COMMAND_HELD_S:
            self._flags &= ~(Status.COMMAND_COMPLETED | Status.COMMAND_FAILED)
        self._compose(now_s)

    def health(self, health: HealthInput, now_s: float) -> None:
        self._health = health
        self._compose(now_s)

    def line_free(self, free: bool, now_s: float) -> None:
        """The line waits for a part, or is still at work (also after the PLC was told): READY needs a free line."""
        self._line_busy = not free
        self._compose(now_s)

    def beat(self, now_s: float) -> None:
        """The appliance's own heartbeat, every 100 ms by the supervisor's loop."""
        self.stat["HEARTBEAT"] += 1
        self._watch.sent_heartbeat(self.stat["HEARTBEAT"], now_s)

    def exposed(self, part: Part, exposed_s: float, now_s: float) -> None:
        """The exposure of `part`, begun at `exposed_s`, ended: it may move."""
        if part is not self.current or self.cycle is not Cycle.ACQUIRING:
            return
        self.cycle = advance(self.cycle, Step.EXPOSED)
        self._exposed_s = exposed_s
        self._flags = (self._flags & ~Status.ACQUIRING) | Status.EXPOSURE_COMPLETE | Status.SYSTEM_BUSY
        self._compose(now_s)

    def stop(self, now_s: float) -> None:
        """Orderly end: READY and ONLINE fall, what is in flight becomes 4/110 (row 28)."""
        self._stopping = True
        self._compose(now_s)

    def owner_conflict(self, now_s: float) -> None:
        """Another appliance writes into our STAT (row 22)."""
        self._latched |= Status2.OWNER_CONFLICT
        self._compose(now_s)

    @property
    def owner_doubted(self) -> bool:
        """Latched until CLEAR_ERROR: nothing may be written meanwhile."""
        return bool(self._latched & Status2.OWNER_CONFLICT)

    # -- publishing ----------------------------------------------------------------------------------------------------

    def load(self, part: Part, record: Record, now_s: float) -> Record | None:
        """Put the record of `part` into STAT, flags still down (P6). Returns what stands there now: it may only be less
        than what was decided. None: nothing may be published for this part (aborted, or no link)."""
        at_work = self.cycle in (Cycle.ACQUIRING, Cycle.INSPECTING, Cycle.PUBLISH)
        if part is not self.current or part.record_only or not at_work or self.simulator is None:
            return None
        record = self.downgrade(part, record, now_s)
        self.cycle = advance(self.cycle, Step.LOADED)
        self._seq = self._seq % 0xFFFF + 1
        exposed_s = part.accepted_s if self._exposed_s is None else self._exposed_s
        fill_record(self.stat, self._seq, part, record, now_s, part.trigger_age_s + exposed_s - part.accepted_s)
        self._flags &= ~(Status.ACQUIRING | RESULT)
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
        self.cycle = advance(self.cycle, Step.FLAGGED)
        self._flags |= Status.RESULTS_VALID | (Status.PASS if loaded.code == Verdict.PASS else Status.FAIL)
        self._flags ^= Status.INSPECTION_COMPLETED
        self._flags &= ~Status.SYSTEM_BUSY
        self._valid_since_s = now_s
        self._remember(part, loaded.code)
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
        if part is self.current:
            because = self._dropped_because if self.cycle is Cycle.DROPPED else self._doubt
            self.cycle = advance(self.cycle, Step.SETTLED)
            self._finish()
        else:
            because = self._doubt
        if self._stopping:
            because = Reason.OFFLINE
        told = record if record.code == Verdict.NOT_INSPECTED and part.refused is not None else lesser(record, because)
        self._remember(part, told.code)
        self._compose(now_s)
        return told

    def _why_less(self, part: Part, record: Record, now_s: float) -> Reason | None:
        if self._offline_reason(now_s) is OfflineReason.SET_OFFLINE:
            return Reason.OFFLINE
        if part.session != (self._link_session, self._plc_session) or self.link is not Link.LIVE:
            return self._doubt
        if not self._watch.beating(now_s):
            return Reason.PLC_HEARTBEAT
        expected = self._prev["RECIPE_EXPECTED"] if self._prev is not None else 0
        if record.recipe_used != self.cfg.active_recipe or expected not in (0, self.cfg.active_recipe):
            return Reason.RECIPE_MISMATCH
        if not now_s <= part.deadline_s:
            return Reason.DEADLINE
        if self._exposed_s is not None and not self._exposed_s - part.accepted_s <= self.cfg.exposure_delay_s:
            return Reason.STALE_TRIGGER  # we were paused: the part may have moved on
        if record.code == Verdict.PASS and record.simulated and not self.simulator:
            return Reason.SIMULATED
        return None

    def _remember(self, part: Part, code: int) -> None:
        """Count once for each trigger, and keep what the PLC's own verdict is held against."""
        if not part.has_row:
            self.counts["TEST" if code >= TEST_AS_EXPECTED else Verdict(code).name] += 1
        if self._told.get(part.trigger_id) != Verdict.PASS:  # a repeated id does not take back what was told before
            self._told[part.trigger_id] = code
        while len(self._told) > TOLD_IDS:
            del self._told[next(iter(self._told))]

    # -- samples in detail ---------------------------------------------------------------------------------------------

    def _signature_right(self, signature: int) -> bool:
        number = self.cfg.number
        self.simulator = {SIMULATOR_SIGNATURE + number: True, SIGNATURE + number: False}.get(signature)
        return self.simulator is not None

    def _link_step(self, step: LinkStep, doubt: Reason) -> None:
        """Leave LIVE: the next image is a reference, not an event. A result that stands ends here."""
        self.link, self._doubt = LINK_NEXT[self.link, step], doubt
        if self.cycle in (Cycle.WAIT_ACK, Cycle.WAIT_DROP):
            self._abort(doubt)
        if self.cycle is not Cycle.PUBLISH:
            clear_record(self.stat)
        self._flags &= ~(RESULT | Status.TRIGGER_ACK)
        self._prev, self._confirming, self._protocol_error = None, False, False
        self._watch.restart()

    def _first_image(self, control: Control, ctrl: Image, now_s: float) -> None:
        """A trigger that was up before we looked: never an inspection, but never silence either."""
        id_ = ctrl["TRIGGER_ID"]
        standing = bool(control & Control.TRIGGER) and id_ != 0
        if standing and not (self.current is not None and self.current.trigger_id == id_):
            self._answer_standing(id_, ctrl, now_s)
        elif not control & Control.TRIGGER and id_:
            self._count_gap(id_)
            self._last_id = id_
        if self._acked_before and not self._known(self._acked_before) and self._acked_before != self._last_id:
            self._close_former_life(self._acked_before, now_s)
        self._restarted, self._acked_before = False, 0

    def _answer_standing(self, id_: int, ctrl: Image, now_s: float) -> None:
        has_row = id_ == self._last_id or self._known(id_)
        if has_row or id_ == self._acked_before:
            reason = Reason.RESTARTED if self._restarted else Reason.LINK_LOST
        else:
            reason = Reason.STALE_TRIGGER
            self._stale()
        self._refuse(ctrl, now_s, reason, has_row=has_row)

    def _close_former_life(self, id_: int, now_s: float) -> None:
        """An id that a former life acknowledged and that has no row gets one (I2)."""
        part = Part(
            id_, 0, 0, now_s, now_s + self.cfg.deadline_s, math.inf, False, bool(self.simulator),
            (self._link_session, self._plc_session), Reason.RESTARTED, record_only=True,
        )  # fmt: skip
        self._last_id = self._last_id or id_
        self.counts["TRIGGERS"] += 1
        self._queue(part)

    def _see_edge(self, was: Control, control: Control, prev: Image, ctrl: Image, now_s: float) -> None:
        if not control & Control.TRIGGER:
            self._confirming = False
        elif self._confirming or not was & Control.TRIGGER:
            self._edge(control, ctrl, now_s)
        elif ctrl["TRIGGER_ID"] != prev["TRIGGER_ID"]:
            self._protocol_error = True  # an id that changes while TRIGGER stands is no trigger

    def _edge(self, control: Control, ctrl: Image, now_s: float) -> None:
        if not control & Control.TRIGGER_ENABLE:
            self._confirming = False
            return
        id_, inverse = ctrl["TRIGGER_ID"], ctrl["TRIGGER_ID_INV"]
        torn = inverse not in (0, id_ ^ 0xFFFF)
        if (torn or id_ in (0, self._last_id)) and not self._confirming:
            self._confirming = True  # perhaps torn: look once more
            return
        self._confirming = False
        if id_ == 0 or torn:
            self._protocol_error = True
            return
        reason = self._why_refused(ctrl, id_, now_s)
        if reason is not Reason.DUPLICATE_ID:
            self._count_gap(id_)
        if reason is not None:
            self._refuse(ctrl, now_s, reason)
        else:
            self._accept(ctrl, now_s)

    def _why_refused(self, ctrl: Image, id_: int, now_s: float) -> Reason | None:
        if id_ == self._last_id:
            self._latched |= Status2.DUPLICATE_ID
            self._duplicate_error = True
            self.counts["DUPLICATES"] += 1
            return Reason.DUPLICATE_ID
        if self.cycle is not Cycle.IDLE or self._refusals or self._line_busy:
            self._flags |= Status.MISSED_TRIGGER
            self.counts["MISSED"] += 1
            return Reason.OVERRUN
        if self.link is not Link.LIVE or not self._watch.trigger_age_s(now_s) <= self.cfg.max_trigger_age_s:
            self._stale()
            return Reason.STALE_TRIGGER
        offline = self._offline_reason(now_s)
        if offline is not OfflineReason.NONE:
            return _REFUSED_BECAUSE.get(offline, Reason.OFFLINE)
        if ctrl["RECIPE_EXPECTED"] not in (0, self.cfg.active_recipe):
            return Reason.RECIPE_MISMATCH
        return None if self._ready else Reason.RESYNC  # a trigger without READY, e.g. RESULTS_ACK still up

    def _stale(self) -> None:
        self._latched |= Status2.STALE_TRIGGER
        self.counts["STALE"] += 1

    def _count_gap(self, id_: int) -> None:
        """Ids between the last one and this are triggers that we never saw. A counter that went back is one gap."""
        gap = 0 if self._new_session or not self._last_id else (id_ - self._last_id - 1) % 0xFFFF
        self._new_session = False
        if gap and id_ != self._last_id:
            self._latched |= Status2.ID_GAP
            self.counts["ID_GAPS"] += gap if gap < 0x8000 else 1

    def _accept(self, ctrl: Image, now_s: float) -> None:
        self.current = self._part(ctrl, now_s, None, has_row=False)
        self.cycle = advance(self.cycle, Step.ACCEPTED)
        self._exposed_s = None
        self._duplicate_error = False
        self._told.pop(self.current.trigger_id, None)
        self._take_id(self.current)
        self._flags &= ~(Status.EXPOSURE_COMPLETE | Status.SYSTEM_BUSY)
        self._flags |= Status.ACQUIRING
        self.events.append(self.current)

    def _refuse(self, ctrl: Image, now_s: float, reason: Reason, *, has_row: bool = False) -> None:
        part = self._part(ctrl, now_s, reason, has_row=has_row)
        if len(self._refusals) >= MAX_REFUSALS:
            self._flags |= Status.RESULTS_BUFFER_OVERRUN
            return
        self._take_id(part)
        self._queue(part)

    def _queue(self, part: Part) -> None:
        self._refusals.append(part)
        self._next_refusal()

    def _next_refusal(self) -> None:
        if self.cycle is Cycle.IDLE and self._refusals:
            self.current, self._exposed_s = self._refusals.popleft(), None
            self.cycle = advance(self.cycle, Step.REFUSED)
            self.events.append(self.current)

    def _part(self, ctrl: Image, now_s: float, refused: Reason | None, *, has_row: bool) -> Part:
        return Part(
            ctrl["TRIGGER_ID"], ctrl["PART_ID"], ctrl["ENCODER"], now_s, now_s + self.cfg.deadline_s,
            self._watch.trigger_age_s(now_s), bool(Control(ctrl["CONTROL"]) & Control.TEST_PART),
            bool(self.simulator), (self._link_session, self._plc_session), refused, has_row,
        )  # fmt: skip

    def _take_id(self, part: Part) -> None:
        self._last_id = self.stat["TRIGGER_ID_ACK"] = part.trigger_id
        self._flags |= Status.TRIGGER_ACK
        self.counts["TRIGGERS"] += not part.has_row

    def _acknowledge(self, control: Control, ctrl: Image) -> None:
        if self.cycle is Cycle.WAIT_ACK:
            by_id = ctrl["RESULT_ACK_ID"] and ctrl["RESULT_ACK_ID"] == self.stat["RES_TRIGGER_ID"]
            if control & Control.RESULTS_ACK or by_id:
                self._clear_valid()
        if self.cycle is Cycle.WAIT_DROP and not control & Control.TRIGGER:
            self.cycle = advance(self.cycle, Step.RELEASED)
            self._finish()

    def _clear_valid(self) -> None:
        self.cycle = advance(self.cycle, Step.ACKED)
        self._flags &= ~RESULT
        self._valid_since_s = math.inf

    def _abort(self, because: Reason) -> None:
        """What is in flight ends without a (further) result."""
        if self.cycle is Cycle.IDLE:
            return
        if self.cycle is not Cycle.DROPPED:
            self._dropped_because = because
        self.cycle = advance(self.cycle, Step.ABORTED)
        self._flags &= ~(Status.ACQUIRING | Status.SYSTEM_BUSY | RESULT)
        if self.cycle is Cycle.IDLE:
            self._finish()

    def _finish(self) -> None:
        self.current = None
        self._flags &= ~(Status.ACQUIRING | Status.SYSTEM_BUSY)
        self._next_refusal()

    def _obey(self, control: Control, ctrl: Image, prev: Image | None, now_s: float) -> None:
        if not control & Control.TRIGGER_ENABLE:
            self._abort(Reason.OFFLINE)  # the documented re-sync: no VALID for the part in flight, its row is 4/110
            self._flags &= ~(
                RESULT | Status.INSPECTION_COMPLETED | Status.EXPOSURE_COMPLETE | Status.MISSED_TRIGGER
                | Status.RESULTS_BUFFER_OVERRUN
            )  # fmt: skip
        if control & Control.CLEAR_EXPOSURE_COMPLETE:
            self._flags &= ~Status.EXPOSURE_COMPLETE
        before = Control(prev["CONTROL"]) if prev is not None else Control(0)
        if control & ~before & Control.CLEAR_ERROR:
            self._clear_error()
        self._command(control, ctrl, now_s)

    def _command(self, control: Control, ctrl: Image, now_s: float) -> None:
        """Acknowledge is obeyed; recipe change-over by the PLC is refused as "not allowed" in this version."""
        done = Status.COMMAND_COMPLETED | Status.COMMAND_FAILED
        if not control & Control.EXECUTE_COMMAND:
            self._flags &= ~done
            self._answered_s = math.inf
            return
        if math.isfinite(self._answered_s):
            return
        self._answered_s = now_s
        again = ctrl["COMMAND_ID"] != 0 and ctrl["COMMAND_ID"] == self.stat["COMMAND_ID_ACK"]  # not executed twice
        self.stat["COMMAND_ID_ACK"] = ctrl["COMMAND_ID"]
        if not again:
            obeyed = ctrl["COMMAND"] == 11
            self.stat["COMMAND_RESULT"] = 1 if obeyed else 4
            if obeyed:
                self._clear_error()
        self._flags |= Status.COMMAND_COMPLETED if self.stat["COMMAND_RESULT"] == 1 else Status.COMMAND_FAILED

    def _clear_error(self) -> None:
        self._latched &= ~LATCHED2
        self._flags &= ~Status.MISSED_TRIGGER
        self._duplicate_error = False
        self._wrongly_accepted = False
        self._errors.acknowledge()
        self.clear_errors += 1

    def _check_verdict(self, ctrl: Image) -> None:
        """A part that came out as good without our PASS: latched NOT READY (CTRL 17)."""
        verdict = ctrl["PLC_VERDICT_ID"], ctrl["PLC_VERDICT"]
        if verdict == self._verdict:
            return
        self._verdict = verdict
        if verdict[1] == 1 and self._told.get(verdict[0], Verdict.PASS) != Verdict.PASS:
            self.wrong_accepts += 1
            self._wrongly_accepted = True

    # -- the image -----------------------------------------------------------------------------------------------------

    def _offline_reason(self, now_s: float) -> OfflineReason:
        if self._stopping or (self._prev is not None and Control(self._prev["CONTROL"]) & Control.SET_OFFLINE):
            return OfflineReason.SET_OFFLINE
        if self.link is not Link.LIVE:
            stopped = self._doubt is Reason.PLC_HEARTBEAT
            return OfflineReason.PLC_HEARTBEAT if stopped else OfflineReason.NO_LINK_BASELINE
        if not self._watch.alive(now_s):
            return OfflineReason.PLC_HEARTBEAT
        if not self._health.ready:
            return self._health.offline_reason
        if self._wrongly_accepted:
            return OfflineReason.LATCHED_ERROR
        return OfflineReason.CONFIGURATION if self.owner_doubted else OfflineReason.NONE

    def _is_ready(self, offline: OfflineReason) -> bool:
        control = Control(self._prev["CONTROL"]) if self._prev is not None else Control(0)
        return (
            offline is OfflineReason.NONE and self.cycle is Cycle.IDLE and not self._refusals and not self._line_busy
            and not self._protocol_error and not self._confirming
            and bool(control & Control.TRIGGER_ENABLE) and not control & (Control.TRIGGER | Control.RESULTS_ACK)
        )  # fmt: skip

    def _compose(self, now_s: float) -> None:
        """STATUS and its companions from the states; everything else in the image stands until it is replaced (P5)."""
        s, cfg, health = self.stat, self.cfg, self._health
        offline = self._offline_reason(now_s)
        ready = self._is_ready(offline)
        if not self._confirming:
            self._ready = ready  # what the PLC was shown before the edge
        self._been_ready |= ready
        own = (self._wrongly_accepted or self._protocol_error) * Reason.RESYNC
        self._errors.see(
            (Reason(own), health.error, Reason(self._duplicate_error * Reason.DUPLICATE_ID)), keep=self._been_ready
        )
        halted = offline is OfflineReason.SET_OFFLINE
        starting = health.offline_reason is OfflineReason.STARTING and not health.ready
        status = self._flags & ~(Status.TRIGGER_READY | Status.ONLINE | Status.ERROR)
        status |= Status.TRIGGER_READY * ready | Status.ERROR * self._errors.present
        status |= Status.ONLINE * (self.link is Link.LIVE and not halted and not starting)
        s["STATUS"], s["STATE"] = status, self._state(halted, starting, offline)
        s["STATUS2"] = (
            self._latched | Status2.PLC_HB_OK * self._watch.alive(now_s)
            | Status2.DEGRADED * (health.degraded or self._watch.degraded(now_s))
            | Status2.SIMULATION * (self.simulated_camera and self.simulator is False)
            | Status2.STORAGE_WARN * health.storage_warn | Status2.CLOCK_UNSYNCED * health.clock_unsynced
        )  # fmt: skip
        s["ERROR_CODE"], s["OFFLINE_REASON"] = self._errors.code, offline
        s["ACTIVE_RECIPE"], s["STAT_SIGNATURE"] = cfg.active_recipe, SIGNATURE + cfg.number
        s["SETTINGS_CHECKSUM"] = cfg.settings_checksum

    def _state(self, halted: bool, starting: bool, offline: OfflineReason) -> VisionState:
        if halted:
            return VisionState.HALTED
        if starting:
            return VisionState.PREOPERATIONAL
        if self._errors.present:
            return VisionState.ERROR
        if offline is not OfflineReason.NONE:
            return VisionState.INITIALIZED
        return VisionState.READY if self.cycle is Cycle.IDLE else VisionState.SINGLE_EXECUTION
