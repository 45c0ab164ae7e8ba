"""What the model is worth on pictures that nothing was fitted or tuned on, in FP32 and in INT8, with exact bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from inspector.core.decide import decide
from inspector.core.manifest import BoundSpec
from inspector.core.stats import Interval, class_scores, clopper_pearson, confusion
from inspector.core.types import Limits, Outcome, Prediction
from plc.registers import Verdict


@dataclass(frozen=True, slots=True, eq=False)
class StageResult:
    """One stage (pytorch, fp32 or int8) on the test split. accuracy and macro_f1 over pictures of taught classes."""

    name: str
    predictions: tuple[Prediction, ...]
    outcomes: tuple[Outcome, ...]
    accuracy: float
    macro_f1: float
    matrix: NDArray[np.int64]  # (K, K), row = truth


@dataclass(frozen=True, slots=True)
class Share:
    """Failures of a promise, with the two-sided 95 % interval and the one-sided upper bound."""

    name: str
    failures: int
    of: int
    interval: Interval
    upper_95: float

    def bound(self) -> BoundSpec:
        return BoundSpec(self.name, self.failures, self.of, self.upper_95)


@dataclass(frozen=True, slots=True, eq=False)
class Qualification:
    """truths: of the test pictures, in order. stages: pytorch, fp32, int8. promises: of the INT8 bundle's decision.

    groups: how many parts or lots the test pictures show, which promises then count; None: each picture is one.
    """

    truths: tuple[str, ...]
    stages: Mapping[str, StageResult]
    promises: tuple[Share, ...]
    flips: Mapping[str, int]  # pair of stages -> pictures whose verdict differs
    groups: int | None = None

    def metrics(self) -> dict[str, float]:
        """Flat figures for the manifest."""
        flat: dict[str, float] = {"test_images": float(len(self.truths))}
        if self.groups is not None:
            flat["test_groups"] = float(self.groups)
        for name, stage in self.stages.items():
            flat[f"{name}_accuracy"], flat[f"{name}_macro_f1"] = stage.accuracy, stage.macro_f1
        flat |= {f"flips_{pair}": float(count) for pair, count in self.flips.items()}
        for share in self.promises:
            flat[share.name.replace(":", "_")] = share.failures / share.of if share.of else 0.0
        return flat


def qualify(
    truths: Sequence[str],
    by_stage: Mapping[str, Sequence[Prediction]],
    negatives: Sequence[Prediction],
    labels: Sequence[str],
    limits: Limits,
    groups: Sequence[str] | None = None,
) -> Qualification:
    """truths: of the test pictures; by_stage: predictions of each stage for them.

    groups: of the test pictures. Those of one part or lot are no independent pictures: a group of good ones is lost
    with its first that does not pass, a group of defects escapes with the first that does, as in the calibration.

    negatives: by the bundle's own IR, none of which set a limit: those that did lie outside in any case, and a bound
    from them would say nothing of others.
    """
    stages = {name: _stage(name, truths, found, labels, limits) for name, found in by_stage.items()}
    final = stages["int8"]
    units = groups if groups is not None else list(map(str, range(len(truths))))
    refused = [decide(p, limits) for p in negatives]
    distinct = len(set(units))
    return Qualification(
        truths=tuple(truths),
        stages=stages,
        promises=_promises(truths, final.outcomes, refused, limits.good_labels, units),
        flips=_flips(stages),
        groups=distinct if distinct < len(truths) else None,
    )


def share(name: str, failures: int, of: int) -> Share:
    upper = clopper_pearson(failures, of, side="upper").high
    return Share(name, failures, of, clopper_pearson(failures, of), upper)


def _stage(
    name: str, truths: Sequence[str], found: Sequence[Prediction], labels: Sequence[str], limits: Limits
) -> StageResult:
    taught = [(labels.index(t), p.class_id) for t, p in zip(truths, found, strict=True) if t in labels]
    matrix = confusion([t for t, _ in taught], [c for _, c in taught], len(labels))
    hits = int(np.trace(matrix))
    f1 = class_scores(matrix).macro()[2] if taught else 0.0
    outcomes = tuple(decide(p, limits) for p in found)
    return StageResult(name, tuple(found), outcomes, hits / len(taught) if taught else 0.0, f1, matrix)


def _promises(
    truths: Sequence[str],
    outcomes: Sequence[Outcome],
    negatives: Sequence[Outcome],
    good: frozenset[str],
    units: Sequence[str],
) -> tuple[Share, ...]:
    """In units: one name a picture, the same for pictures of one group."""
    rows = [(t, u, o.verdict is Verdict.PASS) for t, u, o in zip(truths, units, outcomes, strict=True)]
    kept = [(unit, not passed) for truth, unit, passed in rows if truth in good]
    escaped = [(unit, passed) for truth, unit, passed in rows if truth not in good]
    shares = [_by_unit("overkill", kept), _by_unit("escape", escaped)]
    for kind in sorted(set(truths) - good):
        shares.append(_by_unit(f"escape:{kind}", [(unit, passed) for truth, unit, passed in rows if truth == kind]))
    if negatives:
        through = sum(outcome.verdict is not Verdict.NOT_INSPECTED for outcome in negatives)
        shares.append(share("negatives", through, len(negatives)))
    return tuple(shares)


def _by_unit(name: str, failed: Sequence[tuple[str, bool]]) -> Share:
    """failed: unit and whether this picture of it fails. A unit fails with its first picture that does."""
    return share(name, len({unit for unit, fails in failed if fails}), len({unit for unit, _ in failed}))


def _flips(stages: Mapping[str, StageResult]) -> dict[str, int]:
    """How many pictures change their verdict from one stage to the next, and from first to last."""
    names = list(stages)
    pairs = dict.fromkeys([*pairwise(names), (names[0], names[-1])])
    return {
        f"{a}_{b}": sum(x.verdict is not y.verdict for x, y in zip(stages[a].outcomes, stages[b].outcomes, strict=True))
        for a, b in pairs
        if a != b
    }
