"""Limits from pictures that nothing was fitted on, for the whole decision: class, anomaly, confidence and novelty.

Each picture gets one number, its strain (strain.py); a rule says how much of it good parts may have (choose.py); the
limits are what that comes to. What the data cannot support is refused, with the number of parts that would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

from edge_deploy.choose import Rule, Target, Units, by_unit, choose, unit_numbers
from edge_deploy.errors import DeployError
from edge_deploy.lots import LOTS_NEEDED, Lots, left_out
from edge_deploy.strain import (
    AtLimits,
    Scores,
    Shape,
    ShapeConfig,
    own_strain,
    refuse_inside,
    scores_of,
    shape_of,
    wide_novelty,
)
from inspector.core.decide import decide
from inspector.core.manifest import BoundSpec, LimitSpec, LimitsSpec, PromiseSpec
from inspector.core.stats import clopper_pearson, parts_needed
from inspector.core.types import Limits, Prediction
from plc.registers import Verdict


@dataclass(frozen=True, slots=True)
class CalibrationConfig:
    """overkill: share of good parts that the whole decision may reject on average, 0..1, where no target is given.

    target: a promise by overkill, escape or cost; None aims at `overkill` and promises nothing. few_slack: where there
    are too few pictures for an aim, the limits lie at the worst good picture times this, and the bounds say what that
    is worth.
    """

    overkill: float = 0.005
    target: Target | None = None
    few_slack: float = 1.1
    shape: ShapeConfig = field(default_factory=ShapeConfig)

    @property
    def chosen(self) -> Target:
        return self.target or Target(Rule.AIM, self.overkill)


@dataclass(frozen=True, slots=True)
class Groups:
    """Which pictures belong together (of one part, one lot, one day): they are counted as one.

    good, and defects by kind: a name for each picture, in its order. lots: of the good pictures, where the lot is known
    beside the group; None: the groups are the lots.
    """

    good: Sequence[str]
    defects: Mapping[str, Sequence[str]] = field(default_factory=dict)
    lots: Sequence[str] | None = None


@dataclass(frozen=True, slots=True)
class Calibrated:
    """Limits, still without bounds from a test split, and what a person should know. lots: None where not known.

    units: strains of what was counted, by which other promises may be tried.
    """

    limits: LimitsSpec
    notes: tuple[str, ...]
    units: Units
    lots: Lots | None = None


def calibrate(
    good: Sequence[Prediction],
    negatives: Mapping[str, Sequence[Prediction]],
    good_labels: frozenset[str],
    cfg: CalibrationConfig = CalibrationConfig(),
    *,
    defects: Mapping[str, Sequence[Prediction]] | None = None,
    groups: Groups | None = None,
) -> Calibrated:
    """good: predictions of held-out good pictures; negatives: by kind, {} where built without; defects: by kind.

    Raises DeployError: the data cannot support the target; no good pictures, none of them recognised; a score that is
    not finite; a negative inside the limits.
    """
    data = _Data(good, defects or {}, negatives, good_labels, groups)
    scores = scores_of(good, good_labels, "good calibration pictures")
    of_defects = scores_of(data.all_defects, good_labels, "defect pictures")
    strange = scores_of(data.all_negatives, good_labels, "negatives")
    _refuse_few(scores)
    shape = _shape(data, scores, strange, cfg)
    unit_of = unit_numbers(data.good_units, len(scores))
    units = Units(
        by_unit(own_strain(scores, unit_of, shape), unit_of, worst=True),
        by_unit(shape.strain(of_defects), unit_numbers(data.defect_units, len(of_defects)), worst=False),
    )
    choice = choose(units, cfg.chosen, data.unit, cfg.few_slack)
    at = shape.limits(choice.k)
    refuse_inside(data.strange_scores, at.novelty_low, at.novelty_high)
    stopped = of_defects.of(of_defects.called_good & (of_defects.confidence >= at.min_confidence))
    lots = None if groups is None else left_out(scores, shape, groups.good, groups.lots or groups.good, choice.k)
    limits = LimitsSpec(
        *_limit_specs(at, shape, strange, stopped),
        novelty_median=shape.novelty.middle,
        anomaly_median=None if shape.anomaly is None else shape.anomaly.middle,
        chosen_by=_in_words(cfg.chosen, data, units),
        bounds=(),
    )
    lost = int((units.good > choice.k).sum())
    bounds = _bounds(data, default_limits(limits, good_labels), lost, choice.confidence)
    promise = _promise(cfg.chosen, data, bounds, lots)
    return Calibrated(replace(limits, promise=promise), choice.notes + _notes(groups, lots), units, lots)


def default_limits(spec: LimitsSpec, good_labels: frozenset[str]) -> Limits:
    """What `decide` takes, at the defaults."""
    anomaly = spec.max_anomaly_score
    return Limits(
        min_confidence=spec.min_confidence.default,
        max_anomaly_score=None if anomaly is None else anomaly.default,
        novelty_range=(spec.novelty_low.default, spec.novelty_high.default),
        good_labels=good_labels,
    )


@dataclass(frozen=True, slots=True)
class _Data:
    """What is calibrated on. Raises DeployError: a group is missing for some pictures."""

    good: Sequence[Prediction]
    defects: Mapping[str, Sequence[Prediction]]
    negatives: Mapping[str, Sequence[Prediction]]
    good_labels: frozenset[str]
    groups: Groups | None

    def __post_init__(self) -> None:
        if self.groups is None:
            return
        named = [(len(self.groups.good), len(self.good)), (len(self.groups.lots or self.good), len(self.good))]
        named += [(len(self.groups.defects.get(kind, ())), len(found)) for kind, found in self.defects.items()]
        if any(names != pictures for names, pictures in named):
            raise DeployError("each good picture and each defect needs the name of its group")

    @property
    def unit(self) -> Literal["picture", "group"]:
        """What counts as one. Groups of one picture each are pictures."""
        if self.groups is None:
            return "picture"
        names = (self.good_units or [], self.defect_units or [])
        return "picture" if all(len(set(of)) == len(of) for of in names) else "group"

    @property
    def all_defects(self) -> list[Prediction]:
        return [p for found in self.defects.values() for p in found]

    @property
    def all_negatives(self) -> list[Prediction]:
        return [p for found in self.negatives.values() for p in found]

    @property
    def strange_scores(self) -> dict[str, list[float]]:
        """Novelty scores of negatives, by kind."""
        return {kind: [p.novelty_score for p in found] for kind, found in self.negatives.items()}

    @property
    def good_units(self) -> Sequence[str] | None:
        return None if self.groups is None else self.groups.good

    @property
    def defect_units(self) -> Sequence[str] | None:
        """A part's group may show defects of several kinds: it is one unit."""
        return None if self.groups is None else [name for kind in self.defects for name in self.groups.defects[kind]]


