"""The shipped function blocks, as text, on a line where things go wrong: no part goes on that was not passed itself.

Rows are those of the fault table in the contract, as far as the PLC's program has to survive them.
"""

from __future__ import annotations

import pytest

from plc.parts import HealthInput
from plc.registers import STAT, OfflineReason, Reason, Status, Status2
from plc.st.generate import texts
from tests.support.st.line import HEALTHY, Line

pytestmark = pytest.mark.slow

ZEROS = [0] * STAT.size


def a_line(**settings) -> Line:
    line = Line(**settings)
    line.settle(400)
    return line


def put(line: Line, words: list[int]) -> None:
    line.regs[STAT.base : STAT.base + STAT.size] = words


@pytest.mark.parametrize(("scan_ms", "parts"), [(1, 30), (5, 200), (20, 200), (100, 60)])
def test_every_good_part_goes_on_and_no_other(scan_ms, parts):
    line = a_line(scan_ms=scan_ms)
    pieces = line.bring(parts)
    assert line.check() == sum(p.good for p in pieces)
    assert line.verdicts == [(p.id, 1 if p.good else 2) for p in pieces]
    assert [p.id for p in pieces] == list(range(1, parts + 1))


def test_a_part_that_dwells_gets_one_id_and_one_verdict():
    line = a_line(good_share=1.0)
    pieces = line.bring(6, dwell_ms=700)
    assert [p.id for p in pieces] == [1, 2, 3, 4, 5, 6] and line.check() == 6
    assert len(line.told) == 6


@pytest.mark.parametrize("zeroed", [False, True], ids=["frozen", "zeroed"])
@pytest.mark.parametrize("at_ms", [-30, 2, 12, 38], ids=lambda ms: f"{ms}ms")
def test_rows_1_2_3_and_18_a_cut_at_any_point_of_the_cycle_never_lets_a_bad_part_go_on(at_ms, zeroed):
    line = a_line(seed=at_ms)
    line.bring(3)

    def cut(line: Line) -> None:
        since = line.now_ms - (line.pieces[-1].came_ms + at_ms)
        line.cut = len(line.pieces) % 4 == 0 and 0 <= since < 330
        if zeroed and line.cut and since >= 100:
            put(line, ZEROS)  # the PLC's watchdog of the connection

    line.steps.append(cut)
    line.bring(12)
    went_on = line.check()
    line.steps.clear()
    line.cut = False
    line.settle(1500)
    again = line.bring(6)
    assert line.check() - went_on == sum(p.good for p in again), "and the line comes back by itself"


def test_row_4_an_appliance_killed_in_flight_leaves_no_pass_behind():
    line = a_line(good_share=1.0)
    line.bring(3)

    def kill(line: Line) -> None:
        since = line.now_ms - line.pieces[-1].came_ms
        if len(line.pieces) % 5 == 0 and since == 8 + 3 * len(line.pieces):
            line.dead = True
        if line.dead and since == 300:
            line.start_appliance()

    line.steps.append(kill)
    line.bring(20)
    assert 0 < line.check() < 23
    line.steps.clear()
    line.settle(1500)
    before = line.check()
    line.bring(5)
    assert line.check() == before + 5


def test_row_4_a_pass_that_stands_in_the_memory_of_a_plc_passes_nothing():
    """The appliance died with VALID and PASS up; the program starts anew, and its ids reach that one again."""
    line = a_line(good_share=1.0)
    line.bring(2)
    held = []

    def hold(line: Line) -> None:
        if not held and line.hs.stat["STATUS"] & Status.PASS:
            held.append(list(line.hs.stat.words))
            line.dead = True
        if held:
            put(line, held[0])

    line.steps.append(hold)
    line.bring(2)
    line.restart_plc(retained=False)
    went_on = line.check()
    line.pieces.clear()
    line.bring(6)
    assert line.plc.id >= 4 and line.check() == 0 and went_on <= 3


