"""Commands of who keeps the box: backup, restore, support. Each imports what it needs, so that --help is quick."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(help="a configuration, e.g. /etc/inspector/station.toml")]
Key = Annotated[Path | None, typer.Option(help="of an encrypted backup: the file that \\[backup] key named")]


def add_commands(app: typer.Typer) -> None:
    """Put these commands on the appliance's command line."""
    app.command()(backup)
    app.command("backup-key")(backup_key)
    app.command()(restore)
    app.command()(support)


def backup(config: Config) -> None:
    """Put record, accounts, bundles and configuration into one file in \\[backup] folder. The line runs on meanwhile.

    systemd/inspector-backup.timer starts this every night, and the page's button does. Pictures are not in it.

    Example: inspector backup /etc/inspector/station.toml
    """
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    from inspector.backup.make import make
    from inspector.config import load_config

    console = Console(highlight=False, soft_wrap=True)
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("backup", total=None)
        made = make(load_config(config), config, lambda what, done, total: progress.update(
            task, description=what, completed=done, total=max(done, total)
        ))  # fmt: skip
    console.print(f"{made.path}: {made.size / 1e6:.1f} MB in {made.took_s:.1f} s")
    for line in made.left_out:
        console.print(f"not in it: {line}")


def backup_key(file: Annotated[Path, typer.Argument(help="a new file")]) -> None:
    """Make a key that backups are encrypted with. Keep a copy in a safe: without it they cannot be restored.

    Example: inspector backup-key /etc/inspector/backup.key
    """
    from inspector.backup.crypt import new_key

    new_key(file)
    typer.echo(f'{file}: name it in [backup] key = "{file}", and keep a copy where the box is not')


def restore(
    backup: Annotated[Path, typer.Argument(help="a file that `inspector backup` made")],
    config: Annotated[Path | None, typer.Option(help="where its configuration goes; left out: where it lay")] = None,
    key: Key = None,
    check: Annotated[bool, typer.Option("--check", help="only read it through; nothing is changed")] = False,
) -> None:
    """Make this box the one of a backup. Daemon and page must be stopped; what was there is kept aside.

    Examples: inspector restore /mnt/stick/inspector-box7-20261126T010000Z.tar.gz;
    inspector restore box7.tar.gz.enc --key backup.key --check
    """
    from datetime import UTC, datetime

    from inspector.backup.restore import restore as restore_from
    from inspector.backup.unpack import read

    if check:
        whole = read(backup, key)
        size = sum(int(one["size"]) for one in whole.files.values())
        made = f"{datetime.fromtimestamp(whole.head.utc_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        typer.echo(f"whole: {len(whole.files)} files, {size / 1e6:.1f} MB, of {whole.head.box}, {made}")
        for line in whole.head.left_out:
            typer.echo(f"not in it: {line}")
        return
    restore_from(backup, config, key, typer.echo)
    typer.echo("restored; start it: systemctl start inspector inspector-web")


def support(
    config: Config,
    out: Annotated[Path, typer.Argument(help="a new .zip")],
) -> None:
    """Gather what helps to find a fault: versions, state, alarms, logs, the last rows. No secret, and no picture.

    Example: inspector support /etc/inspector/station.toml support.zip
    """
    from inspector.config import load_config
    from inspector.support.bundle import write_support

    write_support(load_config(config), out)
    typer.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB; look through it before it leaves the house")
