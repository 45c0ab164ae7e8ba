"""A handshake that is checked after every call, against a small model of what it was told.

The model knows no states: it remembers samples, parts and verdicts, and asks of STAT what the principles ask.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from plc.cycle import Cycle, Link
from plc.handshake import Handshake, HandshakeConfig, HealthInput, Part, Record
from plc.images import Image, record_xor
from plc.registers import (
    LATCHED2,
    RECORD,
    SIGNATURE,
    SIMULATOR_SIGNATURE,
    STAT,
    Control,
    OfflineReason,
    Reason,
    Status,
    Verdict,
)
from plc.watch import MAX_HEARTBEAT_STEP

RESULT = Status.RESULTS_VALID | Status.PASS | Status.FAIL
WHOLE = [*RECORD, STAT["RES_XOR"].offset, STAT["RES_SEQ_TAIL"].offset]


@dataclass(slots=True)
class Known:
    """What the model knows of one part that went to the line."""

    part: Part
    activation: int  # how often the active recipe had changed when it was accepted
    boundary: int  # sessions of link, PLC and process that had begun when it was accepted
    exposed_s: float | None = None
    published: Record | None = None  # its flags were tried
    aborted: bool = False  # TRIGGER_ENABLE was 0 while it was in flight
    ended: bool = False


@dataclass(slots=True)
class Seen:
    """STAT and what led to it, before a call."""

    words: list[int]
    status: Status
    cycle: Cycle
    id_ack: int
    latched: int
    causes: set[str] = field(default_factory=set)


class CheckedHandshake:
    """Calls of Handshake, at `now`. Raises AssertionError where STAT says more than the contract allows."""

    def __init__(self) -> None:
        self.now, self.rows, self.boundary, self.activation = 100.0, set[int](), 0, 0
        self.cfg = HandshakeConfig(active_recipe=1, max_exposure_delay_s=0.06)
        self._born()

    def _born(self) -> None:
        self.hs = Handshake(self.cfg, self.rows.__contains__)
        self.parts: list[Known] = []  # at the line, oldest first
        self.standing: Known | None = None  # whose result stands in STAT
        self.ctrl: Image | None = None
        self.health_now, self.free, self.stopping = HealthInput(), True, False
        self.zero_sent_s = self.beat_s = -math.inf
        self.beats = 0  # of the PLC in this session
        self.edge_ready = False
        self.last_id = 0  # acknowledged, or shown without TRIGGER on the first image
        self.told: dict[int, int] = {}
        self.verdict_seen: tuple[int, int] = (0, 0)
        self.verdict_doubted: tuple[int, int] | None = None
        self.first_image = True  # the next one that shows the signature is the first of this process

    # -- calls -------------------------------------------------------------------------------------------------------

    def restart(self, *, row_lost: bool) -> None:
        """The process dies and starts again; rows stay (but perhaps the newest), and the PLC keeps our last STAT."""
        before = self.hs.stat["TRIGGER_ID_ACK"]
        if row_lost:
            self.rows.discard(before)
        self.boundary += 1
        self._born()
        self._id_ack_in_plc = before

    _id_ack_in_plc = 0

    def link_up(self) -> None:
        seen = self._seen("boundary", "link")
        self._new_boundary()
        self.hs.link_up(self.now, self._id_ack_in_plc)
        self._check(seen)

    def link_down(self) -> None:
        seen = self._seen("boundary", "link")
        self._new_boundary()
        self.hs.link_down(self.now)
        self._check(seen)

    def sample(self, ctrl: Image, sent_s: float) -> None:
        seen, ctrl = self._seen(), ctrl.copy()
        self._learn(ctrl, sent_s, seen)
        self.hs.sample(ctrl, sent_s, self.now)
        self._take(seen)
        self._judge_plc(ctrl)
        self.first_image &= self.hs.simulator is None
        self._check(seen)

    def tick(self) -> None:
        seen = self._seen("time")
        self.hs.tick(self.now)
        self._check(seen)

    def set_health(self, health: HealthInput) -> None:
        seen, self.health_now = self._seen(), health
        self.hs.health(health, self.now)
        self._check(seen)

    def deactivate(self) -> None:
        seen = self._seen()
        self.activation += 1
        self.hs.deactivate(self.now)
        self._check(seen)

    def line_free(self, free: bool) -> None:
        seen, self.free = self._seen(), free
        self.hs.line_free(free, self.now)
        self._check(seen)

    def owner_conflict(self) -> None:
        seen = self._seen()
        self.hs.owner_conflict(self.now)
        self._check(seen)

    def stop(self) -> None:
        seen, self.stopping = self._seen(), True
        self.hs.stop(self.now)
        self._check(seen)

    def beat(self) -> None:
        seen = self._seen()
        self.hs.beat(self.now)
        self._check(seen)

    def exposed(self, known: Known, exposed_s: float) -> None:
        seen = self._seen()
        if known.part is self.hs.current and self.hs.cycle is Cycle.ACQUIRING:
            known.exposed_s = exposed_s
        self.hs.exposed(known.part, exposed_s, self.now)
        self._check(seen)

    def load(self, known: Known, record: Record) -> Record | None:
        seen = self._seen("load")
        loaded = self.hs.load(known.part, record, self.now)
        if loaded is not None:
            self._is_no_more(known, record, loaded)
        self._take(seen)
        self._check(seen)
        return loaded

    def raise_flags(self, known: Known, loaded: Record) -> bool:
        seen = self._seen("flags")
        if not self.hs.raise_flags(known.part, loaded, self.now):
            self._check(seen)
            return False
        assert known.published is None and not known.ended  # one verdict (P9)
        self._may_be_published(known, loaded)
        known.published, self.standing = loaded, known
        self._told(known.part, loaded.code)
        self._end(known)
        self._check(seen)
        return True

    def give_up(self, known: Known, record: Record) -> None:
        seen = self._seen()
        told = self.hs.give_up(known.part, record, self.now)
        assert told.code == Verdict.NOT_INSPECTED and told.reason is not Reason.NONE
        self._told(known.part, told.code)
        self._end(known)
        self._take(seen)
        self._check(seen)

    # -- what the model learns ---------------------------------------------------------------------------------------

    def _seen(self, *causes: str) -> Seen:
        stat = self.hs.stat
        latched = stat["STATUS2"] & LATCHED2
        status = Status(stat["STATUS"])
        return Seen(list(stat.words), status, self.hs.cycle, stat["TRIGGER_ID_ACK"], latched, set(causes))

    def _new_boundary(self) -> None:
        self.boundary += 1
        self.ctrl, self.zero_sent_s, self.edge_ready, self.beats = None, -math.inf, False, 0

    def _learn(self, ctrl: Image, sent_s: float, seen: Seen) -> None:
        control, before = Control(ctrl["CONTROL"]), self.ctrl
        number = self.cfg.number
        if ctrl["SIGNATURE"] not in (SIGNATURE + number, SIMULATOR_SIGNATURE + number):
            self._new_boundary()
            seen.causes.add("boundary")
            return
        if before is not None:
            if control & ~Control(before["CONTROL"]) & Control.CLEAR_ERROR:
                seen.causes.add("cleared")
            step = (ctrl["PLC_HEARTBEAT"] - before["PLC_HEARTBEAT"]) & 0xFFFF
            if step:
                self.beat_s, self.beats = self.now, self.beats + 1
            if step > MAX_HEARTBEAT_STEP or ctrl["PLC_SESSION"] != before["PLC_SESSION"]:
                self._new_boundary()
                seen.causes.add("boundary")
        if self.hs.link is Link.LIVE and self.now - self.beat_s > self.cfg.heartbeat_timeout_s:
            self._new_boundary()
            seen.causes.add("boundary")
        if not control & Control.TRIGGER:
            if self.ctrl is None:
                self.last_id = ctrl["TRIGGER_ID"] or self.last_id
            self.zero_sent_s = sent_s
            seen.causes.add("released")
        elif self.ctrl is not None and not Control(self.ctrl["CONTROL"]) & Control.TRIGGER:
            self.edge_ready = bool(seen.status & Status.TRIGGER_READY)
        if not control & Control.TRIGGER_ENABLE:
            seen.causes.add("disabled")
            for known in self.parts:
                known.aborted |= known.part is self.hs.current
        if control & Control.RESULTS_ACK or ctrl["RESULT_ACK_ID"]:
            seen.causes.add("acknowledged")
        self.ctrl = ctrl

    def _take(self, seen: Seen) -> None:
        """Parts for the line; what was accepted in this call must have been a trigger."""
        while self.hs.events:
            part = self.hs.events.popleft()
            if part.refused is None:
                self._may_be_accepted(part, seen)
                self.told[part.trigger_id] = 0
            elif part.has_row:  # it stands since before this image
                assert part.refused is (Reason.RESTARTED if self.first_image else Reason.LINK_LOST)
            self.rows.add(part.trigger_id)
            self.parts.append(Known(part, self.activation, self.boundary))

    def _told(self, part: Part, code: int) -> None:
        if self.told.get(part.trigger_id) != Verdict.PASS:
            self.told[part.trigger_id] = code

    def _end(self, known: Known) -> None:
        known.ended = True
        self.parts.remove(known)

    # -- what must hold ----------------------------------------------------------------------------------------------

    def _may_be_accepted(self, part: Part, seen: Seen) -> None:
        """P7, P8, P9: READY was shown before the edge; the trigger is young, the id new, nothing else in flight."""
        assert self.edge_ready and self.hs.link is Link.LIVE and self.ctrl is not None
        assert seen.cycle is Cycle.IDLE and not self.parts
        assert part.trigger_id not in (0, self.last_id) and part.trigger_id == self.ctrl["TRIGGER_ID"]
        assert self.ctrl["TRIGGER_ID_INV"] in (0, part.trigger_id ^ 0xFFFF)
        assert self.now - self.zero_sent_s <= self.cfg.max_trigger_age_s and self.beats >= 2
        assert self.ctrl["RECIPE_EXPECTED"] in (0, self.hs.active_recipe)
        assert self.health_now.ready and self.free and not self.stopping
        assert part.test_part == bool(Control(self.ctrl["CONTROL"]) & Control.TEST_PART)

    def _is_no_more(self, known: Known, record: Record, loaded: Record) -> None:
        """Publishing may only downgrade."""
        if loaded.code not in (record.code, Verdict.NOT_INSPECTED):
            assert known.part.test_part and loaded.code in (5, 6)

    def _may_be_published(self, known: Known, loaded: Record) -> None:
        part = known.part
        assert not known.aborted
        if part.refused is not None:
            assert loaded.code == Verdict.NOT_INSPECTED
        if loaded.code == Verdict.NOT_INSPECTED:
            return
        assert known.boundary == self.boundary and known.activation == self.activation  # P8
        assert self.now <= part.deadline_s and not self.stopping
        assert self.now - self.beat_s <= self.cfg.heartbeat_timeout_s
        assert known.exposed_s is None or known.exposed_s - part.accepted_s <= self.cfg.exposure_delay_s
        assert loaded.recipe_used == self.hs.active_recipe
        assert self.ctrl is not None and self.ctrl["RECIPE_EXPECTED"] in (0, self.hs.active_recipe)
        if loaded.code == Verdict.PASS:
            assert not part.test_part  # P11
            assert not loaded.simulated or self.hs.simulator  # P12

    def _judge_plc(self, ctrl: Image) -> None:
        """Two images say that the PLC newly took a part as good that we did not pass."""
        if self.hs.simulator is None:
            return
        pair = ctrl["PLC_VERDICT_ID"], ctrl["PLC_VERDICT"]
        if pair == self.verdict_seen:
            return
        wrong = pair[1] == 1 and self.told.get(pair[0], 1) != Verdict.PASS
        if wrong and pair != self.verdict_doubted:
            self.verdict_doubted = pair
            return
        assert not wrong or self.hs.wrong_accepts[-1] == pair[0]
        self.verdict_seen, self.verdict_doubted = pair, None

    def _check(self, seen: Seen) -> None:
        stat, status = self.hs.stat, Status(self.hs.stat["STATUS"])
        answered = stat["TRIGGER_ID_ACK"] != seen.id_ack or status & ~seen.status & Status.TRIGGER_ACK
        if answered and "link" not in seen.causes:
            self.last_id = stat["TRIGGER_ID_ACK"]
        valid = bool(status & Status.RESULTS_VALID)
        both = status & (Status.PASS | Status.FAIL)
        assert both in ((Status.PASS, Status.FAIL) if valid else (Status(0),))
        if stat["RES_SEQ"] or any(stat.words[i] for i in WHOLE):
            assert stat["RES_SEQ"] == stat["RES_SEQ_TAIL"] != 0 and stat["RES_XOR"] == record_xor(stat)
        self._check_levels(seen, status, valid)
        if "link" in seen.causes:
            assert not status & (RESULT | Status.TRIGGER_ACK | Status.TRIGGER_READY)
        if valid:
            self._check_standing(stat, status)
        else:
            self.standing = None
        if status & Status.TRIGGER_READY:
            self._check_ready(status)
        self._check_counts()

    def _check_levels(self, seen: Seen, status: Status, valid: bool) -> None:
        """P3: what is up stays up until its cause, and the record under standing flags does not move."""
        ends = {"boundary", "disabled", "acknowledged", "time"}
        if seen.status & Status.RESULTS_VALID:
            if not valid:
                assert seen.causes & ends
            else:
                assert [self.hs.stat.words[i] for i in WHOLE] == [seen.words[i] for i in WHOLE]
                assert not seen.causes & {"boundary", "disabled"}  # P8: and none stands across one
        elif valid:
            assert "flags" in seen.causes
        if seen.status & Status.TRIGGER_ACK and not status & Status.TRIGGER_ACK:
            assert seen.causes & {"boundary", "released"}
        if seen.latched & ~self.hs.stat["STATUS2"]:
            assert "cleared" in seen.causes
        seq, before = self.hs.stat["RES_SEQ"], seen.words[STAT["RES_SEQ"].offset]
        if seq not in (before, 0):
            assert "load" in seen.causes and (before == 0 or seq == before % 0xFFFF + 1)

    def _check_standing(self, stat: Image, status: Status) -> None:
        known = self.standing
        assert known is not None and known.published is not None
        assert stat["RES_TRIGGER_ID"] == known.part.trigger_id and stat["RESULT_CODE"] == known.published.code
        assert bool(status & Status.PASS) == (known.published.code == Verdict.PASS)
        if status & Status.PASS and status & Status.ONLINE:  # what stands may be accepted by the PLC (P2, P8)
            assert known.boundary == self.boundary and self.hs.link is Link.LIVE

    def _check_ready(self, status: Status) -> None:
        assert not status & (RESULT | Status.ACQUIRING | Status.SYSTEM_BUSY | Status.TRIGGER_ACK)
        assert status & Status.ONLINE and self.hs.link is Link.LIVE and self.hs.cycle is Cycle.IDLE
        assert self.hs.stat["OFFLINE_REASON"] == OfflineReason.NONE
        assert self.ctrl is not None
        control = Control(self.ctrl["CONTROL"])
        wanted = Control.TRIGGER_ENABLE | Control.TRIGGER | Control.RESULTS_ACK | Control.SET_OFFLINE
        assert control & wanted == Control.TRIGGER_ENABLE
        assert self.health_now.ready and self.free and not self.stopping and not self.parts
        assert self.hs.active_recipe

    def _check_counts(self) -> None:
        c = self.hs.counts
        told = sum(c[name] for name in ("PASS", "FAIL", "UNCERTAIN", "NOT_INSPECTED", "TEST"))
        assert told <= c["TRIGGERS"] and c["MISSED"] + c["DUPLICATES"] + c["STALE"] <= c["TRIGGERS"]
        if self.hs.current is None and not self.parts:
            assert told == c["TRIGGERS"]
