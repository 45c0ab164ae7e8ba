"""What the monitor makes of two images: edges in words, fresh values, heartbeats; and its screen."""

from __future__ import annotations

import datetime

import pytest
from rich.console import Console

from plc.images import Image, seal_record
from plc.monitor_view import Clock, LinkView, edge_line, percentile_ms, screen
from plc.observer import FRESH_S, Observer, alarms, summary
from plc.registers import CTRL, SIGNATURE, SIMULATOR_SIGNATURE, STAT, Control, OfflineReason, Reason, Status
from plc.target import Seen, Target, TargetProblem, parse_target, shows_any_signature, signature_problem, whose

NOON = datetime.datetime(2026, 1, 2, 12, 0, 0, tzinfo=datetime.UTC)
CLOCK = Clock(100.0, NOON)


class Bench:
    """Images that the test changes, and an observer that looks at them every 10 ms."""

    def __init__(self) -> None:
        self.ctrl, self.stat, self.now = Image(CTRL), Image(STAT), 100.0
        self.ctrl["SIGNATURE"], self.stat["STAT_SIGNATURE"] = SIMULATOR_SIGNATURE + 1, SIGNATURE + 1
        self.stat["STATUS"] = Status.ONLINE | Status.TRIGGER_READY
        self.observer = Observer()
        self.look()

    def look(self, after_s: float = 0.01, *, beats: bool = True) -> list[str]:
        """Texts of the edges."""
        self.now += after_s
        self.ctrl["PLC_HEARTBEAT"] += beats
        self.stat["HEARTBEAT"] += beats
        return [e.text for e in self.observer.see(Seen(self.ctrl.copy(), self.stat.copy(), self.now))]

    def shown(self, width: int = 130, height: int = 50, trouble: str = "", *, connected: bool = True) -> str:
        console = Console(width=width, height=height, record=True, file=None, quiet=False, force_terminal=False)
        link = LinkView("10.0.0.5:502 station 1", "a PLC", trouble, [0.001, 0.002, 0.050], connected)
        with console.capture() as capture:
            console.print(screen(console, link, self.observer, CLOCK, self.now))
        return capture.get()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_cycle_reads_as_a_story_in_the_order_of_the_looks(bench: Bench) -> None:
    story: list[str] = []
    bench.ctrl["TRIGGER_ID"], bench.ctrl["PART_ID"] = 17, 4711
    bench.ctrl["CONTROL"] = Control.TRIGGER_ENABLE | Control.TRIGGER
    story += bench.look()
    bench.stat["TRIGGER_ID_ACK"], bench.stat["STATUS"] = 17, Status.ONLINE | Status.TRIGGER_ACK
    story += bench.look()
    bench.stat["RES_TRIGGER_ID"], bench.stat["RESULT_CODE"], bench.stat["REASON"] = 17, 2, 11
    bench.stat["T_TOTAL"] = 421
    seal_record(bench.stat, 91)
    story += bench.look()
    bench.stat["STATUS"] = Status.ONLINE | Status.RESULTS_VALID | Status.FAIL
    story += bench.look()
    bench.ctrl["PLC_VERDICT_ID"], bench.ctrl["PLC_VERDICT"] = 17, 2
    story += bench.look()
    assert story == [
        "TRIGGER_ENABLE 0 -> 1", "TRIGGER 0 -> 1  id 17", "TRIGGER_ID 0 -> 17, part 4711",
        "TRIGGER_READY 1 -> 0", "TRIGGER_ACK 0 -> 1  id 17", "TRIGGER_ID_ACK 0 -> 17",
        "record 91: id 17, 2 FAIL, reason 11 anomaly, 42.1 ms",
        "TRIGGER_ACK 1 -> 0", "RESULTS_VALID 0 -> 1  id 17", "FAIL 0 -> 1",
        "PLC_VERDICT of id 17: 2 reject",
    ]  # fmt: skip


def test_an_edge_carries_its_time_its_writer_and_its_levels(bench: Bench) -> None:
    bench.ctrl["CONTROL"] = Control.RESULTS_ACK
    bench.look()
    (edge,) = bench.observer.history
    assert (edge.at_s, edge.writer, edge.name, edge.before, edge.after) == (
        bench.now,
        "plc",
        "CONTROL.RESULTS_ACK",
        0,
        1,
    )
    assert edge_line(edge, CLOCK).plain.startswith("12:00:00.020  plc       RESULTS_ACK 0 -> 1")


def test_counters_that_always_move_are_no_edges(bench: Bench) -> None:
    bench.ctrl["HB_ECHO"] = 7
    assert bench.look() == []


def test_a_torn_record_is_called_one(bench: Bench) -> None:
    seal_record(bench.stat, 5)
    bench.stat["RES_SEQ_TAIL"] = 4
    assert bench.look()[0].endswith("(TORN)")
    for name in ("RES_SEQ", "RES_SEQ_TAIL", "RES_XOR"):
        bench.stat[name] = 0
    assert bench.look() == ["record cleared"]


def test_a_heartbeat_that_stops_is_told_once_and_so_is_its_return(bench: Bench) -> None:
    bench.look()
    texts = [text for _ in range(8) for text in bench.look(0.1, beats=False)]
    assert texts == ["PLC_HEARTBEAT stands still", "HEARTBEAT stands still"]
    assert bench.observer.heartbeat_age_s("HEARTBEAT", bench.now) == pytest.approx(0.8)
    assert bench.look(0.1) == ["PLC_HEARTBEAT moves again after 0.9 s", "HEARTBEAT moves again after 0.9 s"]


def test_a_heartbeat_that_never_moved_is_shown_as_such() -> None:
    bench = Bench()
    bench.look(0.7, beats=False)
    assert not bench.observer.moved("PLC_HEARTBEAT")
    assert bench.shown().count("not seen to move") == 2