@pytest.mark.parametrize("pause_ms", [60, 120, 200, 700])
def test_row_5_a_paused_appliance_never_passes_a_picture_of_another_part(pause_ms):
    line = a_line(seed=pause_ms)

    def pause(line: Line) -> None:
        since = line.now_ms - line.pieces[-1].came_ms if line.pieces else 0
        line.paused = len(line.pieces) % 3 == 0 and -5 <= since < pause_ms - 5

    line.steps.append(pause)
    line.bring(40)
    line.check()
    assert line.hs.stat["STATUS2"] & (Status2.STALE_TRIGGER | Status2.ID_GAP)


@pytest.mark.parametrize(
    ("retained", "told_so"),
    [(True, True), (True, False), (False, True)],
    ids=["retained", "retained, not told", "cleared"],
)
@pytest.mark.parametrize("at_ms", [3, 12, 38])
def test_row_6_a_restarted_program_passes_nothing_of_its_former_life(at_ms, retained, told_so):
    line = a_line(seed=at_ms)
    line.bring(3)

    def restart(line: Line) -> None:
        since = line.now_ms - line.pieces[-1].came_ms
        if len(line.pieces) % 6 == 0 and since == at_ms:
            line.plc_stopped = True
        if line.plc_stopped and since == at_ms + 80:
            line.plc_stopped = False
            line.restart_plc(retained=retained, told_so=told_so)

    line.steps.append(restart)
    line.bring(10)
    line.check()
    line.steps.clear()
    line.settle(1500)
    before = line.check()
    again = line.bring(5)
    assert line.check() - before == sum(p.good for p in again)


def test_row_7_nothing_is_inspected_for_a_stopped_program():
    line = a_line(good_share=1.0)
    line.bring(2)
    line.plc_stopped = True
    line.settle(800)
    assert not line.hs.stat["STATUS"] & Status.TRIGGER_READY
    line.plc_stopped = False
    line.settle(800)
    before = line.check()
    line.bring(3)
    assert line.check() == before + 3


def test_row_8_a_program_whose_ids_stand_still_gets_one_pass_at_most():
    text = texts()["FB_Inspect"].replace("        id := id + 1;", "        id := 7;")
    line = a_line(patched={"FB_Inspect": text})
    line.bring(20)
    assert line.check() <= 1 and line.hs.counts["DUPLICATES"] >= 10


def test_row_9_a_trigger_that_the_appliance_never_saw_is_a_reject_and_shows_as_a_gap():
    line = a_line(good_share=1.0)
    line.bring(2)
    line.ctrl_view = lambda before, now: [now[0] & ~2, *now[1:]]
    line.bring(1)
    line.ctrl_view = None
    line.bring(2)
    assert [p.went_on for p in line.pieces] == [True, True, False, True, True]
    assert line.hs.counts["ID_GAPS"] == 1


def test_row_10_writes_that_come_twice_and_late_change_nothing():
    line = a_line()
    history: list[list[int]] = []

    def again(line: Line) -> None:
        history.append(list(line.regs[STAT.base : STAT.base + STAT.size]))
        if line.now_ms % 97 == 0:
            put(line, history[-1 - line.rng.randrange(min(len(history), 250))])

    line.steps.append(again)
    line.bring(40)
    assert line.check() > 10


def test_row_11_the_next_part_before_the_result_makes_both_a_reject_and_shifts_nothing():
    line = a_line(pitch_ms=45, judge_ms=60)
    line.bring(30)
    line.check()
    line.pitch_ms = 150
    before, again = line.check(), line.bring(10)
    assert line.check() - before == sum(p.good for p in again)


def test_row_15_a_result_that_nobody_acknowledged_does_not_pass_the_next_part():
    line = a_line(good_share=1.0)
    line.bring(1)
    line.ctrl_view = lambda before, now: [now[0] & ~8, *now[1:]]  # the acknowledge gets lost
    line.bring(3)
    line.settle(10_500)
    assert line.hs.stat["STATUS2"] & Status2.ACK_TIMEOUT
    line.ctrl_view = None
    line.settle(300)
    before = line.check()
    line.bring(4)
    assert line.check() == before + 4


def test_row_16_torn_reads_of_ctrl_pass_nothing_wrong():
    line = a_line()

    def torn(before: list[int], now: list[int]) -> list[int]:
        at = line.rng.randrange(len(now))
        return before[:at] + now[at:] if line.rng.random() < 0.5 else now[:at] + before[at:]

    line.ctrl_view = torn
    line.bring(40)
    assert line.check() > 10