def _refuse_few(scores: Scores) -> None:
    right = int(scores.called_good.sum())
    if len(scores) < 2:
        raise DeployError(
            f"{len(scores)} good picture(s) to set limits from: at least 2, and {parts_needed(0.01)} for 1 %"
        )
    if right < max(2, len(scores) / 2):
        raise DeployError(
            f"only {right} of {len(scores)} good calibration pictures are classed as good: "
            "train longer or look at the labels; there is nothing to set limits from"
        )


def _shape(data: _Data, scores: Scores, strange: Scores, cfg: CalibrationConfig) -> Shape:
    """Raises DeployError: wide limits of novelty are wanted, and negatives lie so near that good parts are lost."""
    if scores.anomaly is None:
        return shape_of(scores, None, cfg.shape)
    low, high = wide_novelty(scores, strange.novelty.tolist(), cfg.shape)
    right = scores.novelty[scores.called_good]
    target = cfg.chosen
    share = target.value if target.rule in (Rule.AIM, Rule.OVERKILL) else cfg.overkill
    if ((right < low) | (right > high)).sum() > share * len(right):
        refuse_inside(data.strange_scores, float(right.min()), float(right.max()))
    return shape_of(scores, (low, high), cfg.shape)


def _limit_specs(
    at: AtLimits, shape: Shape, strange: Scores, stopped: Scores
) -> tuple[LimitSpec, LimitSpec, LimitSpec, LimitSpec | None]:
    """Confidence, novelty low and high, anomaly: each with the range in which a recipe may move it.

    stopped: defects that class and confidence would let pass.
    """
    low, high, middle, least = at.novelty_low, at.novelty_high, shape.novelty.middle, shape.cfg.confidence[0]
    below, beyond = strange.novelty[strange.novelty < low], strange.novelty[strange.novelty > high]
    anomaly = None
    if at.max_anomaly_score is not None and shape.anomaly is not None:
        caught = [] if stopped.anomaly is None else stopped.anomaly.tolist()
        anomaly = anomaly_spec(at.max_anomaly_score, shape.anomaly.middle, caught)
    return (
        LimitSpec(at.min_confidence, (min(least, at.min_confidence), 1.0)),
        LimitSpec(low, (_halfway(low, below.tolist(), low - (middle - low)), middle)),
        LimitSpec(high, (middle, _halfway(high, beyond.tolist(), high + (high - middle)))),
        anomaly,
    )


