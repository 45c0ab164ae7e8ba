"""`inspector-deploy add-spots`: a bundle of a shallow network that judges whole parts alone is given a heat map."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner, Result

from edge_deploy.build import build
from edge_deploy.cli import app
from edge_deploy.errors import DeployError
from edge_deploy.fit import Detector
from edge_deploy.fuse import drop_taps
from edge_deploy.options import BuildOptions
from edge_deploy.pack import approve, keygen
from edge_deploy.parity import ParityConfig
from edge_deploy.pictures import Picture
from edge_deploy.show import read_manifest
from edge_deploy.spot_limit import spot_limits
from inspector.bundle.golden import replay
from inspector.bundle.keys import load_key
from inspector.bundle.verify import VerifiedBundle, verify
from inspector.core.manifest import LimitSpec, LimitsSpec
from inspector.core.types import JudgedBy, Prediction
from inspector.model import OpenVinoModel, load_model
from inspector.threads import DeviceThread
from tests.support.drawn_run import ROI, Trained, part, shallow_networks
from tests.support.tiny_bundle import make_bundle, make_key

GOOD = frozenset({"good"})


@pytest.fixture(scope="module")
def pooled(shallow: Trained, tmp_path_factory: pytest.TempPathFactory) -> Path:
    options = BuildOptions(
        quantisation_images=24, threads=1, detector=Detector.POOLED, parity=ParityConfig(quantised_anomaly=0.4)
    )
    with shallow_networks():
        return build(shallow.run, shallow.data, tmp_path_factory.mktemp("pooled") / "disc-1.bundle", options).bundle


def add(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["add-spots", *map(str, arguments), "--threads", "1"])


@pytest.fixture(scope="module")
def added(pooled: Path, shallow: Trained, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    out = tmp_path_factory.mktemp("added") / "disc-2.bundle"
    return out, add(pooled, shallow.data / "train", shallow.data / "val", "--out", out)


def approved(bundle: Path, folder: Path) -> VerifiedBundle:
    private, public = keygen(folder / "keys")
    approve(bundle, private)
    return verify(bundle, [load_key(str(public))], folder / "unpacked")


def with_model(bundle: VerifiedBundle, ask: Callable[[OpenVinoModel], Any]) -> Any:
    thread = DeviceThread("model")
    try:
        return ask(load_model(bundle, (ROI[3], ROI[2]), threads=1, judged_by=JudgedBy(), thread=thread))
    finally:
        thread.close()


def views(kind: str) -> list[Any]:
    x, y, w, h = ROI
    return [np.ascontiguousarray(part(kind, 9000 + seed)[y : y + h, x : x + w]) for seed in range(8)]


@pytest.mark.slow
def test_a_heat_map_is_added_and_all_other_numbers_stay(
    pooled: Path, added: tuple[Path, Result], tmp_path: Path
) -> None:
    out, done = added
    assert done.exit_code == 0, done.output
    old, new = read_manifest(pooled), read_manifest(out)
    assert (new.version, new.parents, new.key_id) == (2, (old.bundle_id,), "")
    assert [output.name for output in new.outputs][-2:] == ["anomaly_map", "anomaly_score"]
    assert new.detector is not None and new.detector.detector == "patch"
    was, now = old.limits, new.limits
    assert (was.min_confidence, was.novelty_low, was.novelty_high) == (
        now.min_confidence,
        now.novelty_low,
        now.novelty_high,
    )
    assert was.max_anomaly_score is None and now.max_anomaly_score is not None and now.promise is None
    assert "1.1 times as far out as the worst of the 24 good pictures" in done.stdout
    (tmp_path / "old").mkdir()
    (tmp_path / "new").mkdir()
    before, after = approved(pooled, tmp_path / "old"), approved(out, tmp_path / "new")
    asked = [*views("good"), *views("dent"), *views("empty")]
    first = with_model(before, lambda model: [model.predict_blocking(view) for view in asked])
    second = with_model(after, lambda model: [model.predict_blocking(view) for view in asked])
    assert [(p.probabilities, p.novelty_score) for p in first] == [(p.probabilities, p.novelty_score) for p in second]
    assert all(p.anomaly_map is None for p in first) and all(p.anomaly_map is not None for p in second)
    assert len(with_model(after, lambda model: replay(after, model.predict_blocking)).rows) == len(old.golden)


@pytest.mark.slow
def test_the_hottest_cell_is_at_the_dent(added: tuple[Path, Result], tmp_path: Path) -> None:
    """The bar of part() is 24 by 12 pixels, in the middle of the view but for two."""
    found = with_model(
        approved(added[0], tmp_path), lambda model: [model.predict_blocking(view) for view in views("dent")]
    )
    for p in found:
        row, column = np.unravel_index(p.anomaly_map.argmax(), p.anomaly_map.shape)
        height, width = p.anomaly_map.shape
        assert abs((row + 0.5) / height - 0.5) < 0.3 and abs((column + 0.5) / width - 0.5) < 0.3


@pytest.mark.slow
def test_the_report_says_what_is_new_and_what_is_not(pooled: Path, added: tuple[Path, Result]) -> None:
    page = added[0].with_suffix(".html").read_text()
    for said in (
        "with a detector of strange spots added",
        "New are the detector of strange spots, its limit",
        f"The network is that of {read_manifest(pooled).bundle_id}",
        "bundle, AVX2 alone against bundle, anomaly_map: cosine",
        "Isolated landmarks",
    ):
        assert said in page, said
    assert "Only the limits are new" not in page and "The graph is that of" not in page
    assert not re.search(r'(src|href)="(?!data:|#)', page)


@pytest.mark.slow
def test_what_is_not_written(pooled: Path, added: tuple[Path, Result], shallow: Trained, tmp_path: Path) -> None:
    train, val, out = shallow.data / "train", shallow.data / "val", tmp_path / "x.bundle"
    for arguments, told in (
        ((added[0], train, val, "--out", out), "looks for strange spots already"),
        ((pooled, train, train, "--out", out), "are of parts that the detector would learn from"),
        ((pooled, train, val, "--out", added[0]), "not overwritten"),
        ((pooled, train, val, "--out", out, "--taps", "layer9"), "--taps"),
    ):
        done = add(*arguments)
        assert done.exit_code != 0 and told in done.output, done.output
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_a_graph_whose_other_numbers_move_is_refused(
    pooled: Path, shallow: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As OpenVINO could, by fusing otherwise where a tap has more readers."""
    from openvino import opset15 as ops

    def moved(model: Any) -> Any:
        result = model.output("novelty_score").get_node()
        node = ops.multiply(result.input_value(0), ops.constant(np.float32(1.0001)))
        result.input_value(0).get_tensor().set_names(set())
        model.remove_result(result)
        node.output(0).get_tensor().set_names({"novelty_score"})
        model.add_results([ops.result(node)])
        return drop_taps(model)

    monkeypatch.setattr("edge_deploy.spots.drop_taps", moved)
    done = add(pooled, shallow.data / "train", shallow.data / "val", "--out", tmp_path / "x.bundle")
    assert done.exit_code == 1 and "novelty_score is another one with the detector" in done.output, done.output
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_without_taps_is_refused(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "tiny-1.bundle", make_key())
    for folder, seed in (("learn", 0), ("held", 50)):
        (tmp_path / folder / "good").mkdir(parents=True)
        for i in range(2):
            cv2.imwrite(str(tmp_path / folder / "good" / f"{i}.png"), part("good", seed + i))
    done = add(bundle, tmp_path / "learn", tmp_path / "held", "--out", tmp_path / "x.bundle")
    assert done.exit_code == 1 and "it is not one that inspector-deploy build made" in done.output, done.output


