"""The classifier's training: one loop, from a data folder to a run directory."""

from __future__ import annotations

import math
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from inspector.core.manifest import Licence
from training.checkpoint import CHECKPOINT
from training.config import FitConfig
from training.data import Dataset, scan
from training.errors import Paused, RunError, TrainingError
from training.evaluate import evaluate
from training.learner import Epoch, Learner, Loader
from training.model import Start, fit_into, load_weights, train_mode
from training.runs import METRICS, RUN, SPLITS, WEIGHTS, DatasetInfo, Run, write_json, write_run, write_splits
from training.views import MEAN, STD


def fit(cfg: FitConfig) -> Run:
    """Train on `cfg.data` and leave a run in `cfg.out`; an interrupted run there is taken up again.

    Raises TrainingError (its texts say what to do), Paused when `cfg.minutes` are used up.
    """
    begun_s = time.monotonic()
    torch.set_num_threads(cfg.threads or torch.get_num_threads())
    data = _scan(cfg)
    learner = Learner(cfg, data)
    net, optimizer, scaler, device, dtype = (
        learner.net,
        learner.optimizer,
        learner.scaler,
        learner.device,
        learner.dtype,
    )
    _say(f"{len(data.of('train'))} pictures to learn from, on {learner.machine}", cfg)
    train_batches, val_batches = learner.batches("train", cfg.augment, shuffled=True), learner.batches("val")
    steps = len(train_batches)
    for epoch in range(len(learner.history), cfg.epochs):
        if learner.stalled:
            break
        learner.begin_epoch(epoch)
        train_mode(net, cfg.freeze_policy)
        total = torch.zeros((), device=device)
        for step, (images, targets) in enumerate(_shown(train_batches, epoch, cfg), epoch * steps):
            for group in optimizer.param_groups:
                group["lr"] = learning_rate(cfg, step, steps)
            images = images.to(device, memory_format=torch.channels_last, non_blocking=True)  # (B, 3, h, w) float32
            targets = targets.to(device, non_blocking=True)  # (B,) int64
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                logits = net(images)
            smoothing, weight = cfg.label_smoothing, learner.class_weights
            loss = F.cross_entropy(logits.float(), targets, weight=weight, label_smoothing=smoothing)
            scaler.scale(loss).backward()
            scaler.step(optimizer)
            scaler.update()
            optimizer.zero_grad(set_to_none=True)
            total += loss.detach()
        mean_loss = _finite(float(total) / steps, epoch)
        report = evaluate(net, val_batches, data.classes, device)
        _say(_told(learner.keep(mean_loss, report), learner), cfg)
        if cfg.minutes is not None and time.monotonic() - begun_s > 60 * cfg.minutes:
            raise Paused(f"stopped after epoch {epoch + 1} of {cfg.epochs}, as asked; the same command goes on")
    return _finish(cfg, data, learner)


def learning_rate(cfg: FitConfig, step: int, steps_per_epoch: int) -> float:
    """Linear over the first epoch (or a tenth of all, where that is less), then half a cosine down to nothing."""
    total = cfg.epochs * steps_per_epoch
    warm = max(1, min(steps_per_epoch, total // 10))
    return cfg.lr * min(1.0, (step + 1) / warm) * 0.5 * (1 + math.cos(math.pi * step / total))


def source_commit() -> str:
    """The git commit of these sources, marked where they were changed; "" where they are no checkout."""
    here = Path(__file__).parent

    def git(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(["git", "-C", str(here), *args], capture_output=True, text=True, check=False)

    try:
        if git("ls-files", "--error-unmatch", Path(__file__).name).returncode:
            return ""  # installed inside somebody else's checkout
        return git("describe", "--always", "--dirty", "--abbrev=40", "--exclude=*").stdout.strip()
    except OSError:
        return ""


def _scan(cfg: FitConfig) -> Dataset:
    if (cfg.out / RUN).exists():
        raise RunError(f"{cfg.out} holds a finished run: give another --out")
    data = scan(cfg.data, classes=cfg.classes, acceptable=cfg.acceptable, group_by=cfg.group_by, seed=cfg.seed)
    cfg.out.mkdir(parents=True, exist_ok=True)
    write_splits(cfg.out, data.rows)
    return data


def _finish(cfg: FitConfig, data: Dataset, learner: Learner) -> Run:
    """Measure the best weights on val and test, and write the run."""
    fit_into(learner.net, load_weights(cfg.out / WEIGHTS))
    metrics = {"best_epoch": learner.best + 1.0, "epochs": float(len(learner.history))}
    metrics["train_seconds"] = round(sum(line.seconds for line in learner.history), 1)
    details: dict[str, Any] = {}
    for split in ("val", "test"):
        if data.of(split):
            report = evaluate(learner.net, learner.batches(split), data.classes, learner.device)
            metrics |= report.metrics(split)
            details[split] = report.details()
    write_json(
        cfg.out / METRICS, {**metrics, **details, "machine": learner.machine, "gpu_peak_mib": learner.gpu_peak_mib}
    )
    run = Run(
        schema=1,
        product=cfg.product,
        classes=data.classes,
        network_size=cfg.network_size,
        mean=MEAN,
        std=STD,
        roi=cfg.roi,
        head="linear",
        initial_weights=learner.start.text,
        git_commit=source_commit(),
        seed=cfg.seed,
        config=cfg.described() | {"trained_on": learner.machine},
        dataset=DatasetInfo(data.sha256, len(data.rows), SPLITS),
        metrics=metrics,
        licences=licences(cfg.data_licence, data, learner.start),
    )
    write_run(cfg.out, run)
    (cfg.out / CHECKPOINT).unlink(missing_ok=True)
    return run


def licences(data_licence: str, data: Dataset, start: Start) -> tuple[Licence, ...]:
    """Of the training pictures, and of the weights it started from."""
    pictures = Licence("training pictures", data_licence, f"dataset {data.sha256[:16]}")
    return (pictures, start.licence) if start.licence else (pictures,)


def _finite(loss: float, epoch: int) -> float:
    if not math.isfinite(loss):
        raise TrainingError(f"the loss is not finite in epoch {epoch + 1}: try a smaller --lr, or --precision fp32")
    return loss


def _shown(batches: Loader, epoch: int, cfg: FitConfig) -> Iterator[Any]:
    """The batches, under a progress bar that goes when the epoch ends."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=cfg.quiet or not console.is_terminal, transient=True) as bar:
        yield from bar.track(batches, description=f"epoch {epoch + 1}/{cfg.epochs}")


def _say(text: str, cfg: FitConfig) -> None:
    Console(stderr=True, quiet=cfg.quiet, highlight=False, soft_wrap=True).print(text)


def _told(line: Epoch, learner: Learner) -> str:
    return (
        f"epoch {line.epoch:3d}  loss {line.train_loss:.3f}  val: loss {line.val_loss:.3f}"
        f"  macro recall {100 * line.val_macro_recall:.1f} %  escape {100 * line.val_escape:.1f} %"
        f"  overkill {100 * line.val_overkill:.1f} %  {line.seconds:.0f} s"
        + ("  best so far" if learner.best == line.epoch - 1 else "")
    )
