"""The contract's state machine, without I/O: CTRL images in, accepted triggers and STAT images out. Time is injected.

Both directions are thin adapters on this. All times are seconds on one monotonic clock. The rules' numbers (P1 to P12)
are those of the contract.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from plc.images import Image, WordOrder, clear_record, seal_record
from plc.registers import (
    LATCHED2,
    SIGNATURE,
    SIMULATOR_SIGNATURE,
    STAT,
    TEST_AS_EXPECTED,
    TEST_NOT_AS_EXPECTED,
    Control,
    OfflineReason,
    Reason,
    Status,
    Status2,
    Verdict,
    VisionState,
)

Link = Enum("Link", "DOWN BASELINE LIVE")
Cycle = Enum("Cycle", "IDLE ACQUIRING INSPECTING PUBLISH WAIT_ACK WAIT_DROP")
Step = Enum("Step", "ACCEPTED REFUSED EXPOSED LOADED FLAGGED DROPPED ACKED RELEASED ABORTED")

NEXT: dict[tuple[Cycle, Step], Cycle] = {
    (Cycle.IDLE, Step.ACCEPTED): Cycle.ACQUIRING,
    (Cycle.IDLE, Step.REFUSED): Cycle.INSPECTING,  # its row is written, nothing is grabbed
    (Cycle.ACQUIRING, Step.EXPOSED): Cycle.INSPECTING,
    (Cycle.ACQUIRING, Step.LOADED): Cycle.PUBLISH,
    (Cycle.INSPECTING, Step.LOADED): Cycle.PUBLISH,
    (Cycle.PUBLISH, Step.LOADED): Cycle.PUBLISH,  # downgraded before the flags were tried
    (Cycle.PUBLISH, Step.FLAGGED): Cycle.WAIT_ACK,
    (Cycle.WAIT_ACK, Step.ACKED): Cycle.WAIT_DROP,  # acknowledged, or given up after ack_timeout
    (Cycle.WAIT_DROP, Step.RELEASED): Cycle.IDLE,  # TRIGGER is 0 again
    **{(cycle, Step.ABORTED): Cycle.IDLE for cycle in Cycle},
}
MAX_REFUSALS = 16  # waiting for their answer; a PLC that triggers more often than that is told OVERRUN once
_REFUSED_BECAUSE = {
    OfflineReason.CAMERA: Reason.CAMERA,
    OfflineReason.MODEL: Reason.INFERENCE,
    OfflineReason.STORAGE: Reason.STORAGE,
    OfflineReason.PLC_HEARTBEAT: Reason.PLC_HEARTBEAT,
}


class HandshakeError(Exception):
    """A step that the table does not allow: a bug, never a PLC's doing."""


@dataclass(frozen=True, slots=True)
class HandshakeConfig:
    number: int = 1  # station, 1..8
    max_trigger_age_s: float = 0.05
    deadline_s: float = 0.15
    ack_timeout_s: float = 10.0
    heartbeat_timeout_s: float = 0.5
    active_recipe: int = 0
    word_order: WordOrder = "big"


@dataclass(frozen=True, slots=True)
class Part:
    """One trigger that got a verdict to come: accepted, or refused with `refused` saying why."""

    trigger_id: int
    part_id: int
    encoder: int
    accepted_s: float
    deadline_s: float
    trigger_age_s: float
    test_part: bool
    simulator: bool  # the PLC showed the simulator's signature
    session: tuple[int, int]  # link session, PLC session (P8)
    refused: Reason | None = None
    has_row: bool = False  # a standing id whose row exists


@dataclass(frozen=True, slots=True)
class Record:
    """What shall be published for a part; registers as in STAT."""

    code: int
    reason: Reason
    inspection_no: int = 0
    class_id: int = 0
    confidence: int = 0
    anomaly: int = 0
    defect_bits: int = 0
    recipe_used: int = 0
    model_rev: int = 0
    utc_ms: int = 0
    simulated: bool = False  # the picture is not of this moment (P12)
    would_pass: bool = False  # of a test part: what the model would have said


