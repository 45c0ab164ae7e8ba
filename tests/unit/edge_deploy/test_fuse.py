from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from sklearn.svm import OneClassSVM

from edge_deploy.convert import FEATURES
from edge_deploy.fuse import NoveltyHead, SvmConfig, attach, fit_novelty
from inspector.runtime import openvino

SIZES = (24, 12, 8)
CONFIG = SvmConfig(directions=16)
SPREAD = np.random.default_rng(99).normal(size=(6, sum(SIZES)))  # parts vary in 6 directions, weaker ones last


def parts(seed: int, n: int, centre: float = 0.0) -> np.ndarray:
    """(n, 44) features of one kind; kinds with another centre lie elsewhere."""
    rng = np.random.default_rng([seed, 1])
    offset = np.sin(np.arange(sum(SIZES)) * (1.0 + centre)) * (centre != 0)
    noise = 0.002 * rng.normal(size=(n, sum(SIZES)))
    return np.asarray(5.0 + offset + 0.05 * rng.normal(size=(n, 6)) @ SPREAD + noise)


@pytest.fixture(scope="module")
def head() -> NoveltyHead:
    taught = {"good": parts(0, 300), "dent": parts(1, 80, 1.0), "stain": parts(2, 80, 2.0)}
    return fit_novelty(taught, {"good"}, SIZES, CONFIG)


def graph_of(head: NoveltyHead) -> Any:
    """The head on its own: the features go in as three inputs."""
    ov = openvino()
    from openvino import opset15 as ops

    inputs = [ops.parameter([1, size], ov.Type.f32) for size in head.sizes]
    results = []
    for name, node in zip(FEATURES, inputs, strict=True):
        passed = ops.add(node, ops.constant(np.float32(0)))
        passed.output(0).get_tensor().set_names({name})
        results.append(ops.result(passed))
    return attach(ov.Model(results, inputs, "head"), head)


def fused(head: NoveltyHead) -> Callable[[np.ndarray], Any]:
    compiled = openvino().compile_model(graph_of(head), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    groups = np.cumsum(head.sizes)[:-1]
    return lambda row: compiled([g[None].astype(np.float32) for g in np.split(row, groups)])["novelty_score"]


def test_the_head_in_the_graph_is_the_formula_near_and_far(head: NoveltyHead) -> None:
    run = fused(head)
    rows = [*parts(7, 5), *parts(8, 5, 1.0), *parts(9, 5, 3.0), *np.random.default_rng(1).normal(size=(5, 44)) * 100]
    for row in rows:
        assert run(row).shape == (1,)
        assert run(row).item() == pytest.approx(head.score(row[None]).item(), rel=1e-3, abs=1e-3)


def test_only_the_outputs_of_a_bundle_remain_after_the_head_is_attached(head: NoveltyHead) -> None:
    assert {out.get_any_name() for out in graph_of(head).outputs} == {"embedding", "novelty_score"}


def test_nan_in_a_feature_gives_no_number(head: NoveltyHead) -> None:
    row = parts(7, 1)[0]
    row[3] = np.nan
    assert np.isnan(fused(head)(row).item())


def test_good_parts_and_taught_defects_are_inside_and_an_unseen_kind_is_outside(head: NoveltyHead) -> None:
    limit = np.quantile(head.score(parts(20, 400)), 0.995)
    assert (head.score(parts(21, 200)) <= limit).mean() > 0.97
    assert (head.score(parts(22, 200, 1.0)) <= limit * 1.05).mean() > 0.9
    assert (head.score(parts(23, 200, 3.0)) > limit).all()


def test_without_defects_a_taught_defect_is_as_novel_as_any() -> None:
    taught = {"good": parts(0, 300), "dent": parts(1, 80, 1.0)}
    head = fit_novelty(taught, {"good"}, SIZES, SvmConfig(directions=16, with_defects=False))
    assert head.score(parts(22, 50, 1.0)).min() > head.score(parts(21, 200)).max()


def test_over_one_class_the_score_ranks_as_the_svms_own_decision() -> None:
    good = parts(0, 200)
    head = fit_novelty({"good": good}, {"good"}, SIZES, CONFIG)
    e = np.concatenate([g / np.linalg.norm(g, axis=1, keepdims=True) for g in np.split(good, [24, 36], 1)], 1)
    z = (e - head.mean) @ head.projection
    svm = OneClassSVM(kernel="rbf", gamma=1 / head.width[0], nu=CONFIG.nu).fit(z)
    decision, score = svm.decision_function(z), head.score(good)
    assert np.corrcoef(np.argsort(np.argsort(-decision)), np.argsort(np.argsort(score)))[0, 1] > 0.99


def test_a_shorter_exposure_does_not_make_a_part_novel(head: NoveltyHead) -> None:
    rows = parts(30, 50)
    np.testing.assert_allclose(head.score(rows * 0.7), head.score(rows), rtol=1e-6)


def test_a_dozen_good_pictures_are_refused() -> None:
    with pytest.raises(ValueError, match="16 are needed"):
        fit_novelty({"good": parts(0, 12)}, {"good"}, SIZES, CONFIG)


def test_copies_of_one_picture_are_refused() -> None:
    with pytest.raises(ValueError, match="copies"):
        fit_novelty({"good": np.repeat(parts(0, 1), 40, 0)}, {"good"}, SIZES, CONFIG)
