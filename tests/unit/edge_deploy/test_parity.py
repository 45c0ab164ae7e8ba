"""The gate before a bundle. Broken graphs here are broken the way real ones are; the table must name the row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edge_deploy.errors import DeployError
from edge_deploy.forms import NO_LPT, Forms, forms_of
from edge_deploy.fuse import SvmConfig, attach, fit_novelty
from edge_deploy.golden import expected
from edge_deploy.parity import Form, Parity, ParityConfig, Step, check, golden_views, measure, replayed, tap_rows
from edge_deploy.predict import Heads, features_of, infer_torch, of_ir, save_ir
from inspector.bundle.golden import limits_of
from inspector.core.manifest import ClassEntry, Golden, GoldenTolerance, LimitSpec, LimitsSpec, Manifest, ViewSpec
from inspector.core.types import Image, Prediction
from inspector.model import load_ir
from inspector.runtime import openvino
from tests.support.isa import narrowed_to
from tests.support.tiny_bundle import tiny_manifest
from tests.unit.edge_deploy.conftest import VIEW, Networks, picture

LABELS = ("a", "b", "c")
GOLDEN = range(30, 33)


def wide_limits() -> LimitsSpec:
    """What a random network says of any drawn picture is inside."""
    confidence, low, high = LimitSpec(0.2, (0.0, 1.0)), LimitSpec(-1.0, (-1.0, 0.0)), LimitSpec(9.0, (3.0, 9.0))
    return LimitsSpec(confidence, low, high, None, novelty_median=1.0, anomaly_median=None, chosen_by="", bounds=())


def built(networks: Networks, work: Path, fp32: Path | None = None, int8: Path | None = None) -> tuple[Forms, Manifest]:
    """As a build does it: the head on the INT8 features, golden pictures with what the bundle's own graph says."""
    int8 = int8 or networks.int8
    taps = load_ir(int8, VIEW, threads=2)
    features = np.stack([features_of(taps.infer(picture(seed))) for seed in range(24)])
    head = fit_novelty({"a": features}, {"a"}, cfg=SvmConfig(directions=4))
    save_ir(attach(openvino().Core().read_model(int8 / "model.xml"), head), work / "bundle")
    predict = of_ir(load_ir(work / "bundle", VIEW, threads=2), LABELS)
    manifest = tiny_manifest(
        classes=tuple(ClassEntry(i, name, True) for i, name in enumerate(LABELS)),
        view=ViewSpec(VIEW[1], VIEW[0], (0, 0, VIEW[1], VIEW[0])),
        limits=wide_limits(),
        golden_tolerance=GoldenTolerance(0.02, 0.05, None),
    )
    golden = []
    for seed in GOLDEN:
        name = f"golden_{seed}.png"
        cv2.imwrite(str(work / "bundle" / name), cv2.cvtColor(picture(seed), cv2.COLOR_RGB2BGR))
        golden.append(Golden(name, "good", "a", expected(predict(picture(seed)), limits_of(manifest))))
    heads, bundle = Heads(head), work / "bundle"
    forms = Forms(networks.torch, networks.spec, heads, LABELS, fp32 or networks.fp32, int8, bundle, 2, True)
    return forms, replace(manifest, golden=tuple(golden))


def parity_of(made: tuple[Forms, Manifest]) -> Parity:
    forms, manifest = made
    return measure(forms.bundle, manifest, forms_of(forms, golden_views(forms.bundle, manifest)))


@pytest.fixture(scope="module")
def views() -> list[Image]:
    return [picture(seed) for seed in GOLDEN]


def wrong(parity: Parity) -> set[tuple[str, str]]:
    return {(row.form, row.reference) for row in parity.taps if not row.ok}


@pytest.fixture(scope="module")
def right(networks: Networks, tmp_path_factory: pytest.TempPathFactory) -> Parity:
    return parity_of(built(networks, tmp_path_factory.mktemp("right")))


@pytest.mark.slow
def test_a_graph_that_computes_what_was_trained_passes(right: Parity) -> None:
    check(right)
    assert {(row.form, row.output) for row in right.taps} >= {
        (form, tap)
        for form in ("FP32", "INT8", "INT8, low precision off", "INT8, AVX2 alone")
        for tap in ("probabilities", "embedding", "layer3", "layer2")
    }
    assert {row.form for row in right.verdicts} >= {"PyTorch", "FP32", "INT8", "bundle", "bundle, AVX2 alone"}


@pytest.mark.slow
def test_the_head_in_the_graph_gives_what_the_formula_gives_in_float64(right: Parity) -> None:
    """The row INT8 is the formula on the graph's features, the row it is held against is the graph itself."""
    assert next(row for row in right.verdicts if row.form == "INT8").novelty[0] < 1e-4


