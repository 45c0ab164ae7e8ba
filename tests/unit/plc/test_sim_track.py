"""Belt, track and gate in virtual time, with the real handshake: good never lands on another part."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plc.handshake import Handshake, HandshakeConfig, HealthInput, Part, Record
from plc.images import Image
from plc.registers import CTRL, STAT, OfflineReason, Reason, Verdict
from plc.sim import Belt, BeltConfig, Habits, Inputs, NewPart, PlcProgram, SimConfig, TrackConfig, part_ids
from plc.sim.parts import BYPASSED, GOOD, NOT_INSPECTED, SimResult
from plc.sim.track import COUNTS, Track, travelled

pytestmark = pytest.mark.slow

SCAN_S = 0.005
PASS = Record(int(Verdict.PASS), Reason.NONE, recipe_used=1)
FAIL = Record(int(Verdict.FAIL), Reason.CLASS, recipe_used=1)
PARTS = 10


class World:
    """One belt, one PLC, one appliance; `scan` moves all of them by 5 ms. Even PART_IDs are good."""

    def __init__(self, delays_s: Sequence[float] = (0.02,), *, pitch: int = 200, parts: int = PARTS) -> None:
        self.cfg = SimConfig(track=TrackConfig(gate=300, max_rejects_in_row=0))
        self.program = PlcProgram(self.cfg)
        self.belt = Belt(BeltConfig(pitch=pitch, gate=300), iter([NewPart(n) for n in range(1, parts + 1)]))
        self.hs = Handshake(HandshakeConfig(active_recipe=1, deadline_s=0.3), known=lambda id_: False)
        self.now, self.connected, self.scans = 100.0, True, 0
        self.stat = Image(STAT)
        self.results: list[SimResult] = []
        self.delays = deque(delays_s)
        self._at_work: tuple[Part, float] | None = None
        self.hs.link_up(self.now)
        self.hs.health(HealthInput(True, OfflineReason.NONE), self.now)
        self.hs.line_free(True, self.now)
        while not self.program.ready(self.stat, self.now):
            self._appliance()
            self._plc(None)

    def run(self, faults: dict[int, str] | None = None) -> None:
        """Until the belt and the track are empty. faults: scan -> what happens then."""
        while not (self.belt.empty and self.program.track.empty):
            self.scans += 1
            assert self.scans < 5000
            self._fault((faults or {}).get(self.scans, ""))
            self.belt.move(SCAN_S, gate_open=self.program.track.gate_open)
            self.belt.next_part()
            self._plc(self.belt.at_camera)
            self._appliance()

    def _plc(self, part: NewPart | None) -> None:
        self.now += SCAN_S
        self.program.scan(self.stat, Inputs(part, self.belt.encoder, len(self.belt.binned)), self.now)
        self.results += self.program.results
        self.program.results = []

    def _appliance(self) -> None:
        self._judge()
        if not self.connected:
            return
        self.hs.sample(self.program.ctrl.copy(), self.now, self.now)
        self.hs.tick(self.now)
        if round(self.now / SCAN_S) % 20 == 0:
            self.hs.beat(self.now)
        self.stat = self.hs.stat.copy()

    def _judge(self) -> None:
        if self._at_work is None and self.hs.events:
            self.hs.line_free(False, self.now)
            self._at_work = self.hs.events.popleft(), self.now + self.delays[0]
            self.delays.rotate(-1)
        if self._at_work is None or self.now < self._at_work[1]:
            return
        part, self._at_work = self._at_work[0], None
        self.hs.exposed(part, part.accepted_s, self.now)
        record = PASS if part.part_id % 2 == 0 else FAIL
        if part.refused is not None:
            record = Record(int(Verdict.NOT_INSPECTED), part.refused, recipe_used=1)
        loaded = self.hs.load(part, record, self.now)
        if loaded is None or not self.hs.raise_flags(part, loaded, self.now):
            self.hs.give_up(part, record, self.now)
        self.hs.line_free(True, self.now)

    def _fault(self, what: str) -> None:
        habits = self.program.habits
        match what:
            case "unplug":
                self.connected = False
                self.hs.link_down(self.now)
            case "plug" if not self.connected:
                self.connected = True
                self.hs.link_up(self.now)
            case "restart":
                self.results += self.program.abandon()
                self.program = PlcProgram(self.cfg, habits)
            case "zero":
                self.stat = Image(STAT)
            case "bounce":
                habits.bounce = not habits.bounce
            case "freeze":
                habits.freeze_ids = not habits.freeze_ids
            case "tear":
                habits.tear_ids = not habits.tear_ids
            case "early":
                habits.ack_early = not habits.ack_early


def test_good_parts_go_on_and_bad_ones_fall_into_the_bin_across_the_encoder_s_wrap() -> None:
    world = World()
    assert world.belt.encoder > COUNTS - 1100
    world.run()
    assert world.belt.encoder < 100_000, "it wrapped"
    assert [p.part_id for p in world.belt.went_on] == [2, 4, 6, 8, 10]
    assert [p.part_id for p in world.belt.binned] == [1, 3, 5, 7, 9]
    assert not world.program.track.alarm


def test_a_verdict_that_comes_when_the_next_part_is_there_already_helps_neither() -> None:
    world = World([0.25], pitch=200)
    world.run()
    assert world.belt.went_on == []


FAULTS = st.sampled_from(["unplug", "plug", "plug", "restart", "zero", "bounce", "freeze", "tear", "early"])


@settings(max_examples=60, deadline=None)
@given(
    faults=st.dictionaries(st.integers(1, 500), FAULTS, max_size=10),
    delays_s=st.lists(st.floats(0, 0.4), min_size=1, max_size=6),
    pitch=st.sampled_from([60, 130, 200]),
)
def test_whatever_happens_no_bad_part_goes_on_and_no_part_is_lost(
    faults: dict[int, str], delays_s: list[float], pitch: int
) -> None:
    world = World(delays_s, pitch=pitch)
    world.run(faults)
    assert all(part.part_id % 2 == 0 for part in world.belt.went_on)
    assert len(world.belt.went_on) + len(world.belt.binned) == PARTS
    passed = {r.part_id for r in world.results if r.plc_verdict == GOOD}
    assert {part.part_id for part in world.belt.went_on} <= passed
    for result in world.results:
        assert result.verdict == "reject" or (result.code == Verdict.PASS and result.part_id % 2 == 0)


def test_the_gate_needs_a_part_of_its_own_to_open() -> None:
    """A part that no place is known of is rejected: the program started anew while it was on its way."""
    world = World(parts=2)
    for _ in range(60):
        world.belt.move(SCAN_S, gate_open=world.program.track.gate_open)
        world.belt.next_part()
        world._plc(world.belt.at_camera)
        world._appliance()
    world._fault("restart")
    world.run()
    assert world.belt.went_on == [] and len(world.belt.binned) == 2


@pytest.mark.parametrize("verdicts", [("good", "reject"), ("reject", "good"), ("good", "good")])
def test_a_part_that_stands_in_two_places_goes_on_only_if_both_are_good(verdicts: tuple[str, str]) -> None:
    """A second sensor edge, or a part that follows too closely."""
    track = Track(TrackConfig(gate=300, opens_before=20), Image(CTRL), Habits())
    for encoder, verdict in zip((0, 10), verdicts, strict=True):
        track.put(SimResult(encoder + 1, 1, code=1, verdict=verdict, encoder=encoder))
    opened = []
    for encoder in range(0, 400, 5):
        track.scan(encoder, 0)
        opened += [encoder] * track.gate_open
    front = [encoder for encoder in opened if 290 <= encoder <= 320]
    assert bool(front) == (verdicts == ("good", "good"))


def test_a_stuck_ejector_is_noticed_by_the_reject_confirm_sensor() -> None:
    world = World(parts=1)
    while not (world.belt.empty and world.program.track.empty):
        world.belt.move(SCAN_S, gate_open=world.program.track.gate_open, ejector_stuck=True)
        world.belt.next_part()
        world._plc(world.belt.at_camera)
        world._appliance()
    assert "part 1 was rejected, but none fell into the bin" in world.program.track.alarm


def test_too_many_rejects_in_a_row_are_an_alarm_until_it_is_acknowledged() -> None:
    world = World(parts=6)
    world.program = PlcProgram(SimConfig(track=TrackConfig(gate=300, max_rejects_in_row=3)))
    world.program.habits.disable = True
    world.run()
    assert world.program.track.alarm.endswith("rejects in a row")
    world.program.track.acknowledge()
    assert not world.program.track.alarm


@pytest.mark.parametrize(("habit", "verdict"), [("bypass", BYPASSED), ("claim_good", GOOD)])
def test_a_by_pass_is_told_as_one_and_a_wrong_program_tells_good(habit: str, verdict: int) -> None:
    world = World(parts=3)
    setattr(world.program.habits, habit, True)
    world.run()
    assert [r.plc_verdict for r in world.results] == [verdict] * 3
    assert world.program.ctrl["PLC_VERDICT"] == verdict and world.program.ctrl["PLC_VERDICT_ID"] == 3


def test_a_part_that_was_never_triggered_is_told_as_not_inspected() -> None:
    world = World(parts=2)
    world.program.habits.set_offline = True
    world.run()
    assert [r.plc_verdict for r in world.results] == [NOT_INSPECTED] * 2


def test_the_share_of_bad_parts_is_chosen_by_the_caller_s_truth() -> None:
    ids = part_ids(lambda n: n % 3 != 0, 0.25)
    drawn = [next(ids) for _ in range(2000)]
    assert len(set(drawn)) == 2000
    assert 0.2 < sum(n % 3 == 0 for n in drawn) / 2000 < 0.3
    with pytest.raises(ValueError, match="no bad part"):
        list(part_ids(lambda n: True, 1.0))
    with pytest.raises(ValueError, match="0 to 1"):
        next(part_ids(bool, 1.5))


@given(st.integers(0, COUNTS), st.integers(0, 10_000))
def test_distance_is_right_across_the_wrap(then: int, counts: int) -> None:
    assert travelled(then, (then + counts) & COUNTS) == counts


def test_parts_that_are_longer_than_their_pitch_are_refused() -> None:
    with pytest.raises(ValueError, match="do not fit"):
        BeltConfig(pitch=40, part_length=40)


def test_habits_are_all_off_at_first() -> None:
    assert not any(getattr(Habits(), name) for name in Habits.__dataclass_fields__)
