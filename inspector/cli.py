"""The appliance's command line. Each command imports what it needs, so that --help is quick."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from inspector.core.errors import InspectorError

app = typer.Typer(help="Inspect parts: PLC trigger to pass or fail.", no_args_is_help=True, add_completion=False)
camera = typer.Typer(help="Look at cameras: list them, take one picture.", no_args_is_help=True)
app.add_typer(camera, name="camera")
export = typer.Typer(help="Carry out what this box has gathered.", no_args_is_help=True)
app.add_typer(export, name="export")
SplitBy = Literal["lot", "part"]
Config = Annotated[Path, typer.Argument(help="a configuration, e.g. configs/demo.toml")]


@app.command()
def run(config: Config) -> None:
    """Run the line daemon until SIGTERM.

    Example: inspector run configs/demo.toml
    """
    from inspector.compose import run as run_station
    from inspector.config import load_config
    from inspector.logs import log_json

    log_json()
    asyncio.run(run_station(load_config(config)))


@app.command()
def web(config: Config) -> None:
    """Serve the operator's page for a station until SIGTERM; reads only.

    Example: inspector web configs/demo.toml
    """
    from inspector.config import load_config
    from inspector.logs import log_json
    from inspector.web.app import run as run_page

    log_json()
    run_page(load_config(config))


@app.command()
def check(config: Config) -> None:
    """Check a configuration and all that it names; changes nothing. Exit status 1: it would not start.

    Example: inspector check configs/demo.toml
    """
    from rich.console import Console
    from rich.markup import escape

    from inspector.checkup import check_station
    from inspector.config import load_config

    console, good = Console(highlight=False, soft_wrap=True), True
    for found in check_station(load_config(config)):
        good &= found.ok
        console.print("[green]OK    [/]" if found.ok else "[bold red]WRONG [/]", escape(f"{found.what}: {found.text}"))
    raise typer.Exit(0 if good else 1)


@camera.command("list")
def camera_list() -> None:
    """Show the cameras of this machine, and the kinds that a configuration may name.

    Example: inspector camera list
    """
    from rich.console import Console

    from inspector.commands import list_cameras

    list_cameras(Console(highlight=False))


@camera.command("grab")
def camera_grab(
    config: Config,
    out: Annotated[Path, typer.Option(help="where to write the picture, a PNG")] = Path("grab.png"),
    part_id: Annotated[int, typer.Option(min=1, help="PART_ID, for cameras that replay or render")] = 1,
) -> None:
    """Take one picture with the configured camera; stop the daemon first if it uses the same device.

    Example: inspector camera grab configs/demo.toml --out part.png
    """
    from rich.console import Console

    from inspector.commands import grab_to
    from inspector.config import load_config

    grab_to(load_config(config), out, part_id, Console(highlight=False, soft_wrap=True))


@export.command("dataset")
def dataset(
    config: Config,
    out: Annotated[Path, typer.Option(help="a new folder, or a new .zip")],
    split_by: Annotated[SplitBy, typer.Option(help="what is never torn apart between train, val and test")] = "lot",
    like: Annotated[
        Path | None, typer.Option(help="an earlier export: its lots stay train, val or test as they were")
    ] = None,
    leave_out: Annotated[
        list[Path] | None, typer.Option(help="folder of pictures never to learn from, with near copies; repeatable")
    ] = None,
) -> None:
    """Write the reviewed pictures for `inspector-train fit OUT/manifest.csv`. Overwrites nothing.

    Only settled labels; without test parts, golden pictures, and near copies of these.

    Examples: inspector export dataset configs/demo.toml --out disc-1; inspector export dataset configs/demo.toml
    --out disc-2.zip --like disc-1 --leave-out defect-library
    """
    from rich.console import Console

    from inspector.config import load_config
    from inspector.office.dataset import SplitBy as By
    from inspector.office.export_command import export_dataset

    console = Console(highlight=False, soft_wrap=True)
    export_dataset(load_config(config), out, By(split_by), like, leave_out or [], console)


@app.command()
def predict(
    images: Annotated[list[Path], typer.Argument(help="pictures: JPEG, PNG, BMP or TIFF")],
    bundle: Annotated[str, typer.Option(help='path of a .bundle, or "demo" for the packaged one')] = "demo",
    key: Annotated[
        list[str] | None,
        typer.Option(help="who may approve: 64 hex digits or a public key's file; repeatable"),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, max=64, help="of the model")] = 2,
    as_json: Annotated[bool, typer.Option("--json", help="as JSON, with all probabilities")] = False,
) -> None:
    """Say what a bundle makes of pictures: verdict, class and scores, as the line would. Exit status 1: one not judged.

    Examples: inspector predict part.png; inspector predict *.png --bundle disc.bundle --key keys/approve.pub --json
    """
    from rich.console import Console

    from inspector.commands import predict as predict_pictures
    from inspector.serve.options import bundle_and_keys

    path, keys = bundle_and_keys(bundle, key or [])
    good = predict_pictures(images, path, keys, threads, as_json, Console(highlight=False))
    raise typer.Exit(0 if good else 1)


@app.command()
def demo(
    parts: Annotated[
        int | None, typer.Option(min=0, max=1_000_000, help="how many parts; 0: until Ctrl-C, as on a terminal")
    ] = None,
    headless: Annotated[bool, typer.Option("--headless", help="no screen, no page, as fast as it goes")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the counts as one JSON object")] = False,
    port: Annotated[int, typer.Option(min=1, max=65_535, help="of the operator's page on 127.0.0.1")] = 8080,
    rate: Annotated[float | None, typer.Option(min=0, max=100, help="parts a second; 0: as fast as it goes")] = None,
) -> None:
    """Play a whole line: simulated PLC, the real daemon with rendered parts and its signed bundle, operator's page.

    Exit status 1 if the parts triggered, recorded and read by the PLC differ.

    Examples: inspector demo; inspector demo --parts 200 --headless --json
    """
    from inspector.demo.play import main as play

    raise typer.Exit(play(parts, headless, as_json, port, rate))


@app.command()
def serve(
    bundle: Annotated[str, typer.Option(help='path of a .bundle, or "demo" for the packaged one')],
    key: Annotated[
        list[str] | None,
        typer.Option(help="who may approve: 64 hex digits or a public key's file; repeatable"),
    ] = None,
    host: Annotated[str, typer.Option(help="address to listen on; there is no log-in")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65_535)] = 8000,
    threads: Annotated[int, typer.Option(min=1, max=64, help="of the model")] = 2,
    max_megapixels: Annotated[float, typer.Option(min=0.01, max=512, help="larger pictures: 413")] = 64,
    max_mb: Annotated[float, typer.Option(min=0.01, max=512, help="larger uploads: 413")] = 32,
) -> None:
    """Serve predictions over HTTP until SIGTERM: POST /predict, and a page to drop a picture on. Keeps nothing.

    Examples: inspector serve --bundle demo; inspector serve --bundle disc.bundle --key keys/approve.pub --threads 4;
    curl -F file=@part.png http://127.0.0.1:8000/predict
    """
    from inspector.logs import log_json
    from inspector.serve.app import run as run_service
    from inspector.serve.options import bundle_and_keys
    from inspector.serve.service import ServeSettings

    log_json()
    path, keys = bundle_and_keys(bundle, key or [])
    run_service(ServeSettings(path, keys, host, port, threads, max_megapixels, max_mb))


def main() -> None:
    """What we raise on purpose is told in one line, with what to do; a bug keeps its traceback."""
    try:
        app()
    except InspectorError as exc:
        typer.echo(f"error: {exc}", err=True)
        raise SystemExit(1) from exc
