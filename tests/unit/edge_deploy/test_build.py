"""One whole build on drawn pictures, of a random ResNet50; and several of a shallow one, where depth says nothing."""

from __future__ import annotations

import re
import shutil
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import cv2
import pytest
import torch
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from edge_deploy.build import Built, build
from edge_deploy.calibrate import CalibrationConfig, default_limits
from edge_deploy.choose import Rule, Target
from edge_deploy.cli import app
from edge_deploy.convert import NetworkInput, embed_preprocessing
from edge_deploy.errors import DeployError
from edge_deploy.fit import Detector
from edge_deploy.manifest import built_at
from edge_deploy.options import BuildOptions
from edge_deploy.pack import canonical
from edge_deploy.parity import ParityConfig
from edge_deploy.show import describe_bundle
from inspector.bundle.keys import load_key
from inspector.bundle.verify import VerifiedBundle, verify
from inspector.core.decide import decide
from inspector.core.types import JudgedBy
from inspector.model import load_model
from inspector.threads import DeviceThread
from plc.registers import Verdict
from tests.support.drawn_run import COUNTS, ROI, Trained, part, shallow_networks
from training.choices import Head
from training.model import resnet50
from training.runs import read_run, read_splits, write_run, write_splits
from training.views import read_image

pytestmark = pytest.mark.slow

# Random weights on a map of 8 x 8 cells, nearly half of them at the edge: 8 bits move the strangest of them by a third,
# where a taught network at 224 px is moved by 4 %.
OPTIONS = BuildOptions(version=3, quantisation_images=24, threads=1, parity=ParityConfig(quantised_anomaly=0.4))
TWO_THREADS = replace(OPTIONS, threads=2)