@pytest.mark.slow
def test_swapped_colours_are_refused_and_the_table_names_the_conversion(networks: Networks, tmp_path: Path) -> None:
    model = openvino().Core().read_model(networks.fp32 / "model.xml")
    from openvino.preprocess import PrePostProcessor

    steps = PrePostProcessor(model)
    steps.input().tensor().set_layout(openvino().Layout("NHWC"))
    steps.input().preprocess().reverse_channels()
    steps.input().model().set_layout(openvino().Layout("NHWC"))
    save_ir(steps.build(), tmp_path / "bgr")
    found = parity_of(built(networks, tmp_path, fp32=tmp_path / "bgr"))
    with pytest.raises(DeployError, match="channel order") as told:
        check(found)
    assert ("FP32", "PyTorch") in wrong(found)
    line = next(text for text in str(told.value).splitlines() if text.startswith("FP32") and " layer2 " in text)
    assert line.endswith("WRONG")


@pytest.mark.parametrize("trained", [{"mean": (0.5, 0.5, 0.5)}, {"std": (0.25, 0.25, 0.25)}, {"height": 60}])
def test_another_mean_scale_or_size_than_training_used_is_refused(
    networks: Networks, views: list[Image], trained: dict[str, Any]
) -> None:
    infer = infer_torch(networks.torch, replace(networks.spec, **trained))
    torch = Form("PyTorch", [infer(view) for view in views])
    graph = load_ir(networks.fp32, VIEW, threads=2)
    rows = tap_rows(Form("FP32", [graph.infer(view) for view in views], (torch, "conversion")))
    with pytest.raises(DeployError, match="another mean, scale, resize"):
        check(Parity(tuple(rows), (), ""))


