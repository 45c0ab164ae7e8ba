"""What a calibration comes to, in words for the terminal: limits, promises, lots, and what more pictures would buy."""

from __future__ import annotations

from collections.abc import Iterator

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
            yield from buys(bound, unit)


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


def buys(bound: BoundSpec, unit: str, steps: int = 3) -> Iterator[str]:
    """What it takes to promise less than `bound` does."""
    what = f"good {unit}s" if bound.name == "overkill" else f"defect {unit}s"
    for share in [share for share in SHARES if share < bound.upper_95][:steps]:
        more = parts_needed(share) - bound.of
        text = f"{more} more {what}, with none judged wrongly" if more > 0 else f"these {bound.of} {what} suffice"
        yield f"to promise an {bound.name} of at most {share:.2%}: {text}"


def _pairs(now: LimitsSpec, was: LimitsSpec) -> Iterator[tuple[str, LimitSpec | None, LimitSpec | None]]:
    yield "confidence, least", now.min_confidence, was.min_confidence
    if now.max_anomaly_score is not None or was.max_anomaly_score is not None:
        yield "anomaly, most", now.max_anomaly_score, was.max_anomaly_score
    yield "novelty, least", now.novelty_low, was.novelty_low
    yield "novelty, most", now.novelty_high, was.novelty_high


def _limit(spec: LimitSpec | None) -> str:
    return "none" if spec is None else f"{spec.default:.5g}"
