"""FB_Track of the shipped text: gate, bin, line stop, bypass, and the proof that is due after it."""

from __future__ import annotations

from typing import Any

from plc.st.generate import texts
from tests.support.st.compile import load, run
from tests.support.st.line import Line
from tests.support.st.types import Instance

BLOCKS = load(texts())


class Track:
    """FB_Track with a belt that moves one count a scan of 10 ms. Gate at 50 +- 3, bin 20 counts behind it."""

    def __init__(self, **inputs: Any) -> None:
        self.block, self.ctrl = Instance(BLOCKS["FB_Track"]), Instance(BLOCKS["ST_CTRL"])
        self.always = {"gateCounts": 50, "windowCounts": 3, "confirmCounts": 20, "testAfterStart": False} | inputs
        self.encoder, self.id = 1000, 0
        self.scan(firstScan=True)

    def scan(self, scans: int = 1, **inputs: Any) -> Instance:
        for _ in range(scans):
            given = self.always | {"firstScan": False, "newPart": False, "resultDone": False, "testCaught": False}
            run(self.block, dtMs=10, encoder=self.encoder, newId=self.id, ctrl=self.ctrl, **(given | inputs))
            self.encoder = (self.encoder + 1) % 2**32
            inputs = {}
        return self.block

    def part(self, good: bool | None, *, test: bool = False, inspected: bool = True) -> None:
        """A part at the camera, and its result two scans later; None: no result."""
        self.id += 1
        self.scan(newPart=True, newIsTest=test)
        self.scan()
        if good is not None:
            self.scan(resultDone=True, resultGood=good, resultInspected=inspected)

    def to_gate(self, good: bool | None, **kwargs: Any) -> tuple[bool, bool, int]:
        """One part alone, to the middle of the gate: (passGate, eject, PLC_VERDICT)."""
        start = self.encoder
        self.part(good, **kwargs)
        self.scan(51 - (self.encoder - start))
        seen = bool(self.block.passgate), bool(self.block.eject), int(self.ctrl.plc_verdict)
        assert self.ctrl.plc_verdict_id == self.id
        self.scan(10)
        return seen

    def drop_into_bin(self) -> None:
        self.scan(rejectSensor=True)
        self.scan(rejectSensor=False)


def test_the_gate_opens_for_a_good_part_in_its_window_and_for_nothing_else():
    track, opened = Track(), []
    track.part(True)
    while track.encoder < 1080:
        if track.scan().passgate:
            opened.append(track.encoder - 1 - 1001)
    assert opened == list(range(47, 54))


def test_what_the_gate_did_is_told_with_the_id():
    assert Track().to_gate(True) == (True, False, 1)
    assert Track().to_gate(False) == (False, True, 2)
    assert Track().to_gate(None) == (False, True, 3)
    assert Track().to_gate(False, inspected=False) == (False, True, 3), "the appliance says that it could not: 4/..."


def test_two_parts_too_close_to_each_other_go_on_only_if_both_are_good():
    for first, second in ((True, False), (False, True), (True, True)):
        track = Track()
        track.part(first)
        track.part(second)
        passed = [bool(track.scan().passgate) for _ in range(70)]
        shared = [bool(p) for p in passed[44:48]]  # both are in the window
        assert all(shared) == (first and second) and any(shared) == (first and second)


def test_the_encoder_may_wrap():
    track = Track()
    track.encoder = 2**32 - 20
    start = track.encoder
    track.part(True)
    track.scan(51 - (track.encoder - start) % 2**32)
    assert track.block.passgate


def test_an_encoder_that_jumps_lets_nothing_go_on():
    track = Track()
    track.part(True)
    track.encoder = 5
    assert not any(track.scan().passgate for _ in range(100))


def test_a_reject_that_never_falls_into_the_bin_stops_the_line_until_it_is_proven_again():
    track = Track()
    track.to_gate(False)
    track.drop_into_bin()
    track.scan(40)
    assert not track.block.stopline and not track.block.alarm
    track.to_gate(False)
    track.scan(40)
    assert track.block.stopline and track.block.alarm == 2
    track.scan(reset=True)
    assert not track.block.stopline and track.block.needtest
    track.scan(testCaught=True, reset=True)
    assert not track.block.needtest


