"""What is done to the traffic of a part, at which points, and what must hold afterwards whatever it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from inspector.demo.parts import Kind
from plc.fault_proxy import FaultProxy, Side
from plc.registers import Reason, Verdict
from plc.sim import SimResult
from tests.support.live_line import HELD_UP_S, TRIES, parts_of
from tests.support.traffic import Hit, Traffic, TrafficFault

READY_AGAIN_S = 5.0  # request timeout or silence, back-off and two heartbeats, on busy cores
PASSED = (Verdict.PASS, Reason.NONE)
HOLE_S = 0.9  # longer than a request timeout, and than a silent owner keeps its lock


def delay(proxy: FaultProxy, _: Side) -> None:
    proxy.requests.delay_s = proxy.replies.delay_s = 0.25


def duplicate(proxy: FaultProxy, _: Side) -> None:
    proxy.requests.duplicate = 1000


def reorder(proxy: FaultProxy, _: Side) -> None:
    """With one request on its way nothing overtakes it: each comes 0.1 s late."""
    proxy.requests.reorder = 4


FAULTS = {
    "cut": TrafficFault(lambda proxy, _: proxy.cut()),
    "reset": TrafficFault(lambda proxy, _: proxy.reset()),
    "black hole": TrafficFault(lambda proxy, _: proxy.black_hole(), HOLE_S),
    "half-open": TrafficFault(lambda proxy, dies: proxy.half_open(dies)),
    "duplicated": TrafficFault(duplicate, 0.3, severs=False),
    "reordered": TrafficFault(reorder, 0.5, severs=False),
    "delayed": TrafficFault(delay, 1.7, severs=False),
}
BEFORE_IT_WAS_TOLD = ("edge", "acknowledged", "judged", "record")
POINTS = (*BEFORE_IT_WAS_TOLD, "flags", "result ack")
_bad: Iterator[int] = (part for pair in zip(parts_of(Kind.STAIN), parts_of(Kind.EMPTY), strict=False) for part in pair)


@dataclass(frozen=True)
class Outcome:
    """What became of the part in which the traffic was broken, and of the line after it."""

    hit: Hit
    good: bool  # the truth of that part
    behind: SimResult  # a bad part
    after: SimResult  # a good one


def is_good(fault: str, point: str) -> bool:
    """Is the part a good one? Each fault, and each point, meets good parts and bad ones."""
    return (list(FAULTS).index(fault) + POINTS.index(point)) % 2 == 0


async def outcome(at: Traffic, fault: str, point: str, holds: Callable[[Outcome, str, str], None]) -> Outcome:
    """What `holds` for, or it is not for the machine's sake that it does not: what came too late was played again."""
    for _ in range(TRIES):
        taken = at.line.fair()
        found = await _once(at, fault, point)
        taken.s()
        if taken.waited_s < HELD_UP_S or _is_so(holds, found, fault, point):
            break
    return found


async def _once(at: Traffic, fault: str, point: str) -> Outcome:
    good, line = is_good(fault, point), at.line
    found = await at.hit(FAULTS[fault], point, line.next_good() if good else next(_bad))
    behind = await line.play(next(_bad))
    after = await line.play(line.next_good())
    line.checked()
    return Outcome(found, good, behind, after)


def _is_so(holds: Callable[[Outcome, str, str], None], found: Outcome, fault: str, point: str) -> bool:
    try:
        holds(found, fault, point)
    except AssertionError:
        return False
    return True


def assert_true(found: Outcome) -> None:
    """Whatever was broken: no PASS for a bad part, not even in the PLC's memory."""
    result, told = found.hit.result, found.hit.told_before + found.hit.told_anew
    assert found.good or PASSED not in told, found
    assert result.verdict == "reject" or (found.good and result.code == Verdict.PASS), found


def assert_goes_on(found: Outcome) -> None:
    """READY by itself in time; a bad part behind is not taken for the good one, and the next good one passes."""
    assert found.hit.ready_again_s <= READY_AGAIN_S
    assert found.behind.verdict == "reject" and found.behind.code not in (0, Verdict.PASS)
    assert (found.after.verdict, found.after.code) == ("good", Verdict.PASS)
