"""All rules of the contract under random faults: no part ever goes on wrongly (section 9). `make soak` plays more."""

from __future__ import annotations

import pytest

from tests.support.ablations import ALL_RULES, NAIVE, STUCK_ID
from tests.support.rule_sim import RuleSet, RuleSim, Tally, simulate

SEEDS, PARTS_EACH = range(10), 400
pytestmark = pytest.mark.timeout(600)  # 15 s on a free core; the cores may be busy


@pytest.fixture(scope="module")
def all_rules() -> Tally:
    return simulate(ALL_RULES, SEEDS, PARTS_EACH)


@pytest.mark.slow
def test_no_part_goes_on_wrongly_whatever_happens_to_link_appliance_and_plc(all_rules):
    assert all_rules.wrong == [] and all_rules.alarms == 0
    assert all_rules.faults.keys() == {"link cut", "late write", "appliance killed", "appliance paused", "PLC restart"}


@pytest.mark.slow
def test_the_line_goes_on_under_faults(all_rules):
    """The contract's table: 83 % of all parts, of which 90 % are good."""
    assert 0.78 <= all_rules.share <= all_rules.good / all_rules.parts


@pytest.mark.slow
def test_a_stuck_id_counter_stops_the_line_and_lets_nothing_through():
    tally = simulate(STUCK_ID, range(4), PARTS_EACH)
    assert tally.wrong == [] and tally.share < 0.05


def test_the_simulation_would_see_a_wrong_accept():
    assert simulate(NAIVE, range(2), 200).wrong


def test_a_seed_always_plays_the_same():
    first, second = (RuleSim(3, RuleSet(), zeroes=True).run(60) for _ in range(2))
    assert first == second
