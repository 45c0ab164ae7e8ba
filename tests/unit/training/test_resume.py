"""A training that was interrupted, anywhere, ends where one that was not interrupted ends."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from training import learner
from training.checkpoint import CHECKPOINT
from training.choices import Augment, Freeze, Head, Optim, StopAfter, stop_after
from training.config import FitConfig
from training.errors import Paused, RunError
from training.runs import HISTORY, WEIGHTS
from training.train import fit

CLOCK = {"seconds", "pictures_per_s", "waiting"}


@pytest.fixture
def cfg(pictures: Path, tmp_path: Path) -> FitConfig:
    """What has most to lose: a slow average, accumulated steps, dropout, and random changes."""
    return FitConfig(
        pictures,
        tmp_path / "whole",
        weights="none",
        network_size=(32, 32),
        epochs=2,
        batch=10,
        accumulate=2,
        ema=0.9,
        head=Head.MLP,
        freeze=Freeze.HEAD,
        optimizer=Optim.SGD,
        lr=1e-2,
        augment=(Augment.NOISE, Augment.FLIP_H),
        device="cpu",
        threads=1,
        quiet=True,
    )


def curve(out: Path) -> list[dict[str, float]]:
    lines = json.loads((out / HISTORY).read_text())
    return [{name: value for name, value in line.items() if name not in CLOCK} for line in lines]


def same(one: Path, other: Path) -> None:
    assert curve(one) == curve(other)
    expected = load_file(one / WEIGHTS)
    for name, value in load_file(other / WEIGHTS).items():
        torch.testing.assert_close(value, expected[name], rtol=0, atol=0)


@pytest.fixture
def interrupted_at(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The reading of so many pictures more is the last thing that happens before SIGTERM's exception."""
    left: list[int] = []
    plain = learner.Views.__getitem__

    def getitem(self: learner.Views, index: int) -> Any:
        if left:
            left[0] -= 1
            if left[0] < 0:
                left.clear()
                raise KeyboardInterrupt
        return plain(self, index)

    monkeypatch.setattr(learner.Views, "__getitem__", getitem)
    return left


def test_interrupted_at_random_steps_it_ends_with_the_same_curve_and_weights(
    cfg: FitConfig, interrupted_at: list[int]
) -> None:
    fit(cfg)
    broken = replace(cfg, out=cfg.out.with_name("broken"))
    chance = random.Random(4)
    for first, last in ((5, 47), (48, 95)):  # an epoch reads 48 pictures: in the first epoch, then in the second
        interrupted_at[:] = [chance.randrange(first, last)]
        with pytest.raises(KeyboardInterrupt):
            fit(broken)
    assert len(curve(broken.out)) == 1
    fit(broken)
    same(cfg.out, broken.out)


def test_stop_after_pauses_and_the_same_command_goes_on(cfg: FitConfig) -> None:
    with pytest.raises(Paused, match="stopped after epoch 1 of 2"):
        fit(replace(cfg, stop_after=StopAfter(minutes=0.0)))
    assert (cfg.out / CHECKPOINT).exists()
    with pytest.raises(RunError, match=r"\(--ema changed\)"):
        fit(replace(cfg, ema=0.5))
    assert fit(replace(cfg, stop_after=StopAfter(epochs=1))).metrics["epochs"] == 2  # the last: nothing to pause for


@pytest.mark.parametrize(
    ("text", "meant"),
    [("5", StopAfter(epochs=5)), ("90m", StopAfter(minutes=90)), ("1.5h", StopAfter(minutes=90)),
     ("3 min", StopAfter(minutes=3))],
)  # fmt: skip
def test_stop_after_takes_epochs_or_a_time(text: str, meant: StopAfter) -> None:
    assert stop_after(text) == meant


@pytest.mark.parametrize("text", ["0", "1.5", "soon", "-3", "5s", ""])
def test_what_stop_after_cannot_mean_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="--stop-after"):
        stop_after(text)


# The command, which stands still behind its first epoch: else it might have ended before somebody stops it.
HELD = """
import time
from training import learner
from training.cli import main

write = learner.save_checkpoint

def and_wait(*given):
    write(*given)
    while True:
        time.sleep(0.02)

learner.save_checkpoint = and_wait
main()
"""


@pytest.mark.slow
def test_sigterm_ends_the_process_and_the_same_command_goes_on(pictures: Path, tmp_path: Path) -> None:
    def command(out: Path, *program: str) -> list[str]:
        return [sys.executable, *program, "fit", str(pictures), "--out", str(out), "--weights", "none",
                "--size", "32", "--epochs", "3", "--freeze", "head", "--batch", "9", "--threads", "1",
                "--device", "cpu", "--no-tensorboard"]  # fmt: skip

    plain, whole, broken = ("-m", "training.cli"), tmp_path / "whole", tmp_path / "broken"
    subprocess.run(command(whole, *plain), check=True, capture_output=True)
    held = command(broken, "-c", HELD)
    with subprocess.Popen(held, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as process:
        try:
            while not (broken / CHECKPOINT).exists() and process.poll() is None:
                time.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            told = process.communicate()[1]
        finally:
            process.kill()
    assert process.returncode == 130, told
    assert "the same command goes on" in told
    assert not (broken / "run.json").exists()
    subprocess.run(command(broken, *plain), check=True, capture_output=True)
    same(whole, broken)
