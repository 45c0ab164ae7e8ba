"""The contract's state machine on a clock that the test holds."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from plc.handshake import Cycle, Handshake, HandshakeConfig, HealthInput, Link, Part, Record
from plc.images import Image, record_xor
from plc.registers import CTRL, SIMULATOR_SIGNATURE, Control, OfflineReason, Reason, Status, Verdict

READY = HealthInput(True, OfflineReason.NONE)
PASS = Record(int(Verdict.PASS), Reason.NONE, recipe_used=1)


class Bench:
    """A handshake and the PLC's image beside it; every sample is 2 ms after the one before."""

    def __init__(self, known: frozenset[int] = frozenset()) -> None:
        self.now = 100.0
        self.hs = Handshake(HandshakeConfig(active_recipe=1), known.__contains__)
        self.ctrl = Image(CTRL)
        self.ctrl["SIGNATURE"] = SIMULATOR_SIGNATURE + 1
        self.ctrl["CONTROL"] = Control.TRIGGER_ENABLE
        self.hs.health(READY, self.now)
        self.parts: list[Part] = []

    def connect(self) -> None:
        self.hs.link_up(self.now)
        for _ in range(4):
            self.sample()

    def sample(self, gap_s: float = 0.002, *, beat: bool = True) -> Status:
        sent, self.now = self.now, self.now + gap_s
        self.hs.beat(self.now - gap_s)
        self.ctrl["HB_ECHO"] = self.hs.stat["HEARTBEAT"]
        self.ctrl["PLC_HEARTBEAT"] += beat
        self.hs.sample(self.ctrl.copy(), sent, self.now)
        self.parts += self.hs.events
        self.hs.events.clear()
        return self.status

    def set(self, bit: Control, on: bool) -> None:
        control = Control(self.ctrl["CONTROL"])
        self.ctrl["CONTROL"] = control | bit if on else control & ~bit

    def trigger(self, id_: int, gap_s: float = 0.002) -> None:
        self.ctrl["TRIGGER_ID"] = id_
        self.set(Control.TRIGGER, True)
        self.sample(gap_s)

    def publish(self, part: Part, record: Record = PASS) -> Record | None:
        loaded = self.hs.load(part, record, self.now)
        if loaded is None or not self.hs.raise_flags(part, loaded, self.now):
            return None
        return loaded

    def acknowledge(self) -> None:
        self.set(Control.TRIGGER, False)
        self.set(Control.RESULTS_ACK, True)
        self.sample()
        self.set(Control.RESULTS_ACK, False)
        self.sample()

    @property
    def status(self) -> Status:
        return Status(self.hs.stat["STATUS"])


@pytest.fixture
def bench():
    bench = Bench()
    bench.connect()
    assert bench.status & Status.TRIGGER_READY
    return bench


def test_a_nominal_cycle_returns_to_ready(bench):
    bench.trigger(17)
    assert bench.status & Status.TRIGGER_ACK and bench.hs.stat["TRIGGER_ID_ACK"] == 17
    assert not bench.status & Status.TRIGGER_READY
    assert bench.publish(bench.parts[0]) == PASS
    assert bench.status & (Status.RESULTS_VALID | Status.PASS | Status.FAIL) == Status.RESULTS_VALID | Status.PASS
    bench.acknowledge()
    assert bench.status & Status.TRIGGER_READY and not bench.status & Status.RESULTS_VALID


def test_nothing_is_ready_before_the_baseline(bench):
    fresh = Bench()
    fresh.hs.link_up(fresh.now)
    assert not fresh.sample() & Status.TRIGGER_READY
    assert fresh.hs.link is Link.BASELINE


def test_a_trigger_seen_too_late_is_stale(bench):
    bench.trigger(17, gap_s=0.06)
    assert bench.parts[0].refused is Reason.STALE_TRIGGER


def test_the_same_id_twice_is_answered_duplicate_after_one_more_look(bench):
    bench.trigger(17)
    bench.publish(bench.parts[0])
    bench.acknowledge()
    bench.trigger(17)
    assert len(bench.parts) == 1  # perhaps torn
    bench.sample()
    assert bench.parts[1].refused is Reason.DUPLICATE_ID


