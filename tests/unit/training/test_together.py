"""Two processes that train together, over gloo on this machine, give the curve and the weights of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from safetensors.torch import load_file
from typer.testing import CliRunner

from training.checkpoint import CHECKPOINT
from training.cli import app
from training.runs import HISTORY, WEIGHTS, read_run
from training.suspects import SUSPECTS

pytestmark = pytest.mark.slow
OPTIONS = ["--weights", "none", "--size", "64", "--epochs", "2", "--batch", "12", "--optimizer", "sgd", "--lr", "0.003",
           "--augment", "flip-h", "--augment", "noise", "--threads", "1", "--device", "cpu", "--seed", "3",
           "--no-tensorboard"]  # fmt: skip


def train(data: Path, out: Path, world: int, port: int, *more: str) -> list[str]:
    """Start `world` processes as torchrun does, and wait for them. Returns what each said on stderr."""
    command = [sys.executable, "-m", "training.cli", "fit", str(data), "--out", str(out), *OPTIONS, *more]
    with ExitStack() as ends:
        processes = []
        for rank in range(world):
            env = os.environ | {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(world)}
            env |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "GLOO_SOCKET_IFNAME": "lo"}
            one = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            processes.append(ends.enter_context(one))
            ends.callback(one.kill)  # where the test is given up
        told = [process.communicate()[1] for process in processes]
    assert {process.returncode for process in processes} == {0}, "\n".join(told)
    return told


def history(out: Path) -> list[dict[str, float]]:
    lines: list[dict[str, float]] = json.loads((out / HISTORY).read_text())
    return lines


def suspects(out: Path) -> list[list[str]]:
    """Path, split, label and what it is called, without confidences."""
    return [line.split(",")[:4] for line in (out / SUSPECTS).read_text().splitlines()]


@pytest.mark.parametrize(
    "more",
    [("--freeze", "layer4"), ("--freeze", "head", "--accumulate", "2", "--ema", "0.9", "--imbalance", "over-sampling")],
)
def test_two_processes_give_the_loss_curve_of_one(
    pictures: Path, tmp_path: Path, free_port: int, more: tuple[str, ...]
) -> None:
    for file in sorted((pictures / "stain").glob("*.png"))[:7]:
        file.unlink()  # the last batch is small, and odd
    alone_too = CliRunner().invoke(app, ["fit", str(pictures), "--out", str(tmp_path / "one"), *OPTIONS, *more])
    assert alone_too.exit_code == 0, alone_too.output
    told = train(pictures, tmp_path / "two", 2, free_port, *more)
    for alone, together in zip(history(tmp_path / "one"), history(tmp_path / "two"), strict=True):
        for name in ("train_loss", "val_loss", "val_macro_recall", "lr"):
            assert together[name] == pytest.approx(alone[name], rel=2e-3), name
    expected, found = load_file(tmp_path / "one" / WEIGHTS), load_file(tmp_path / "two" / WEIGHTS)
    apart = sum(
        (found[name].double() - expected[name]).square().sum() for name in expected if name.startswith("layer4")
    )
    assert apart / sum(expected[name].double().square().sum() for name in expected if name.startswith("layer4")) < 1e-6
    one, two = read_run(tmp_path / "one"), read_run(tmp_path / "two")
    assert two.metrics["test_loss"] == pytest.approx(one.metrics["test_loss"], rel=2e-3)
    assert two.config["trained_on"] == "2 x CPU, float32"
    assert suspects(tmp_path / "two") == suspects(tmp_path / "one")
    assert "macro recall" in told[0]
    assert told[1] == ""  # the first process alone speaks
    assert not (tmp_path / "two" / CHECKPOINT).exists()
