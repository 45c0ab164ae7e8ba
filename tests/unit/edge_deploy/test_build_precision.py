"""Where 8 bits lose too much, through the whole `build` command: what is trained or left in FP32 is what is packed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from edge_deploy import build, precision, qat
from edge_deploy.cli import app
from edge_deploy.predict import of_torch
from inspector.runtime import openvino
from tests.support.drawn_run import Trained, shallow_networks

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the other builds of this run: the command has no option for it."""
    whole = build.build

    def with_few(run: Path, data: Path, out: Path, options: Any, steps: Any) -> Any:
        return whole(run, data, out, replace(options, quantisation_images=24), steps)

    monkeypatch.setattr(build, "build", with_few)


def built(of: Trained, out: Path, *options: str) -> str:
    """What the command printed; the bundle is written and its report tells the same."""
    paths = [str(of.run), "--data", str(of.data), "--out", str(out), "--threads", "1"]
    pooled = ["--detector", "pooled"]  # of random weights, strange spots lie at the edge of what the gate allows
    with shallow_networks():
        done = CliRunner().invoke(app, ["build", *paths, *pooled, *options])
    assert done.exit_code == 0, done.output
    assert out.is_file()
    told = " ".join(done.output.split())
    note = told.split("note: ")[1].split(": ")[0]
    assert note[1:] in out.with_suffix(".html").read_text()
    return told


def test_a_network_that_was_trained_with_rounding_is_what_the_bundle_is_made_of_and_compared_with(
    shallow: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uncompiled: None
) -> None:
    found = iter((1.0, 0.5, 0.875))  # FP32, plain quantisation, trained: as if 8 bits lost half
    monkeypatch.setattr(precision, "accuracy", lambda *_: next(found))
    tune, used = qat.tune, []

    def briefly(net: Any, spec: Any, views: Any, classes: Any, target: Any, cfg: Any, say: Any) -> Any:
        used.append(tune(net, spec, views[:8], classes[:8], target, qat.QatConfig(epochs=1), say))
        return used[0]

    def judged(net: Any, *rest: Any) -> Any:
        used.append(net)
        return of_torch(net, *rest)

    monkeypatch.setattr(qat, "tune", briefly)
    monkeypatch.setattr("edge_deploy.build.of_torch", judged)
    told = built(shallow, tmp_path / "disc.bundle", "--qat-if-loss", "0.5%")
    assert "training with 8-bit rounding, epoch 1 of 1" in told
    assert "note: trained with rounding, as plain quantisation gave 50.00%" in told
    assert "still lose more than the 0.50% asked for" in told
    assert len(used) == 2 and used[0] is used[1]


def test_a_network_with_layers_left_in_fp32_becomes_a_bundle(
    shallow: Trained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openvino()  # before nncf: telemetry is off from here on
    from nncf.quantization.algorithms.accuracy_control.ranker import Ranker

    # Which layer costs most is NNCF's to find, by compiling the network once for each of its groups; here the first.
    monkeypatch.setattr(Ranker, "rank_groups_of_quantizers", lambda _, groups, *__: groups[::-1])
    in_8_bits: list[int] = []

    def less_is_right(compiled: Any, inputs: Any, wanted: Any) -> float:
        """As if all in 8 bits lost half of the accuracy, and a layer fewer nothing."""
        kinds = [str(op.get_rt_info()["runtimePrecision"].value) for op in compiled.get_runtime_model().get_ops()]
        in_8_bits.append(sum(kind in ("u8", "i8") for kind in kinds))
        return 0.5 if in_8_bits[-1] and in_8_bits[-1] == max(in_8_bits) else 1.0

    monkeypatch.setattr(precision, "accuracy", less_is_right)
    told = built(shallow, tmp_path / "disc.bundle", "--accuracy-control", "1%")
    assert "note: quantised with accuracy control: accuracy 100.00% in FP32, 100.00% in INT8, of 48" in told
    assert 0 < in_8_bits[-1] < max(in_8_bits)
