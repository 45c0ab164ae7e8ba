"""inspector-train: from labelled pictures to a run that a bundle can be built from."""

from __future__ import annotations

import os
import signal
import traceback
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Annotated, Any

import typer

from training.choices import Freeze, Head, Imbalance, Optim, Precision
from training.commands import register
from training.evaluation import command as evaluation
from training.finish import command_of, run_on_finish
from training.words import (
    MISSING,
    Acceptable,
    Augments,
    Classes,
    Data,
    GroupBy,
    RoiText,
    Seed,
    Size,
    config_of,
    leave,
)

if TYPE_CHECKING:
    from training.config import FitConfig

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, rich_markup_mode="markdown")

Out = Annotated[Path, typer.Option(help="Run directory to write; an interrupted run in it is taken up again.")]
Product = Annotated[str, typer.Option(help="Name of the product, as recipes and bundles call it.")]
WeightsLicence = Annotated[str, typer.Option(help="SPDX identifier of the initial weights' licence.")]
DataLicence = Annotated[str, typer.Option(help="SPDX identifier of the pictures' licence.")]


@app.callback()
def about() -> None:
    """Train on a workstation; a GPU is used where there is one. docs/training.md explains step by step."""


@app.command(
    epilog="Examples:  \n"
    "`inspector-train fit pictures --out runs/first`  \n"
    "`inspector-train fit pictures --out runs/b --acceptable good --group-by '(part\\d+)_' --augment light`  \n"
    "`inspector-train fit pictures --out runs/c --weights resnet50.safetensors --size 128 --epochs 20`  \n"
    "`torchrun --nproc-per-node 4 -m training.cli fit pictures --out runs/d --batch 256`"
)
def fit(
    data: Data,
    out: Out,
    product: Product = "part",
    weights: Annotated[str, typer.Option(help="imagenet, none, a .safetensors/.pt/.pth file, or a run.")] = "imagenet",
    freeze: Annotated[
        Freeze | None,
        typer.Option(help="layer4: stem to layer3 stay; head: fc learns. Default: layer4; none if random."),
    ] = None,
    head: Annotated[Head, typer.Option(help="linear: 2048-N. mlp: 2048-512-ReLU-Dropout(0.5)-N.")] = Head.LINEAR,
    acceptable: Acceptable = None,
    group_by: GroupBy = None,
    roi: RoiText = None,
    size: Size = "224",
    epochs: Annotated[int, typer.Option(min=1)] = 25,
    batch: Annotated[int, typer.Option(min=1, help="Pictures of a batch, over all processes.")] = 32,
    accumulate: Annotated[int, typer.Option(min=1, help="Batches whose gradients make one step.")] = 1,
    optimizer: Annotated[Optim, typer.Option(help="sgd: with Nesterov momentum 0.9.")] = Optim.ADAMW,
    lr: Annotated[float, typer.Option(min=0.0, help="Highest learning rate; falls as a cosine.")] = 1e-3,
    warmup: Annotated[
        float | None, typer.Option(min=0.0, help="Epochs in which the learning rate rises. Default: 1, or a tenth.")
    ] = None,
    ema: Annotated[float, typer.Option(min=0.0, max=0.99999, help="Slow average of the weights; 0: none.")] = 0.0,
    weight_decay: Annotated[float, typer.Option(min=0.0)] = 1e-4,
    label_smoothing: Annotated[float, typer.Option(min=0.0, max=0.5)] = 0.1,
    imbalance: Annotated[Imbalance, typer.Option(help="What is done about rare classes.")] = Imbalance.WEIGHTED_LOSS,
    augment: Augments = None,
    patience: Annotated[int, typer.Option(min=1, help="Stop after so many epochs without a better recall.")] = 5,
    precision: Annotated[Precision, typer.Option(help="auto: mixed on a GPU, fp32 on a CPU.")] = Precision.AUTO,
    channels_last: Annotated[bool, typer.Option(help="Memory layout that most machines are faster with.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that read pictures. Default: 0 on a CPU, at most 8 for a GPU.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of torch.")] = None,
    stop_after: Annotated[
        str | None, typer.Option(help="Pause after so many epochs (5), minutes (90m) or hours (1.5h) of this call.")
    ] = None,
    on_finish: Annotated[
        str | None, typer.Option(help="A command to run once training has begun and then finished, paused or failed.")
    ] = None,
    tensorboard: Annotated[bool, typer.Option(help="Scalars for TensorBoard in OUT/tensorboard.")] = True,
    classes: Classes = None,
    seed: Seed = 0,
    weights_licence: WeightsLicence = "NOASSERTION",
    data_licence: DataLicence = "NOASSERTION",
) -> None:
    """Train a classifier; the best weights by validation, the split and the metrics are left in --out."""
    options = dict(locals())
    command: tuple[str, ...] = ()
    if on_finish is not None:
        try:
            command = command_of(on_finish)
        except ValueError as exc:
            leave(f"inspector-train: {exc}")
    _run("fit", options, command)


