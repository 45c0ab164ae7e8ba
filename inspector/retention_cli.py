"""The commands about what is kept and what goes: `hold`, `reconcile`, `export month`, `forget`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(help="a configuration, e.g. configs/demo.toml")]


def add_to(app: typer.Typer, export: typer.Typer) -> None:
    """Hang the commands in."""
    export.command("month")(export_month)
    for command in (forget, hold, reconcile, salvage):
        app.command()(command)


def export_month(
    config: Config,
    month: Annotated[str, typer.Argument(help="a month that is over, e.g. 2026-05; of UTC")],
    out: Annotated[Path, typer.Option(help="a folder, e.g. on a disk that leaves this box")],
) -> None:
    """Copy a month of the record, whole, with its checksum; nothing here changes. The daemon may run meanwhile.

    Example: inspector export month station.toml 2026-05 --out /media/usb
    """
    from inspector.config import load_config
    from inspector.retention_commands import export_month as export_to

    for line in export_to(load_config(config), month, out):
        typer.echo(line)


def forget(
    config: Config,
    month: Annotated[str, typer.Argument(help="a month that is over, e.g. 2026-05")],
    export: Annotated[Path, typer.Option("--export", help="the exported file, where it lies now; it is read again")],
    reason: Annotated[str, typer.Option(help="kept on record with who and when")],
    with_pictures: Annotated[bool, typer.Option("--with-pictures", help="its kept pictures go too")] = False,
) -> None:
    """Let a month of the record go, after its export was checked against it. Never with parts of lots on hold.

    Example: inspector forget station.toml 2026-05 --export /mnt/archive/results-2026-05.db --reason "on the server"
    """
    from inspector.config import load_config
    from inspector.retention_commands import forget_month

    for line in forget_month(load_config(config), month, export, reason, with_pictures=with_pictures):
        typer.echo(line)


def hold(
    config: Config,
    lot: Annotated[str, typer.Argument(help="as the PLC sends it")],
    reason: Annotated[str, typer.Option(help="kept on record with who and when")],
    release: Annotated[bool, typer.Option("--release", help="let it go in place of putting it on hold")] = False,
) -> None:
    """Put a lot on hold: none of its pictures is removed, whatever happens to the disk. The daemon must run.

    Examples: inspector hold station.toml L-2026-47 --reason "complaint 17";
    inspector hold station.toml L-2026-47 --release --reason "complaint 17 is closed"
    """
    from inspector.config import load_config
    from inspector.retention_commands import hold_lot

    for line in hold_lot(load_config(config), lot, reason, release=release):
        typer.echo(line)


def reconcile(
    config: Config,
    accept: Annotated[bool, typer.Option("--accept", help="do it, however many there are")] = False,
) -> None:
    """Compare kept pictures and record now: what no row names is set aside. The daemon does it once a day, too.

    Example: inspector reconcile station.toml
    """
    from inspector.config import load_config
    from inspector.retention_commands import ask, told_of_look

    for line in told_of_look(ask(load_config(config), "reconcile", {"accept": accept}, 600.0)):
        typer.echo(line)


def salvage(
    config: Config,
    month: Annotated[str, typer.Argument(help="a month that the alarm names as damaged, e.g. 2026-05")],
) -> None:
    """Set a damaged month of the record aside, and put what can be read of it in its place. The daemon must run.

    Where a backup has the month whole, put that file in place instead: docs/install.md.
    Example: inspector salvage station.toml 2026-05
    """
    from inspector.config import load_config
    from inspector.retention_commands import salvage_month

    for line in salvage_month(load_config(config), month):
        typer.echo(line)