@pytest.fixture(scope="module")
def built(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Built:
    sizes = trained.data.parent / "sizes.csv"
    sizes.write_text("path,size_px\n" + "".join(f"test/dent/{i}.png,{10 + i}\n" for i in range(COUNTS["test"])))
    out = tmp_path_factory.mktemp("out") / "disc.bundle"
    return build(trained.run, trained.data, out, replace(OPTIONS, sizes=sizes))


@pytest.fixture(scope="module")
def approved(built: Built, tmp_path_factory: pytest.TempPathFactory) -> VerifiedBundle:
    """As a person does it: keygen, approve; then as the box does it: verify."""
    keys, runner = tmp_path_factory.mktemp("keys"), CliRunner()
    assert runner.invoke(app, ["keygen", str(keys)]).exit_code == 0
    signed = runner.invoke(app, ["approve", str(built.bundle), "--key", str(keys / "approve.key")])
    assert signed.exit_code == 0, signed.output
    return verify(built.bundle, [load_key(str(keys / "approve.pub"))], keys / "unpacked")


def test_a_run_becomes_a_bundle_that_the_box_takes_and_judges_with(approved: VerifiedBundle, built: Built) -> None:
    m = approved.manifest
    assert (m.product, m.version, m.view.roi, m.calibration.instruction_sets) == ("disc", 3, ROI, ("avx2",))
    assert [output.name for output in m.outputs] == [
        "probabilities",
        "embedding",
        "novelty_score",
        "anomaly_map",
        "anomaly_score",
    ]
    thread = DeviceThread("model")
    try:
        model = load_model(approved, (ROI[3], ROI[2]), threads=2, judged_by=JudgedBy(m.bundle_id), thread=thread)
        limits = default_limits(m.limits, frozenset({"good"}))
        for golden in m.golden:
            x, y, w, h = ROI
            view = read_image(approved.directory / golden.file)[y : y + h, x : x + w]
            found = model.predict_blocking(view)
            assert int(decide(found, limits).verdict) == golden.expected.verdict
            assert found.novelty_score == pytest.approx(golden.expected.novelty_score, abs=1e-5)
    finally:
        thread.close()


def test_strange_spots_are_limited_and_the_manifest_says_how_they_are_found(built: Built) -> None:
    m = built.manifest
    assert m.detector is not None and m.detector.detector == "patch" and m.detector.taps == ("layer2", "layer3")
    assert m.detector.config["landmarks"] == "1000" and m.detector.landmarks <= 1000
    assert {o.name: o.shape for o in m.outputs}["anomaly_map"] == (8, 8)
    assert m.limits.max_anomaly_score is not None and m.limits.anomaly_median is not None
    assert m.limits.anomaly_median < m.limits.max_anomaly_score.default
    assert m.golden_tolerance.anomaly_score is not None
    assert all(g.expected.anomaly_score is not None for g in m.golden)


def build_shallow(run: Path, data: Path, out: Path, options: BuildOptions = OPTIONS) -> Built:
    with shallow_networks():
        return build(run, data, out, options)


@pytest.fixture(scope="module")
def built_shallow(shallow: Trained, tmp_path_factory: pytest.TempPathFactory) -> Built:
    return build_shallow(shallow.run, shallow.data, tmp_path_factory.mktemp("one") / "disc.bundle", TWO_THREADS)


@pytest.fixture(scope="module")
def pooled(shallow: Trained, tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Of the pooled detector, from a run whose pictures are taken two by two of one part."""
    run = shutil.copytree(shallow.run, tmp_path_factory.mktemp("pairs") / "run")
    rows = read_splits(run)
    write_splits(run, [replace(r, group=f"{r.split}-{r.label}-{i // 2}") for i, r in enumerate(rows)])
    return build_shallow(run, shallow.data, run.parent / "x.bundle", replace(OPTIONS, detector=Detector.POOLED))


def test_a_pooled_bundle_scores_whole_parts_alone(pooled: Built) -> None:
    m = pooled.manifest
    assert [output.name for output in m.outputs] == ["probabilities", "embedding", "novelty_score"]
    assert m.detector is not None and m.detector.detector == "pooled"
    assert m.limits.max_anomaly_score is None and m.golden_tolerance.anomaly_score is None


def test_pictures_of_one_part_count_once_in_what_the_test_split_shows(pooled: Built) -> None:
    assert {b.name: b.of for b in pooled.manifest.limits.bounds} == {"overkill": 8, "escape": 8, "escape:dent": 8}


def test_a_kind_that_cannot_be_hidden_is_refused_before_any_network_is_made(
    trained: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge_deploy.build.make_networks", lambda *_: pytest.fail("a network was made"))
    with pytest.raises(DeployError, match=r"--hide rust: no picture shows it\. Kinds of defect.* dent"):
        build(trained.run, trained.data, tmp_path / "x.bundle", replace(OPTIONS, hide=("rust",)))


def test_golden_pictures_show_good_parts_defects_and_negatives(built: Built) -> None:
    shown = {(g.role, g.truth): Verdict(g.expected.verdict) for g in built.manifest.golden}
    assert shown[("good", "good")] is Verdict.PASS
    assert shown[("negative", "empty")] is Verdict.NOT_INSPECTED
    assert shown[("defect", "dent")] in (Verdict.FAIL, Verdict.NOT_INSPECTED)


def test_both_precisions_are_measured_and_the_promises_are_from_the_test_split(built: Built) -> None:
    m = built.manifest
    assert m.metrics["fp32_accuracy"] >= 0.95 and m.metrics["int8_accuracy"] >= 0.95
    assert m.metrics["training_val_recall"] == 1.0
    bounds = {b.name: b.of for b in m.limits.bounds}
    assert bounds == {"overkill": 16, "escape": 16, "escape:dent": 16}  # the negatives set limits: no bound


def test_without_a_target_nothing_is_promised_and_the_manifest_says_on_what_the_limits_were_chosen(
    built: Built,
) -> None:
    promise = built.manifest.limits.promise
    assert promise is not None and (promise.rule, promise.value, promise.unit) == ("aim", 0.005, "picture")
    assert {b.name: b.of for b in promise.bounds} == {
        "overkill": 24, "not_inspected": 24, "escape": 24, "escape:dent": 24,
    }  # fmt: skip
    assert "on average, not promised" in built.manifest.limits.chosen_by
    assert "chosen on     overkill: 0 of 24 pictures" in describe_bundle(built.bundle)


def test_a_promise_that_the_held_out_pictures_cannot_support_stops_the_build(shallow: Trained, tmp_path: Path) -> None:
    calibration = CalibrationConfig(target=Target(Rule.OVERKILL, 0.005))
    with pytest.raises(DeployError, match=r"24 good pictures cannot promise .* at least 598, 574 more"):
        build_shallow(shallow.run, shallow.data, tmp_path / "x.bundle", replace(OPTIONS, calibration=calibration))
    assert not list(tmp_path.iterdir())


def test_the_report_is_one_page_that_loads_nothing_from_elsewhere(built: Built) -> None:
    page = built.report.read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    for needed in (
        "Promises",
        "macro-F1",
        "low precision off",
        "guard band",
        "Detection against defect size",
        "Golden",
        "disc-3-",
        "Escape, dent",
        "that set the limits",
    ):
        assert needed in page
    for measured in (
        "Highest calibration pictures",
        "OpenVINO INT8 (the bundle)",
        "aimed at: 0.5\u00a0% on average, not promised",
        "may pass",
    ):
        assert measured in page
    assert "asked for" not in page
    assert page.count("<figure>") >= 12 + 24  # hits, and the good pictures that set the limits


def test_inspect_prints_the_bundle_for_a_person(built: Built) -> None:
    shown = CliRunner().invoke(app, ["inspect", str(built.bundle)])
    assert shown.exit_code == 0
    assert "novelty at most" in shown.output and "golden_00.png" in shown.output


def test_nothing_is_left_beside_the_bundle_but_its_report(built: Built) -> None:
    assert sorted(file.name for file in built.bundle.parent.iterdir()) == ["disc.bundle", "disc.html"]


def test_a_build_repeated_at_the_same_time_gives_the_same_files_and_manifest(
    built_shallow: Built, shallow: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same IR, limits, golden pictures and manifest: what a person signs can be built again and compared."""
    when = datetime.fromisoformat(built_shallow.manifest.created_utc)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", str(int(when.timestamp())))
    again = build_shallow(shallow.run, shallow.data, tmp_path / "disc.bundle", TWO_THREADS)
    assert canonical(again.manifest) == canonical(built_shallow.manifest)  # with the SHA-256 of every file


def test_a_time_that_is_none_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(DeployError, match="whole seconds since 1970"):
        built_at()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    assert built_at() == "2023-11-14T22:13:20Z"


def test_a_graph_that_does_not_compute_what_was_trained_becomes_no_bundle(
    shallow: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The FP32 graph, converted without the mean, is what the INT8 graph would be believed by."""
    made: list[Any] = []

    def first_without_mean(model: Any, spec: NetworkInput) -> Any:
        made.append(embed_preprocessing(model, spec if made else replace(spec, mean=(0.0, 0.0, 0.0))))
        return made[-1]

    monkeypatch.setattr("edge_deploy.networks.embed_preprocessing", first_without_mean)
    with pytest.raises(DeployError, match="no bundle is written") as told:
        build_shallow(shallow.run, shallow.data, tmp_path / "disc.bundle")
    wrong = [line for line in str(told.value).splitlines() if line.endswith("WRONG")]
    assert any(line.startswith("FP32 ") and " PyTorch " in line for line in wrong)
    assert not list(tmp_path.iterdir())


def test_a_run_with_the_two_layer_head_becomes_a_bundle(shallow: Trained, built_shallow: Built, tmp_path: Path) -> None:
    """The linear head written as a two-layer one: class scores + 10 pass the ReLU, and the 10 is taken off again."""
    weights = load_file(shallow.run / "model.safetensors")
    fc, bias = weights.pop("fc.weight"), weights.pop("fc.bias")
    head = {k: torch.zeros_like(v) for k, v in resnet50(2, Head.MLP).fc.state_dict(prefix="fc.").items()}
    head["fc.0.weight"][:2], head["fc.0.bias"][:2] = fc, bias + 10
    head["fc.3.weight"][:, :2], head["fc.3.bias"][:] = torch.eye(2), -10
    run = shutil.copytree(shallow.run, tmp_path / "run")
    save_file(weights | head, run / "model.safetensors")
    write_run(run, replace(read_run(run), head="mlp"))
    two = build_shallow(run, shallow.data, tmp_path / "two.bundle").manifest
    for stage in ("pytorch", "fp32", "int8"):
        assert two.metrics[f"{stage}_accuracy"] == built_shallow.manifest.metrics[f"{stage}_accuracy"]


def test_a_picture_that_changed_since_training_stops_the_build(trained: Trained, tmp_path: Path) -> None:
    file = trained.data / "train" / "good" / "0.png"
    before = file.read_bytes()
    try:
        cv2.imwrite(str(file), part("good", 77))
        with pytest.raises(DeployError, match="has changed since"):
            build(trained.run, trained.data, tmp_path / "x.bundle", OPTIONS)
    finally:
        file.write_bytes(before)


def test_without_negatives_the_build_must_be_told_so(trained: Trained, tmp_path: Path) -> None:
    folder = trained.data / "negatives"
    folder.rename(trained.data / "ground_truth")
    try:
        with pytest.raises(DeployError, match="--no-negatives"):
            build(trained.run, trained.data, tmp_path / "x.bundle", OPTIONS)
    finally:
        (trained.data / "ground_truth").rename(folder)
