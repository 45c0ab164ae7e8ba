"""How far out the limits lie: k, by an overkill limit, an escape limit or a cost, as far as the data supports it.

Counted are units: pictures, or groups of pictures that are not independent (of one part, of one lot). A group of good
pictures is lost when one of them is rejected, a group of defects escapes when one of them passes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from edge_deploy.errors import DeployError
from edge_deploy.strain import Float
from inspector.core.stats import clopper_pearson, conformal_limit, failures_allowed, parts_needed

CONFIDENCE = 0.95


class Rule(StrEnum):
    AIM = "aim"  # a share of overkill on average; where the data is too small for it, limits without it
    OVERKILL = "overkill"
    ESCAPE = "escape"
    COST = "cost"


@dataclass(frozen=True, slots=True)
class Target:
    """value: a share, 0..1; of a cost: how many overkills one escape is worth."""

    rule: Rule
    value: float

    def __post_init__(self) -> None:
        if self.rule is Rule.COST and not 0 < self.value < np.inf:
            raise DeployError(f"a cost of {self.value:g}:1 is none: write what an escape is worth, e.g. 50:1")
        if self.rule is not Rule.COST and not 0 < self.value < 0.5:
            raise DeployError(f"a share of {self.value:.2%} is no target: it lies between 0 and 50 %")

    def __str__(self) -> str:
        return f"cost {self.value:g}:1" if self.rule is Rule.COST else f"{self.rule} {self.value:.2%}"


@dataclass(frozen=True, slots=True, eq=False)
class Units:
    """Strains, one a unit: of good units the largest of their pictures, of defects the smallest."""

    good: Float
    defects: Float


@dataclass(frozen=True, slots=True)
class Choice:
    """k: what strains more is rejected. confidence: of each bound by itself, so that those of a cost hold together."""

    k: float
    confidence: float = CONFIDENCE
    notes: tuple[str, ...] = ()


def unit_numbers(groups: Sequence[str] | None, pictures: int) -> NDArray[np.intp]:
    """(N,) number of each picture's unit; None: each picture is one."""
    return np.arange(pictures) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]


def by_unit(strain: Float, unit_of: NDArray[np.intp], worst: bool) -> Float:
    """Strains of units. worst: the largest of a unit's pictures, else the smallest."""
    present, index = np.unique(unit_of, return_inverse=True)
    found = np.full(len(present), -np.inf if worst else np.inf)
    (np.maximum if worst else np.minimum).at(found, index, strain)
    return found


def choose(units: Units, target: Target, unit: str, few_slack: float = 1.1) -> Choice:
    """k of the rule. unit: "picture" or "group", for the texts.

    few_slack: where the data is too small for an aim, limits lie this many times as far out as the worst good unit.
    Raises DeployError: the data cannot support the promise; the text says how much would.
    """
    if not np.isfinite(units.good).any():
        raise DeployError(
            f"none of the {len(units.good)} good {unit}s passes at any limit: look at them and train longer"
        )
    if target.rule is Rule.AIM:
        return _aim(units.good, target.value, few_slack, unit)
    if target.rule is Rule.OVERKILL:
        return _by_overkill(units.good, target.value, unit)
    if target.rule is Rule.ESCAPE:
        return _by_escape(units, target.value, few_slack, unit)
    return _by_cost(units, target.value, unit)


