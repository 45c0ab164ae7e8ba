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
    """truths: of the test pictures, in order. stages: pytorch, fp32, int8. promises: of the INT8 bundle's decision."""

    truths: tuple[str, ...]
    stages: Mapping[str, StageResult]
    promises: tuple[Share, ...]
    flips: Mapping[str, int]  # pair of stages -> pictures whose verdict differs

    def metrics(self) -> dict[str, float]:
        """Flat figures for the manifest."""
        flat: dict[str, float] = {"test_images": float(len(self.truths))}
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
) -> Qualification:
    """truths: of the test pictures; by_stage: predictions of each stage for them.

    negatives: by the bundle's own IR, none of which set a limit: those that did lie outside in any case, and a bound
    from them would say nothing of others.
    """
    stages = {name: _stage(name, truths, found, labels, limits) for name, found in by_stage.items()}
    final = stages["int8"]
    return Qualification(
        truths=tuple(truths),
        stages=stages,
        promises=_promises(truths, final.outcomes, [decide(p, limits) for p in negatives], limits.good_labels),
        flips=_flips(stages),
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
    truths: Sequence[str], outcomes: Sequence[Outcome], negatives: Sequence[Outcome], good: frozenset[str]
) -> tuple[Share, ...]:
    passed = [outcome.verdict is Verdict.PASS for outcome in outcomes]
    is_good = [truth in good for truth in truths]
    kept = [p for p, g in zip(passed, is_good, strict=True) if g]
    escaped = [p for p, g in zip(passed, is_good, strict=True) if not g]
    shares = [share("overkill", len(kept) - sum(kept), len(kept)), share("escape", sum(escaped), len(escaped))]
    for kind in sorted(set(truths) - good):
        of_kind = [p for p, truth in zip(passed, truths, strict=True) if truth == kind]
        shares.append(share(f"escape:{kind}", sum(of_kind), len(of_kind)))
    if negatives:
        through = sum(outcome.verdict is not Verdict.NOT_INSPECTED for outcome in negatives)
        shares.append(share("negatives", through, len(negatives)))
    return tuple(shares)


def _flips(stages: Mapping[str, StageResult]) -> dict[str, int]:
    """How many pictures change their verdict from one stage to the next, and from first to last."""
    names = list(stages)
    pairs = dict.fromkeys([*pairwise(names), (names[0], names[-1])])
    return {
        f"{a}_{b}": sum(x.verdict is not y.verdict for x, y in zip(stages[a].outcomes, stages[b].outcomes, strict=True))
        for a, b in pairs
        if a != b
    }
