"""The loop, from pictures to a run directory, with a small input and random weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from training.checkpoint import CHECKPOINT
from training.choices import Augment, Freeze, Head, Imbalance, Optim, Precision, StopAfter
from training.cli import app
from training.config import FitConfig
from training.data import dataset_hash
from training.errors import Paused, RunError, TrainingError
from training.model import start_from
from training.oneclass import good_only
from training.runs import HISTORY, METRICS, WEIGHTS, read_run, read_splits, read_weights
from training.train import fit, learning_rate

PART = r"^(\w+\d+)_"


@pytest.fixture
def cfg(pictures: Path, tmp_path: Path) -> FitConfig:
    return FitConfig(
        data=pictures,
        out=tmp_path / "run",
        weights="none",
        network_size=(32, 32),
        epochs=3,
        batch=18,
        lr=1e-3,
        freeze=Freeze.HEAD,  # the quickest; what learns is chosen where it matters
        group_by=PART,
        augment=(Augment.LIGHT, Augment.SHIFT, Augment.FLIP_V),
        device="cpu",
        threads=1,
        quiet=True,
    )


def curve(cfg: FitConfig) -> list[dict[str, float]]:
    """The history without what depends on the clock."""
    clock = {"seconds", "pictures_per_s", "waiting"}
    lines = json.loads((cfg.out / HISTORY).read_text())
    return [{name: value for name, value in line.items() if name not in clock and value is not None} for line in lines]


def test_a_run_holds_what_a_bundle_needs(cfg: FitConfig) -> None:
    run = fit(replace(cfg, roi=(4, 0, 40, 40), epochs=2))
    assert read_run(cfg.out) == run
    rows = read_splits(cfg.out)
    assert run.dataset.sha256 == dataset_hash(rows)
    assert run.dataset.images == len(rows) == 60
    assert run.labels == ("good", "scratch", "stain")
    assert run.acceptable == {"good"}
    assert run.initial_weights == "none (random)"
    assert read_weights(cfg.out)["fc.weight"].shape == (3, 2048)
    assert {"val_macro_recall", "test_accuracy", "test_macro_f1", "test_escape_upper_95"} <= set(run.metrics)
    assert len(json.loads((cfg.out / HISTORY).read_text())) == 2
    assert json.loads((cfg.out / METRICS).read_text())["test"]["escape"]["of"] == 8
    assert not (cfg.out / CHECKPOINT).exists()
    assert str(cfg.data.parent) not in (cfg.out / "run.json").read_text()
    with pytest.raises(RunError, match="finished run"):
        fit(cfg)


@pytest.mark.slow
def test_an_interrupted_run_ends_with_the_weights_of_one_that_was_not(cfg: FitConfig) -> None:
    cfg = replace(cfg, freeze=Freeze.NONE, epochs=2)
    whole = fit(cfg)
    broken = replace(cfg, out=cfg.out.with_name("broken"))
    with pytest.raises(Paused, match="the same command goes on"):
        fit(replace(broken, stop_after=StopAfter(epochs=1)))
    assert fit(broken).metrics["val_loss"] == whole.metrics["val_loss"]
    told = [curve(c) for c in (cfg, broken)]
    assert told[0] == told[1]  # also where the best epoch came before the interruption
    expected = load_file(cfg.out / WEIGHTS)
    for name, value in load_file(broken.out / WEIGHTS).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


def test_another_configuration_does_not_go_on_with_an_interrupted_run(cfg: FitConfig) -> None:
    with pytest.raises(Paused):
        fit(replace(cfg, stop_after=StopAfter(epochs=1)))
    with pytest.raises(RunError, match=r"started otherwise \(--epochs, --lr changed\)"):
        fit(replace(cfg, epochs=9, lr=1.0))
    next((cfg.data / "good").glob("*_1.png")).unlink()
    with pytest.raises(RunError, match=r"\(the pictures changed\)"):
        fit(cfg)


def test_the_best_epoch_is_kept_and_a_stalled_training_stops(cfg: FitConfig) -> None:
    run = fit(replace(cfg, epochs=30, patience=1, lr=3e-3))
    history = json.loads((cfg.out / HISTORY).read_text())
    best = max(history, key=lambda line: (line["val_macro_recall"], -line["val_loss"]))
    assert len(history) < 30
    assert history[-1]["val_loss"] != pytest.approx(best["val_loss"], rel=1e-3)
    assert run.metrics["best_epoch"] == best["epoch"] == len(history) - 1
    assert run.metrics["val_macro_recall"] == best["val_macro_recall"]
    assert run.metrics["val_loss"] == pytest.approx(best["val_loss"], rel=1e-5)


@pytest.mark.slow
def test_the_loop_learns_bars_and_spots(cfg: FitConfig) -> None:
    run = fit(replace(cfg, freeze=Freeze.LAYER4, epochs=8, lr=3e-4, imbalance=Imbalance.BALANCED_SAMPLER, augment=()))
    assert run.metrics["test_macro_recall"] > 0.6  # chance is a third; above random features


@pytest.mark.parametrize("method", list(Imbalance))
def test_each_way_to_treat_rare_classes_trains(cfg: FitConfig, method: Imbalance) -> None:
    for file in sorted((cfg.data / "stain").glob("stain[3-9]*.png")):
        file.unlink()
    run = fit(replace(cfg, imbalance=method, epochs=1))
    assert run.config["imbalance"] == method
    assert 0 < curve(cfg)[0]["train_loss"] < 20


def test_accumulated_batches_learn_as_one_large_batch_does(cfg: FitConfig) -> None:
    cfg = replace(cfg, batch=36, epochs=2, optimizer=Optim.SGD, lr=0.05)
    small = replace(cfg, batch=12, accumulate=3, out=cfg.out.with_name("small"))
    fit(cfg)
    fit(small)
    for one, three in zip(curve(cfg), curve(small), strict=True):
        assert three == pytest.approx(one, rel=1e-4)


def test_pictures_are_changed_anew_in_each_epoch(cfg: FitConfig) -> None:
    still = replace(cfg, lr=1e-12, epochs=2, augment=())
    fit(still)
    moving = replace(still, augment=(Augment.NOISE,), out=cfg.out.with_name("moving"))
    fit(moving)
    (one, two), (first, second) = curve(still), curve(moving)
    assert two["train_loss"] == pytest.approx(one["train_loss"], rel=1e-5)
    assert second["train_loss"] != pytest.approx(first["train_loss"], rel=1e-5)


def test_the_curve_does_not_depend_on_who_reads_the_pictures(cfg: FitConfig) -> None:
    cfg = replace(cfg, epochs=1)
    fit(cfg)
    helped = replace(cfg, workers=1, out=cfg.out.with_name("helped"))
    fit(helped)
    assert curve(helped) == curve(cfg)


def test_the_slow_average_is_what_is_judged_and_kept(cfg: FitConfig) -> None:
    cfg = replace(cfg, epochs=1)
    fit(cfg)
    slow = replace(cfg, ema=0.9, out=cfg.out.with_name("slow"))
    fit(slow)
    assert curve(slow)[0]["train_loss"] == curve(cfg)[0]["train_loss"]
    assert curve(slow)[0]["val_loss"] != curve(cfg)[0]["val_loss"]
    assert not torch.equal(read_weights(slow.out)["fc.weight"], read_weights(cfg.out)["fc.weight"])


def test_the_two_layer_head_is_named_in_the_run(cfg: FitConfig) -> None:
    run = fit(replace(cfg, epochs=1, head=Head.MLP, channels_last=False))
    assert read_run(cfg.out).head == run.head == "mlp"
    assert read_weights(cfg.out)["fc.3.weight"].shape == (3, 512)
    other = start_from(str(cfg.out), 3, head=Head.LINEAR)  # a run may start from it, with a fresh head
    assert torch.equal(other.net.conv1.weight, read_weights(cfg.out)["conv1.weight"])


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"ema": 1.0}, {"lr": 0.0}, {"accumulate": 0}, {"warmup": 26.0}])
def test_a_figure_that_no_training_can_use_is_refused(tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=f"--{next(iter(wrong))} .* cannot be used"):
        FitConfig(tmp_path, tmp_path, **wrong)


def test_the_defaults_are_what_the_field_starts_with(tmp_path: Path) -> None:
    d = FitConfig(tmp_path, tmp_path)
    assert (d.epochs, d.lr, d.batch, d.weight_decay, d.label_smoothing, d.patience) == (25, 1e-3, 32, 1e-4, 0.1, 5)


def test_a_loss_that_is_not_finite_stops_with_a_word_of_advice(cfg: FitConfig) -> None:
    with pytest.raises(TrainingError, match="not finite in epoch 1: try a smaller --lr"):
        fit(replace(cfg, lr=1e30, freeze=Freeze.NONE))
    assert not (cfg.out / WEIGHTS).exists()


def test_half_precision_is_for_gpus_and_bfloat16_works_on_a_cpu(cfg: FitConfig) -> None:
    with pytest.raises(TrainingError, match="needs a GPU"):
        fit(replace(cfg, precision=Precision.FP16))
    assert fit(replace(cfg, precision=Precision.BF16, epochs=1)).metrics["epochs"] == 1


def test_the_learning_rate_rises_once_and_falls_to_nothing(cfg: FitConfig) -> None:
    rates = [learning_rate(replace(cfg, epochs=10), step, 20) for step in range(200)]
    top = rates.index(max(rates))
    assert rates[0] < rates[top] <= cfg.lr
    assert 15 < top <= 20
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert rates[-1] < cfg.lr / 1000


def test_good_parts_alone_make_a_run_on_the_features_of_another(cfg: FitConfig, tmp_path: Path) -> None:
    taught = fit(replace(cfg, epochs=1))
    tiles = tmp_path / "tiles"
    (tiles / "train").mkdir(parents=True)
    (tiles / "test").mkdir()
    (cfg.data / "good").rename(tiles / "train" / "good")
    (cfg.data / "stain").rename(tiles / "test" / "stain")
    run = good_only(replace(cfg, data=tiles, out=tmp_path / "one", weights=str(cfg.out)))
    assert run.labels == ("good",)
    rows = read_splits(tmp_path / "one")
    assert {(row.split, row.label) for row in rows} == {("train", "good"), ("val", "good"), ("test", "stain")}
    assert not {row.group for row in rows if row.split == "train"} & {row.group for row in rows if row.split == "val"}
    own, given = read_weights(tmp_path / "one"), read_weights(cfg.out)
    assert all(torch.equal(own[name], given[name]) for name in given if not name.startswith("fc."))
    assert taught.network_size == run.network_size


def test_the_command_trains_and_explains_itself(pictures: Path, tmp_path: Path) -> None:
    shell, out = CliRunner(), tmp_path / "run"
    options = ["--weights", "none", "--size", "32x32", "--epochs", "1", "--group-by", PART, "--threads", "1"]
    done = shell.invoke(app, ["fit", str(pictures), "--out", str(out), "--product", "disc", *options])
    assert done.exit_code == 0, done.output
    assert "next: inspector-deploy build" in done.output
    assert read_run(out).product == "disc"
    wrong = shell.invoke(app, ["fit", str(tmp_path / "nowhere"), "--out", str(tmp_path / "other"), *options])
    assert wrong.exit_code == 1
    assert "nowhere is not a folder" in wrong.output
    size = shell.invoke(app, ["fit", str(pictures), "--out", str(tmp_path / "other"), "--size", "big"])
    assert "expected 2 whole numbers" in size.output


def test_without_the_extra_the_command_prints_the_pip_line(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    for name in [name for name in sys.modules if name.startswith("training.") and name != "training.cli"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torch", None)
    said = CliRunner().invoke(app, ["fit", str(pictures), "--out", str(tmp_path / "run")])
    assert said.exit_code == 1
    assert "pip install '.[train]'" in said.output