def without(good: Float, above: int, of: int) -> float:
    """k where only the units `good` are known: the order statistic at the rank that `above` of all `of` stand for."""
    ordered = np.sort(good)
    return just_above(float(ordered[ordered.size - 1 - min(above * ordered.size // of, ordered.size - 1)]))


def just_above(k: float) -> float:
    """The picture that sets a limit passes it, whatever the limit's rounding."""
    return k + 1e-9 * max(1.0, abs(k))


def _aim(good: Float, share: float, few_slack: float, unit: str) -> Choice:
    """On average, and never refused: what it is worth on other pictures stands in the bounds."""
    n, lost, largest = len(good), int(np.isinf(good).sum()), float(good[np.isfinite(good)].max())
    if n < (need := _needed_on_average(share)):
        text = f"{n} good {unit}s cannot promise {share:.2%} overkill; that needs at least {need}"
        return Choice(just_above(largest + (few_slack - 1) * abs(largest)), notes=(f"{text}; {_AT_WORST}",))
    k = conformal_limit(np.where(np.isinf(good), 1e9, good), share)
    if k <= largest:
        return Choice(just_above(k))
    told = f"{lost} of {n} good calibration {unit}s are classed as defects"
    return Choice(just_above(largest), notes=(f"{told}: an overkill of {share:.2%} is out of reach of any limit",))


_AT_WORST = "the limits lie at the worst good picture and a little"


def _needed_on_average(share: float) -> int:
    return int(np.ceil(1 / share - 1e-9)) - 1


def _by_overkill(good: Float, share: float, unit: str) -> Choice:
    allowed = _allowed(len(good), share, f"good {unit}s", f"an overkill of {share:.2%}")
    k = float(np.sort(good)[len(good) - 1 - allowed])
    if np.isinf(k):
        lost = int(np.isinf(good).sum())
        least = clopper_pearson(lost, len(good), side="upper").high
        raise DeployError(
            f"{lost} of {len(good)} good {unit}s pass at no limit (classed as defects, too unsure or not inspected); "
            f"an overkill of {share:.2%} allows {allowed}. Look at these pictures first; from {least:.2%} on it can be "
            "promised, and then only with the loosest limits"
        )
    return Choice(just_above(k))


def _by_escape(units: Units, share: float, few_slack: float, unit: str) -> Choice:
    """As loose as the defects allow: k lies midway from the first defect that must not pass to the good unit below."""
    allowed = _allowed(len(units.defects), share, f"labelled defect {unit}s", f"an escape of {share:.2%}")
    first = float(np.sort(units.defects)[allowed])
    below = units.good[[just_above(strain) < first for strain in units.good.tolist()]]
    if 2 * len(below) < len(units.good):
        raise DeployError(
            f"an escape of at most {share:.2%} would reject {len(units.good) - len(below)} of {len(units.good)} good "
            f"{unit}s: the model does not tell these defects from good parts. Train longer, or look at the defects "
            "that pass most easily: are their labels right, and can the camera see them?"
        )
    largest = float(below.max())
    return Choice(min(just_above(largest + (few_slack - 1) * abs(largest)), (largest + first) / 2))


def _by_cost(units: Units, ratio: float, unit: str) -> Choice:
    """The cheapest of a few ranks; each bound is made as sure as all of them together must be (Bonferroni)."""
    if not len(units.defects):
        raise DeployError("a cost needs labelled defects: nothing bounds the escape. Add pictures of defects")
    n = len(units.good)
    ranks = [0, *(2**i for i in range(n.bit_length()) if 2 * 2**i < n)]
    ordered = np.sort(units.good)
    confidence = 1 - (1 - CONFIDENCE) / (2 * len(ranks))
    costs: list[tuple[float, int]] = []
    for rank in ranks:
        k = float(ordered[n - 1 - rank])
        if np.isfinite(k):
            escaped = int((units.defects <= just_above(k)).sum())
            lost = int((units.good > just_above(k)).sum())
            escape = clopper_pearson(escaped, len(units.defects), confidence, "upper").high
            overkill = clopper_pearson(lost, n, confidence, "upper").high
            costs.append((ratio * escape + overkill, -rank))  # of equal costs the tighter limits
    if not costs:
        raise DeployError(f"more than half of the {n} good {unit}s pass at no limit: train longer")
    rank = -min(costs)[1]
    return Choice(just_above(float(ordered[n - 1 - rank])), confidence)


def _allowed(n: int, share: float, what: str, promise: str) -> int:
    try:
        return failures_allowed(n, share, CONFIDENCE)
    except ValueError as exc:
        need = parts_needed(share, CONFIDENCE)
        best = clopper_pearson(0, n, CONFIDENCE, "upper").high
        raise DeployError(
            f"{n} {what} cannot promise {promise} with 95 % confidence: that needs at least {need}, {need - n} more, "
            f"none of them judged wrongly. These can promise {best:.2%} at best"
        ) from exc
