"""The history of both images: every change by name and with its time, none made up, and cheap to keep."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from plc.changes import KEPT, Changes, Edge, edges, unpacked
from plc.images import Image
from plc.registers import CTRL, STAT, Control, Status


class Clock:
    now_s = 1_700_000_000.0

    def __call__(self) -> float:
        self.now_s += 0.001
        return self.now_s


def decoded(changes: Changes) -> list[Edge]:
    return [edge for change in changes.newest(KEPT) for edge in edges(change)]


def test_each_bit_and_register_that_changes_is_an_edge_with_its_time() -> None:
    changes, ctrl, stat = Changes(Clock()), Image(CTRL), Image(STAT)
    changes.ctrl(ctrl.words)
    changes.stat(stat.words)
    ctrl["TRIGGER_ID"], ctrl["CONTROL"] = 17, Control.TRIGGER | Control.TRIGGER_ENABLE
    changes.ctrl(ctrl.words)
    stat["STATUS"], stat["PART_ID_ECHO"] = Status.TRIGGER_ACK, 70_000
    changes.stat(stat.words)
    ctrl["CONTROL"] = Control.TRIGGER_ENABLE
    changes.ctrl(ctrl.words)
    found = [(e.writer, e.name, e.before, e.after) for e in decoded(changes)]
    assert found == [
        ("plc", "CTRL.CONTROL.TRIGGER_ENABLE", "0", "1"), ("plc", "CTRL.CONTROL.TRIGGER", "0", "1"),
        ("plc", "CTRL.TRIGGER_ID", "0", "17"), ("appliance", "STAT.STATUS.TRIGGER_ACK", "0", "1"),
        ("appliance", "STAT.PART_ID_ECHO", "0", "70000"), ("plc", "CTRL.CONTROL.TRIGGER", "1", "0"),
    ]  # fmt: skip
    times = [e.utc_ms for e in decoded(changes)]
    assert times == sorted(times) and times[0] == times[2] < times[3] < times[5]


def test_heartbeats_alone_are_no_change_and_their_age_is_kept() -> None:
    changes, ctrl, stat = Changes(Clock()), Image(CTRL), Image(STAT)
    for beat in range(50):
        ctrl["PLC_HEARTBEAT"], ctrl["HB_ECHO"], stat["HEARTBEAT"] = beat, beat, beat
        changes.ctrl(ctrl.words)
        changes.stat(stat.words)
    assert changes.no == 0
    moved_ms = changes.ctrl_side.beat_ms
    changes.ctrl(ctrl.words)
    assert changes.ctrl_side.seen_ms > changes.ctrl_side.beat_ms == moved_ms
    ctrl["TRIGGER_ID"], ctrl["PLC_HEARTBEAT"] = 3, 99
    changes.ctrl(ctrl.words)
    assert [e.name for e in decoded(changes)] == ["CTRL.TRIGGER_ID"]


def test_a_lost_link_is_an_edge_and_is_told_once() -> None:
    changes = Changes(Clock())
    for up in (False, True, True, False, False):
        changes.link(up)
    assert [(e.name, e.before, e.after) for e in decoded(changes)] == [("LINK", "0", "1"), ("LINK", "1", "0")]


def test_the_ring_keeps_the_newest_and_is_read_piece_by_piece() -> None:
    changes, ctrl = Changes(Clock()), Image(CTRL)
    for id_ in range(KEPT + 100):
        ctrl["TRIGGER_ID"] = id_ % 60_000
        changes.ctrl(ctrl.words)
    assert changes.no == KEPT + 99
    assert [c.no for c in changes.newest(10**6)] == list(range(100, KEPT + 100))
    assert [c.no for c in changes.newest(3)] == [KEPT + 97, KEPT + 98, KEPT + 99]
    assert [c.no for c in changes.newest(3, after=KEPT + 98)] == [KEPT + 99]
    assert changes.newest(3, after=changes.no) == []
    assert [c.no for c in changes.newest(3, before=103)] == [100, 101, 102]
    assert changes.newest(3, before=100) == []


@given(st.lists(st.lists(st.integers(0, 0xFFFF), min_size=STAT.size, max_size=STAT.size), min_size=2, max_size=6))
def test_the_edges_applied_to_the_first_image_give_the_last(images: list[list[int]]) -> None:
    changes = Changes()
    for words in images:
        changes.stat(words)
    at = Image(STAT, images[0])
    for change in changes.newest(KEPT):
        assert unpacked(STAT, change.before).words[2:] == at.words[2:]
        at = unpacked(STAT, change.after)
    assert (at.words[0], at.words[2:]) == (images[-1][0], images[-1][2:])
