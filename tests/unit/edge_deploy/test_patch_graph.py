"""The anomaly head in the graph: the same numbers as its formula, on every path that OpenVINO may take."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from edge_deploy.convert import CHANNELS, MAPS, show_maps
from edge_deploy.fit import Detector, fit_heads
from edge_deploy.fuse import SvmConfig, attach, fit_novelty
from edge_deploy.patch_graph import attach_patches, projected
from edge_deploy.patches import PatchConfig, PatchFit, PatchHead, PatchSampler
from edge_deploy.pictures import Picture, Pictures
from edge_deploy.predict import features_of, maps_of, save_ir
from edge_deploy.steps import SilentSteps
from edge_deploy.usual import usual_heat
from inspector.core.types import Image
from inspector.model import CompiledIr, load_ir, to_prediction
from inspector.runtime import openvino
from tests.support.isa import narrowed_to
from tests.unit.edge_deploy.conftest import VIEW, Networks, picture
from tests.unit.edge_deploy.test_patches import CONFIG, SIZES, fitted, part

GRIDS = {"layer2": (8, 10), "layer3": (4, 5)}
PLAIN = {"LP_TRANSFORMS_MODE": "NO"}
LABELS = ("a", "b", "c")


@pytest.fixture(scope="module", params=[True, False], ids=["8 bit", "FP32"])
def head(request: pytest.FixtureRequest) -> PatchHead:
    return fitted([part(seed) for seed in range(40)], replace(CONFIG, eight_bit=request.param)).head


def taps_alone() -> Any:
    """A model whose inputs are the raw maps, with their means as outputs, as the network has them."""
    ov = openvino()
    from openvino import opset15 as ops

    inputs = [ops.parameter([1, SIZES[tap], *GRIDS[tap]], ov.Type.f32) for tap in SIZES]
    results = []
    for tap, node in zip(SIZES, inputs, strict=True):
        mean = ops.reduce_mean(node, ops.constant(np.array([2, 3])), keep_dims=False)
        mean.output(0).get_tensor().set_names({tap})
        results.append(ops.result(mean))
    return ov.Model(results, inputs, "taps")


def fused(head: PatchHead) -> Callable[[dict[str, np.ndarray]], tuple[np.ndarray, float]]:
    model = attach_patches(taps_alone(), head)
    compiled = openvino().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})

    def run(maps: dict[str, np.ndarray]) -> tuple[np.ndarray, float]:
        out = compiled([maps[tap][None] for tap in SIZES])
        assert out["anomaly_map"].shape == (1, *GRIDS["layer2"]) and out["anomaly_score"].shape == (1,)
        return out["anomaly_map"][0], float(out["anomaly_score"].item())

    return run


def exact(maps: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {tap: value.astype(np.float64) for tap, value in maps.items()}


@pytest.mark.parametrize("settings", [{}, {"over_landmarks": "sum"}, {"top": 3}, {"top": 1000}])
def test_the_head_in_the_graph_is_the_formula_near_and_far(head: PatchHead, settings: dict[str, Any]) -> None:
    assert head.usual is not None and head.usual.std() > 0
    one = replace(head, **settings)
    run = fused(one)
    rng = np.random.default_rng(1)
    noise = {tap: 100 * rng.normal(size=(SIZES[tap], *GRIDS[tap])).astype(np.float32) for tap in SIZES}
    gross = {tap: 1e4 * value for tap, value in part(4).items()}  # the SVM's own function is 0 to the last digit here
    black = {tap: np.zeros_like(value) for tap, value in part(4).items()}
    for maps in [part(1), part(900), part(901, 1.5), part(902, 30.0), noise, gross, black]:
        expected = one.anomaly_map(exact(maps))
        heat, score = run(maps)
        # A cell whose z lies between two steps of the grid may be rounded the other way.
        near = np.isclose(heat, expected, rtol=1e-3, atol=1e-3)
        assert near.mean() >= (0.97 if one.z_step is not None else 1.0)
        np.testing.assert_allclose(heat, expected, rtol=0.03, atol=0.02)
        assert score == pytest.approx(one.anomaly_score(heat), rel=1e-5)


@pytest.mark.parametrize("head", [False], indirect=True, ids=["FP32"])
def test_nan_in_a_map_gives_no_number(head: PatchHead) -> None:
    """An 8-bit grid holds no NaN; nor does the network, whose input is bytes and whose own grids stand before it."""
    maps = part(1)
    maps["layer2"][3, 4, 4] = np.nan
    assert np.isnan(fused(head)(maps)[0]).any()


def test_infinity_is_no_number_or_a_high_score(head: PatchHead) -> None:
    maps = part(1)
    usual = fused(head)(maps)[1]
    maps["layer2"][:, 4, 4] = np.inf
    heat, score = fused(head)(maps)
    assert not np.isfinite(heat).all() or score > 1.2 * usual


@pytest.fixture(scope="module")
def shown(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The INT8 network with its raw maps as outputs."""
    folder = tmp_path_factory.mktemp("maps")
    save_ir(show_maps(networks.int8_model.clone()), folder)
    return folder