def anomaly_spec(limit: float, usual: float, stopped: Sequence[float]) -> LimitSpec:
    """With the range in which a recipe may move it.

    usual: score of the middle good part; stopped: scores of defects that nothing else would stop.
    """
    loosest = _halfway(limit, [score for score in stopped if score > limit], limit + abs(limit - usual))
    return LimitSpec(limit, (min(usual, limit), loosest))


def _halfway(limit: float, beyond: Sequence[float], furthest: float) -> float:
    """How far a recipe may loosen a limit: half the way to the nearest negative, and no further than `furthest`."""
    if not beyond:
        return furthest
    nearest = min(beyond, key=lambda score: abs(score - limit))
    return min(furthest, (limit + nearest) / 2) if nearest > limit else max(furthest, (limit + nearest) / 2)


def _bounds(data: _Data, limits: Limits, lost: int, confidence: float) -> tuple[BoundSpec, ...]:
    """In units. lost: good ones that strain too much; all else is counted by the line's own rule at these limits.

    NOT_INSPECTED is part of overkill, and a line of its own too.
    """
    verdicts = [decide(p, limits).verdict for p in data.good]
    names = data.good_units or list(map(str, range(len(verdicts))))
    of = len(set(names))
    unseen = {name for name, v in zip(names, verdicts, strict=True) if v is Verdict.NOT_INSPECTED}
    bounds = [_bound("overkill", lost, of, confidence), _bound("not_inspected", len(unseen), of, confidence)]
    escaped: set[str] = set()
    all_names: set[str] = set()
    for number, (kind, found) in enumerate(data.defects.items()):
        of_kind = data.groups.defects[kind] if data.groups else [f"{number}:{i}" for i in range(len(found))]
        passed = {n for n, p in zip(of_kind, found, strict=True) if decide(p, limits).verdict is Verdict.PASS}
        bounds.append(_bound(f"escape:{kind}", len(passed), len(set(of_kind)), confidence))
        escaped, all_names = escaped | passed, all_names | set(of_kind)
    if data.defects:
        bounds.insert(2, _bound("escape", len(escaped), len(all_names), confidence))
    return tuple(bounds)


def _bound(name: str, failures: int, of: int, confidence: float) -> BoundSpec:
    return BoundSpec(name, failures, of, clopper_pearson(failures, of, confidence, "upper").high)


def _promise(target: Target, data: _Data, bounds: tuple[BoundSpec, ...], lots: Lots | None) -> PromiseSpec:
    named = None if data.groups is None else len(set(data.groups.lots or data.groups.good))
    return PromiseSpec(
        rule=target.rule.value,
        value=target.value,
        unit=data.unit,
        bounds=bounds,
        lots=named,
        left_out=None if lots is None else lots.share,
        median_lot_upper_95=None if lots is None else lots.median_lot_upper,
    )


def _in_words(target: Target, data: _Data, units: Units) -> str:
    worth = "on average, not promised" if target.rule is Rule.AIM else "with 95 % confidence"
    words = {
        Rule.AIM: f"an overkill of {target.value:.2%} of the whole decision, {worth}",
        Rule.OVERKILL: f"an overkill of at most {target.value:.2%} of the whole decision, {worth}",
        Rule.ESCAPE: f"an escape of at most {target.value:.2%}, {worth}",
        Rule.COST: f"the least cost, one escape worth {target.value:g} overkills, by bounds {worth}",
    }[target.rule]
    grouped = "" if data.unit == "picture" else f" in {len(units.good)} groups"
    seen = f"{len(data.good)} good pictures{grouped}"
    if len(units.defects):
        grouped = "" if data.unit == "picture" else f" in {len(units.defects)} groups"
        seen += f", {len(data.all_defects)} of defects{grouped}"
    if data.all_negatives:
        seen += f"; all negatives ({len(data.all_negatives)}) lie outside novelty's limits, and they set them"
    return f"{words}; {seen}"


def _notes(groups: Groups | None, lots: Lots | None) -> tuple[str, ...]:
    if groups is None or (lots is not None and lots.median_lot_upper is not None):
        return ()
    count = 1 if lots is None else len(lots.lots)
    return (f"{count} lots are no promise between lots; that needs at least {LOTS_NEEDED}",)
