"""inspector-train evaluate, on a tiny run: what it writes, and what it says where something is missing."""

from __future__ import annotations

import json
import re
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from typer.testing import CliRunner, Result

from training.choices import Freeze
from training.cli import app
from training.config import FitConfig
from training.errors import RunError, TrainingError
from training.evaluation.curves import reliability
from training.evaluation.measure import Measured, Speed, measure, network_of, open_run, scale, speed
from training.evaluation.run import judge, metrics, worst_pictures
from training.runs import WEIGHTS, read_run, write_run
from training.train import fit

SPEED = Speed("CPU", 10.0, 12.0, 3.0, 120.0, 8)
CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Tiny:
    run: Path
    data: Path


def drawn(kind: str, seed: int) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng([seed, len(kind)])
    image = rng.integers(90, 130, (40, 48, 3), dtype=np.uint8)
    if kind == "scratch":
        image[10:13] = 250
    return image


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Two classes of fifteen pictures, two epochs of the head alone; for reading only."""
    folder = tmp_path_factory.mktemp("tiny")
    for kind in ("good", "scratch"):
        (folder / "pictures" / kind).mkdir(parents=True)
        for i in range(15):
            cv2.imwrite(str(folder / "pictures" / kind / f"{kind}{i}.png"), drawn(kind, i))
    cfg = FitConfig(
        data=folder / "pictures", out=folder / "run", weights="none", network_size=(32, 32), epochs=2, batch=8,
        freeze=Freeze.HEAD, device="cpu", threads=1, quiet=True,
    )  # fmt: skip
    fit(cfg)
    return Tiny(folder / "run", folder / "pictures")


@pytest.fixture
def copied(tiny: Tiny, tmp_path: Path) -> Tiny:
    """The same, for spoiling."""
    return Tiny(shutil.copytree(tiny.run, tmp_path / "run"), shutil.copytree(tiny.data, tmp_path / "pictures"))


def called(run: Path, out: Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["evaluate", str(run), "--out", str(out), "--batch", "8", *options])


def test_the_command_leaves_figures_and_one_page_that_loads_nothing(tiny: Tiny, tmp_path: Path) -> None:
    done = called(tiny.run, tmp_path / "out", "--worst", "3")  # the pictures lie beside the run: found by their name
    assert done.exit_code == 0, done.output
    for said in ("accuracy", "escape", "overkill", "ms an image", "images/s", "Few pictures of a class."):
        assert said in done.output
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == ["evaluation.html", "metrics.json"]
    found = json.loads((tmp_path / "out" / "metrics.json").read_text())
    trained = read_run(tiny.run).metrics
    assert found["accuracy"] == trained["test_accuracy"]
    assert found["macro"]["f1"] == trained["test_macro_f1"]
    assert found["escape"]["upper_95"] == trained["test_escape_upper_95"]
    assert found["pictures"] == sum(map(sum, found["confusion"])) == 6
    assert set(found["classes"]["good"]) == {"recall", "precision", "f1", "pictures", "auroc", "average_precision"}
    assert found["speed"]["one_p50_ms"] > 0 and found["speed"]["many_per_s"] > 0
    assert len(found["worst"]) == 3
    page = (tmp_path / "out" / "evaluation.html").read_text()
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    assert "<script" not in page and "url(" not in page
    for part in ("Reliability", "ROC", "Precision and recall", "Escape against overkill", "Grad-CAM", "Confusion"):
        assert part in page


def test_another_split_is_measured_and_its_flattery_named(tiny: Tiny, tmp_path: Path) -> None:
    done = called(tiny.run, tmp_path / "out", "--split", "train", "--data", str(tiny.data), "--worst", "0")
    assert done.exit_code == 0, done.output
    assert "was learned from: these figures flatter" in (tmp_path / "out" / "evaluation.html").read_text()


def _no_run(tiny: Tiny) -> None:
    shutil.rmtree(tiny.run)


def _not_finished(tiny: Tiny) -> None:
    (tiny.run / "run.json").unlink()


def _no_pictures(tiny: Tiny) -> None:
    shutil.rmtree(tiny.data)


def _one_is_gone(tiny: Tiny) -> None:
    next((tiny.data / "good").iterdir()).unlink()


def _one_changed(tiny: Tiny) -> None:
    for file in (tiny.data / "good").iterdir():
        cv2.imwrite(str(file), drawn("good", 99))


def _no_test(tiny: Tiny) -> None:
    splits = tiny.run / "splits.csv"
    splits.write_text("".join(line for line in splits.read_text().splitlines(True) if ",test," not in line))


def _one_class(tiny: Tiny) -> None:
    run = read_run(tiny.run)
    write_run(tiny.run, type(run)(**{f: getattr(run, f) for f in run.__slots__} | {"classes": run.classes[:1]}))


def _other_weights(tiny: Tiny) -> None:
    tensors = load_file(tiny.run / WEIGHTS)
    save_file(tensors | {"fc.weight": torch.zeros(5, 2048), "fc.bias": torch.zeros(5)}, tiny.run / WEIGHTS)


def _not_finite(tiny: Tiny) -> None:
    tensors = load_file(tiny.run / WEIGHTS)
    save_file(tensors | {"fc.bias": torch.full((2,), torch.nan)}, tiny.run / WEIGHTS)


def _broken_history(tiny: Tiny) -> None:
    (tiny.run / "history.json").write_text("[1]")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_no_run, "holds no finished run"),
        (_not_finished, "holds a training that is not finished: wait for it, or give the same inspector-train command"),
        (_no_pictures, "are not here: say where, with --data FOLDER"),
        (_one_is_gone, "are not here: say where"),
        (_one_changed, "is not the picture that the run knows"),
        (_no_test, r"has no pictures in split 'test'; there are --split"),
        (_one_class, "knows good parts only"),
        (_other_weights, "do not fit a ResNet50 for 2 classes"),
        (_not_finite, "is not finite; its training went wrong"),
        (_broken_history, "move it away to go on without training curves"),
    ],
)
def test_what_cannot_be_measured_is_said_with_what_to_do(
    copied: Tiny, tmp_path: Path, spoil: Callable[[Tiny], None], said: str
) -> None:
    spoil(copied)
    done = called(copied.run, tmp_path / "out")
    assert done.exit_code == 1
    assert re.search(said, done.output), done.output
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_not_the_runs_is_refused_by_the_missing_picture(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="--data must be the folder"):
        open_run(tiny.run, tmp_path, "test")
    with pytest.raises(TrainingError, match="--device gpu9 cannot be used"):
        from training.evaluation.run import EvaluateConfig, evaluate_run

        evaluate_run(EvaluateConfig(tiny.run, tmp_path / "out", device="gpu9"), None)  # type: ignore[arg-type]


def test_a_head_of_two_layers_is_measured_too(copied: Tiny) -> None:
    torch.manual_seed(0)
    head = nn.Sequential(nn.Linear(2048, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 2))
    tensors = {k: v for k, v in load_file(copied.run / WEIGHTS).items() if not k.startswith("fc.")}
    save_file(tensors | {f"fc.{name}": value for name, value in head.state_dict().items()}, copied.run / WEIGHTS)
    taught = open_run(copied.run, None, "test")
    net = network_of(taught, CPU)
    ticks: list[int] = []
    found = measure(taught, "test", net, CPU, 4, 0, lambda: ticks.append(1))
    assert found.logits.shape == (6, 2)
    assert len(ticks) == 6
    again = measure(taught, "test", net, CPU, 4, 0, lambda: None)
    assert np.array_equal(found.logits, again.logits)  # no dropout


def test_the_sheet_shows_escapes_first_then_overkill_then_what_was_unsure(tiny: Tiny) -> None:
    taught = open_run(tiny.run, None, "test")
    rows = taught.of("test")
    truth = np.array([taught.run.labels.index(row.label) for row in rows])  # three good, then three scratches
    assert truth.tolist() == [0, 0, 0, 1, 1, 1]
    said = np.array([3.0, -1.0, 0.1, -2.0, 2.0, -4.0])  # margin of good; right: 0, 2, 3, 5
    logits = np.stack([said, -said], 1).astype(np.float32)
    worst = worst_pictures(taught, Measured(rows, logits, truth), network_of(taught, CPU), CPU, 4)
    assert [w.kind for w in worst] == ["escape", "overkill", "unsure", "unsure"]
    assert [w.path for w in worst] == [rows[i].path for i in (4, 1, 2, 3)]
    assert worst[0].view.shape == (40, 48, 3)
    assert worst[0].heat.min() >= 0 and worst[0].heat.max() <= 1


def test_figures_that_do_not_exist_are_null_and_the_temperature_mends_only_confidence(tiny: Tiny) -> None:
    taught = open_run(tiny.run, None, "test")
    truth = np.zeros(6, np.int64)  # no scratch at all
    logits = np.tile([8.0, 0.0], (6, 1)).astype(np.float32)
    logits[0] = (0.0, 8.0)
    found = Measured(taught.of("test"), logits, truth)
    done = judge(taught, "test", found, 5.0, SPEED, ())
    m = metrics(done)
    assert json.dumps(m, allow_nan=False)
    assert m["classes"]["scratch"]["recall"] is None and m["classes"]["scratch"]["auroc"] is None
    assert (m["escape"]["of"], m["escape"]["upper_95"]) == (0, 1.0)
    assert done.trade is None
    assert m["calibration"]["temperature"] == 5.0
    assert m["calibration"]["ece_scaled"] == reliability(found.probabilities(5.0), truth).ece < m["calibration"]["ece"]


def test_no_temperature_is_fitted_where_no_picture_is_judged_wrong(tiny: Tiny) -> None:
    taught = open_run(tiny.run, None, "test")
    truth, logits = np.zeros(6, np.int64), np.tile([8.0, 0.0], (6, 1)).astype(np.float32)
    assert scale(Measured(taught.of("test"), logits, truth)) is None
    logits[0] = (0.0, 8.0)
    assert scale(Measured(taught.of("test"), logits, truth)) is not None


def test_times_leave_the_warm_up_out(tiny: Tiny) -> None:
    """A clock that stands still inside a call and moves one second at each reading."""
    now = iter(range(10_000))
    taught = open_run(tiny.run, None, "test")
    took = speed(taught, "test", nn.Flatten(), CPU, 4, lambda: float(next(now)))
    assert (took.one_p50_ms, took.read_p50_ms, took.batch, took.many_per_s) == (1000.0, 1000.0, 4, 4.0)


def test_a_run_without_classes_names_the_command_that_measures_it(copied: Tiny) -> None:
    _one_class(copied)
    with pytest.raises(RunError, match="inspector-deploy build"):
        open_run(copied.run, None, "test")


def test_without_the_extra_the_command_prints_the_pip_line(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("training.") and "cli" not in name]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    done = called(tiny.run, tmp_path / "out")
    assert done.exit_code == 1
    assert "pip install '.[train]'" in done.output