def test_an_id_that_arrives_one_poll_late_is_accepted_once(bench):
    bench.trigger(17)
    bench.publish(bench.parts[0])
    bench.acknowledge()
    bench.trigger(17)
    bench.ctrl["TRIGGER_ID"] = 18
    bench.sample()
    assert [(p.trigger_id, p.refused) for p in bench.parts] == [(17, None), (18, None)]


def test_a_trigger_while_busy_is_answered_after_the_part_in_flight(bench):
    bench.trigger(17)
    bench.set(Control.TRIGGER, False)
    bench.sample()
    bench.trigger(18)
    assert bench.status & Status.MISSED_TRIGGER and len(bench.parts) == 1
    assert bench.publish(bench.parts[0]) == PASS
    bench.acknowledge()
    assert [(p.trigger_id, p.refused) for p in bench.parts] == [(17, None), (18, Reason.OVERRUN)]


def test_an_id_that_changes_while_trigger_stands_is_no_trigger(bench):
    bench.trigger(17)
    bench.publish(bench.parts[0])
    bench.ctrl["TRIGGER_ID"] = 18
    bench.sample()
    assert bench.status & Status.ERROR and len(bench.parts) == 1


def test_a_link_lost_in_flight_makes_the_verdict_a_reject(bench):
    bench.trigger(17)
    bench.hs.link_down(bench.now)
    bench.hs.link_up(bench.now)
    bench.sample()
    assert len(bench.parts) == 1  # its own verdict will be 4/107, no second one
    told = bench.publish(bench.parts[0])
    assert told is not None and (told.code, told.reason) == (Verdict.NOT_INSPECTED, Reason.LINK_LOST)


@pytest.mark.parametrize(("known", "reason"), [({17}, Reason.RESTARTED), (set(), Reason.STALE_TRIGGER)])
def test_a_standing_trigger_at_start_is_answered_and_never_inspected(known, reason):
    bench = Bench(frozenset(known))
    bench.ctrl["TRIGGER_ID"] = 17
    bench.set(Control.TRIGGER, True)
    bench.hs.link_up(bench.now)
    bench.sample()
    assert [(p.refused, p.has_row) for p in bench.parts] == [(reason, bool(known))]


@pytest.mark.parametrize("standing", [True, False])
@pytest.mark.parametrize("next_id", [7, 8])
def test_an_id_that_a_former_life_acknowledged_without_a_row_gets_exactly_one(standing, next_id):
    """Whether or not the PLC has dropped TRIGGER meanwhile, or shows the next id already."""
    bench = Bench()
    bench.ctrl["TRIGGER_ID"] = next_id
    bench.set(Control.TRIGGER, standing)
    bench.hs.link_up(bench.now, id_ack_in_plc=7)
    for _ in range(4):
        bench.sample()
        for part in bench.parts[-1:]:
            bench.hs.give_up(part, Record(int(Verdict.NOT_INSPECTED), Reason.RESTARTED), bench.now)
    rows = [part for part in bench.parts if part.trigger_id == 7]
    assert [(part.refused, part.has_row) for part in rows] == [(Reason.RESTARTED, False)]


def test_trigger_enable_0_aborts_without_a_result(bench):
    bench.trigger(17)
    bench.set(Control.TRIGGER_ENABLE, False)
    bench.sample()
    assert bench.publish(bench.parts[0]) is None
    assert not bench.status & (Status.RESULTS_VALID | Status.PASS | Status.FAIL)


def test_a_verdict_after_the_deadline_is_never_a_pass(bench):
    bench.trigger(17)
    bench.now += 0.2
    told = bench.publish(bench.parts[0])
    assert told is not None and told.reason is Reason.DEADLINE


def test_a_challenge_part_never_comes_out_as_product(bench):
    bench.set(Control.TEST_PART, True)
    bench.trigger(17)
    told = bench.publish(bench.parts[0])
    assert told is not None and told.code == 6 and not bench.status & Status.PASS