@pytest.fixture(scope="module")
def fit(shown: Path) -> PatchFit:
    ir = load_ir(shown, VIEW, threads=2)
    sampler = PatchSampler(24, PatchConfig(directions=24, landmarks=100, patches=1500))
    for seed in range(24):
        sampler.take(maps_of(ir.infer(picture(seed))), str(seed))
    return sampler.fit(CHANNELS)


@pytest.fixture(scope="module")
def bundle(networks: Networks, shown: Path, fit: PatchFit, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """All of a bundle's outputs."""
    taps = load_ir(shown, VIEW, threads=2)
    features = np.stack([features_of(taps.infer(picture(seed))) for seed in range(24)])
    novelty = fit_novelty({"good": features}, {"good"}, cfg=SvmConfig(directions=4))
    folder = tmp_path_factory.mktemp("fused")
    save_ir(attach(attach_patches(networks.int8_model.clone(), fit.head), novelty), folder)
    return folder


def test_a_build_measures_how_strange_each_cell_usually_is(shown: Path, tmp_path: Path) -> None:
    good = tuple(Picture(tmp_path / f"{seed}.png", "good") for seed in range(18))
    for seed, one in enumerate(good):
        cv2.imwrite(str(one.file), picture(seed)[..., ::-1])
    pictures = Pictures(good, (), (), (), VIEW, (0, 0, VIEW[1], VIEW[0]), None)
    ir, cfg = load_ir(shown, VIEW, threads=2), PatchConfig(directions=24, landmarks=100, patches=1500)
    svm = SvmConfig(directions=4)
    fit = fit_heads(ir, pictures, {"good"}, Detector.PATCH, svm, cfg, SilentSteps())
    head = fit.heads.patches
    assert head is not None and head.usual is not None and head.usual.std() > 0
    alike = replace(head, usual=None)
    heats = np.stack([alike.anomaly_map(maps_of(ir.infer(pictures.view(one)))) for one in good])
    np.testing.assert_allclose(head.usual, usual_heat(heats, cfg.usual_share), rtol=1e-5)
    plain = fit_heads(ir, pictures, {"good"}, Detector.PATCH, svm, replace(cfg, usual_share=0.0), SilentSteps())
    assert plain.heads.patches is not None and plain.heads.patches.usual is None


def pictures() -> Iterator[Image]:
    yield from (picture(seed) for seed in (1, 50, 51))
    yield np.zeros((*VIEW, 3), np.uint8)
    yield np.full((*VIEW, 3), 255, np.uint8)
    yield np.random.default_rng(1).integers(0, 256, (*VIEW, 3)).astype(np.uint8)


def test_on_the_networks_own_maps_the_graph_gives_the_formula(bundle: Path, shown: Path, fit: PatchFit) -> None:
    ir, taps = load_ir(bundle, VIEW, threads=2), load_ir(shown, VIEW, threads=2)
    for view in pictures():
        p = to_prediction(ir.infer(view), LABELS)
        expected = fit.head.anomaly_map(exact(dict(maps_of(taps.infer(view)))))
        assert p.anomaly_map is not None and p.anomaly_score is not None
        np.testing.assert_allclose(p.anomaly_map, expected, rtol=0.03)
        assert p.anomaly_score == pytest.approx(fit.head.anomaly_score(expected), rel=0.01)


def test_a_black_or_overexposed_picture_gets_a_finite_score_that_no_part_has(bundle: Path) -> None:
    ir = load_ir(bundle, VIEW, threads=2)
    usual = max(float(ir.infer(picture(seed))["anomaly_score"].item()) for seed in range(24))
    for level in (0, 255):
        score = float(ir.infer(np.full((*VIEW, 3), level, np.uint8))["anomaly_score"].item())
        assert usual < score < np.inf


def cosine(a: np.ndarray, b: np.ndarray) -> float:
    return float((a * b).sum() / np.sqrt((a * a).sum() * (b * b).sum()))


def worst_parity(folder: Path, name: str) -> float:
    """The lowest cosine of an output with low-precision transformations to the same without them."""
    fast, plain = load_ir(folder, VIEW, threads=2), load_ir(folder, VIEW, threads=2, properties=PLAIN)
    return min(cosine(fast.infer(view)[name], plain.infer(view)[name]) for view in pictures())


@contextmanager
def with_output(networks: Networks, folder: Path, make: Callable[[Any], Any]) -> Iterator[str]:
    """The INT8 network in `folder`, with one more output: the node that `make` adds."""
    from openvino import opset15 as ops

    model = networks.int8_model.clone()
    node = make(model)
    node.output(0).get_tensor().set_names({"probe"})
    model.add_results([ops.result(node)])
    save_ir(model, folder)
    yield "probe"


@pytest.mark.parametrize("name", [*MAPS.values(), "probabilities", "embedding"])
def test_every_tap_is_the_same_with_and_without_low_precision_transformations(shown: Path, name: str) -> None:
    assert worst_parity(shown, name) > 0.99


def test_the_projected_patches_are_the_same_with_and_without_low_precision_transformations(
    networks: Networks, fit: PatchFit, tmp_path: Path
) -> None:
    with with_output(networks, tmp_path, lambda model: projected(model, fit.head)) as probe:
        assert worst_parity(tmp_path, probe) > 0.98


@pytest.mark.parametrize(("projected_first", "faulty"), [(False, True), (True, False)])
@narrowed_to("AVX512_CORE_VNNI", needs="avx512_vnni")  # with AVX2 alone, or with AMX, it is computed rightly
def test_that_check_sees_the_plugins_fault_where_the_average_sits_on_a_residual_sum(
    projected_first: bool, faulty: bool
) -> None:
    """If this fails after an upgrade of OpenVINO, the fault is mended, and the order in the graph is free.

    What is averaged wrongly: an 8-bit residual sum with values below zero (no ReLU behind it), and padding that counts.
    """
    model, data = residual_sum(projected_first), np.random.default_rng(0).normal(size=(1, 64, 28, 28))
    fast, plain = (
        openvino().compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"} | properties)(
            [data.astype(np.float32)]
        )[0]
        for properties in ({}, PLAIN)
    )
    assert (cosine(fast, plain) < 0.95) is faulty


