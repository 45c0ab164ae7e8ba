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


@dataclass(frozen=True, slots=True)
class GoldenConfig:
    """How many pictures of each kind, and how far scores may drift.

    Drift is the largest difference between this CPU as it is, the same CPU narrowed to AVX2, and the same graph without
    low-precision transformations (other rounding throughout). Of `pool` times the wanted pictures, the typical ones of
    a kind, the steadiest are taken. The tolerance is `drift_margin` times their largest drift and at least `least_*`;
    their scores stay `guard` tolerances away from each limit.
    """

    good: int = 4
    each_defect: int = 2
    each_negative: int = 2
    pool: int = 3
    drift_margin: float = 4.0
    least_confidence: float = 0.01
    least_novelty: float = 0.02
    guard: float = 1.5

    def wanted(self, role: Role) -> int:
        return {"good": self.good, "defect": self.each_defect, "negative": self.each_negative}[role]


@dataclass(frozen=True, slots=True)
class Candidate:
    picture: Picture
    role: Role
    prediction: Prediction


@dataclass(frozen=True, slots=True, eq=False)
class Selection:
    chosen: tuple[Candidate, ...]
    tolerance: GoldenTolerance
    drift: Scores  # (chosen, 2): confidence, novelty


def select(
    candidates: Sequence[Candidate],
    limits: Limits,
    drift_of: Callable[[Sequence[Candidate]], Scores],
    cfg: GoldenConfig = GoldenConfig(),
) -> Selection:
    """Pick the golden pictures; drift_of gives (N, 2) drifts of confidence and novelty.

    Raises DeployError: a kind of which no picture will do (a defect kind may be missing, but not all of them).
    """
    pool = _typical(candidates, limits, cfg)
    drift = drift_of(pool)
    steady = sorted(
        range(len(pool)), key=lambda i: drift[i, 0] / cfg.least_confidence + drift[i, 1] / cfg.least_novelty
    )
    kinds: dict[tuple[Role, str], list[int]] = defaultdict(list)
    for i in steady:
        of_kind = kinds[pool[i].role, pool[i].picture.truth]
        if len(of_kind) < cfg.wanted(pool[i].role):
            of_kind.append(i)
    picked = sorted(i for of_kind in kinds.values() for i in of_kind)
    tolerance = _tolerance(drift[picked], cfg)
    clear = [i for i in picked if _clear(pool[i].prediction, limits, tolerance, cfg.guard)]
    chosen = tuple(pool[i] for i in clear)
    _refuse_gaps(candidates, chosen)
    return Selection(chosen, tolerance, drift[clear])


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
    """Those judged as they should be, nearest to the middle of their kind; `pool` times as many as wanted."""
    kinds: dict[tuple[Role, str], list[Candidate]] = defaultdict(list)
    for candidate in candidates:
        if _as_it_should(candidate, limits):
            kinds[candidate.role, candidate.picture.truth].append(candidate)
    pool = []
    for (role, _), of_kind in kinds.items():
        middle = float(np.median([c.prediction.novelty_score for c in of_kind]))
        of_kind.sort(key=lambda c: abs(c.prediction.novelty_score - middle))
        pool += of_kind[: cfg.pool * cfg.wanted(role)]
    return pool


def _tolerance(drift: Scores, cfg: GoldenConfig) -> GoldenTolerance:
    worst = drift.max(0) if len(drift) else np.zeros(2)
    return GoldenTolerance(
        confidence=max(cfg.least_confidence, cfg.drift_margin * float(worst[0])),
        novelty_score=max(cfg.least_novelty, cfg.drift_margin * float(worst[1])),
        anomaly_score=None,
    )


def _refuse_gaps(candidates: Sequence[Candidate], chosen: Sequence[Candidate]) -> None:
    have = {(c.role, c.picture.truth) for c in chosen}
    for role, truth in {(c.role, c.picture.truth) for c in candidates if c.role != "defect"} - have:
        raise DeployError(
            f"no {role} picture of {truth!r} is judged as it should be and lies clear of the limits: the model is not "
            "ready for this product; the report shows where its scores lie"
        )
    if any(c.role == "defect" for c in candidates) and not any(c.role == "defect" for c in chosen):
        raise DeployError("no defect picture is rejected clear of the limits: the model is not ready for this product")


def _as_it_should(c: Candidate, limits: Limits) -> bool:
    verdict = decide(c.prediction, limits).verdict
    if c.role == "good":
        return verdict is Verdict.PASS
    return (
        verdict is Verdict.NOT_INSPECTED if c.role == "negative" else verdict not in (Verdict.PASS, Verdict.UNCERTAIN)
    )


def _clear(p: Prediction, limits: Limits, tolerance: GoldenTolerance, guard: float) -> bool:
    """No limit within `guard` tolerances of its score, so that another CPU's rounding cannot flip it."""
    away = [abs(p.novelty_score - limit) for limit in limits.novelty_range]
    low, high = limits.novelty_range
    if min(away) <= guard * tolerance.novelty_score:
        return False
    inside = low < p.novelty_score < high
    # The confidence matters only where novelty lets it speak; close to 1 there is less room than the tolerance.
    wanted = min(guard * tolerance.confidence, (1 - limits.min_confidence) / 2)
    return not inside or abs(p.confidence - limits.min_confidence) > wanted