def test_a_simulated_picture_towards_a_real_plc_is_a_reject():
    bench = Bench()
    bench.ctrl["SIGNATURE"] = 0xA101
    bench.connect()
    bench.trigger(17)
    told = bench.publish(bench.parts[0], Record(1, Reason.NONE, recipe_used=1, simulated=True))
    assert told is not None and (told.code, told.reason) == (Verdict.NOT_INSPECTED, Reason.SIMULATED)


def test_a_result_that_is_never_acknowledged_is_cleared_and_latched(bench):
    bench.trigger(17)
    bench.publish(bench.parts[0])
    bench.hs.tick(bench.now + 10.1)
    assert not bench.status & Status.RESULTS_VALID
    assert bench.hs.counts["ACK_TIMEOUTS"] == 1


def test_a_frozen_plc_heartbeat_drops_ready(bench):
    for _ in range(300):
        bench.sample(beat=False)
    assert bench.hs.stat["OFFLINE_REASON"] == OfflineReason.PLC_HEARTBEAT


class AnyPlc(RuleBasedStateMachine):
    """Whatever a PLC and a link do: no PASS but for the id in flight, antivalent bits, one verdict for each part."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.bench.connect()
        self.waiting: list[Part] = []
        self.passed: list[tuple[int, int]] = []

    def _take(self) -> None:
        self.waiting += self.bench.parts
        self.bench.parts.clear()

    @rule(id_=st.integers(0, 6), gap_s=st.sampled_from([0.002, 0.01, 0.08]))
    def trigger(self, id_: int, gap_s: float) -> None:
        self.bench.trigger(id_, gap_s)
        self._take()

    @rule(gap_s=st.sampled_from([0.002, 0.05, 0.3]), beat=st.booleans())
    def sample(self, gap_s: float, beat: bool) -> None:
        self.bench.sample(gap_s, beat=beat)
        self._take()

    @rule(bit=st.sampled_from(list(Control)), on=st.booleans())
    def flip(self, bit: Control, on: bool) -> None:
        self.bench.set(bit, on)
        self.bench.sample()
        self._take()

    @rule()
    def acknowledge(self) -> None:
        self.bench.acknowledge()
        self._take()

    @rule()
    def reconnect(self) -> None:
        self.bench.hs.link_down(self.bench.now)
        self.bench.connect()
        self._take()

    @rule(wait_s=st.sampled_from([0.0, 0.1, 0.2]))
    def publish(self, wait_s: float) -> None:
        if not self.waiting:
            return
        part = self.waiting.pop(0)
        self.bench.now += wait_s
        late = self.bench.now > part.deadline_s
        told = self.bench.publish(part)
        if told is None:
            self.bench.hs.give_up(part, PASS, self.bench.now)
        elif told.code == Verdict.PASS:
            assert part.refused is None and not late and not part.test_part
            key = (part.trigger_id, round(part.accepted_s * 1e6))
            assert key not in self.passed
            self.passed.append(key)
        self._take()

    @invariant()
    def bits_are_antivalent_and_the_record_is_whole(self) -> None:
        status, stat = self.bench.status, self.bench.hs.stat
        both = status & (Status.PASS | Status.FAIL)
        assert both in ((Status.PASS, Status.FAIL) if status & Status.RESULTS_VALID else (Status(0),))
        if status & Status.PASS:
            assert stat["RESULT_CODE"] == Verdict.PASS
        if status & Status.RESULTS_VALID:
            assert stat["RES_XOR"] == record_xor(stat) and stat["RES_SEQ"] == stat["RES_SEQ_TAIL"]

    @invariant()
    def ready_means_idle(self) -> None:
        if self.bench.status & Status.TRIGGER_READY:
            assert self.bench.hs.cycle is Cycle.IDLE and self.bench.hs.link is Link.LIVE


TestAnyPlc = AnyPlc.TestCase
TestAnyPlc.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