def test_a_wrong_mean_in_the_int8_graph_alone_is_refused_as_quantisation(
    networks: Networks, views: list[Image]
) -> None:
    fp32, int8 = (load_ir(folder, VIEW, threads=2) for folder in (networks.fp32, networks.int8))
    reference = Form("FP32", [fp32.infer(view) for view in views])
    darker = [np.asarray(view // 2, np.uint8) for view in views]
    rows = tap_rows(Form("INT8", [int8.infer(view) for view in darker], (reference, "quantisation")))
    with pytest.raises(DeployError, match="8 bits lose too much"):
        check(Parity(tuple(rows), (), ""))


class LinearResidual(nn.Module):
    """A residual sum without ReLU, as MobileNet and EfficientNet have them, and 3x3 means of it as the tap."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.within, self.out = nn.Conv2d(3, 64, 3, 2, 1), nn.Conv2d(64, 64, 3, 1, 1), nn.Conv2d(64, 64, 1)
        self.last = nn.Conv2d(64, 64, 3, 2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = self.stem(x).relu()
        total = x + self.out(self.within(x).relu())
        return nn.functional.avg_pool2d(total, 3, 1, 1), self.last(total).relu().mean((2, 3))


@narrowed_to("AVX512_CORE_VNNI", needs="avx512_vnni")  # with AVX2 alone, or with AMX, it is computed rightly
def test_an_average_pooling_that_openvino_computes_wrongly_is_refused() -> None:
    """On a quantised residual sum; only the tap is wrong, what a classifier would read is not."""
    ov = openvino()
    import nncf

    torch.manual_seed(0)
    with torch.no_grad():
        model = ov.convert_model(torch.export.export(LinearResidual().eval(), (torch.zeros(1, 3, 64, 64),)))
    model.reshape([1, 3, 64, 64])
    data = [np.random.default_rng(seed).normal(size=(1, 3, 64, 64)).astype(np.float32) for seed in range(4)]
    model = nncf.quantize(model, nncf.Dataset(data), preset=nncf.QuantizationPreset.PERFORMANCE, subset_size=len(data))
    for output, name in zip(model.outputs, ("layer2", "embedding"), strict=True):
        output.get_tensor().set_names({name})

    def run(name: str, reference: Form | None, properties: dict[str, str]) -> Form:
        graph = ov.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"} | properties)
        outputs = [{tap: np.array(graph(x)[tap]) for tap in ("layer2", "embedding")} for x in data]
        return Form(name, outputs, None if reference is None else (reference, "rounding"))

    fast = run("INT8", None, {})
    rows = tap_rows(run("INT8, low precision off", fast, NO_LPT))
    assert {row.output: row.ok for row in rows} == {"layer2": False, "embedding": True}
    with pytest.raises(DeployError, match="average pooling directly on a quantised sum"):
        check(Parity(tuple(rows), (), ""))


def drawn(form: str, *values: Sequence[float], reference: Form | None = None) -> Form:
    outputs = [{"layer2": np.array(value, np.float32)} for value in values]
    return Form(form, outputs, None if reference is None else (reference, "rounding"))


@pytest.mark.parametrize(
    "broken", [[np.nan, 2.0], [np.inf, 2.0], [1.0, 2.0, 3.0], [0.0, 0.0], [-1.0, -2.0], [1.0, 1.2]]
)
def test_one_bad_picture_among_good_ones_is_enough(broken: list[float]) -> None:
    reference = drawn("here", [1.0, 2.0], [1.0, 2.0], [1.0, 2.0])
    (row,) = tap_rows(drawn("there", [1.0, 2.0], broken, [1.0, 2.0], reference=reference))
    assert not row.ok


def test_a_tap_of_zeros_is_like_one_of_zeros_and_like_nothing_else() -> None:
    reference = drawn("here", [0.0, 0.0])
    assert tap_rows(drawn("there", [0.0, 0.0], reference=reference))[0].ok
    assert not tap_rows(drawn("there", [0.0, 1e-3], reference=reference))[0].ok


def test_forms_without_a_common_output_are_not_taken_as_alike() -> None:
    with pytest.raises(ValueError, match="share no output"):
        tap_rows(Form("there", [{"layer3": np.zeros(2, np.float32)}], (drawn("here", [0.0, 1.0]), "rounding")))


def said(manifest: Manifest, **changed: Any) -> list[Prediction]:
    """What the manifest expects; the first golden picture's is changed."""
    answers = []
    for golden in manifest.golden:
        e = golden.expected
        class_id = [c.name for c in manifest.classes].index(e.label)
        answers.append(Prediction(e.label, class_id, e.confidence, (), e.novelty_score, e.anomaly_score))
    return [replace(answers[0], **changed), *answers[1:]]


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Manifest]:
    from tests.support.tiny_bundle import tiny_files

    folder = tmp_path_factory.mktemp("golden")
    for name, content in tiny_files().items():
        (folder / name).write_bytes(content)
    return folder, tiny_manifest()


def one_form(golden: tuple[Path, Manifest], step: Step = "rounding", **changed: Any) -> Parity:
    form = Form("elsewhere", [], predict=replayed(said(golden[1], **changed)), score_step=step)
    return measure(*golden, [form])


def test_what_the_bundle_expects_is_no_flip_and_no_drift(golden: tuple[Path, Manifest]) -> None:
    (row,) = (found := one_form(golden)).verdicts
    assert row.ok and not row.flips and (row.confidence[0], row.novelty[0]) == (0.0, 0.0)
    assert "guard band of every limit (confidence 0.02, novelty 0.1" in found.guard


def test_one_flipped_verdict_is_refused_and_the_picture_named(golden: tuple[Path, Manifest]) -> None:
    found = one_form(golden, label="stain")
    with pytest.raises(DeployError, match=r"1 of 6: golden_00\.png"):
        check(found)


def test_in_fp32_a_verdict_may_flip_within_the_drift_of_quantisation_and_a_class_may_not(
    golden: tuple[Path, Manifest],
) -> None:
    """The first golden picture is good, its novelty a tenth below a limit set for this test."""
    (folder, manifest), first = golden, golden[1].golden[0].file
    score = manifest.golden[0].expected.novelty_score
    near = replace(manifest.limits.novelty_high, default=1.1 * score, allowed=(0.0, 2 * score))
    far = replace(near, default=1.2 * score)
    for limit, flips in ((near, False), (far, True)):
        moved = folder, replace(manifest, limits=replace(manifest.limits, novelty_high=limit))
        assert (first in one_form(moved, "quantisation", novelty_score=1.25 * score).verdicts[0].flips) is flips
    moved = folder, replace(manifest, limits=replace(manifest.limits, novelty_high=near))
    assert first in one_form(moved, "quantisation", label="stain").verdicts[0].flips


@pytest.mark.parametrize("changed", [{"novelty_score": np.nan}, {"novelty_score": 2.0}, {"confidence": 0.85}])
def test_scores_that_drift_are_refused(golden: tuple[Path, Manifest], changed: dict[str, float]) -> None:
    assert not one_form(golden, **changed).verdicts[0].ok


def test_limits_can_be_set_and_each_of_them_counts() -> None:
    cfg = ParityConfig()
    reference = drawn("here", [1.0, 2.0])
    form = drawn("there", [1.0, 2.05], reference=reference)
    assert tap_rows(form, cfg)[0].ok
    assert not tap_rows(form, replace(cfg, rounding=replace(cfg.rounding, difference=0.01)))[0].ok
    assert not tap_rows(form, replace(cfg, rounding=replace(cfg.rounding, cosine=0.99999)))[0].ok
