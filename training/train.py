"""The classifier's training: one loop, from a data folder to a run directory."""

from __future__ import annotations

import math
import subprocess
import time
from collections import Counter
from pathlib import Path
from threading import Event
from typing import Any

import torch

from inspector.core.manifest import Licence
from training.checkpoint import CHECKPOINT
from training.checks import CHECKS, tell, write_checks
from training.config import FitConfig
from training.data import Dataset, scan
from training.errors import Paused, RunError, TrainingError
from training.evaluate import Report, report
from training.learner import Epoch, Learner
from training.model import Start, fit_into, load_weights
from training.progress import say, shown
from training.runs import METRICS, RUN, SPLITS, WEIGHTS, DatasetInfo, Run, Split, write_json, write_run, write_splits
from training.scalars import scalars
from training.suspects import Suspect, find_suspects, write_suspects
from training.together import Group, joined
from training.views import MEAN, STD


def fit(cfg: FitConfig, begun: Event | None = None) -> Run:
    """Train on `cfg.data` and leave a run in `cfg.out`; an interrupted run there is taken up again.

    begun: set once all that was given has proved usable and the first batch is about to be read.
    Started by torchrun, this is one of several processes that train together; the first of them writes.
    Raises TrainingError (its texts say what to do), Paused when what `cfg.stop_after` gives is used up.
    """
    begun_s = time.monotonic()
    torch.set_num_threads(cfg.threads or torch.get_num_threads())
    with joined(cfg.device) as group:
        quiet = cfg.quiet or not group.first
        data = _scan(cfg, group, quiet)
        learner = Learner(cfg, data, group)
        done = len(learner.history)
        say(f"{len(data.of('train'))} pictures to learn from, on {learner.machine}", quiet=quiet)
        with scalars(cfg.out, done, wanted=cfg.tensorboard and group.first, quiet=quiet) as show_scalars:
            if begun is not None:
                begun.set()
            for epoch in range(done, cfg.epochs):
                if learner.stalled:
                    break
                loss = _finite(_learn(learner, epoch, quiet), epoch)
                line = learner.keep(loss, report(*learner.predictions("val"), data.classes))
                say(_told(line, learner), quiet=quiet)
                show_scalars(line)
                over = _is_over(cfg, epoch + 1 - done, time.monotonic() - begun_s)
                if epoch + 1 < cfg.epochs and not learner.stalled and group.any(over, learner.device):
                    raise Paused(f"stopped after epoch {epoch + 1} of {cfg.epochs}, as asked; the same command goes on")
        return _finish(cfg, learner, quiet)


def _learn(learner: Learner, epoch: int, quiet: bool) -> float:
    """One epoch over the training pictures. Returns the mean loss of a picture."""
    cfg, device, dtype, scaler = learner.cfg, learner.device, learner.dtype, learner.scaler
    learner.begin_epoch(epoch)
    total, number = torch.zeros((), device=device), epoch * learner.steps
    batches = shown(learner.train_batches, f"epoch {epoch + 1}/{cfg.epochs}", len(learner.order), quiet=quiet)
    for batch, (images, targets) in enumerate(learner.watch.waiting(batches)):
        pictures, ends_step = learner.part_of_step(batch)
        images = images.to(device, memory_format=learner.layout, non_blocking=True)  # (B, 3, h, w) float32
        targets = targets.to(device, non_blocking=True)  # (B,) int64
        with learner.joining(ends_step):
            with torch.autocast(device.type, dtype, enabled=dtype is not None):
                logits = learner.model(images)
            losses = learner.loss(logits.float(), targets)
            scaler.scale(losses.sum() * learner.group.world / pictures).backward()
        total += losses.detach().sum()
        if ends_step:
            learner.step(learning_rate(cfg, number, learner.steps), number)
            number += 1
    return learner.learned(total)


