"""What is left when a training has ended: doubtful labels, a comparison, TensorBoard's figures, and a last command."""

from __future__ import annotations

import csv
import errno
import json
import sys
from dataclasses import fields, replace
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.unit.training.conftest import picture
from training.choices import Freeze
from training.cli import app
from training.compare import load, plot, table, warnings
from training.config import FitConfig, option
from training.errors import RunError
from training.finish import command_of, run_on_finish
from training.runs import METRICS, SplitRow
from training.scalars import FOLDER
from training.sheets import sheet
from training.suspects import SHEET, SUSPECTS, Suspect, find_suspects, write_suspects
from training.train import fit
from training.views import read_image

LABELS = ("good", "stain")


def row(name: str, label: str) -> SplitRow:
    return SplitRow(name, label, "val", name, "0" * 64)


def test_a_confident_disagreement_is_suspected_and_a_hesitant_one_is_not() -> None:
    rows = [row("a", "good"), row("b", "good"), row("c", "stain"), row("d", "stain"), row("e", "good")]
    rows += [row(name, "stain") for name in "fgh"]
    truth = np.array([0, 0, 1, 1, 0, 1, 1, 1])
    p_good = np.array([0.95, 0.02, 0.1, 0.97, 0.45, 0.1, 0.1, 0.1])  # b and d disagree firmly, e hardly
    probabilities = np.stack([p_good, 1 - p_good], 1)
    found = find_suspects(rows, probabilities, truth, LABELS)
    assert [(s.path, s.label, s.called) for s in found] == [("b", "good", "stain"), ("d", "stain", "good")]


def test_suspects_come_as_a_table_and_as_a_sheet(tmp_path: Path, pictures: Path) -> None:
    suspects = [Suspect("good/good0_0.png", "test", "good", "stain", 0.9, 0.05)]
    assert write_suspects(tmp_path, pictures, suspects, (0, 0, 40, 20)) == tmp_path / SHEET
    lines = list(csv.DictReader((tmp_path / SUSPECTS).read_text().splitlines()))
    assert lines == [{"path": "good/good0_0.png", "split": "test", "label": "good", "called": "stain",
                      "confidence": "0.9000", "confidence_in_label": "0.0500"}]  # fmt: skip
    assert read_image(tmp_path / SHEET).shape == (6 + 160 + 3 * 16 + 6, 6 + 166, 3)
    assert write_suspects(tmp_path, pictures, [], None) is None


