"""Which station of a connection has the next turn."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from plc.client import ClientLink, LinkConfig
from tests.support.links import place


@dataclass(eq=False)
class Due:
    """What the choice looks at."""

    due_s: float
    armed: bool = False
    publishing: bool = False
    turns: list[float] = field(default_factory=list)

    @property
    def busy(self) -> Due:
        return self

    def locked(self) -> bool:
        return self.publishing


def link_of(*stations: Due) -> ClientLink:
    link = ClientLink(LinkConfig(poll_s=0.005), [place(1)])
    link.stations = stations  # type: ignore[assignment]
    return link


def test_of_two_that_are_due_the_armed_one_comes_first_unless_the_other_waits_for_a_whole_poll() -> None:
    armed, idle = Due(10.000, armed=True), Due(9.996)
    assert link_of(idle, armed)._next_in_turn(10.0) is armed
    idle.due_s = 9.994
    assert link_of(idle, armed)._next_in_turn(10.0) is idle


def test_one_that_is_due_comes_before_an_armed_one_that_is_not() -> None:
    armed, idle = Due(10.001, armed=True), Due(10.000)
    assert link_of(armed, idle)._next_in_turn(10.0) is idle
    assert link_of(armed, idle)._next_in_turn(9.0) is idle, "nobody is due: the next to be"


def test_one_that_publishes_is_passed_over_and_waited_for_when_it_is_alone() -> None:
    publishing, idle = Due(9.0, armed=True, publishing=True), Due(10.0)
    assert link_of(publishing, idle)._next_in_turn(10.0) is idle
    assert link_of(publishing)._next_in_turn(10.0) is publishing


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0.001, 0.02)), min_size=2, max_size=8),
    st.floats(0.0005, 0.02),
)
def test_nobody_starves_on_a_slow_plc(stations: list[tuple[bool, float]], request_s: float) -> None:
    """Every turn takes longer than all intervals together allow; each comes again within a few rounds."""
    link = link_of(*(Due(0.0, armed) for armed, _ in stations))
    now = 0.0
    for _ in range(40 * len(stations)):
        chosen = link._next_in_turn(now)
        now = max(now, chosen.due_s) + request_s
        chosen.turns.append(now)
        chosen.due_s = now + stations[link.stations.index(chosen)][1]
    longest_s = 0.005 + max(interval for _, interval in stations) + 2 * len(stations) * request_s
    for station in link.stations:
        gaps = [b - a for a, b in zip([0.0, *station.turns], [*station.turns, now], strict=True)]
        assert max(gaps) <= longest_s + request_s
