"""Promises in the field's words: what was seen, what that shows, and how many more parts would show more."""

from __future__ import annotations

import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge_deploy.promises import next_step, parts_at_rate, parts_to_show, promise, promise_lines
from edge_deploy.qualify import share
from inspector.core.manifest import BoundSpec
from inspector.core.stats import clopper_pearson


@pytest.mark.parametrize(("limit", "parts"), [(0.05, 59), (0.01, 299), (0.005, 598), (0.001, 2995)])
def test_parts_without_a_failure_are_those_of_the_tables(limit: float, parts: int) -> None:
    assert parts_to_show(limit) == parts


@given(st.integers(0, 40), st.floats(0.002, 0.4))
@settings(max_examples=60, deadline=None)
def test_one_part_less_would_not_show_it(failures: int, limit: float) -> None:
    n = parts_to_show(limit, failures)
    assert clopper_pearson(failures, n, side="upper").high <= limit
    assert n - 1 <= failures or clopper_pearson(failures, n - 1, side="upper").high > limit


@pytest.mark.parametrize("limit", [0.0, 1.0, -0.1])
def test_a_share_that_no_number_of_parts_shows_is_refused(limit: float) -> None:
    with pytest.raises(ValueError, match="cannot be shown"):
        parts_to_show(limit)


def test_parts_that_go_on_failing_show_less_or_nothing() -> None:
    assert parts_at_rate(0.01, 0.0) == parts_to_show(0.01)
    assert parts_at_rate(0.01, 0.01) is None
    more = parts_at_rate(0.01, 0.005)
    assert more is not None
    assert more > parts_to_show(0.01, 1)


def test_the_next_step_is_a_round_share_below_what_is_shown() -> None:
    assert next_step(0.0487) == 0.02
    assert next_step(0.01) == 0.005
    assert next_step(0.00005) is None


def test_two_hundred_good_parts_cannot_show_one_percent_and_the_promise_says_how_many_would() -> None:
    p = promise(share("overkill", 0, 200), target=0.01)
    assert p.name == "Overkill (false reject)"
    assert (p.level, p.state) == ("look", "asked for: at most 1\u00a0%; too few parts to show it")
    assert p.next == "at most 1\u00a0%: 99 more good parts, if none of them fails"


def test_what_was_asked_for_is_shown_open_or_missed() -> None:
    assert promise(share("overkill", 0, 600), 0.005).level == "good"
    chance = promise(share("overkill", 2, 200), 0.005)
    assert (chance.level, chance.state) == (
        "look",
        "asked for: at most 0.5\u00a0%; more were seen, which may be chance",
    )
    assert promise(share("overkill", 9, 200), 0.005).level == "stop"


def test_more_parts_do_not_help_where_too_many_fail() -> None:
    p = promise(share("escape", 24, 198))
    assert p.next == "10\u00a0% is out of reach of more bad parts: 12.1\u00a0% of those seen failed"


def test_some_failures_give_both_numbers() -> None:
    p = promise(share("escape", 1, 198))
    assert p.seen == "1 of 198 (0.51\u00a0%)"
    assert (
        p.next
        == "at most 2\u00a0%: 38 more bad parts, if none of them fails; about 63, if they fail as often as so far"
    )


def test_without_parts_nothing_is_promised() -> None:
    p = promise(share("escape", 0, 0))
    assert (p.level, p.upper) == ("look", 1.0)
    assert "not measured" in p.state


def test_a_kind_and_an_unknown_promise_have_names() -> None:
    kind = promise(share("escape:dent", 0, 16))
    assert (kind.name, kind.unit, kind.of_kind) == ("Escape, dent", "bad parts (dent)", True)
    assert promise(share("drift", 0, 16)).name == "drift"
    assert promise(share("negatives", 1, 16)).level == "look"


def test_a_terminal_gets_a_line_a_promise_without_odd_spaces() -> None:
    lines = promise_lines([BoundSpec("overkill", 0, 200, 0.0149), BoundSpec("escape:dent", 1, 1, 1.0)])
    assert lines == [
        "Overkill (false reject): 0 of 200 (0 %) failed; at most 1.49 % with 95 % confidence. "
        "Next step, at most 1 %: 99 more good parts, if none of them fails",
        "Escape, dent: 1 of 1 (100 %) failed; at most 100 % with 95 % confidence. "
        "Next step, 20 % is out of reach of more bad parts (dent): 100 % of those seen failed",
    ]


def test_looking_into_a_bundle_needs_no_torch() -> None:
    code = "import sys, edge_deploy.show; sys.exit(bool({'torch', 'nncf', 'sklearn', 'openvino'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