@pytest.mark.parametrize("ascending", [True, False])
def test_row_17_torn_copies_of_stat_pass_nothing_wrong(ascending):
    line = a_line()

    def torn(before: list[int], now: list[int]) -> list[int]:
        at = line.rng.randrange(len(now))
        return now[:at] + before[at:] if ascending else before[:at] + now[at:]

    line.view = torn
    line.bring(40)
    assert line.check() > 10


def test_row_17_random_words_pass_nothing():
    line = a_line()

    def noise(before: list[int], now: list[int]) -> list[int]:
        words = list(now)
        for _ in range(line.rng.choice([0, 1, 1, 2, 40])):
            words[line.rng.randrange(len(words))] ^= 1 << line.rng.randrange(16)
        return words

    line.view = noise
    line.bring(60)
    line.check()


def test_row_25_a_recipe_that_the_program_does_not_expect_passes_nothing():
    line = a_line(good_share=1.0)
    line.plc.change.expected = 2
    line.bring(5)
    assert line.check() == 0
    line.plc.change.expected = 1
    line.bring(3)
    assert line.check() == 3


def test_row_28_an_appliance_that_is_stopped_in_flight_ends_with_a_reject():
    line = a_line(good_share=1.0)
    line.bring(3)
    stopped = []

    def stop(line: Line) -> None:
        if len(line.pieces) == 5 and line.now_ms == line.pieces[-1].came_ms + 20:
            line.hs.stop(line.now_s)
            stopped.append(line.now_ms)

    line.steps.append(stop)
    line.bring(5)
    assert stopped and [p.went_on for p in line.pieces] == [True] * 4 + [False] * 4
    line.check()


def test_an_appliance_in_trouble_rejects_every_part_and_the_line_comes_back():
    line = a_line(good_share=1.0)
    line.hs.health(HealthInput(False, OfflineReason.STORAGE, Reason.STORAGE), line.now_s)
    line.bring(3)
    assert line.check() == 0 and line.plc.why == 1
    line.hs.health(HEALTHY, line.now_s)
    line.bring(3)
    assert line.check() == 3


def test_a_second_edge_of_the_sensor_makes_no_part_good_that_was_not():
    """A sensor that chatters: one part, two ids; where the two differ, it does not go on."""
    line = a_line(dwell_ms=20, pitch_ms=160)
    chatter = line.pieces

    def bounce(line: Line) -> None:
        piece = chatter[-1] if chatter else None
        if piece is not None and piece.number % 3 == 0 and line.now_ms == piece.came_ms + 45:
            piece.came_ms += 45  # seen again, a little further on

    line.steps.append(bounce)
    line.bring(30)
    for piece in line.pieces:
        assert not piece.went_on or piece.good


@pytest.mark.parametrize("seed", range(3))
def test_everything_at_once_for_200_parts_passes_nothing_wrong(seed):
    """Cuts, kills, pauses, restarts, late writes and torn copies, at random."""
    line = a_line(seed=seed, scan_ms=(5, 8, 20)[seed])
    until = {"cut": 0, "dead": 0, "paused": 0, "stopped": 0}

    def play(line: Line) -> None:
        rng, now = line.rng, line.now_ms
        for name in until:
            if rng.random() < 0.0004:
                until[name] = now + rng.choice([20, 120, 400])
        if line.dead and now >= until["dead"]:
            line.start_appliance()
        line.cut, line.paused = now < until["cut"], now < until["paused"]
        line.dead = line.dead or now < until["dead"]
        if line.plc_stopped and now >= until["stopped"]:
            line.restart_plc(retained=rng.random() < 0.5)
        line.plc_stopped = now < until["stopped"]
        if line.cut and rng.random() < 0.01:
            put(line, ZEROS)

    line.view = lambda before, now: (
        now[: (at := line.rng.randrange(44))] + before[at:] if line.rng.random() < 0.2 else now
    )
    line.steps.append(play)
    line.bring(200)
    assert line.check() > 40
