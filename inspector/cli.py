"""The appliance's command line. Each command imports what it needs, so that --help is quick."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from inspector.core.errors import InspectorError

app = typer.Typer(help="Inspect parts: PLC trigger to pass or fail.", no_args_is_help=True, add_completion=False)
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
    """Check a configuration and the bundle it names; changes nothing.

    Example: inspector check configs/demo.toml
    """
    from inspector.config import load_config

    cfg = load_config(config)
    typer.echo(
        f"{config}: valid; station {cfg.station.id}, mode {cfg.station.mode}, PLC {cfg.link.host}:{cfg.link.port}"
    )


@app.command()
def demo(
    parts: Annotated[int, typer.Option(min=1, max=60_000, help="how many parts the line brings")] = 200,
    headless: Annotated[bool, typer.Option("--headless", help="no progress bar")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the counts as one JSON object")] = False,
) -> None:
    """Play a whole line: simulated PLC, rendered parts, the real daemon and its signed demo bundle.

    Example: inspector demo --parts 200 --headless --json
    """
    from inspector.demo.play import main as play

    raise typer.Exit(play(parts, headless, as_json))


def main() -> None:
    """What we raise on purpose is told in one line, with what to do; a bug keeps its traceback."""
    try:
        app()
    except InspectorError as exc:
        typer.echo(f"error: {exc}", err=True)
        raise SystemExit(1) from exc