def test_what_changed_is_marked_for_a_moment(bench: Bench) -> None:
    bench.stat["STATUS"] |= Status.ERROR
    bench.look()
    assert bench.observer.is_fresh("STAT.STATUS.ERROR", bench.now)
    assert not bench.observer.is_fresh("STAT.STATUS.ERROR", bench.now + FRESH_S + 0.1)
    assert not bench.observer.is_fresh("STAT.STATUS.ONLINE", bench.now)


def test_the_screen_names_every_register_and_every_bit_that_is_set(bench: Bench) -> None:
    bench.stat["STATUS2"], bench.stat["ERROR_CODE"] = 0b100001, Reason.CAMERA
    bench.look()
    text = bench.shown()
    for register in (*CTRL.registers, *STAT.registers):
        assert register.name in text, register.name
    for word in ("ONLINE", "TRIGGER_READY", "PLC_HB_OK", "ID_GAP", "101 camera", "0x51A1", "p50 2.0, p99 2.0 ms"):
        assert word in text, word
    assert "TRIGGER_ACK" not in text.split("EDGES")[0]


def test_a_bit_that_has_just_fallen_is_never_taken_for_one_that_is_set(bench: Bench) -> None:
    bench.stat["STATUS"] = Status.ONLINE | Status.RESULTS_VALID | Status.PASS
    bench.look()
    bench.stat["STATUS"] = Status.ONLINE
    bench.look()
    assert "now 0: PASS" in bench.shown()
    bench.now += FRESH_S + 0.1
    assert "PASS" not in bench.shown().split("EDGES")[0]


@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 30), (130, 50), (200, 60)])
def test_the_screen_fits_the_terminal_and_always_has_room_for_edges(bench: Bench, width: int, height: int) -> None:
    bench.stat["STATUS"], bench.stat["STATUS2"] = 0xB39F, 0x3F
    for number in range(1, 30):
        bench.ctrl["TRIGGER_ID"] = number
        bench.look()
    lines = bench.shown(width, height).rstrip("\n").split("\n")
    assert len(lines) <= height
    assert max(map(len, lines)) <= width
    assert "TRIGGER_ID 28 -> 29" in lines[-1]


def test_trouble_comes_first(bench: Bench) -> None:
    assert "READY" in bench.shown().split("\n")[2]
    bench.stat["STATUS"] = Status.ONLINE | Status.ERROR
    bench.stat["ERROR_CODE"], bench.stat["OFFLINE_REASON"] = Reason.STORAGE, OfflineReason.STORAGE
    bench.look()
    assert "ERROR: 112 storage   not READY: 6 storage" in bench.shown().split("\n")[2]
    assert "NOT CONNECTED" in bench.shown(trouble="NOT CONNECTED", connected=False).split("\n")[2]


def test_what_the_station_does_is_said_in_one_word(bench: Bench) -> None:
    seen = bench.observer.newest
    assert seen is not None
    assert alarms(seen) == [] and summary(seen) == "READY"
    bench.stat["STATUS"], bench.stat["TRIGGER_ID_ACK"] = Status.ONLINE, 17
    bench.look()
    assert bench.observer.newest is not None and summary(bench.observer.newest) == "at work on id 17"


def test_percentiles_of_nothing_are_nothing() -> None:
    assert percentile_ms([], 0.5) is None
    assert percentile_ms([0.001], 0.99) == pytest.approx(1.0)


# -- whose images are these? -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ctrl", "stat", "says", "any_signature"),
    [
        (0xA101, 0xA101, "", True),
        (0x51A1, 0xA101, "", True),
        (0x51A1, 0, "no appliance has written here yet: STAT_SIGNATURE at 61 is 0x0000, not 0xA101", True),
        (0, 0xA101, "the PLC does not show its signature yet: SIGNATURE at 15 is 0x0000, not 0xA101 or 0x51A1", True),
        (0xA102, 0xA102, "no signature of station 1", False),
        (0, 0, "no signature of station 1", False),
    ],
)
def test_signatures_say_who_is_there(ctrl: int, stat: int, says: str, any_signature: bool) -> None:
    target = Target("h", 502)
    seen = Seen(Image(CTRL), Image(STAT), 0.0)
    seen.ctrl["SIGNATURE"], seen.stat["STAT_SIGNATURE"] = ctrl, stat
    problem = signature_problem(target, seen)
    assert problem.startswith(says) and bool(problem) == bool(says)
    assert shows_any_signature(target, seen) is any_signature


def test_a_simulator_is_never_called_a_plc() -> None:
    seen = Seen(Image(CTRL), Image(STAT), 0.0)
    seen.ctrl["SIGNATURE"] = SIMULATOR_SIGNATURE + 1
    assert whose(Target("h", 502), seen, is_appliance=False) == "a simulated PLC's memory (client direction)"


def test_targets_are_host_and_port_and_bases_follow_the_station() -> None:
    target = parse_target("plc.local", 3, None, None, None, 1, "big")
    assert (target.port, target.ctrl_base, target.stat_base, target.ident_base) == (502, 400, 420, 540)
    moved = parse_target("plc.local", 1, 1000, None, 2000, 1, "big")
    assert (moved.ctrl_base, moved.stat_base, moved.diag_base, moved.ident_base) == (1000, 1020, 1100, 2000)
    assert str(parse_target("[::1]:5020", 1, 1000, 1040, None, 1, "big")) == "[::1]:5020"
    for wrong in ("", "host:", "host:0", "host:99999", "a b:502", "::1:502"):
        with pytest.raises(TargetProblem, match="HOST:PORT"):
            parse_target(wrong, 1, None, None, None, 1, "big")
