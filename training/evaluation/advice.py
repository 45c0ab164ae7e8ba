"""Advice in words, from the curves and figures of a run. Each rule has its threshold beside it and says what to do."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from statistics import median

from inspector.core.stats import clopper_pearson, parts_needed
from training.pages.page import count, percent, step

OVERFIT_RISE = 0.10  # of the validation loss above its least, with the training loss still falling ...
OVERFIT_EPOCHS = 3  # ... for so many epochs at least
FLAT_GAIN = 0.05  # of the validation loss that is no gain; since then ...
FLAT_HALVED, FLAT_TIMES, FLAT_GAP = 0.5, 4.0, 0.2  # ... train loss below half, val so many times it, and so far above
UNFINISHED_GAIN = 0.01  # of macro recall over the last quarter of the epochs, the best being the last
UNSTEADY_RISE, UNSTEADY_TIMES = 0.10, 3  # the training loss rises by so much from one epoch to the next, so often
IMBALANCE_RATIO = 5.0  # training pictures of the largest class to those of the smallest ...
IMBALANCE_GAP = 0.10  # ... and so much less recall of the small one than the mean
FEW_PICTURES = 30  # of a class to learn from
WAITING_SHARE = 0.30  # of the learning time spent waiting for pictures
GPU_USED_PERCENT = 50.0
FEW_TESTED = 0.05  # a bound that even a split without a mistake would not fall below
ECE_LIMIT = 0.05  # expected calibration error


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the rules look at. history: lines of history.json, numbers only; figures that are missing silence a rule."""

    history: Sequence[Mapping[str, float]] = ()
    train_counts: Mapping[str, int] = field(default_factory=dict)  # class -> pictures
    recall: Mapping[str, float] = field(default_factory=dict)  # class -> recall on the split measured
    tested: tuple[int, int] | None = None  # pictures measured of parts that may pass, and of parts that may not
    ece: float = 0.0
    temperature: float = 1.0
    imbalance: str = ""  # what the run did about rare classes


@dataclass(frozen=True, slots=True)
class Advice:
    """level `look`: it costs something now; `note`: it may."""

    rule: str
    level: str
    title: str
    text: str


def advise(evidence: Evidence) -> tuple[Advice, ...]:
    """What the rules have to say; () where nothing speaks against the run."""
    rules = (
        overfitting, memorising, unfinished, unsteady, imbalance, unjudged, few_pictures, few_tested, slow_loader,
        idle_gpu, overconfident,
    )  # fmt: skip
    return tuple(found for rule in rules if (found := rule(evidence)))


def overfitting(e: Evidence) -> Advice | None:
    """The validation loss has risen from its least while the training loss went on falling."""
    val, train = _curve(e, "val_loss"), _curve(e, "train_loss")
    if len(val) < 2 or len(train) != len(val):
        return None
    best = val.index(min(val))
    after = len(val) - 1 - best
    if after < OVERFIT_EPOCHS or val[-1] < val[best] * (1 + OVERFIT_RISE) or train[-1] >= train[best]:
        return None
    text = (
        f"From epoch {best + 1} on the validation loss rose by {percent(val[-1] / val[best] - 1)} while the training "
        "loss fell. The kept weights are from before; for better ones: more pictures, --augment where physically true, "
        "a smaller share that learns (--freeze layer4 or head), or more --weight-decay."
    )
    return Advice("overfitting", "look", "The network learns its pictures by heart.", text)


def memorising(e: Evidence) -> Advice | None:
    """The validation loss has long stopped falling, far above a training loss that falls on."""
    val, train = _curve(e, "val_loss"), _curve(e, "train_loss")
    if len(val) < 2 or len(train) != len(val) or overfitting(e):
        return None
    flat = next(i for i, loss in enumerate(val) if loss <= min(val) * (1 + FLAT_GAIN))
    apart = val[-1] >= FLAT_TIMES * train[-1] and val[-1] - train[-1] >= FLAT_GAP
    if len(val) - 1 - flat < OVERFIT_EPOCHS or train[-1] > FLAT_HALVED * train[flat] or not apart:
        return None
    text = (
        f"The validation loss has not fallen since epoch {flat + 1} (now {val[-1]:.2f}), while the training loss went "
        f"from {train[flat]:.2f} to {train[-1]:.2f}: what it learned since does not carry over. More pictures help "
        "most; then --augment where physically true, --freeze layer4 or head, or more --weight-decay."
    )
    return Advice("memorising", "look", "The network learns its pictures by heart.", text)


