from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edge_deploy.drift import Scores, drift_on
from edge_deploy.errors import DeployError
from edge_deploy.fuse import SvmConfig, attach, fit_novelty
from edge_deploy.golden import Candidate, GoldenConfig, Role, expected, select
from edge_deploy.pictures import Picture
from edge_deploy.predict import features_of, save_ir
from inspector.core.types import Limits, Prediction
from inspector.model import load_ir
from inspector.runtime import openvino
from plc.registers import Reason, Verdict
from tests.unit.edge_deploy.conftest import VIEW, Networks, picture

LIMITS = Limits(0.9, None, (1.0, 2.0), frozenset({"good"}))


def candidate(role: Role, truth: str, label: str, novelty: float, confidence: float = 0.99) -> Candidate:
    return Candidate(Picture(Path(f"{truth}{novelty}"), truth), role, Prediction(label, 0, confidence, (1.0,), novelty))


GOODS = [candidate("good", "good", "good", 1.4 + 0.02 * i) for i in range(10)]
DENTS = [candidate("defect", "dent", "dent", 1.5 + 0.02 * i) for i in range(6)]
EMPTIES = [candidate("negative", "empty", "good", 3.0 + 0.1 * i) for i in range(6)]


def steady(pool: Sequence[Candidate]) -> Scores:
    return np.full((len(pool), 3), 1e-4)


def test_a_few_of_each_kind_are_chosen() -> None:
    chosen = select([*GOODS, *DENTS, *EMPTIES], LIMITS, steady).chosen
    assert [c.picture.truth for c in chosen] == ["good"] * 4 + ["dent"] * 2 + ["empty"] * 2


def test_what_is_judged_wrongly_is_no_golden_picture() -> None:
    odd = [candidate("good", "good", "dent", 1.5), candidate("defect", "dent", "good", 1.55)]
    chosen = select([*GOODS, *DENTS, *odd], LIMITS, steady).chosen
    assert not any(c in odd for c in chosen)


def test_pictures_near_a_limit_are_left_out_so_that_no_cpu_flips_them() -> None:
    near = [candidate("good", "good", "good", 1.99), candidate("good", "good", "good", 1.5, 0.901)]
    assert {c.picture.file for c in select([*near, *GOODS[:2]], LIMITS, steady).chosen} == {
        c.picture.file for c in GOODS[:2]
    }


def test_the_steady_ones_of_a_kind_are_taken_and_the_tolerance_covers_their_drift() -> None:
    def drift_of(pool: Sequence[Candidate]) -> Scores:
        return np.array([[0.0, 0.5 if round(c.prediction.novelty_score * 100) % 4 else 0.02, 0.0] for c in pool])

    made = select(GOODS, LIMITS, drift_of, GoldenConfig(good=2))
    assert made.drift[:, 1].max() == 0.02
    assert made.tolerance.novelty_score == pytest.approx(0.08)


def test_a_picture_whose_own_drift_could_reach_a_limit_is_left_out() -> None:
    wavering = candidate("good", "good", "good", 1.9)

    def drift_of(pool: Sequence[Candidate]) -> Scores:
        return np.array([[0.0, 0.05 if c is wavering else 0.0, 0.0] for c in pool])

    chosen = select([wavering, *GOODS[:2]], LIMITS, drift_of).chosen
    assert wavering not in chosen and len(chosen) == 2


SPOTS = Limits(0.9, 2.0, (1.0, 2.0), frozenset({"good"}))


def spotted(c: Candidate, score: float, probabilities: tuple[float, ...] = (0.99, 0.01)) -> Candidate:
    return replace(c, prediction=replace(c.prediction, anomaly_score=score, probabilities=probabilities))


def test_an_anomaly_score_near_its_limit_is_no_golden_picture_and_its_drift_is_allowed_for() -> None:
    goods = [spotted(c, 1.2) for c in GOODS[:3]]
    near = [spotted(GOODS[5], 1.98), spotted(DENTS[0], 2.02)]
    dents = [spotted(c, 3.0) for c in DENTS[1:3]]

    def drift_of(pool: Sequence[Candidate]) -> Scores:
        return np.tile([0.0, 0.0, 0.03], (len(pool), 1))

    made = select([*goods, *near, *dents], SPOTS, drift_of)
    assert len(made.chosen) == 5 and not any(c in near for c in made.chosen)
    assert made.tolerance.anomaly_score == pytest.approx(0.12)
    assert select(GOODS, LIMITS, steady).tolerance.anomaly_score is None


def test_a_strange_part_whose_class_could_flip_is_no_golden_picture() -> None:
    torn = spotted(candidate("defect", "dent", "dent", 1.5, 0.505), 3.0, (0.495, 0.505))
    made = select([*(spotted(c, 1.2) for c in GOODS), torn], SPOTS, steady)
    assert {c.role for c in made.chosen} == {"good"}


def test_a_kind_of_negative_without_a_clear_picture_stops_the_build() -> None:
    with pytest.raises(DeployError, match="negative picture of 'empty'"):
        select([*GOODS, candidate("negative", "empty", "good", 2.01)], LIMITS, steady)


def test_a_defect_without_a_clear_picture_is_left_out_and_noted() -> None:
    made = select([*GOODS, candidate("defect", "dent", "dent", 2.01)], LIMITS, steady)
    assert {c.role for c in made.chosen} == {"good"}
    assert "no picture of 'dent'" in made.notes[0]


def test_what_a_golden_picture_must_give_is_what_the_rule_says() -> None:
    made = expected(EMPTIES[0].prediction, LIMITS)
    assert (made.verdict, made.reason) == (Verdict.NOT_INSPECTED, Reason.NO_PART)


def test_scores_hold_on_this_cpu_narrowed_to_avx2(networks: Networks, tmp_path: Path) -> None:
    """For an AVX2 build the 8-bit sums are exact everywhere; what drifts is rounding."""
    taps = load_ir(networks.int8, VIEW, threads=2)
    features = np.stack([features_of(taps.infer(picture(seed))) for seed in range(24)])
    head = fit_novelty({"good": features}, {"good"}, cfg=SvmConfig(directions=4))
    model = openvino().Core().read_model(networks.int8 / "model.xml")
    save_ir(attach(model, head), tmp_path)
    drift = drift_on(tmp_path, [picture(seed) for seed in range(30, 34)], ["a", "b", "c"])
    assert drift.shape == (4, 3)
    assert drift.max() < 0.2
    assert sorted(file.name for file in tmp_path.iterdir()) == ["model.bin", "model.xml"]
