"""Why each rule is kept: a line that goes wrong without it and not with it (contract, section 9).

Each scenario is played with all rules, with the rules of one row of the table left out, and, where the row leaves out
several that overlap, with each of them alone still there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from plc.registers import Status
from tests.support import ablations as without
from tests.support.ablations import ALL_RULES
from tests.support.rule_bench import RuleBench
from tests.support.rule_sim import RuleSet

GOOD, BAD = True, False
PAUSE_S = 0.14  # longer than the part is before the camera, shorter than the PLC waits for a result


def play(scenario: Callable[[RuleBench], None], rules: RuleSet) -> RuleBench:
    bench = RuleBench(rules)
    bench.start()
    assert bench.hs.stat["STATUS"] & Status.TRIGGER_READY
    scenario(bench)
    assert bench.hs.counts["TRIGGERS"] >= 1
    return bench


def paused_across_a_trigger(bench: RuleBench) -> None:
    """SIGSTOP just before TRIGGER rises; the part has gone on when the process runs again: an empty belt looks good."""
    bench.inspect(GOOD)
    bench.scan(BAD)
    end = bench.now + PAUSE_S
    while bench.now < end:
        bench.scan()
    bench.in_view = 0
    bench.poll()
    bench.write()
    bench.serve()
    bench.wait(0.3)


def reconnected_to_a_standing_trigger(bench: RuleBench) -> None:
    """The cable is out while TRIGGER rises, and back when the part has gone on."""
    bench.inspect(GOOD)
    bench.cut()
    bench.scan(BAD)
    end = bench.now + PAUSE_S
    while bench.now < end:
        bench.scan()
    bench.in_view = 0
    bench.connect()
    bench.poll()
    bench.write()
    bench.serve()
    bench.wait(0.3)


def an_old_result_arrives_with_the_next_part(bench: RuleBench) -> None:
    """The write of the first part's PASS hangs in a dead connection and arrives when the second waits."""
    bench.turn(GOOD)
    part = bench.take()
    assert part is not None
    record = bench.look(part)
    bench.wait(0.03)
    late = bench.publish(part, record, arrives=False)
    assert late is not None
    for _ in range(32):  # T_result passes, the PLC gives the first part up
        bench.scan()
    bench.cut()
    bench.connect()
    bench.poll()
    bench.write()  # the new session's first image: no result, no ACK, not READY
    bench.scan()
    bench.scan(BAD)
    bench.deliver(late)
    bench.scan()
    bench.wait(0.3)


def restarted_plc_with_retained_memory(bench: RuleBench) -> None:
    """The link dies while a PASS stands in STAT; the PLC's program starts anew and finds it there."""
    bench.turn(GOOD)
    part = bench.take()
    assert part is not None
    bench.publish(part, bench.look(part))
    bench.cut()
    bench.restart_plc(clears=False)
    for _ in range(3):
        bench.scan()
    bench.scan(BAD)
    for _ in range(3):
        bench.scan()


def two_good_parts(bench: RuleBench) -> None:
    bench.inspect(GOOD)
    bench.inspect(GOOD)


def a_result_for_a_part_that_the_plc_gave_up(bench: RuleBench) -> None:
    """The next part comes before the first one's result; after that the line runs well for ten parts."""
    bench.turn(GOOD)
    part = bench.take()
    assert part is not None
    record = bench.look(part)
    bench.turn(GOOD)
    bench.publish(part, record)
    bench.wait(0.2)
    for _ in range(10):
        bench.inspect(GOOD)


def a_plc_that_clears_its_area_at_start(bench: RuleBench) -> None:
    """The connection stays; what we once wrote is gone; after that the line runs well for ten parts."""
    bench.restart_plc(clears=True)
    bench.poll()
    bench.wait(0.6)
    for _ in range(10):
        bench.inspect(GOOD)


# A row of section 9's table, what happens, and what is left out when all but one of the row's rules are.
WRONG = [
    (
        without.NO_AGE,
        paused_across_a_trigger,
        {
            "T_ack": replace(without.NO_AGE, fb=ALL_RULES.fb),
            "trigger age": replace(without.NO_AGE, handshake=ALL_RULES.handshake),
        },
    ),
    (
        without.NO_BASELINE,
        reconnected_to_a_standing_trigger,
        {
            "T_ack": replace(without.NO_BASELINE, fb=ALL_RULES.fb),
            "baseline": replace(without.NO_BASELINE, handshake=without.WithoutAge),
        },
    ),
    (
        without.NO_ID,
        an_old_result_arrives_with_the_next_part,
        {
            "id match": RuleSet(fb=type("_", (without.NoAckSeen, without.NoReadyBeforeTrigger), {})),
            "ack seen": RuleSet(fb=type("_", (without.NoIdMatch, without.NoReadyBeforeTrigger), {})),
            "ready before trigger": RuleSet(fb=without.NoIdMatchNorAckSeen),
        },
    ),
    (
        without.STUCK_ID_NO_RULES,
        paused_across_a_trigger,
        {
            "duplicate": replace(without.STUCK_ID_NO_RULES, handshake=without.WithoutAge),
            "trigger age": replace(without.STUCK_ID_NO_RULES, handshake=without.WithoutDuplicates),
            "T_ack": replace(without.STUCK_ID_NO_RULES, fb=without.StuckId),
        },
    ),
    (
        without.FLAGS_FIRST,
        two_good_parts,  # the second goes on by the first one's record
        {
            "data before flags": replace(without.FLAGS_FIRST, flags_first=False),
            "id match": replace(without.FLAGS_FIRST, fb=without.NoAckSeen),
        },
    ),
    (without.NAIVE, restarted_plc_with_retained_memory, {}),
    (without.NAIVE, an_old_result_arrives_with_the_next_part, {}),
]


@pytest.mark.parametrize(
    ("rules", "scenario"), [(rules, scenario) for rules, scenario, _ in WRONG], ids=lambda x: getattr(x, "name", None)
)
def test_without_these_rules_a_part_goes_on_wrongly_and_with_all_of_them_none_does(rules, scenario):
    assert play(scenario, rules).wrong
    assert not play(scenario, ALL_RULES).wrong
    if issubclass(rules.fb, without.StuckId):
        assert not play(scenario, without.STUCK_ID).wrong


@pytest.mark.parametrize(
    ("rules", "scenario"),
    [pytest.param(r, scenario, id=f"{row.name}: {kept}") for row, scenario, rest in WRONG for kept, r in rest.items()],
)
def test_one_of_the_rules_that_overlap_is_enough_to_stop_it(rules, scenario):
    assert not play(scenario, rules).wrong


@pytest.mark.parametrize(
    ("rules", "scenario"),
    [
        (without.NO_DISCARD, a_result_for_a_part_that_the_plc_gave_up),
        (without.DIFFERENTIAL, a_plc_that_clears_its_area_at_start),
    ],
    ids=lambda x: getattr(x, "name", None),
)
def test_without_this_rule_the_line_stands_still_and_with_all_of_them_it_goes_on(rules, scenario):
    bad, right = play(scenario, rules), play(scenario, ALL_RULES)
    assert len(bad.went_good) <= 1 and not bad.wrong
    assert len(right.went_good) == 10 and not right.wrong
