"""What a calibration comes to, in words for the terminal: limits, promises, lots, and what more pictures would buy."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from edge_deploy.choose import Rule, Target, Units, choose
from edge_deploy.errors import DeployError
from edge_deploy.lots import Lots
from edge_deploy.recalibrate import Recalibrated
from inspector.core.manifest import BoundSpec, LimitSpec, LimitsSpec
from inspector.core.stats import parts_needed

SHARES = (0.1, 0.05, 0.02, 0.01, 0.005, 0.002, 0.001, 0.0001)
MOST_LOTS = 20


def told(found: Recalibrated) -> Iterator[str]:
    """The lines that inspector-deploy calibrate prints."""
    limits, former = found.manifest.limits, found.former.limits
    yield f"limits by {limits.chosen_by}"
    for name, now, was in _pairs(limits, former):
        yield f"  {name:<20}{_limit(now):>12}   (was {_limit(was)})"
    unit = "picture" if limits.promise is None else limits.promise.unit
    yield f"the whole decision, in {unit}s, with 95 % confidence:"
    for bound in limits.bounds:
        yield f"  {bound.name:<20}{bound.failures} of {bound.of}, at most {bound.upper_95:.2%}"
    if found.calibrated.lots is not None:
        yield from lots_told(found.calibrated.lots)
    for note in found.calibrated.notes:
        yield f"note: {note}"
    for bound in limits.bounds:
        if bound.name in ("overkill", "escape"):
            yield from buys(bound, found.calibrated.units, unit)


def lots_told(lots: Lots) -> Iterator[str]:
    """The table of lots; of many, the worst."""
    yield "by lot: good parts, rejected by these limits, rejected by limits that were set without the lot"
    worst = sorted(lots.lots, key=lambda lot: (-lot.share, lot.name))
    for lot in sorted(worst[:MOST_LOTS], key=lambda lot: lot.name):
        yield f"  {lot.name:<20}{lot.parts:>6}{lot.rejected:>6}{lot.left_out:>6} ({lot.share:.1%})"
    if len(worst) > MOST_LOTS:
        yield f"  and {len(worst) - MOST_LOTS} lots that lose no more than these"
    yield f"  all, left out       {lots.share:.2%} of good parts"
    if (upper := lots.median_lot_upper) is not None:
        yield f"  between lots: half of all lots lose at most {upper:.2%}, with 95 % confidence"


def buys(bound: BoundSpec, units: Units, unit: str, steps: int = 3) -> Iterator[str]:
    """What it takes to promise less than `bound` does, by the rule that would be asked: what it refuses is not offered.

    units: those that `bound` counts.
    """
    for share in [share for share in SHARES if share < bound.upper_95][:steps]:
        yield f"to promise an {bound.name} of at most {share:.2%}: {_takes(Rule(bound.name), share, units, unit)}"


def _takes(rule: Rule, share: float, units: Units, unit: str) -> str:
    """Good units that pass at no limit are lost whatever is chosen; more pictures can only outnumber them."""
    of_good = rule is Rule.OVERKILL
    of, what = (len(units.good), f"good {unit}s") if of_good else (len(units.defects), f"defect {unit}s")
    lost = int(np.isinf(units.good).sum()) if of_good else 0
    if lost and lost >= share * of:
        return f"out of reach of more {what}: {lost} of these {of} pass at no limit"
    more = parts_needed(share, failures=lost) - of
    if more > 0:
        beside = f" beside the {lost} of these that pass at no limit" if lost else ""
        return f"{more} more {what}, with none judged wrongly{beside}"
    try:
        choose(units, Target(rule, share), unit)
    except DeployError:
        return f"these {of} {what} do not allow it: more than half of the good {unit}s would be rejected"
    return f"these {of} {what} suffice"


def _pairs(now: LimitsSpec, was: LimitsSpec) -> Iterator[tuple[str, LimitSpec | None, LimitSpec | None]]:
    yield "confidence, least", now.min_confidence, was.min_confidence
    if now.max_anomaly_score is not None or was.max_anomaly_score is not None:
        yield "anomaly, most", now.max_anomaly_score, was.max_anomaly_score
    yield "novelty, least", now.novelty_low, was.novelty_low
    yield "novelty, most", now.novelty_high, was.novelty_high


def _limit(spec: LimitSpec | None) -> str:
    return "none" if spec is None else f"{spec.default:.5g}"
