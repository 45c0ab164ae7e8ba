"""What the test pictures show, in the field's words, and how many more parts would show more.

Overkill (false reject): a good part that would not pass. Escape (missed defect): a bad part that would pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal

from scipy.stats import beta

from edge_deploy.qualify import Share, share
from inspector.core.manifest import BoundSpec
from inspector.core.stats import clopper_pearson
from training.pages.page import NO_BREAK, count, percent, step

STEPS = (0.2, 0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0005, 0.0002, 0.0001)  # shares that people ask for
CONFIDENCE = 0.95
MOST_PARTS = 10_000_000
_LOST = "groups of good pictures (a part or a lot each) of which one or more would not pass"
_ESCAPED = "groups of pictures of bad parts of the kinds shown of which one or more would pass"


@dataclass(frozen=True, slots=True)
class Promise:
    """One share of failures, ready for the page. level: `stop` missed, `look` not shown, `good` shown or not asked."""

    key: str  # overkill, escape, escape:<kind>, negatives
    name: str
    meaning: str
    unit: str
    failures: int
    of: int
    upper: float  # one-sided 95 %, Clopper-Pearson
    level: Literal["stop", "look", "good"]
    state: str  # against what was asked for
    next: str  # what more parts would show

    @property
    def of_kind(self) -> bool:
        """Of one kind or group only: a line in the table below the whole."""
        return ":" in self.key

    @property
    def seen(self) -> str:
        """Counts and share."""
        share = f" ({percent(self.failures / self.of)})" if self.of else ""
        return f"{count(self.failures)} of {count(self.of)}{share}"


def promise(share: Share, target: float | None = None, aim: float | None = None, grouped: bool = False) -> Promise:
    """`share` in words. target: the share that was asked for, where one was; aim: what limits were to keep on average.

    An aim is shown and nothing is held against it. grouped: counted are groups of pictures (a part or a lot each).
    """
    name, meaning, unit = _words(share.name)
    if grouped:
        unit = unit.replace("parts", "groups")
        meaning = {"overkill": _LOST, "escape": _ESCAPED}.get(share.name, meaning)
    level, state = _against(share, target)
    if aim is not None and share.of and not state:
        state = f"aimed at: {step(aim)} on average, not promised"
    return Promise(
        key=share.name,
        name=name,
        meaning=meaning,
        unit=unit,
        failures=share.failures,
        of=share.of,
        upper=share.upper_95,
        level=level,
        state=state,
        next=_next(share, unit),
    )


def promise_lines(bounds: Iterable[BoundSpec]) -> list[str]:
    """One line a promise, for a terminal."""
    lines = []
    for bound in bounds:
        p = promise(share(bound.name, bound.failures, bound.of))
        line = f"{p.name}: {p.seen} failed; at most {percent(p.upper)} with 95 % confidence"
        lines.append((f"{line}. Next step, {p.next}" if p.next else line).replace(NO_BREAK, " "))
    return lines


def parts_to_show(share: float, failures: int = 0, confidence: float = CONFIDENCE) -> int:
    """The least number of parts, `failures` of them failed, whose one-sided Clopper-Pearson bound is at most `share`.

    With no failure it is log(1 - confidence) / log(1 - share). Raises ValueError: `share` is not between 0 and 1.
    """
    if not 0 < share < 1:
        raise ValueError(f"a share of {share} cannot be shown")

    def shows(n: int) -> bool:
        return clopper_pearson(failures, n, confidence, side="upper").high <= share

    return _least(shows, max(1, failures))


def parts_at_rate(share: float, rate: float, confidence: float = CONFIDENCE) -> int | None:
    """As parts_to_show, where parts go on failing at `rate`; None: at that rate no number of parts shows `share`.

    The bound is taken with rate * n failures, whole or not: Beta(rate n + 1, n - rate n).
    """
    if rate >= share:
        return None

    def shows(n: int) -> bool:
        return float(beta.ppf(confidence, rate * n + 1, n - rate * n)) <= share

    least = _least(shows, 1)
    return least if least < MOST_PARTS else None


def next_step(upper: float) -> float | None:
    """The next round share below the bound that is shown; None below the last."""
    return next((s for s in STEPS if s < upper * (1 - 1e-9)), None)


def _least(shows: Callable[[int], bool], low: int) -> int:
    """The first n from `low` on; MOST_PARTS or more where there is none."""
    high = low
    while not shows(high) and high < MOST_PARTS:
        low, high = high, 2 * high
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if shows(middle) else (middle + 1, high)
    return low


def _next(share: Share, unit: str) -> str:
    goal = next_step(share.upper_95)
    if goal is None:
        return ""
    rate = share.failures / share.of if share.of else 0.0
    if share.of and rate >= goal:
        return f"{step(goal)} is out of reach of more {unit}: {percent(rate)} of those seen failed"
    more = parts_to_show(goal, share.failures) - share.of
    text = f"at most {step(goal)}: {count(more)} more {unit}, if none of them fails"
    if share.failures:
        whole = parts_at_rate(goal, rate)
        if whole is not None:
            text += f"; about {count(max(more, whole - share.of))}, if they fail as often as so far"
    return text


def _against(share: Share, target: float | None) -> tuple[Literal["stop", "look", "good"], str]:
    if not share.of:
        return "look", "not measured: no such part among the test pictures"
    if share.name == "negatives" and target is None:
        return ("look", "some were not refused as they should be") if share.failures else ("good", "all were refused")
    if target is None:
        return "good", ""
    asked = f"asked for: at most {step(target)}"
    if share.upper_95 <= target:
        return "good", f"{asked}, shown"
    if clopper_pearson(share.failures, share.of, CONFIDENCE, side="lower").low > target:
        return "stop", f"{asked}, missed"
    if share.failures / share.of > target:
        return "look", f"{asked}; more were seen, which may be chance"
    return "look", f"{asked}; too few parts to show it"


def _words(key: str) -> tuple[str, str, str]:
    """Name, meaning, and what is counted."""
    kind, _, what = key.partition(":")
    if kind == "overkill":
        whole = ("Overkill (false reject)", "good parts that would not pass", "good parts")
    elif kind == "escape":
        whole = ("Escape (missed defect)", "bad parts of the kinds shown that would pass", "bad parts")
    elif kind == "negatives":
        return "Negatives let in", "empty, half or wrong parts that were judged instead of refused", "negatives"
    else:
        return key, "", "parts"
    if not what:
        return whole
    return f"{whole[0].split(' (')[0]}, {what}", "", f"{whole[2]} ({what})"
