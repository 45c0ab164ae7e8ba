"""inspector-deploy: build a bundle from a training run, look into it, and approve it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edge_deploy.clear_errors import clear_errors
from edge_deploy.spots_command import add_spots

if TYPE_CHECKING:
    from edge_deploy.choose import Target

PROMISES = ("overkill", "escape", "cost")
OVERKILL = typer.Option(help="promise: at most this share of good parts is rejected, e.g. 0.5%")
ESCAPE = typer.Option(help="promise: at most this share of defects as shown passes, e.g. 1%")
COST = typer.Option(help="least cost by upper bounds, of an escape against an overkill, e.g. 50:1")

app = typer.Typer(
    name="inspector-deploy",
    help=__doc__,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


@app.command()
def build(
    run: Annotated[Path, typer.Argument(help="folder that inspector-train fit wrote")],
    data: Annotated[Path, typer.Option(help="the pictures that it was trained on, with negatives/ beside the classes")],
    out: Annotated[Path, typer.Option(help="the bundle to write; the report is written beside it, as .html")],
    product: Annotated[str | None, typer.Option(help="name; else the run's")] = None,
    version: Annotated[int, typer.Option(min=1, help="only grows, per product: a box takes none that is older")] = 1,
    roi: Annotated[str | None, typer.Option(help="x,y,width,height in camera pixels; else the run's, else all")] = None,
    target_cpu: Annotated[
        str, typer.Option(help="avx2: any CPU with AVX2; native: CPUs with VNNI, as this one")
    ] = "avx2",
    detector: Annotated[
        str, typer.Option(help="patch: a strange spot fails a part; pooled: the whole part alone is judged")
    ] = "patch",
    overkill: Annotated[str | None, OVERKILL] = None,
    escape: Annotated[str | None, ESCAPE] = None,
    cost: Annotated[str | None, COST] = None,
    aim: Annotated[
        str, typer.Option(help="without any of these three: overkill that limits aim at on average, with no promise")
    ] = "0.5%",
    no_negatives: Annotated[
        bool, typer.Option("--no-negatives", help="build without; report and page show it")
    ] = False,
    sizes: Annotated[
        Path | None, typer.Option(help="CSV path,size_px: the report shows detection against size")
    ] = None,
    parent: Annotated[
        list[str] | None, typer.Option(help="id of a bundle that this one follows; may be repeated")
    ] = None,
    hide: Annotated[
        list[str] | None,
        typer.Option(help="try what this kind of defect, hidden among the good pictures, does to the detector; repeat"),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
    quantisation_images: Annotated[
        int, typer.Option(min=1, help="training pictures, an even share of each class, that set the 8-bit ranges")
    ] = 300,
    qat_if_loss: Annotated[
        str | None, typer.Option(help="train with 8-bit rounding where 8 bits lose more accuracy than this, e.g. 0.5%")
    ] = None,
    accuracy_control: Annotated[
        str | None, typer.Option(help="or: leave layers in FP32 until no more than this is lost, e.g. 1%")
    ] = None,
) -> None:
    """Convert, quantise, fit, calibrate, qualify and pack; a person then approves.

    Example: inspector-deploy build runs/disc --data pictures --out disc-3.bundle --version 3

    With a promise, refused where the held-out pictures cannot support it:

    inspector-deploy build runs/disc --data pictures --out disc-3.bundle --overkill 1%
    """
    with clear_errors():
        from edge_deploy.build import build as build_bundle
        from edge_deploy.calibrate import CalibrationConfig
        from edge_deploy.fit import Detector
        from edge_deploy.options import BuildOptions
        from edge_deploy.precision import PrecisionConfig
        from edge_deploy.promises import promise_lines
        from edge_deploy.quantize import TargetCpu
        from edge_deploy.steps import TerminalSteps

        options = BuildOptions(
            product=product,
            version=version,
            roi=_roi(roi),
            target=_one_of(TargetCpu, target_cpu, "--target-cpu"),
            detector=_one_of(Detector, detector, "--detector"),
            no_negatives=no_negatives,
            parents=tuple(parent or ()),
            sizes=sizes,
            hide=tuple(hide or ()),
            threads=threads,
            quantisation_images=quantisation_images,
            calibration=CalibrationConfig(overkill=share_of(aim), target=target_of(overkill, escape, cost)),
            precision=PrecisionConfig(
                None if qat_if_loss is None else share_of(qat_if_loss),
                None if accuracy_control is None else share_of(accuracy_control),
            ),
        )
        built = build_bundle(run, data, out, options, TerminalSteps())
        for note in built.notes:
            typer.echo(f"note: {note}")
        for line in promise_lines(built.manifest.limits.bounds):
            typer.echo(line)
        typer.echo(f"{built.bundle} is built and not approved. Read {built.report}, then:")
        typer.echo(f"  inspector-deploy approve {built.bundle} --key KEY")


@app.command()
def calibrate(
    bundle: Annotated[Path, typer.Argument(help="a bundle, approved or not; it stays as it is")],
    data: Annotated[Path, typer.Argument(help="folder of held-out pictures: good/, and one for each kind of defect")],
    overkill: Annotated[str | None, OVERKILL] = None,
    escape: Annotated[str | None, ESCAPE] = None,
    cost: Annotated[str | None, COST] = None,
    group_by: Annotated[
        str | None,
        typer.Option(help="what counts as one: CSV of picture and group, or a regular expression in the file name"),
    ] = None,
    lots: Annotated[str | None, typer.Option(help="lots for the table, told like --group-by; else the groups")] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="the new, unsigned bundle, and its report as .html; without it, nothing is written"),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
) -> None:
    """Choose other limits for a bundle on pictures that nothing was fitted on, and say what they promise.

    One of --overkill, --escape and --cost. What the pictures cannot support is refused, with the number that would.

    Examples:

    inspector-deploy calibrate disc-3.bundle pictures/held_out --overkill 0.5%

    inspector-deploy calibrate disc-3.bundle pictures/held_out --escape 1% --group-by 'part(\\d+)'

    inspector-deploy calibrate disc-3.bundle pictures/held_out --cost 50:1 --lots lots.csv --out disc-4.bundle
    """
    with clear_errors():
        target = target_of(overkill, escape, cost)
        if target is None:
            raise typer.BadParameter("say what to promise: one of --overkill 0.5%, --escape 1% or --cost 50:1")
        from edge_deploy.calibrate import CalibrationConfig
        from edge_deploy.recalibrate import RecalibrateOptions, recalibrate
        from edge_deploy.steps import TerminalSteps
        from edge_deploy.told import told

        options = RecalibrateOptions(CalibrationConfig(target=target), group_by, lots, threads)
        found = recalibrate(bundle, data, options, out, TerminalSteps())
        for line in told(found):
            typer.echo(line)
        typer.echo("A bundle cannot tell what it was trained on: these figures hold if none of the pictures was.")
        if out is None:
            typer.echo("Nothing was written; --out X.bundle writes the bundle with these limits.")
        else:
            report, parent = out.with_suffix(".html"), found.former.bundle_id
            typer.echo(f"{out} is version {found.manifest.version} and not approved. Read {report},")
            typer.echo(f"and the report of {parent} for what is not new (training, parity, timings). Then:")
            typer.echo(f"  inspector-deploy approve {out} --key KEY")


app.command("add-spots")(add_spots)


@app.command()
def export(
    run: Annotated[Path, typer.Argument(help="folder that inspector-train fit wrote")],
    out: Annotated[Path, typer.Option(help="folder to write into, with README.txt and export.json")],
    onnx: Annotated[bool, typer.Option("--onnx", help="model.onnx, any batch: the way to TensorRT")] = False,
    torch: Annotated[bool, typer.Option("--torch", help="model.pt2, by torch.export")] = False,
    openvino: Annotated[
        list[str] | None, typer.Option(help="fp32, fp16 or int8; may be repeated; takes the camera's bytes")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="the run's pictures; int8 needs them")] = None,
    target_cpu: Annotated[str, typer.Option(help="of int8: avx2 or native")] = "avx2",
) -> None:
    """Write the taught network for another runtime, compared with PyTorch first. It classifies: it is no bundle.

    Example: inspector-deploy export runs/disc --out exported --onnx --openvino fp16
    """
    with clear_errors():
        from edge_deploy.export import ExportOptions, Precision
        from edge_deploy.export import export as export_network
        from edge_deploy.export_check import table
        from edge_deploy.quantize import TargetCpu
        from edge_deploy.steps import TerminalSteps

        precisions = tuple(_one_of(Precision, name, "--openvino") for name in openvino or ())
        target = _one_of(TargetCpu, target_cpu, "--target-cpu")
        made = export_network(run, out, ExportOptions(onnx, torch, precisions, data, target), TerminalSteps())
        typer.echo(table(made.checked))
        typer.echo(f"{', '.join(file.name for file in made.files)} written to {out}. Read {out / 'README.txt'} first.")


@app.command()
def inspect(bundle: Annotated[Path, typer.Argument(help="a bundle, approved or not")]) -> None:
    """Print what a bundle says of itself. Checks no signature: that is the box's work.

    Example: inspector-deploy inspect disc-3.bundle
    """
    with clear_errors():
        from edge_deploy.show import describe_bundle

        typer.echo(describe_bundle(bundle))


@app.command()
def keygen(
    directory: Annotated[Path, typer.Argument(help="folder for approve.key (keep it off the box) and approve.pub")],
    with_passphrase: Annotated[
        bool, typer.Option("--with-passphrase", help="ask for one that protects the key")
    ] = False,
) -> None:
    """Make the key pair of a person who approves bundles.

    Example: inspector-deploy keygen keys --with-passphrase
    """
    with clear_errors():
        from edge_deploy.pack import keygen as make_keys

        passphrase = typer.prompt("passphrase", hide_input=True, confirmation_prompt=True) if with_passphrase else None
        private, public = make_keys(directory, passphrase)
        typer.echo(f"{private} approves bundles: keep it off the box. {public} goes into the box's trusted_keys.")


@app.command()
def approve(
    bundle: Annotated[Path, typer.Argument(help="a bundle that build wrote; it is signed in place")],
    key: Annotated[Path, typer.Option(help="approve.key of the person who read the report")],
    with_passphrase: Annotated[bool, typer.Option("--with-passphrase", help="the key has one: ask for it")] = False,
) -> None:
    """Sign a bundle, after reading its report.

    Example: inspector-deploy approve disc-3.bundle --key keys/approve.key
    """
    with clear_errors():
        from edge_deploy.pack import approve as sign
        from edge_deploy.pack import require_there

        require_there(bundle, key)
        key_id = sign(bundle, key, typer.prompt("passphrase", hide_input=True) if with_passphrase else None)
        typer.echo(f"{bundle} is approved with key {key_id}; any box that trusts this key takes it")


def target_of(overkill: str | None, escape: str | None, cost: str | None) -> Target | None:
    """None: none of the three is given. Raises typer.BadParameter: more than one, or not a share or cost."""
    from edge_deploy.choose import Rule, Target

    given = [(rule, text) for rule, text in zip(PROMISES, (overkill, escape, cost), strict=True) if text is not None]
    if len(given) > 1:
        raise typer.BadParameter("--overkill, --escape and --cost exclude each other: choose one")
    return (
        Target(Rule(given[0][0]), _cost_of(given[0][1]) if cost is not None else share_of(given[0][1]))
        if given
        else None
    )


def _cost_of(text: str) -> float:
    """'50:1' -> 50.0: what an escape is worth in overkills."""
    try:
        escape, overkill = (float(part) for part in text.split(":"))
        ratio = escape / overkill
    except (ValueError, ZeroDivisionError) as exc:
        raise typer.BadParameter(f"--cost {text!r}: write what an escape and an overkill cost, e.g. 50:1") from exc
    if not (escape > 0 and 0 < ratio < float("inf")):
        raise typer.BadParameter(f"--cost {text!r}: both costs are above 0")
    return ratio


def share_of(text: str) -> float:
    """'0.5%' or '0.005' -> 0.005. Raises typer.BadParameter: not between 0 and 1."""
    try:
        value = float(text.rstrip("% ")) / (100 if text.rstrip().endswith("%") else 1)
    except ValueError as exc:
        raise typer.BadParameter(f"{text!r} is no share; write 0.5% or 0.005") from exc
    if not 0 < value < 1:
        raise typer.BadParameter(f"{text!r} is not between 0 and 100 %")
    return value


def _roi(text: str | None) -> tuple[int, int, int, int] | None:
    if text is None:
        return None
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError as exc:
        raise typer.BadParameter(f"--roi {text!r}: write x,y,width,height, e.g. 40,8,240,240") from exc
    return x, y, width, height


def _one_of(choices: Any, text: str, option: str) -> Any:
    try:
        return choices(text)
    except ValueError as exc:
        raise typer.BadParameter(f"{option} {text!r}: one of {', '.join(choices)}") from exc


def main() -> None:
    app()


if __name__ == "__main__":
    main()
