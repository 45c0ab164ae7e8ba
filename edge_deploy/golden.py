"""Golden pictures: few, of known truth, far from every limit; replayed on the box before it may say READY."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np

from edge_deploy.drift import Scores
from edge_deploy.errors import DeployError
from edge_deploy.pictures import Picture, Pictures
from inspector.core.decide import decide
from inspector.core.manifest import Expected, Golden, GoldenTolerance
from inspector.core.types import Limits, Prediction
from plc.registers import Verdict

Role = Literal["good", "defect", "negative"]
Kind = tuple[Role, str]


@dataclass(frozen=True, slots=True)
class GoldenConfig:
    """How many pictures of each kind, and how far scores may drift.

    Drift is the largest difference between this CPU as it is, the same CPU narrowed to AVX2, and the same graph without
    low-precision transformations (other rounding throughout). Allowed is `drift_margin` times that, and at least
    `least_*`. A golden picture's scores stay `guard` times what it is allowed away from each limit. Of `pool` times the
    wanted pictures, the typical ones of a kind, the steadiest are taken.
    """

    good: int = 4
    each_defect: int = 2
    each_negative: int = 2
    pool: int = 4
    drift_margin: float = 4.0
    least_confidence: float = 0.01
    least_novelty: float = 0.02
    least_anomaly: float = 0.02
    guard: float = 1.5

    @property
    def least(self) -> tuple[float, float, float]:
        return self.least_confidence, self.least_novelty, self.least_anomaly

    def wanted(self, role: Role) -> int:
        return {"good": self.good, "defect": self.each_defect, "negative": self.each_negative}[role]


@dataclass(frozen=True, slots=True)
class Candidate:
    picture: Picture
    role: Role
    prediction: Prediction

    @property
    def kind(self) -> Kind:
        return self.role, self.picture.truth


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    chosen: tuple[Candidate, ...]
    tolerance: GoldenTolerance
    drift: Scores  # (chosen, 3): confidence, novelty, anomaly
    notes: tuple[str, ...]


def select(
    candidates: Sequence[Candidate],
    limits: Limits,
    drift_of: Callable[[Sequence[Candidate]], Scores],
    cfg: GoldenConfig = GoldenConfig(),
) -> Selection:
    """Pick the golden pictures; drift_of gives (N, 3) drifts of confidence, novelty and anomaly.

    Raises DeployError: good parts, or a kind of negative, of which no picture will do. A defect of which none will do
    is left out and noted: the replay would flip where the model itself is undecided.
    """
    pool = _typical(candidates, limits, cfg)
    drift = drift_of(pool)
    allowed = np.maximum(cfg.drift_margin * drift, cfg.least)
    kinds: dict[Kind, list[int]] = defaultdict(list)
    for i in sorted(range(len(pool)), key=lambda i: float((allowed[i] / allowed.min(0)).max())):
        of_kind = kinds[pool[i].kind]
        if len(of_kind) < cfg.wanted(pool[i].role) and _clear(pool[i].prediction, limits, cfg.guard * allowed[i]):
            of_kind.append(i)
    picked = sorted(i for of_kind in kinds.values() for i in of_kind)
    chosen = tuple(pool[i] for i in picked)
    notes = _refuse_gaps(candidates, chosen)
    confidence, novelty, anomaly = (float(worst) for worst in allowed[picked].max(0))
    finds_spots = all(c.prediction.anomaly_score is not None for c in chosen)
    return Selection(
        chosen, GoldenTolerance(confidence, novelty, anomaly if finds_spots else None), drift[picked], notes
    )


def write(chosen: Sequence[Candidate], pictures: Pictures, limits: Limits, directory: Path) -> tuple[Golden, ...]:
    """Write golden_NN.png, full camera pictures without loss, and say what each must give."""
    golden = []
    for number, candidate in enumerate(chosen):
        name = f"golden_{number:02d}.png"
        image = pictures.camera_picture(candidate.picture)
        if not cv2.imwrite(str(directory / name), cv2.cvtColor(image, cv2.COLOR_RGB2BGR)):
            raise DeployError(f"{directory / name} cannot be written")
        golden.append(Golden(name, candidate.role, candidate.picture.truth, expected(candidate.prediction, limits)))
    return tuple(golden)


def expected(prediction: Prediction, limits: Limits) -> Expected:
    outcome = decide(prediction, limits)
    return Expected(
        verdict=int(outcome.verdict),
        reason=int(outcome.reason),
        label=prediction.label,
        confidence=prediction.confidence,
        novelty_score=prediction.novelty_score,
        anomaly_score=prediction.anomaly_score,
    )


def _typical(candidates: Sequence[Candidate], limits: Limits, cfg: GoldenConfig) -> list[Candidate]:
    """Those judged as they should be, clear of limits, nearest to their kind's middle: `pool` times those wanted."""
    least = cfg.guard * np.array(cfg.least)
    kinds: dict[Kind, list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        if _as_it_should(candidate, limits) and _clear(candidate.prediction, limits, least):
            kinds[candidate.kind].append(candidate)
    pool = []
    for (role, _), of_kind in kinds.items():
        middle = float(np.median([c.prediction.novelty_score for c in of_kind]))
        of_kind.sort(key=lambda c: abs(c.prediction.novelty_score - middle))
        pool += of_kind[: cfg.pool * cfg.wanted(role)]
    return pool


def _refuse_gaps(candidates: Sequence[Candidate], chosen: Sequence[Candidate]) -> tuple[str, ...]:
    missing = {c.kind for c in candidates} - {c.kind for c in chosen}
    for role, truth in sorted(missing):
        if role != "defect":
            raise DeployError(
                f"no {role} picture of {truth!r} is judged as it should be and clear of the limits: the model is not "
                "ready for this product; train longer, or add pictures of good parts to set the limits from"
            )
    left = sorted(truth for _, truth in missing)
    return tuple(f"no picture of {truth!r} is rejected clear of the limits: none is golden" for truth in left)


def is_clear(p: Prediction, limits: Limits, reach: Sequence[float]) -> bool:
    """No limit within `reach` (confidence, novelty, anomaly) of the prediction's scores."""
    return _clear(p, limits, np.array(reach))


def _as_it_should(c: Candidate, limits: Limits) -> bool:
    verdict = decide(c.prediction, limits).verdict
    if c.role == "good":
        return verdict is Verdict.PASS
    return (
        verdict is Verdict.NOT_INSPECTED if c.role == "negative" else verdict not in (Verdict.PASS, Verdict.UNCERTAIN)
    )


def _clear(p: Prediction, limits: Limits, reach: Scores) -> bool:
    """No limit within `reach` (confidence, novelty, anomaly) of its score: another CPU's rounding cannot flip it."""
    low, high = limits.novelty_range
    if min(abs(p.novelty_score - low), abs(p.novelty_score - high)) <= reach[1]:
        return False
    if not low < p.novelty_score < high:
        return True  # the other scores are not asked
    if limits.max_anomaly_score is not None and p.anomaly_score is not None:
        if abs(p.anomaly_score - limits.max_anomaly_score) <= reach[2]:
            return False
        if p.anomaly_score > limits.max_anomaly_score:
            first, second, *_ = (*sorted(p.probabilities, reverse=True), 0.0)
            return first - second > 2 * float(reach[0])  # nor is the confidence; the class is still compared
    wanted = min(float(reach[0]), (1 - limits.min_confidence) / 2)  # close to 1 there is less room than the reach
    return abs(p.confidence - limits.min_confidence) > wanted