@app.command(
    "good-only",
    epilog="Example:  \n`inspector-train good-only tiles --weights runs/first --out runs/tiles --group-by groups.csv`",
)
def good_only(
    data: Data,
    out: Out,
    weights: Annotated[str, typer.Option(help="Features: a run, imagenet, or a .safetensors/.pt/.pth file.")],
    product: Product = "part",
    group_by: GroupBy = None,
    roi: RoiText = None,
    size: Size = "224",
    classes: Classes = None,
    seed: Seed = 0,
    weights_licence: WeightsLicence = "NOASSERTION",
    data_licence: DataLicence = "NOASSERTION",
) -> None:
    """Prepare a run that knows good parts only: nothing is learned, novelty alone tells the rest."""
    _run("good_only", dict(locals()))


def _run(what: str, options: dict[str, Any], on_finish: tuple[str, ...] = ()) -> None:
    """on_finish: run by the first process once it is over, but not where somebody interrupted it or nothing began."""
    text, status, word = _train(what, options)
    if text:  # before the command, which may switch the machine off
        typer.echo(text, err=bool(status) or word != "finished")
    if on_finish and word and os.environ.get("RANK", "0") == "0":
        wrong = run_on_finish(on_finish, word, options["out"])
        if wrong:
            leave(wrong, status or 1)
    if status:
        raise typer.Exit(status)


def _train(what: str, options: dict[str, Any]) -> tuple[str, int, str]:
    """What to say at the end, exit status, and how it ended: finished, paused, failed.

    "": interrupted, or nothing had begun; both happen under somebody's eyes.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's "stop" is the user's Ctrl-C
    try:
        from training.errors import Paused
        from training.oneclass import good_only as run_good_only
        from training.train import fit as run_fit
    except ModuleNotFoundError as exc:
        return f"{MISSING}\n(missing: {exc.name})", 1, ""
    begun = Event()
    try:
        cfg = config_of(options)
        run = run_fit(cfg, begun) if what == "fit" else run_good_only(cfg)
    except Paused as exc:
        return str(exc), 0, "paused"
    except KeyboardInterrupt:
        return "interrupted; the same command goes on from the last whole epoch", 130, ""
    except Exception as exc:  # a full disk, a lost reader, a driver's error, a bug: the command still has to be run
        text = _explained(exc) or traceback.format_exc().rstrip()
        if not begun.is_set():
            return text, 1, ""
        return f"{text}\nthe same command goes on from the last whole epoch", 1, "failed"
    figures = [f"{name} {100 * run.metrics[name]:.2f} %" for name in SHOWN if name in run.metrics]
    told = [f"run written to {cfg.out}", *figures, f"next: {_next(cfg)}"]
    return "\n".join(told if os.environ.get("RANK", "0") == "0" else []), 0, "finished"


def _explained(exc: Exception) -> str | None:
    """A line for what a user can mend; None: only the traceback tells."""
    import torch

    from training.errors import TrainingError

    if isinstance(exc, torch.OutOfMemoryError):
        return f"inspector-train: the GPU's memory is full, try a smaller --batch: {exc}"
    return f"inspector-train: {exc}" if isinstance(exc, (TrainingError, ValueError, OSError)) else None


def _next(cfg: FitConfig) -> str:
    pictures = cfg.data if cfg.data.is_dir() else cfg.data.parent
    return f"inspector-deploy build {cfg.out} --data {pictures} --out {cfg.out.name}.bundle"


SHOWN = ("val_macro_recall", "test_accuracy", "test_macro_f1", "test_escape", "test_overkill")
register(app)
evaluation.register(app)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
