"""The appliance's command line. Each command imports what it needs, so that --help is quick."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated, Literal

import typer

from inspector import retention_cli
from inspector.core.errors import InspectorError
from inspector.upkeep.cli import add_commands

app = typer.Typer(help="Inspect parts: PLC trigger to pass or fail.", no_args_is_help=True, add_completion=False)
camera = typer.Typer(help="Look at cameras: list them, take one picture.", no_args_is_help=True)
export = typer.Typer(help="Take with you what this box has gathered.", no_args_is_help=True)
app.add_typer(camera, name="camera")
audit = typer.Typer(help="The audit of accounts and of the line: who did what.", no_args_is_help=True)
app.add_typer(audit, name="audit")
app.add_typer(export, name="export")
add_commands(app)
SplitBy = Literal["lot", "part"]
Config = Annotated[Path, typer.Argument(help="a configuration, e.g. configs/demo.toml")]
retention_cli.add_to(app, export)


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
    """Serve the page for a station until SIGTERM: the line, its record, and log-in for those who act.

    Without people yet, its log tells the one-time code that makes the first administrator.

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


@export.command("rows")
def export_rows(
    config: Config,
    csv: Annotated[Path, typer.Option(help="the file to write; it is there when it is whole")],
    begin: Annotated[str, typer.Option("--from", help="station time, e.g. 2026-11-24 or 2026-11-24T06:00")] = "",
    end: Annotated[str, typer.Option("--to", help="station time; takes in all of its minute")] = "",
    lot: Annotated[str, typer.Option()] = "",
    serial: Annotated[str, typer.Option()] = "",
    verdict: Annotated[str, typer.Option(help="RESULT_CODE, 1 to 6")] = "",
    reason: Annotated[str, typer.Option(help="REASON, a number")] = "",
    label: Annotated[str, typer.Option(help="class")] = "",
    recipe: Annotated[str, typer.Option(help="number")] = "",
    model: Annotated[str, typer.Option(help="bundle id")] = "",
    station: Annotated[str, typer.Option(help="id")] = "",
) -> None:
    """Write the record's rows as CSV, newest first, with the columns' keys as header. The daemon may run meanwhile.

    Exit status 1: nothing was written, or rows of a damaged month are missing in it.
    Examples: inspector export rows station.toml --csv all.csv;
    inspector export rows station.toml --csv lot.csv --lot L-2026-47 --verdict 2;
    inspector export rows station.toml --csv may.csv --from 2026-05-01 --to 2026-05-31T23:59
    """
    from rich.console import Console

    from inspector.config import load_config
    from inspector.export_rows import export_rows as export_to

    form = {
        "from": begin, "to": end, "lot": lot, "serial": serial, "verdict": verdict, "reason": reason, "label": label,
        "recipe": recipe, "model": model, "station": station,
    }  # fmt: skip
    export_to(load_config(config), csv, form, Console(highlight=False, soft_wrap=True))


@app.command()
def certificate(
    config: Config,
    name: Annotated[list[str] | None, typer.Option(help="a host name or address of this box; repeatable")] = None,
    renew: Annotated[bool, typer.Option("--renew", help="another certificate of the same key")] = False,
) -> None:
    """Make the page's key and certificate where there are none, and a request (CSR) that an authority can sign.

    With \\[web] tls = true the page does the same at its first start. A signed one: \\[web] certificate and key.

    Examples: inspector certificate /etc/inspector/station.toml --name box7.plant --name 192.168.20.7;
    inspector certificate /etc/inspector/station.toml --renew --name box7.plant
    """
    from inspector.config import load_config
    from inspector.office.commands import make_certificate

    for line in make_certificate(load_config(config), name or [], anew=renew):
        typer.echo(line)


@app.command()
def code(config: Config, name: Annotated[str, typer.Argument(help="who forgot their password")]) -> None:
    """Give somebody a one-time code for the page, with the page stopped: for the last administrator of a box.

    Example: systemctl stop inspector-web; sudo -u inspector-web inspector code /etc/inspector/station.toml Anna
    """
    from inspector.config import load_config
    from inspector.office.commands import code_for

    for line in code_for(load_config(config), name):
        typer.echo(line)


@audit.command("check")
def audit_check(
    config: Config,
    head: Annotated[
        str | None, typer.Option(help="NUMBER:HASH of an entry as the page's log has it; it must still be that one")
    ] = None,
    line_head: Annotated[
        str | None, typer.Option(help="the same of the line's audit, as the daemon's log has it")
    ] = None,
) -> None:
    """Find a changed, removed or inserted entry of the audits of accounts and line. Exit status 1: there is one.

    The page notes the line's newest entry in the audit of accounts, so that a cut end is found too. Examples:
    inspector audit check /etc/inspector/station.toml; inspector audit check station.toml --line-head 41:9f2c...
    """
    from inspector.config import load_config
    from inspector.office.commands import check_audit

    lines, whole = check_audit(load_config(config), head, line_head)
    for line in lines:
        typer.echo(line)
    raise typer.Exit(0 if whole else 1)


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