def test_rejects_in_a_row_stop_the_line_and_a_good_part_starts_the_count_anew():
    track = Track(maxRejects=3, confirmCounts=0)
    for good in (False, None, True, False, False):
        track.to_gate(good)
    assert not track.block.stopline
    track.to_gate(False, test=True)  # a challenge part is meant to be rejected
    assert not track.block.stopline
    track.to_gate(None)
    assert track.block.stopline and track.block.alarm == 1


def test_a_reject_that_did_not_fall_is_told_before_every_other_alarm():
    """Whichever comes first: only this one asks for a challenge part before the line may go on."""
    track = Track(maxRejects=1)
    track.to_gate(False)
    assert track.block.alarm == 1
    track.scan(40)
    assert track.block.alarm == 2
    track.to_gate(False)
    assert track.block.alarm == 2


def test_a_restart_of_the_program_forgets_rejects_and_alarms():
    track = Track(maxRejects=2, confirmCounts=0)
    track.to_gate(False)
    track.scan(firstScan=True)
    track.to_gate(False)
    assert not track.block.alarm
    track.to_gate(False)
    assert track.block.alarm == 1
    assert not track.scan(firstScan=True).stopline


def test_a_full_bin_stops_the_line_for_as_long_as_it_is_full():
    track = Track()
    assert track.scan(binFull=True).stopline
    assert not track.scan(binFull=False).stopline


def test_more_parts_than_places_pass_none_of_those_that_have_none():
    track = Track(gateCounts=2000)
    for _ in range(33):
        track.part(True)
    assert track.block.alarm == 3 and track.block.stopline
    ids = {p.id for p in track.block.place if p.state}
    assert ids == set(range(1, 33))


def test_a_bypass_is_told_as_4_ends_by_itself_and_has_to_be_proven_afterwards():
    track = Track(bypassParts=2)
    track.scan(bypassKey=True)
    track.always["bypassKey"] = True
    assert track.to_gate(None) == (True, False, 4)
    assert track.to_gate(False) == (True, False, 4)
    assert not track.block.bypassed and track.block.needtest
    assert track.to_gate(None) == (False, True, 3), "the key still stands, and means nothing any more"
    track.scan(bypassKey=False)
    track.scan(bypassKey=True)
    assert track.block.bypassed


def test_a_bypass_ends_with_its_time():
    track = Track(bypassMs=500, bypassKey=True)
    assert not track.block.bypassed, "a key that stands at the start is no bypass"
    track.scan(bypassKey=False)
    assert track.scan(bypassKey=True).bypassed
    assert not track.scan(51).bypassed


def test_what_lay_on_the_belt_at_the_start_does_not_go_on():
    track = Track()
    track.part(True)
    track.scan(firstScan=True)
    assert not any(track.scan().passgate for _ in range(80))


def test_a_reset_that_stays_on_clears_nothing_that_comes_later():
    track = Track(maxRejects=3, confirmCounts=0, reset=True)
    for _ in range(3):
        track.to_gate(False)
    assert track.block.alarm == 1
    track.always["reset"] = False
    track.scan()
    assert track.scan(reset=True).alarm == 0


def test_a_reset_starts_the_count_of_rejects_anew():
    track = Track(maxRejects=3, confirmCounts=0)
    for _ in range(2):
        track.to_gate(False)
        track.to_gate(False)
        assert not track.block.alarm
        track.scan(reset=True)
        track.scan(reset=False)


def test_each_bypass_has_its_own_time_and_none_survives_a_restart():
    track = Track(bypassMs=500)
    for _ in range(2):
        assert track.scan(40, bypassKey=True).bypassed
        track.scan(bypassKey=False)
    track.always["bypassKey"] = True
    assert track.scan().bypassed
    assert not track.scan(firstScan=True).bypassed and not track.scan(5).bypassed


def test_what_falls_into_the_bin_is_the_oldest_reject_and_one_for_each_edge():
    track = Track()
    track.part(True)  # in place 0
    track.scan(37)
    track.part(False)  # in place 1
    track.scan(14)  # the good one is gone, its place is free
    track.part(False)  # in place 0 again, and younger
    track.scan(45)
    assert [(p.id, p.state) for p in track.block.place[:2]] == [(3, 2), (2, 3)]
    track.always["rejectSensor"] = True
    track.scan(5)  # one part, however long the sensor sees it
    assert [(p.confirmed, p.state) for p in track.block.place[:2]] == [(False, 2), (True, 0)]
    track.scan(40)
    assert track.block.alarm == 2, "the younger one never fell"