def residual_sum(projected_first: bool) -> Any:
    """Two 8-bit convolutions, their sum on a grid that reaches below zero, and its 3 x 3 average."""
    ov = openvino()
    from openvino import opset15 as ops

    rng = np.random.default_rng(0)

    def grid(node: Any, reach: float) -> Any:
        low, high = (ops.constant(np.float32(reach * side / 127)) for side in (-128, 127))
        return ops.fake_quantize(node, low, high, low, high, levels=256)

    def convolve(node: Any) -> Any:
        whole = ops.constant(rng.integers(-60, 61, (64, 64, 1, 1)).astype(np.int8))
        kernel = ops.multiply(ops.convert(whole, "f32"), ops.constant(np.full((64, 1, 1, 1), 0.00125, np.float32)))
        return ops.convolution(node, kernel, [1, 1], [0, 0], [0, 0], [1, 1])

    source = ops.parameter([1, 64, 28, 28], ov.Type.f32)
    x = grid(source, 4.0)
    offset = ops.constant(rng.normal(size=(1, 64, 1, 1)).astype(np.float32))
    tap = grid(ops.add(grid(convolve(x), 3.0), grid(ops.add(convolve(x), offset), 3.0)), 4.0)
    averaged = convolve(tap) if projected_first else tap
    mean = ops.avg_pool(averaged, [1, 1], [1, 1], [1, 1], [3, 3], exclude_pad=False)
    return ov.Model([ops.result(mean), ops.result(convolve(tap))], [source], "residual")


def test_scores_and_maps_hardly_move_without_low_precision_transformations(bundle: Path) -> None:
    def found(properties: dict[str, str]) -> CompiledIr:
        return load_ir(bundle, VIEW, threads=2, properties=properties)

    fast, plain = found({}), found(PLAIN)
    for view in pictures():
        a, b = fast.infer(view), plain.infer(view)
        assert abs(a["anomaly_score"] - b["anomaly_score"]).item() < 0.1 * b["anomaly_score"].item()
        assert np.abs(a["anomaly_map"] - b["anomaly_map"]).mean() < 0.05 * b["anomaly_map"].mean()


def test_the_bundle_has_its_own_outputs_and_no_raw_ones(bundle: Path) -> None:
    names = {output.get_any_name() for output in openvino().Core().read_model(bundle / "model.xml").outputs}
    assert names == {"probabilities", "embedding", "novelty_score", "anomaly_map", "anomaly_score"}
