"""What a calibration says that more pictures would buy, against what the rule then does."""

from __future__ import annotations

import numpy as np
import pytest

from edge_deploy.choose import Rule, Target, Units, choose
from edge_deploy.errors import DeployError
from edge_deploy.told import SHARES, buys
from inspector.core.manifest import BoundSpec
from inspector.core.stats import clopper_pearson


def units(good: int, lost: int, defects: int = 0) -> Units:
    """Good ones strain from 0 to 1, `lost` of them without end; defects strain from 2 to 3."""
    return Units(np.r_[np.linspace(0, 1, good - lost), np.full(lost, np.inf)], np.linspace(2, 3, defects))


def bound(name: str, failures: int, of: int) -> BoundSpec:
    return BoundSpec(name, failures, of, clopper_pearson(failures, of, side="upper").high)


def refused(found: Units, rule: Rule, share: float) -> bool:
    try:
        choose(found, Target(rule, share), "picture")
    except DeployError:
        return True
    return False


def test_good_pictures_that_pass_at_no_limit_are_counted_against_a_promise() -> None:
    found = units(1700, 5)
    lines = list(buys(bound("overkill", 5, 1700), found, "picture"))
    assert lines[0] == (
        "to promise an overkill of at most 0.50%: 400 more good pictures, with none judged wrongly beside the 5 of "
        "these that pass at no limit"
    )
    assert lines[1].endswith("0.20%: out of reach of more good pictures: 5 of these 1700 pass at no limit")
    more = Units(np.r_[found.good, np.zeros(400)], found.defects)
    assert refused(Units(more.good[:-1], more.defects), Rule.OVERKILL, 0.005)
    assert not refused(more, Rule.OVERKILL, 0.005)


@pytest.mark.parametrize("rule", [Rule.OVERKILL, Rule.ESCAPE])
@pytest.mark.parametrize("lost", [0, 1, 5, 40, 900])
@pytest.mark.parametrize("n", [20, 59, 300, 1700])
def test_pictures_are_said_to_suffice_exactly_where_the_rule_then_takes_them(rule: Rule, lost: int, n: int) -> None:
    if lost >= n:
        return
    found = units(n, lost, defects=n)
    told = list(buys(BoundSpec(str(rule), n, n, 1.0), found, "picture", steps=len(SHARES)))
    said = [line.endswith("suffice") for line in told]
    assert said == [not refused(found, rule, share) for share in SHARES]


def test_an_escape_that_costs_half_of_the_good_parts_is_not_offered() -> None:
    found = Units(np.linspace(0, 1, 400), np.linspace(0.1, 0.2, 400))
    first = next(iter(buys(bound("escape", 20, 400), found, "picture")))
    assert first == (
        "to promise an escape of at most 5.00%: these 400 defect pictures do not allow it: more than half of the good "
        "pictures would be rejected"
    )