def learning_rate(cfg: FitConfig, step: int, steps_per_epoch: int) -> float:
    """Linear over the warm-up (else one epoch, or a tenth of all where that is less), then half a cosine to nothing."""
    total = cfg.epochs * steps_per_epoch
    warm = min(steps_per_epoch, total // 10) if cfg.warmup is None else round(cfg.warmup * steps_per_epoch)
    return cfg.lr * min(1.0, (step + 1) / max(1, warm)) * 0.5 * (1 + math.cos(math.pi * step / total))


def _is_over(cfg: FitConfig, epochs: int, seconds: float) -> bool:
    """epochs, seconds: of this call."""
    stop = cfg.stop_after
    if stop is None:
        return False
    return (stop.epochs is not None and epochs >= stop.epochs) or (
        stop.minutes is not None and seconds > 60 * stop.minutes
    )


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


def _scan(cfg: FitConfig, group: Group, quiet: bool) -> Dataset:
    """The pictures, and on the terminal what is odd about them."""
    if (cfg.out / RUN).exists():
        raise RunError(f"{cfg.out} holds a finished run: give another --out")
    if group.world > cfg.batch:
        raise TrainingError(f"--batch {cfg.batch} is shared by {group.world} processes: make it at least as large")
    data = scan(
        cfg.data, classes=cfg.classes, acceptable=cfg.acceptable, group_by=cfg.group_by, seed=cfg.seed, quiet=quiet
    )
    if group.first:
        cfg.out.mkdir(parents=True, exist_ok=True)
        write_splits(cfg.out, data.rows)
        write_checks(cfg.out / CHECKS, data.findings)
    tell(data.rows, data.findings, cfg.out / CHECKS, quiet=quiet)
    return data


def _finish(cfg: FitConfig, learner: Learner, quiet: bool) -> Run:
    """Measure the best weights on val and test, point at doubtful labels, and write the run."""
    data = learner.data
    fit_into(learner.judged, load_weights(cfg.out / WEIGHTS))
    reports, suspects = _measure(learner)
    metrics = {"best_epoch": learner.best + 1.0, "epochs": float(len(learner.history))}
    metrics["train_seconds"] = round(sum(line.seconds for line in learner.history), 1)
    for split, found in reports.items():
        metrics |= found.metrics(split)
    run = Run(
        schema=1,
        product=cfg.product,
        classes=data.classes,
        network_size=cfg.network_size,
        mean=MEAN,
        std=STD,
        roi=cfg.roi,
        head=cfg.head.value,
        initial_weights=learner.start.text,
        git_commit=source_commit(),
        seed=cfg.seed,
        config=cfg.described() | {"trained_on": learner.machine},
        dataset=DatasetInfo(data.sha256, len(data.rows), SPLITS),
        metrics=metrics,
        licences=licences(cfg.data_licence, data, learner.start),
    )
    if learner.group.first:
        sheet = write_suspects(cfg.out, data.root, suspects, cfg.roi)
        if sheet:
            say(f"{len(suspects)} labels are worth a second look: {sheet}", quiet=quiet)
        _write_metrics(cfg, learner, metrics, reports)
        write_run(cfg.out, run)
        (cfg.out / CHECKPOINT).unlink(missing_ok=True)
    return run


def _measure(learner: Learner) -> tuple[dict[Split, Report], list[Suspect]]:
    """Of val and test, by the best weights."""
    reports: dict[Split, Report] = {}
    suspects: list[Suspect] = []
    splits: tuple[Split, ...] = ("val", "test")
    for split in splits:
        rows = learner.data.of(split)
        if rows:
            probabilities, truth = learner.predictions(split)
            reports[split] = report(probabilities, truth, learner.data.classes)
            suspects += find_suspects(rows, probabilities, truth, learner.labels)
    return reports, sorted(suspects, key=lambda one: one.confidence_in_label - one.confidence)


def _write_metrics(cfg: FitConfig, learner: Learner, metrics: dict[str, float], reports: dict[Split, Report]) -> None:
    peaks = [line.gpu_peak_mib for line in learner.history if line.gpu_peak_mib is not None]
    everything: dict[str, Any] = {**metrics, **{split: found.details() for split, found in reports.items()}}
    everything |= {"machine": learner.machine, "gpu_peak_mib": max(peaks, default=None)}
    everything["data_checks"] = {finding.what: len(finding.where) for finding in learner.data.findings}
    everything["train_pictures"] = dict(Counter(learner.labels[target] for target in learner.targets))
    write_json(cfg.out / METRICS, everything)


def licences(data_licence: str, data: Dataset, start: Start) -> tuple[Licence, ...]:
    """Of the training pictures, and of the weights it started from."""
    pictures = Licence("training pictures", data_licence, f"dataset {data.sha256[:16]}")
    return (pictures, start.licence) if start.licence else (pictures,)


def _finite(loss: float, epoch: int) -> float:
    if not math.isfinite(loss):
        raise TrainingError(f"the loss is not finite in epoch {epoch + 1}: try a smaller --lr, or --precision fp32")
    return loss


def _told(line: Epoch, learner: Learner) -> str:
    gpu = "" if line.gpu_used_percent is None else f"  GPU {line.gpu_used_percent:.0f} %"
    return (
        f"epoch {line.epoch:3d}  loss {line.train_loss:.3f}  val: loss {line.val_loss:.3f}"
        f"  macro recall {100 * line.val_macro_recall:.1f} %  escape {100 * line.val_escape:.1f} %"
        f"  overkill {100 * line.val_overkill:.1f} %  {line.seconds:.0f} s{gpu}"
        + ("  best so far" if learner.best == line.epoch - 1 else "")
    )