def test_what_falls_into_the_bin_is_never_taken_for_a_good_part():
    track = Track()
    track.part(True)
    track.part(False)
    track.scan(45)
    assert [(p.id, p.state) for p in track.block.place[:2]] == [(1, 2), (2, 2)]
    track.drop_into_bin()
    track.scan(40)
    assert not track.block.alarm


def test_what_falls_before_a_reject_has_reached_the_gate_is_not_that_reject():
    track = Track()
    track.part(False)
    track.drop_into_bin()
    track.scan(90)
    assert track.block.alarm == 2


def test_places_are_used_again():
    track = Track(gateCounts=10, windowCounts=3)
    for n in range(40):
        track.part(n % 2 == 0)
        track.scan(6)
        track.drop_into_bin()
        track.scan(12)
    assert not track.block.alarm and not any(p.state for p in track.block.place)


def test_parts_that_reach_the_gate_in_one_scan_are_told_one_by_one_and_the_gate_stays_shut_meanwhile():
    track = Track(windowCounts=10)
    track.part(True)
    track.part(False)
    track.encoder += 45  # a fast belt: both are in the window at once
    told = []
    for _ in range(3):
        track.scan()
        told.append((int(track.ctrl.plc_verdict_id), int(track.ctrl.plc_verdict)))
        assert not track.block.passgate and track.block.eject
    assert told == [(1, 1), (2, 2), (2, 2)]


def test_after_a_start_only_a_challenge_part_that_was_caught_opens_the_line_again():
    """On the whole station, with our handshake: first an ordinary part, then a challenge part, then good ones."""
    line = Line(good_share=1.0, inputs={"testAfterStart": True})
    line.settle(400)
    line.bring(1)
    assert line.check() == 0 and line.plc.why == 2 and not line.told
    line.good_share = 0.0  # what a challenge part shows
    line.inputs["testPart"] = True
    line.bring(1)
    assert line.told == [(2, 5)] and line.verdicts[-1] == (2, 2)
    line.good_share, line.inputs["testPart"] = 1.0, False
    line.bring(3)
    assert line.check() == 3


def test_a_part_that_the_appliance_could_not_inspect_is_told_as_not_inspected_as_the_simulated_plc_does():
    """RESULT_CODE 4, here because the deadline passed, on the whole station; of a defect PLC_VERDICT says 2."""
    line = Line(good_share=1.0, judge_ms=250, pitch_ms=600)
    line.settle(400)
    line.bring(1)
    line.settle(700)
    assert line.told == [(1, 4)] and line.verdicts[-1] == (1, 3)
    line.judge_ms, line.good_share = 25, 0.0
    line.bring(1)
    line.settle(700)
    assert line.told[-1] == (2, 2) and line.verdicts[-1] == (2, 2)


def test_a_challenge_part_that_would_have_passed_opens_nothing():
    line = Line(good_share=1.0, inputs={"testAfterStart": True, "testPart": True})
    line.settle(400)
    line.bring(1)
    assert line.told == [(1, 6)]
    line.inputs["testPart"] = False
    line.bring(2)
    assert line.check() == 0 and line.plc.needtest


def test_a_challenge_part_caught_once_proves_nothing_after_the_next_bypass():
    line = Line(good_share=0.0, inputs={"testPart": True})
    line.settle(400)
    line.bring(1)
    assert line.told == [(1, 5)]
    line.good_share, line.inputs = 1.0, {"testPart": False, "bypassKey": True}
    line.settle(20)
    line.inputs["bypassKey"] = False
    line.settle(20)
    assert line.plc.needtest
    line.bring(2)
    assert line.check() == 0 and len(line.told) == 1 and line.plc.why == 2


def test_a_part_that_stands_at_the_camera_when_the_program_starts_gets_an_id_and_stays_a_reject():
    """Also where the program's memory survived: it is not the part that stood there before."""
    line = Line(good_share=1.0, dwell_ms=400, pitch_ms=500)
    line.settle(400)
    line.steps.append(lambda line: line.now_ms == line.pieces[-1].came_ms + 200 and line.restart_plc(retained=True))
    line.bring(1)
    assert line.plc.id == 2 and line.check() == 0