def test_a_sheet_shows_each_picture_whole(tmp_path: Path) -> None:
    wide = np.zeros((10, 80, 3), np.uint8)
    page = sheet([(wide, ("wide",)), (picture("good", 1), ("a" * 99, "two"))], columns=2)
    black = (page == 0).all(2)
    assert black[:, :172].any(1).sum() >= 20  # 160 wide, 20 high
    assert page.shape == (6 + 160 + 2 * 16 + 6, 6 + 2 * 166, 3)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two short trainings of the same pictures, one with figures for TensorBoard."""
    import cv2

    root = tmp_path_factory.mktemp("finish")
    for kind in ("good", "stain"):
        (root / "data" / kind).mkdir(parents=True)
        for i in range(12):
            cv2.imwrite(str(root / "data" / kind / f"{i}.png"), picture(kind, i))
    cfg = FitConfig(
        root / "data",
        root / "a",
        weights="none",
        network_size=(32, 32),
        epochs=1,
        freeze=Freeze.HEAD,
        device="cpu",
        threads=1,
        quiet=True,
        tensorboard=True,
    )
    fit(cfg)
    fit(replace(cfg, out=root / "b", lr=0.01, tensorboard=False))
    return [root / "a", root / "b"]


def test_a_run_tells_tensorboard_its_figures(runs: list[Path]) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(runs[0] / FOLDER))
    events.Reload()
    assert {"loss/train", "loss/val", "val/macro recall", "line/escape"} <= set(events.Tags()["scalars"])
    history = json.loads((runs[0] / "history.json").read_text())
    assert events.Scalars("loss/train")[0].value == pytest.approx(history[0]["train_loss"], rel=1e-5)
    assert not (runs[1] / FOLDER).exists()


def test_a_run_remembers_what_was_odd_about_its_pictures(runs: list[Path]) -> None:
    found = json.loads((runs[0] / METRICS).read_text())
    assert found["data_checks"]["classes with fewer than 20 pictures to learn from"] == 2
    assert set(found["train_pictures"]) == {"good", "stain"}
    assert found["gpu_peak_mib"] is None


def test_runs_are_compared_by_table_and_curves(runs: list[Path], tmp_path: Path) -> None:
    shell = CliRunner()
    done = shell.invoke(app, ["compare", *map(str, runs), "--out", str(tmp_path / "c.png")], env={"COLUMNS": "100"})
    assert done.exit_code == 0, done.output
    assert "--lr" in done.output and "0.01" in done.output
    assert "careful" not in done.output
    assert read_image(tmp_path / "c.png").shape[0] > 300
    columns = [list(column.cells) for column in table(load(runs)).columns]
    assert columns[1][0] == "1, 1"
    assert "at most" in columns[1][4]


def test_texts_name_options_that_exist(runs: list[Path]) -> None:
    import typer

    from training.compare import Candidate

    command = typer.main.get_command(app).commands["fit"]  # type: ignore[attr-defined]
    exist = {name for parameter in command.params for name in parameter.opts}
    named = {option(field.name) for field in fields(FitConfig) if field.name not in {"data", "quiet"}}
    assert named <= exist
    with pytest.raises(ValueError, match=r"^--size \(0, 32\) cannot be used"):
        FitConfig(Path("x"), Path("y"), network_size=(0, 32))
    one = load(runs[:1])[0]
    assert one.run is not None
    config = dict(one.run.config) | {"trained_on": "another machine", "network_size": "64,64"}
    other = Candidate("other", replace(one.run, config=config), ())
    rows = [str(cell) for cell in table([one, other]).columns[0].cells]
    assert rows[-2:] == ["--size", "trained on"]


def test_a_comparison_says_where_it_is_none(runs: list[Path], tmp_path: Path) -> None:
    unfinished = tmp_path / "b"
    unfinished.mkdir()
    (unfinished / "history.json").write_bytes((runs[1] / "history.json").read_bytes())
    candidates = load([runs[1], unfinished])
    assert candidates[0].name != candidates[1].name
    assert warnings(candidates) == ["a run that is not finished has curves only"]
    plot(candidates, tmp_path / "c.svg")
    with pytest.raises(RunError, match="ends with"):
        plot(candidates, tmp_path / "c.txt")
    with pytest.raises(RunError, match="no finished run"):
        load([tmp_path / "nothing"])


def test_on_finish_runs_a_program_without_a_shell(tmp_path: Path) -> None:
    write = "import os, sys; open(sys.argv[1], 'w').write(os.environ['INSPECTOR_STATUS'] + ' ' + sys.argv[2])"
    command = command_of(f'"{sys.executable}" -c "{write}" {tmp_path / "told"} "$HOME; true"')
    assert run_on_finish(command, "paused", tmp_path) is None
    assert (tmp_path / "told").read_text() == "paused $HOME; true"
    assert run_on_finish(command_of("false"), "finished", tmp_path) == "--on-finish false ended with status 1"


@pytest.mark.parametrize(
    ("text", "said"), [("", "is empty"), ("'open", "No closing quotation"), ("no-such-program -h", "no program")]
)
def test_a_last_command_that_cannot_run_is_refused_before_the_training(
    pictures: Path, tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(ValueError, match=said):
        command_of(text)
    done = CliRunner().invoke(app, ["fit", str(pictures), "--out", str(tmp_path / "run"), "--on-finish", text])
    assert done.exit_code == 1
    assert said in done.output
    assert not (tmp_path / "run").exists()


def teller(folder: Path) -> tuple[Path, Path]:
    """A program that ends with status 7, and the file where it writes what it was told."""
    script, told = folder / "tell.sh", folder / "told"
    script.write_text(f'#!/bin/sh\necho "$INSPECTOR_STATUS $INSPECTOR_RUN" > {told}\nexit 7\n')
    script.chmod(0o755)
    return script, told


@pytest.mark.parametrize(
    ("more", "word"),
    [((), "finished"), (("--stop-after", "1"), "paused"), (("--lr", "1e30", "--freeze", "none"), "failed")],
)
def test_the_last_command_hears_how_it_ended(pictures: Path, tmp_path: Path, more: tuple[str, ...], word: str) -> None:
    script, told = teller(tmp_path)
    options = ["--weights", "none", "--size", "32", "--epochs", "1" if not more else "2", "--freeze", "head"]
    options += ["--threads", "1", "--device", "cpu", "--no-tensorboard", "--on-finish", str(script), *more]
    done = CliRunner().invoke(app, ["fit", str(pictures), "--out", str(tmp_path / "run"), *options])
    assert told.read_text() == f"{word} {tmp_path / 'run'}\n"
    assert "ended with status 7" in done.output
    assert done.exit_code == 1


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device", "history.json"), "No space left on device: 'history.json'"),
        (RuntimeError("DataLoader worker (pid 7) is killed by signal: Killed"), "Traceback"),
        (torch.AcceleratorError("CUDA error: an illegal memory access"), "CUDA error: an illegal memory access"),
        (torch.OutOfMemoryError("Tried to allocate"), "try a smaller --batch"),
    ],
)
def test_the_last_command_is_run_whatever_ended_a_training_that_had_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def breaks(cfg: FitConfig, begun: Event) -> None:
        begun.set()
        raise error

    script, told = teller(tmp_path)
    monkeypatch.setattr("training.train.fit", breaks)
    done = CliRunner().invoke(app, ["fit", "x", "--out", str(tmp_path / "run"), "--on-finish", str(script)])
    assert told.read_text() == f"failed {tmp_path / 'run'}\n"
    assert said in done.output and str(error) in done.output and "the same command goes on" in done.output
    assert done.output.index(said) < done.output.index("ended with status 7")  # the machine may be off after it
    assert done.exit_code == 1


@pytest.mark.parametrize("error", [None, OSError("read-only"), RuntimeError("a bug")])
def test_what_goes_wrong_before_the_training_runs_no_last_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    def breaks(cfg: FitConfig, begun: Event) -> None:
        raise error or AssertionError

    script, told = teller(tmp_path)
    if error:
        monkeypatch.setattr("training.train.fit", breaks)
    options = ["--out", str(tmp_path / "run"), "--on-finish", str(script)]
    done = CliRunner().invoke(app, ["fit", str(tmp_path / "pitcures"), *options])
    assert done.exit_code == 1
    assert str(error or "pitcures") in done.output + str(done.exception)
    assert not told.exists()