def limits() -> LimitsSpec:
    wide = LimitSpec(0.0, (0.0, 1.0))
    return LimitsSpec(
        replace(wide, default=0.8), wide, replace(wide, default=2.0), None,
        novelty_median=1.0, anomaly_median=None, chosen_by="hand", bounds=(),
    )  # fmt: skip


def seen(truth: str, spot: float, confidence: float = 0.9, label: str = "good") -> tuple[Picture, Prediction]:
    name = f"{truth}-{spot}-{confidence}.png"
    return Picture(Path(name), truth), Prediction(label, 0, confidence, (confidence,), 1.0, spot, None)


def limited(*parts: tuple[Picture, Prediction]) -> LimitsSpec:
    return spot_limits(limits(), [picture for picture, _ in parts], [p for _, p in parts], GOOD)


def test_the_limit_lies_beyond_the_worst_good_part_that_the_other_limits_pass() -> None:
    good = [seen("good", 1.0 + i / 100) for i in range(21)]  # the usual one 1.1, the worst 1.2
    unsure = seen("good", 3.0, confidence=0.5)
    found = limited(*good, unsure, seen("dent", 5.0, label="dent"))
    assert found.max_anomaly_score is not None
    assert found.max_anomaly_score.default == pytest.approx(1.21, abs=1e-6)
    assert found.anomaly_median == pytest.approx(1.1)
    assert found.max_anomaly_score.allowed == pytest.approx((1.1, 1.32), abs=1e-6)  # nothing else lets a defect pass
    assert "worst of the 21 good pictures" in found.chosen_by and found.chosen_by.startswith("hand; ")


def test_a_recipe_may_loosen_it_half_the_way_to_a_defect_that_nothing_else_stops() -> None:
    found = limited(*(seen("good", 1.0 + i / 100) for i in range(21)), seen("dent", 1.25))
    assert found.max_anomaly_score is not None
    assert found.max_anomaly_score.allowed[1] == pytest.approx(1.23, abs=1e-6)


def test_too_few_good_parts_set_no_limit() -> None:
    with pytest.raises(DeployError, match="19 of 20 held-out good pictures pass"):
        limited(*(seen("good", 1.0 + i / 100) for i in range(19)), seen("good", 1.0, confidence=0.1))