@dataclass(frozen=True, slots=True)
class HealthInput:
    ready: bool = False
    offline_reason: OfflineReason = OfflineReason.STARTING
    error: Reason = Reason.NONE
    degraded: bool = False


class Handshake:
    """Feed samples and decisions; take parts from `events` and write `stat` whenever `dirty`."""

    def __init__(self, cfg: HandshakeConfig, known: Callable[[int], bool]) -> None:
        self.cfg, self._known = cfg, known
        self.link, self.cycle = Link.DOWN, Cycle.IDLE
        self.stat = Image(STAT, word_order=cfg.word_order)
        self.events: deque[Part] = deque()
        self.counts = dict.fromkeys(("TRIGGERS", "MISSED", "DUPLICATES", "STALE", "ID_GAPS", "ACK_TIMEOUTS"), 0)
        self.counts |= {"LINK_SESSIONS": 0, **dict.fromkeys(("PASS", "FAIL", "UNCERTAIN", "NOT_INSPECTED", "TEST"), 0)}
        self.clear_errors = 0  # how often the PLC asked; health watches it
        self.simulator: bool | None = None  # None until a signature was read
        self.current: Part | None = None
        self._health = HealthInput()
        self._stopping = False
        self._refusals: deque[Part] = deque()
        self._prev: Image | None = None
        self._last_id = self._acked_before = 0
        self._last_zero_sent_s = -math.inf
        self._confirming = False
        self._protocol_error = False
        self._link_session = self._plc_session = 0
        self._hb_changes, self._hb_seen_s = 0, -math.inf
        self._sent_heartbeats: dict[int, float] = {}
        self._echo_s = -math.inf
        self._valid_since_s = math.inf
        self._seq = 0
        self._flags = Status(0)  # the bits of STATUS that the cycle owns
        self._latched = Status2(0)
        self._compose(0.0)

    # -- what happens ------------------------------------------------------------------------------------------------

    def link_up(self, now_s: float, id_ack_in_plc: int = 0) -> None:
        """A connection stands. `id_ack_in_plc`: TRIGGER_ID_ACK found in the PLC's memory, of a former life perhaps."""
        self._link_session += 1
        self.counts["LINK_SESSIONS"] += 1
        self._acked_before = id_ack_in_plc
        self._rebaseline()
        self._compose(now_s)

    def link_down(self, now_s: float) -> None:
        """No PASS crosses a session: what is in flight ends in the log only, or as 4/107 where its id still stands."""
        self.link = Link.DOWN
        if self.cycle in (Cycle.WAIT_ACK, Cycle.WAIT_DROP):
            self._finish()
        self._flags &= ~(Status.RESULTS_VALID | Status.PASS | Status.FAIL)
        self._compose(now_s)

    def sample(self, ctrl: Image, sent_s: float, received_s: float) -> None:
        """One image of CTRL, with the send time of the request that fetched it (P7: a reply may be late)."""
        signature = ctrl["SIGNATURE"]
        self.simulator = signature == SIMULATOR_SIGNATURE + self.cfg.number
        if not self.simulator and signature != SIGNATURE + self.cfg.number:
            self.simulator = None
            self._rebaseline()
            self._compose(received_s)
            return
        prev, self._prev = self._prev, ctrl
        self._see_heartbeats(prev, ctrl, received_s)
        if prev is not None and ctrl["PLC_SESSION"] != prev["PLC_SESSION"]:
            self._plc_session += 1
            self._rebaseline()
            prev, self._prev = None, ctrl
        control = Control(ctrl["CONTROL"])
        if self.link is Link.BASELINE:
            self._baseline(prev is None, ctrl, received_s)
        else:
            self._live(prev or ctrl, ctrl, received_s)
        if not control & Control.TRIGGER:
            self._last_zero_sent_s = sent_s
            self._protocol_error = False
            self._flags &= ~Status.TRIGGER_ACK
        self._acknowledge(control, ctrl)
        self._obey(control, ctrl, received_s)
        self._compose(received_s)

    def tick(self, now_s: float) -> None:
        """Time passed without a sample: timeouts and freshness."""
        if self.cycle is Cycle.WAIT_ACK and now_s - self._valid_since_s > self.cfg.ack_timeout_s:
            self._latched |= Status2.ACK_TIMEOUT
            self.counts["ACK_TIMEOUTS"] += 1
            self._clear_valid()
        self._compose(now_s)

    def health(self, health: HealthInput, now_s: float) -> None:
        self._health = health
        self._compose(now_s)

    def beat(self, now_s: float) -> None:
        """The appliance's own heartbeat, every 100 ms by the supervisor's loop."""
        value = (self.stat["HEARTBEAT"] + 1) & 0xFFFF
        self.stat["HEARTBEAT"] = value
        self._sent_heartbeats[value] = now_s
        while len(self._sent_heartbeats) > 64:
            self._sent_heartbeats.pop(next(iter(self._sent_heartbeats)))

    def exposed(self, now_s: float) -> None:
        """The exposure of the current part ended: it may move."""
        if self.cycle is Cycle.ACQUIRING:
            self._advance(Step.EXPOSED)
            self._flags = (self._flags & ~Status.ACQUIRING) | Status.EXPOSURE_COMPLETE | Status.SYSTEM_BUSY
            self._compose(now_s)

    def stop(self, now_s: float) -> None:
        """Orderly end: READY and ONLINE fall, what is in flight becomes 4/110."""
        self._stopping = True
        self._compose(now_s)

    def owner_conflict(self, now_s: float) -> None:
        """Another appliance writes into our STAT."""
        self._latched |= Status2.OWNER_CONFLICT
        self._compose(now_s)

    # -- publishing ----------------------------------------------------------------------------------------------------

    def load(self, part: Part, record: Record, now_s: float) -> Record | None:
        """Put the record of `part` into STAT, flags still down (P6). Returns what stands there now: it may only be less
        than what was decided. None: nothing may be published for this part (aborted, or no link)."""
        if part is not self.current or self.link is Link.DOWN:
            return None
        record = self.downgrade(part, record, now_s)
        self._advance(Step.LOADED)
        self._fill(part, record, now_s)
        self._flags &= ~(Status.ACQUIRING | Status.RESULTS_VALID | Status.PASS | Status.FAIL)
        self._compose(now_s)
        return record

    def raise_flags(self, part: Part, loaded: Record, now_s: float) -> bool:
        """The record is confirmed: VALID and PASS xor FAIL. False: no longer true, load again (or give up)."""
        if part is not self.current or self.cycle is not Cycle.PUBLISH or self.link is Link.DOWN:
            return False
        if self.downgrade(part, loaded, now_s) != loaded:
            return False
        self._advance(Step.FLAGGED)
        self._flags |= Status.RESULTS_VALID | (Status.PASS if loaded.code == Verdict.PASS else Status.FAIL)
        self._flags ^= Status.INSPECTION_COMPLETED
        self._flags &= ~Status.SYSTEM_BUSY
        self._valid_since_s = now_s
        self._count(loaded.code)
        self._compose(now_s)
        return True

    def downgrade(self, part: Part, record: Record, now_s: float) -> Record:
        """P8, P9, P11, P12: the same record, or a lesser one that says why."""
        if part.test_part and record.code not in (TEST_AS_EXPECTED, TEST_NOT_AS_EXPECTED):
            code = TEST_NOT_AS_EXPECTED if record.would_pass or record.code == Verdict.PASS else TEST_AS_EXPECTED
            record = _lesser(record, code, record.reason)
        if part.refused is not None:
            return record if record.code != Verdict.PASS else _lesser(record, Verdict.NOT_INSPECTED, part.refused)
        if record.code == Verdict.NOT_INSPECTED:
            return record
        if self._stopping:
            return _lesser(record, Verdict.NOT_INSPECTED, Reason.OFFLINE)
        if part.session != (self._link_session, self._plc_session) or self.link is not Link.LIVE:
            return _lesser(record, Verdict.NOT_INSPECTED, Reason.LINK_LOST)
        if record.recipe_used != self.cfg.active_recipe:
            return _lesser(record, Verdict.NOT_INSPECTED, Reason.RECIPE_MISMATCH)
        if not now_s <= part.deadline_s:
            return _lesser(record, Verdict.NOT_INSPECTED, Reason.DEADLINE)
        if record.code == Verdict.PASS and record.simulated and not self.simulator:
            return _lesser(record, Verdict.NOT_INSPECTED, Reason.SIMULATED)
        return record

    def give_up(self, part: Part, now_s: float) -> None:
        """Nothing could be published for `part`: the next one may come."""
        if part is self.current:
            self._finish()
            self._compose(now_s)

    # -- samples in detail ---------------------------------------------------------------------------------------------

    def _rebaseline(self) -> None:
        """The next image is a reference, not an event. A part whose verdict stands ends here."""
        self.link = Link.BASELINE
        if self.cycle in (Cycle.WAIT_ACK, Cycle.WAIT_DROP):
            self._finish()
        self._flags &= ~(Status.RESULTS_VALID | Status.PASS | Status.FAIL | Status.TRIGGER_ACK)
        self._prev, self._confirming, self._protocol_error = None, False, False
        self._hb_changes, self._last_zero_sent_s = 0, -math.inf

    def _see_heartbeats(self, prev: Image | None, ctrl: Image, now_s: float) -> None:
        if prev is not None and ctrl["PLC_HEARTBEAT"] != prev["PLC_HEARTBEAT"]:
            self._hb_changes += 1
            self._hb_seen_s = now_s
        self._echo_s = max(self._echo_s, self._sent_heartbeats.get(ctrl["HB_ECHO"], -math.inf))

    def _baseline(self, first: bool, ctrl: Image, now_s: float) -> None:
        triggered = bool(Control(ctrl["CONTROL"]) & Control.TRIGGER)
        if first:
            if triggered and ctrl["TRIGGER_ID"]:
                self._answer_standing(ctrl, now_s)
            elif not triggered:
                self._last_id = ctrl["TRIGGER_ID"] or self._last_id
        if self._hb_changes >= 2 and not triggered:
            self.link = Link.LIVE

    def _answer_standing(self, ctrl: Image, now_s: float) -> None:
        """A trigger that was up before we looked: never an inspection, but never silence either."""
        id_ = ctrl["TRIGGER_ID"]
        if self.current is not None and self.current.trigger_id == id_:
            return  # still in flight: its own verdict will be 4/107
        known = id_ == self._last_id or id_ == self._acked_before or self._known(id_)
        restarted = self._link_session == 1 and self._plc_session == 0
        reason = (Reason.RESTARTED if restarted else Reason.LINK_LOST) if known else Reason.STALE_TRIGGER
        if reason is Reason.STALE_TRIGGER:
            self.counts["STALE"] += 1
            self._latched |= Status2.STALE_TRIGGER
        self._refuse(ctrl, now_s, reason, has_row=known)

    def _live(self, prev: Image, ctrl: Image, now_s: float) -> None:
        was, is_ = (bool(Control(i["CONTROL"]) & Control.TRIGGER) for i in (prev, ctrl))
        if is_ and (not was or self._confirming):
            self._edge(ctrl, now_s)
        elif is_ and ctrl["TRIGGER_ID"] != prev["TRIGGER_ID"]:
            self._protocol_error = True  # an id that changes while TRIGGER stands is no trigger
        elif not is_:
            self._confirming = False

    def _edge(self, ctrl: Image, now_s: float) -> None:
        if not Control(ctrl["CONTROL"]) & Control.TRIGGER_ENABLE:
            return
        id_, inverse = ctrl["TRIGGER_ID"], ctrl["TRIGGER_ID_INV"]
        torn = inverse != 0 and inverse != id_ ^ 0xFFFF
        if (torn or id_ == 0 or id_ == self._last_id) and not self._confirming:
            self._confirming = True  # perhaps torn: look once more
            return
        self._confirming = False
        if id_ == 0 or torn:
            self._protocol_error = True
            return
        reason = self._why_refused(ctrl, id_, now_s)
        if reason is not None:
            self._refuse(ctrl, now_s, reason)
            return
        gap = (id_ - self._last_id - 1) % 0xFFFF if self._last_id else 0
        if gap:
            self._latched |= Status2.ID_GAP
            self.counts["ID_GAPS"] += gap
        self._accept(ctrl, now_s)

    def _why_refused(self, ctrl: Image, id_: int, now_s: float) -> Reason | None:
        if id_ == self._last_id:
            self._latched |= Status2.DUPLICATE_ID
            self.counts["DUPLICATES"] += 1
            return Reason.DUPLICATE_ID
        if self.cycle is not Cycle.IDLE or self._refusals:
            self._flags |= Status.MISSED_TRIGGER
            self.counts["MISSED"] += 1
            return Reason.OVERRUN
        if not now_s - self._last_zero_sent_s <= self.cfg.max_trigger_age_s:
            self._latched |= Status2.STALE_TRIGGER
            self.counts["STALE"] += 1
            return Reason.STALE_TRIGGER
        offline = self._offline_reason(now_s)
        if offline is not OfflineReason.NONE:
            return _REFUSED_BECAUSE.get(offline, Reason.OFFLINE)
        if ctrl["RECIPE_EXPECTED"] not in (0, self.cfg.active_recipe):
            return Reason.RECIPE_MISMATCH
        return None

    def _accept(self, ctrl: Image, now_s: float) -> None:
        part = self._part(ctrl, now_s, None, has_row=False)
        self._take_id(part)
        self._advance(Step.ACCEPTED)
        self.current = part
        self._flags &= ~(Status.EXPOSURE_COMPLETE | Status.SYSTEM_BUSY)
        self._flags |= Status.ACQUIRING
        self.events.append(part)

    def _refuse(self, ctrl: Image, now_s: float, reason: Reason, *, has_row: bool = False) -> None:
        part = self._part(ctrl, now_s, reason, has_row=has_row)
        self._take_id(part, counts=not has_row)
        if len(self._refusals) < MAX_REFUSALS:
            self._refusals.append(part)
        else:
            self._flags |= Status.RESULTS_BUFFER_OVERRUN
        self._next_refusal()

    def _next_refusal(self) -> None:
        if self.cycle is Cycle.IDLE and self._refusals:
            self.current = self._refusals.popleft()
            self._advance(Step.REFUSED)
            self.events.append(self.current)

    def _part(self, ctrl: Image, now_s: float, refused: Reason | None, *, has_row: bool) -> Part:
        age = now_s - self._last_zero_sent_s
        return Part(
            ctrl["TRIGGER_ID"], ctrl["PART_ID"], ctrl["ENCODER"], now_s, now_s + self.cfg.deadline_s,
            age if math.isfinite(age) else 6.5, bool(Control(ctrl["CONTROL"]) & Control.TEST_PART),
            bool(self.simulator), (self._link_session, self._plc_session), refused, has_row,
        )  # fmt: skip

    def _take_id(self, part: Part, *, counts: bool = True) -> None:
        self._last_id = part.trigger_id
        self.stat["TRIGGER_ID_ACK"] = part.trigger_id
        self._flags |= Status.TRIGGER_ACK
        self.counts["TRIGGERS"] += counts

    def _acknowledge(self, control: Control, ctrl: Image) -> None:
        if self.cycle is Cycle.WAIT_ACK:
            by_id = ctrl["RESULT_ACK_ID"] and ctrl["RESULT_ACK_ID"] == self.stat["RES_TRIGGER_ID"]
            if control & Control.RESULTS_ACK or by_id:
                self._clear_valid()
        if self.cycle is Cycle.WAIT_DROP and not control & Control.TRIGGER:
            self._advance(Step.RELEASED)
            self.current = None
            self._next_refusal()

    def _obey(self, control: Control, ctrl: Image, now_s: float) -> None:
        if not control & Control.TRIGGER_ENABLE and self.link is Link.LIVE:
            self._abort()
        if control & Control.CLEAR_EXPOSURE_COMPLETE:
            self._flags &= ~Status.EXPOSURE_COMPLETE
        if control & Control.CLEAR_ERROR:
            self._clear_error()
        self._command(control, ctrl)

    def _abort(self) -> None:
        """TRIGGER_ENABLE=0, the documented re-sync: no VALID for the part in flight, its row becomes 4/110."""
        if self.cycle is not Cycle.IDLE:
            self._finish()
        self._flags &= ~(
            Status.RESULTS_VALID | Status.PASS | Status.FAIL | Status.INSPECTION_COMPLETED | Status.EXPOSURE_COMPLETE
            | Status.MISSED_TRIGGER | Status.RESULTS_BUFFER_OVERRUN | Status.ACQUIRING | Status.SYSTEM_BUSY
        )  # fmt: skip

    def _command(self, control: Control, ctrl: Image) -> None:
        """Acknowledge is obeyed; recipe change-over by the PLC is refused as "not allowed" in this version."""
        done = Status.COMMAND_COMPLETED | Status.COMMAND_FAILED
        if not control & Control.EXECUTE_COMMAND:
            self._flags &= ~done
            return
        if self._flags & done:
            return
        self.stat["COMMAND_ID_ACK"] = ctrl["COMMAND_ID"]
        if ctrl["COMMAND"] == 11:
            self._clear_error()
            self.stat["COMMAND_RESULT"] = 1
            self._flags |= Status.COMMAND_COMPLETED
        else:
            self.stat["COMMAND_RESULT"] = 4
            self._flags |= Status.COMMAND_FAILED

    def _clear_error(self) -> None:
        self._latched &= ~LATCHED2
        self._flags &= ~Status.MISSED_TRIGGER
        self.clear_errors += 1

    # -- the image -----------------------------------------------------------------------------------------------------

    def _advance(self, step: Step) -> None:
        if (self.cycle, step) not in NEXT:
            raise HandshakeError(f"{step.name} is not allowed in {self.cycle.name}")
        self.cycle = NEXT[self.cycle, step]

    def _finish(self) -> None:
        self._advance(Step.ABORTED)
        self.current = None
        self._flags &= ~(Status.ACQUIRING | Status.SYSTEM_BUSY)
        self._next_refusal()

    def _clear_valid(self) -> None:
        self._advance(Step.ACKED)
        self._flags &= ~(Status.RESULTS_VALID | Status.PASS | Status.FAIL)
        self._valid_since_s = math.inf

    def _count(self, code: int) -> None:
        self.counts["TEST" if code >= TEST_AS_EXPECTED else Verdict(code).name] += 1

    def _fill(self, part: Part, record: Record, now_s: float) -> None:
        s = self.stat
        clear_record(s)
        s["RES_TRIGGER_ID"], s["RESULT_CODE"], s["REASON"] = part.trigger_id, record.code, record.reason
        s["CLASS_ID"], s["CONFIDENCE"], s["ANOMALY"] = record.class_id, record.confidence, record.anomaly
        s["DEFECT_BITS"], s["RECIPE_USED"], s["MODEL_REV"] = record.defect_bits, record.recipe_used, record.model_rev
        s["T_TOTAL"] = _tenths_ms(now_s - part.accepted_s)
        s["T_TRIG_AGE"] = _tenths_ms(part.trigger_age_s)
        s["RESULT_FLAGS"] = part.test_part | (record.simulated and not self.simulator) << 1
        s["PART_ID_ECHO"], s["ENCODER_ECHO"] = part.part_id, part.encoder
        s["INSPECTION_NO"] = record.inspection_no
        s["UTC_S"], s["UTC_MS"] = record.utc_ms // 1000, record.utc_ms % 1000
        self._seq = self._seq % 0xFFFF + 1
        seal_record(s, self._seq)

    def _plc_alive(self, now_s: float) -> bool:
        age = max(now_s - self._hb_seen_s, now_s - self._echo_s)
        return age <= self.cfg.heartbeat_timeout_s

    def _offline_reason(self, now_s: float) -> OfflineReason:
        if self._stopping or (self._prev is not None and Control(self._prev["CONTROL"]) & Control.SET_OFFLINE):
            return OfflineReason.SET_OFFLINE
        if self.link is not Link.LIVE:
            return OfflineReason.NO_LINK_BASELINE
        if not self._plc_alive(now_s):
            return OfflineReason.PLC_HEARTBEAT
        if not self._health.ready:
            return self._health.offline_reason
        if self._latched & Status2.OWNER_CONFLICT:
            return OfflineReason.CONFIGURATION
        return OfflineReason.NONE

    def _compose(self, now_s: float) -> None:
        """STATUS and its companions from the states; everything else in the image stands until it is replaced (P5)."""
        s, cfg = self.stat, self.cfg
        offline = self._offline_reason(now_s)
        control = Control(self._prev["CONTROL"]) if self._prev is not None else Control(0)
        ready = (
            offline is OfflineReason.NONE and self.cycle is Cycle.IDLE and not self._refusals
            and not self._protocol_error and not self._confirming
            and bool(control & Control.TRIGGER_ENABLE) and not control & (Control.TRIGGER | Control.RESULTS_ACK)
        )  # fmt: skip
        error = self._health.error if self._health.error else (Reason.RESYNC if self._protocol_error else Reason.NONE)
        status = self._flags & ~(Status.TRIGGER_READY | Status.ONLINE | Status.ERROR)
        status |= Status.TRIGGER_READY if ready else Status(0)
        status |= Status.ERROR if error else Status(0)
        halted = offline is OfflineReason.SET_OFFLINE
        starting = self._health.offline_reason is OfflineReason.STARTING and not self._health.ready
        status |= Status(0) if halted or starting or self.link is Link.DOWN else Status.ONLINE
        s["STATUS"] = status
        s["STATE"] = self._state(halted, starting, bool(error), offline)
        status2 = self._latched | (Status2.DEGRADED if self._health.degraded else Status2(0))
        s["STATUS2"] = status2 | (Status2.PLC_HB_OK if self._plc_alive(now_s) else Status2(0))
        s["ERROR_CODE"], s["OFFLINE_REASON"] = error, offline
        s["ACTIVE_RECIPE"], s["STAT_SIGNATURE"] = cfg.active_recipe, SIGNATURE + cfg.number

    def _state(self, halted: bool, starting: bool, error: bool, offline: OfflineReason) -> VisionState:
        if halted:
            return VisionState.HALTED
        if starting:
            return VisionState.PREOPERATIONAL
        if error:
            return VisionState.ERROR
        if offline is not OfflineReason.NONE:
            return VisionState.INITIALIZED
        return VisionState.READY if self.cycle is Cycle.IDLE else VisionState.SINGLE_EXECUTION


def _lesser(record: Record, code: int, reason: Reason) -> Record:
    return Record(
        code, reason, record.inspection_no, record.class_id, record.confidence, record.anomaly, record.defect_bits,
        record.recipe_used, record.model_rev, record.utc_ms, record.simulated, record.would_pass,
    )  # fmt: skip


def _tenths_ms(seconds: float) -> int:
    return max(0, min(0xFFFF, round(seconds * 10_000)))
