"""Exports of one random ResNet50, each read back by the runtime that it is for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import torchvision
from safetensors.torch import save_file
from typer.testing import CliRunner

import edge_deploy.export as exporting
from edge_deploy.cli import app
from edge_deploy.convert import NetworkInput
from edge_deploy.errors import DeployError
from edge_deploy.export import Exported, ExportOptions, Precision, export
from edge_deploy.export_check import Checked, Deployed, table
from inspector.core.manifest import ClassEntry, Licence
from tests.unit.edge_deploy.conftest import picture
from training.runs import SPLITS, DatasetInfo, Run, SplitRow, write_run, write_splits
from training.views import MEAN, STD

SIZE = 64
INT8_PICTURES = 8


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run directory, with its pictures in `pictures` beside it."""
    import hashlib

    torch.manual_seed(2)
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("export")
    folder, rows = root / "run", []
    for i in range(INT8_PICTURES + 4):
        file = root / "pictures" / f"{i}.png"
        file.parent.mkdir(exist_ok=True)
        cv2.imwrite(str(file), picture(i, 80, 100))
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        rows.append(SplitRow(file.name, "good", "train" if i < INT8_PICTURES else "val", digest[:16], digest))
    folder.mkdir()
    save_file(torchvision.models.resnet50(weights=None, num_classes=3).state_dict(), folder / "model.safetensors")
    write_splits(folder, rows)
    names = ("good", "dent", "stain")
    write_run(folder, Run(
        schema=1, product="disc", classes=tuple(ClassEntry(i, n, i == 0) for i, n in enumerate(names)),
        network_size=(SIZE, SIZE), mean=MEAN, std=STD, roi=(4, 6, 90, 70), head="linear", initial_weights="none",
        git_commit="", seed=1, config={}, metrics={}, dataset=DatasetInfo("0" * 64, len(rows), SPLITS),
        licences=(Licence("drawn", "Apache-2.0", "tests"),),
    ))  # fmt: skip
    return folder


@pytest.fixture(scope="module")
def exported(run: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Exported]:
    out = tmp_path_factory.mktemp("out")
    options = ExportOptions(onnx=True, torch=True, openvino=tuple(Precision), data=run.parent / "pictures")
    return out, export(run, out, options)


@pytest.mark.slow
def test_every_export_is_written_after_it_agreed_with_pytorch(exported: tuple[Path, Exported]) -> None:
    out, made = exported
    assert {file.name for file in out.iterdir()} == {
        "model.onnx", "model.pt2", "README.txt", "export.json",
        *(f"model_{p}.{suffix}" for p in Precision for suffix in ("xml", "bin")),
    }  # fmt: skip
    assert all(row.ok for row in made.checked)
    assert {(row.file, row.batch) for row in made.checked if row.file == "model.onnx"} == {
        ("model.onnx", 1), ("model.onnx", 2), ("model.onnx", 5),
    }  # fmt: skip
    size = {p: (out / f"model_{p}.bin").stat().st_size for p in Precision}
    assert size[Precision.FP16] < 0.51 * size[Precision.FP32] and size[Precision.INT8] < 0.27 * size[Precision.FP32]


@pytest.mark.slow
def test_onnx_takes_grey_values_of_any_batch_and_names_its_outputs(exported: tuple[Path, Exported], run: Path) -> None:
    import onnxruntime

    session = onnxruntime.InferenceSession(exported[0] / "model.onnx", providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    assert (taken.name, taken.type, taken.shape[1:]) == ("image", "tensor(float)", [3, SIZE, SIZE])
    assert [output.name for output in session.get_outputs()] == ["probabilities", "embedding"]
    batch = np.random.default_rng(0).integers(0, 256, (7, 3, SIZE, SIZE)).astype(np.float32)
    probabilities, embedding = session.run(None, {"image": batch})
    assert (probabilities.shape, embedding.shape) == ((7, 3), (7, 2048))
    np.testing.assert_allclose(probabilities.sum(1), 1.0, rtol=1e-5)


@pytest.mark.slow
def test_what_lies_beside_the_files_says_input_classes_and_what_is_missing(exported: tuple[Path, Exported]) -> None:
    out, _ = exported
    text, told = (out / "README.txt").read_text(), json.loads((out / "export.json").read_text())
    for needed in ("(batch, 3, 64, 64)", "RGB", "0  good  (good)", "antialias", "4, 6, 90, 70", "No novelty", "cosine"):
        assert needed in text
    assert [entry["name"] for entry in told["classes"]] == ["good", "dent", "stain"]
    assert told["normalisation"]["inside_the_files"] is True and told["novelty_score"] is None
    assert "onnxruntime" in told["versions"] and len(told["checked_against_pytorch"]) == 18


@pytest.mark.slow
def test_a_file_that_does_not_agree_with_pytorch_is_not_written(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_another_mean(net: Any, spec: NetworkInput) -> Deployed:
        return Deployed(net, NetworkInput(spec.height, spec.width, (0.5, 0.3, 0.5), spec.std))

    monkeypatch.setattr(exporting, "Deployed", with_another_mean)
    with pytest.raises(DeployError, match=r"model\.pt2 does not agree with PyTorch") as told:
        export(run, tmp_path, ExportOptions(torch=True))
    assert "WRONG" in str(told.value)
    assert not list(tmp_path.iterdir())


def test_a_difference_that_is_no_number_is_no_agreement() -> None:
    assert not Checked("model.onnx", 1, "embedding", float("nan"), 0.0, (0.9, 0.1)).ok
    assert not Checked("model.onnx", 1, "embedding", 1.0, float("nan"), (0.9, 0.1)).ok
    assert "WRONG" in table([Checked("model.onnx", 1, "embedding", 0.5, 0.0, (0.9, 0.1))])


def test_int8_without_pictures_is_refused_before_any_work(run: Path, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["export", str(run), "--out", str(tmp_path / "x"), "--openvino", "int8"])
    assert told.exit_code == 1 and "--data" in told.output
    assert not (tmp_path / "x").exists()


def test_an_export_of_nothing_and_an_unknown_precision_are_refused(run: Path, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["export", str(run), "--out", str(tmp_path / "x")])
    assert told.exit_code == 1 and "--onnx, --torch and --openvino" in told.output
    told = CliRunner().invoke(app, ["export", str(run), "--out", str(tmp_path / "x"), "--openvino", "int4"])
    assert told.exit_code == 2 and "fp32, fp16, int8" in told.output
