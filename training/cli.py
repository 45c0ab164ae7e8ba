"""inspector-train: from labelled pictures to a run that a bundle can be built from."""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from training.choices import Augment, Freeze, Imbalance, Precision
from training.evaluation import command as evaluation

if TYPE_CHECKING:
    from training.config import FitConfig

app = typer.Typer(no_args_is_help=True, add_completion=False, help=__doc__, rich_markup_mode="markdown")
MISSING = "inspector-train needs the training extra: pip install '.[train]'"

Data = Annotated[Path, typer.Argument(help="Folder with train/, val/, test/ of class folders, or class folders alone.")]
Out = Annotated[Path, typer.Option(help="Run directory to write; an interrupted run in it is taken up again.")]
Product = Annotated[str, typer.Option(help="Name of the product, as recipes and bundles call it.")]
Acceptable = Annotated[list[str] | None, typer.Option(help="A class that may pass; repeat. Default: good, ok.")]
GroupBy = Annotated[
    str | None,
    typer.Option(
        help="Pictures of one part or lot never meet across splits: a CSV file (picture,group), or a regular expression"
        " on the file name whose first parenthesis is the group."
    ),
]
RoiText = Annotated[str | None, typer.Option("--roi", help="Region to judge, in camera pixels: x,y,width,height.")]
Size = Annotated[str, typer.Option(help="Network input: pixels of a square, or HEIGHTxWIDTH.")]
Classes = Annotated[Path | None, typer.Option(help="Class map, instead of DATA/classes.json.")]
Seed = Annotated[int, typer.Option(help="Of split, order, augmentation and fresh layers.")]
WeightsLicence = Annotated[str, typer.Option(help="SPDX identifier of the initial weights' licence.")]
DataLicence = Annotated[str, typer.Option(help="SPDX identifier of the pictures' licence.")]


@app.callback()
def about() -> None:
    """Train on a workstation; a GPU is used where there is one."""


@app.command(
    epilog="Examples:  \n"
    "`inspector-train fit pictures --out runs/first`  \n"
    "`inspector-train fit pictures --out runs/b --acceptable good --group-by '(part\\d+)_' --augment light`  \n"
    "`inspector-train fit pictures --out runs/c --weights resnet50.safetensors --size 128 --epochs 20`"
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
    acceptable: Acceptable = None,
    group_by: GroupBy = None,
    roi: RoiText = None,
    size: Size = "224",
    epochs: Annotated[int, typer.Option(min=1)] = 30,
    batch: Annotated[int, typer.Option(min=1)] = 32,
    lr: Annotated[float, typer.Option(min=0.0, help="Highest learning rate of AdamW; falls as a cosine.")] = 3e-4,
    weight_decay: Annotated[float, typer.Option(min=0.0)] = 1e-4,
    label_smoothing: Annotated[float, typer.Option(min=0.0, max=0.5)] = 0.1,
    imbalance: Annotated[Imbalance, typer.Option(help="What is done about rare classes.")] = Imbalance.WEIGHTED_LOSS,
    augment: Annotated[list[Augment] | None, typer.Option(help="Repeat. Only what leaves a part as it is.")] = None,
    patience: Annotated[int, typer.Option(min=1, help="Stop after so many epochs without a better recall.")] = 5,
    precision: Annotated[Precision, typer.Option(help="auto: mixed on a GPU, fp32 on a CPU.")] = Precision.AUTO,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1 ...")] = "auto",
    workers: Annotated[
        int | None, typer.Option(min=0, help="Processes that read pictures. Default: 0 on a CPU, at most 8 for a GPU.")
    ] = None,
    threads: Annotated[int | None, typer.Option(min=1, help="CPU threads of torch.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Pause after the epoch that passes this.")] = None,
    classes: Classes = None,
    seed: Seed = 0,
    weights_licence: WeightsLicence = "NOASSERTION",
    data_licence: DataLicence = "NOASSERTION",
) -> None:
    """Train a classifier; the best weights by validation, the split and the metrics are left in --out."""
    _run("fit", locals())


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
    _run("good_only", locals())


evaluation.register(app)


def _run(what: str, options: dict[str, Any]) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a batch system's "stop" is the user's Ctrl-C
    try:
        import torch

        from training.errors import Paused, TrainingError
        from training.oneclass import good_only as run_good_only
        from training.train import fit as run_fit
    except ModuleNotFoundError as exc:
        _leave(f"{MISSING}\n(missing: {exc.name})")
    try:
        cfg = _config(options)
        run = run_fit(cfg) if what == "fit" else run_good_only(cfg)
    except Paused as exc:
        _leave(str(exc), status=0)
    except (TrainingError, ValueError) as exc:
        _leave(f"inspector-train: {exc}")
    except torch.OutOfMemoryError as exc:
        _leave(f"inspector-train: the GPU's memory is full, try a smaller --batch: {exc}")
    except KeyboardInterrupt:
        _leave("interrupted; the same command goes on from the last whole epoch", status=130)
    figures = [f"{name} {100 * run.metrics[name]:.2f} %" for name in SHOWN if name in run.metrics]
    typer.echo("\n".join([f"run written to {cfg.out}", *figures, f"next: inspector-deploy build {cfg.out}"]))


SHOWN = ("val_macro_recall", "test_accuracy", "test_macro_f1", "test_escape", "test_overkill")


def _config(options: dict[str, Any]) -> FitConfig:
    """Raises ValueError: a malformed size or region."""
    from training.config import FitConfig

    values = {name: value for name, value in options.items() if name not in {"size", "roi"}}
    values |= {name: tuple(options.get(name) or ()) for name in ("augment", "acceptable")}
    size = options["size"] if "x" in options["size"] else f"{options['size']}x{options['size']}"
    values["network_size"] = _numbers(size, "x", 2)
    values["roi"] = _numbers(options["roi"], ",", 4) if options["roi"] else None
    return FitConfig(**values)


def _numbers(text: str, between: str, count: int) -> tuple[int, ...]:
    numbers = tuple(int(part) for part in text.split(between) if part.strip().isdigit())
    if len(numbers) != count or len(text.split(between)) != count:
        raise ValueError(f"{text!r}: expected {count} whole numbers with {between!r} between")
    return numbers


def _leave(text: str, status: int = 1) -> NoReturn:
    typer.echo(text, err=True)
    sys.exit(status)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