def unfinished(e: Evidence) -> Advice | None:
    """The last epoch is the best and recall was still rising."""
    recall = _curve(e, "val_macro_recall")
    if len(recall) < 4 or recall.index(max(recall)) != len(recall) - 1:
        return None
    gain = recall[-1] - recall[-1 - max(1, len(recall) // 4)]
    if gain < UNFINISHED_GAIN:
        return None
    text = f"Recall rose by {percent(gain)} over the last quarter of the epochs: start again with more --epochs."
    return Advice("unfinished", "look", "The training ended too early.", text)


def unsteady(e: Evidence) -> Advice | None:
    """The training loss jumps up again and again."""
    train = _curve(e, "train_loss")
    jumps = sum(b > a * (1 + UNSTEADY_RISE) for a, b in pairwise(train))
    if jumps < UNSTEADY_TIMES:
        return None
    text = f"The training loss rose by {percent(UNSTEADY_RISE)} or more in {jumps} epochs: try a third of the --lr."
    return Advice("unsteady", "look", "The learning rate is too high.", text)


def imbalance(e: Evidence) -> Advice | None:
    """Classes with few pictures are found much less often than the others."""
    known = {k: n for k, n in e.train_counts.items() if n and not math.isnan(e.recall.get(k, math.nan))}
    if len(known) < 2:
        return None
    most, mean = max(known.values()), sum(e.recall[k] for k in known) / len(known)
    missed = [
        k for k, n in sorted(known.items(), key=lambda item: e.recall[item[0]])
        if most / n >= IMBALANCE_RATIO and e.recall[k] <= mean - IMBALANCE_GAP
    ]  # fmt: skip
    if not missed:
        return None
    did = f" (now: {e.imbalance})" if e.imbalance else ""
    told = "; ".join(
        f"{k} has {count(known[k])} training pictures against {count(most)} of the largest class, and a recall "
        f"of {percent(e.recall[k])} against {percent(mean)} on average"
        for k in missed
    )
    text = f"{told}. Try another --imbalance{did} and compare; more pictures of {', '.join(missed)} help most."
    return Advice("imbalance", "look", "A rare class is missed.", text)


def unjudged(e: Evidence) -> Advice | None:
    """A class that was taught has no picture in the split measured."""
    absent = sorted(k for k, n in e.train_counts.items() if n and math.isnan(e.recall.get(k, math.nan)))
    if not absent or not e.recall:
        return None
    text = (
        f"{', '.join(absent)}: no picture in the split that was measured. No figure here says whether it is found, and "
        "the averages leave it out. Put pictures of it there."
    )
    return Advice("unjudged", "look", "A class was not judged.", text)


def few_pictures(e: Evidence) -> Advice | None:
    """A class has so few pictures that what is learned of it is luck."""
    few = {k: n for k, n in e.train_counts.items() if n < FEW_PICTURES}
    if not few:
        return None
    named = ", ".join(f"{k} ({n})" for k, n in sorted(few.items(), key=lambda item: item[1]))
    text = f"{named}: below {FEW_PICTURES} training pictures of a class its figures are luck. Collect more."
    return Advice("few-pictures", "note", "Few pictures of a class.", text)


def few_tested(e: Evidence) -> Advice | None:
    """So few pictures were measured that no result could bring the bounds down."""
    if e.tested is None:
        return None
    kinds = (("overkill", "may pass", e.tested[0]), ("escape", "may not pass", e.tested[1]))
    bounds = [(kind, role, n, clopper_pearson(0, n, side="upper").high) for kind, role, n in kinds if n]
    told = [
        f"{count(n)} of parts that {role}: even without one mistake {kind} is shown to {percent(bound)} only"
        for kind, role, n, bound in bounds
        if bound > FEW_TESTED
    ]
    if not told:
        return None
    need = ", ".join(f"{count(parts_needed(share))} without a mistake show {step(share)}" for share in (0.05, 0.01))
    text = f"{'; '.join(told)}. Put more pictures into the split: {need}."
    return Advice("few-tested", "note", "Few pictures to measure with.", text)


def slow_loader(e: Evidence) -> Advice | None:
    """The network waits for pictures."""
    waiting = _curve(e, "waiting")
    if not waiting or (share := median(waiting)) < WAITING_SHARE:
        return None
    text = (
        f"The network waited for pictures in {percent(share)} of the time. More --workers, a local disk instead of a "
        "network share, smaller files, or less costly --augment."
    )
    return Advice("slow-loader", "note", "Reading pictures is the bottleneck.", text)


def idle_gpu(e: Evidence) -> Advice | None:
    """The GPU is idle though the pictures are there: its steps are too small."""
    used = _curve(e, "gpu_used_percent")
    if not used or (percents := median(used)) >= GPU_USED_PERCENT or slow_loader(e):
        return None
    text = (
        f"The GPU was in use {percents:.0f} % of the time and seldom waited for pictures: its steps are too small for "
        "it. A larger --batch is quicker; a smaller GPU would do as well."
    )
    return Advice("idle-gpu", "note", "The GPU is hardly used.", text)


def overconfident(e: Evidence) -> Advice | None:
    """Confidence says more, or less, than the share that is right."""
    if e.ece < ECE_LIMIT:
        return None
    too = "too sure" if e.temperature > 1 else "less sure than it may be"
    text = (
        f"Confidence and the share that is right differ by {percent(e.ece)} on average: the network is {too}. Verdicts "
        "do not suffer, the build sets its limit on these very scores; do not read confidence as a probability."
    )
    return Advice("overconfident", "note", "Confidence is no probability.", text)


def _curve(e: Evidence, key: str) -> list[float]:
    return [line[key] for line in e.history if key in line and math.isfinite(line[key])]
