"""Golden pictures: few, of known truth, far from every limit; replayed on the box before it may say READY."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from edge_deploy.errors import DeployError
from edge_deploy.pictures import Picture, Pictures
from inspector.core.decide import decide
from inspector.core.manifest import Expected, Golden, GoldenTolerance
from inspector.core.types import Image, Limits, Prediction
from inspector.model import load_ir, to_prediction
from inspector.runtime import ISA_LIMIT
from plc.registers import Verdict

Role = Literal["good", "defect", "negative"]
Scores = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class GoldenConfig:
    """How many pictures of each kind, and how far scores may drift.

    Drift is the largest difference between this CPU as it is, the same CPU narrowed to AVX2, and the same graph without
    low-precision transformations (other rounding throughout). Of `pool` times the wanted pictures, the typical ones of a
    kind, the steadiest are taken. The tolerance is `drift_margin` times their largest drift and at least `least_*`; their
    scores stay `guard` tolerances away from each limit.
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
    steady = sorted(range(len(pool)), key=lambda i: (drift[i, 0] / cfg.least_confidence + drift[i, 1] / cfg.least_novelty))
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


def drift_on(directory: Path, views: Sequence[Image], labels: Sequence[str]) -> Scores:
    """(N, 2) drift of the IR in `directory` on these views. Raises DeployError: the narrowed child failed."""
    here = scores(directory, views, labels)
    others = [scores(directory, views, labels, {"LP_TRANSFORMS_MODE": "NO"}), narrowed_scores(directory, views, labels)]
    return np.asarray(np.max([np.abs(other - here) for other in others], axis=0), np.float64)


def scores(
    directory: Path, views: Sequence[Image], labels: Sequence[str], properties: Mapping[str, str] | None = None
) -> Scores:
    """(N, 2): confidence and novelty score of each view."""
    ir = load_ir(directory, (views[0].shape[0], views[0].shape[1]), threads=1, properties=properties)
    found = [to_prediction(ir.infer(view), labels) for view in views]
    return np.array([[p.confidence, p.novelty_score] for p in found])


def narrowed_scores(
    directory: Path, views: Sequence[Image], labels: Sequence[str], isa: str = "AVX2"
) -> Scores:
    """The same on this CPU narrowed to `isa`, in a child process: the plugin reads the variable once."""
    stacked = directory / "drift_views.npy"
    np.save(stacked, np.stack(views), allow_pickle=False)
    command = [sys.executable, "-m", "edge_deploy.golden", str(directory), str(stacked), *labels]
    try:
        done = subprocess.run(
            command, env=os.environ | {ISA_LIMIT: isa}, capture_output=True, text=True, timeout=600, check=False
        )
    finally:
        stacked.unlink()
    if done.returncode != 0:
        raise DeployError(f"the model does not run on a CPU with {isa} alone:\n{done.stderr.strip()[-800:]}")
    return np.array(json.loads(done.stdout.splitlines()[-1]))


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
            f"no {role} picture of {truth!r} is judged as it should be and lies clear of the limits: the model is not ready "
            "for this product; the report shows where its scores lie"
        )
    if any(c.role == "defect" for c in candidates) and not any(c.role == "defect" for c in chosen):
        raise DeployError("no defect picture is rejected clear of the limits: the model is not ready for this product")


def _as_it_should(c: Candidate, limits: Limits) -> bool:
    verdict = decide(c.prediction, limits).verdict
    if c.role == "good":
        return verdict is Verdict.PASS
    return verdict is Verdict.NOT_INSPECTED if c.role == "negative" else verdict not in (Verdict.PASS, Verdict.UNCERTAIN)


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


def main(arguments: Sequence[str]) -> None:
    """The narrowed child: directory, views.npy, labels -> JSON on stdout."""
    directory, views, *labels = arguments
    print(json.dumps(scores(Path(directory), list(np.load(views, allow_pickle=False)), labels).tolist()))


if __name__ == "__main__":
    main(sys.argv[1:])
