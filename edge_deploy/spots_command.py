"""inspector-deploy add-spots."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from edge_deploy.clear_errors import clear_errors


def add_spots(
    bundle: Annotated[Path, typer.Argument(help="a bundle that looks for no spots, approved or not; it stays")],
    learn: Annotated[Path, typer.Argument(help="folder of pictures: good/ is what the detector learns from")],
    held_out: Annotated[Path, typer.Argument(help="folder of others: good/ sets the limit, kinds of defect measure")],
    out: Annotated[Path, typer.Option(help="the new, unsigned bundle; the report is written beside it, as .html")],
    taps: Annotated[
        str, typer.Option(help="stages it reads: layer2,layer3; layer2 alone where spots must be told more narrowly")
    ] = "layer2,layer3",
    group_by: Annotated[
        str | None,
        typer.Option(help="what counts as one: CSV of picture and group, or a regular expression in the file name"),
    ] = None,
    threads: Annotated[int, typer.Option(min=1, help="CPU threads")] = 2,
) -> None:
    """Give a bundle a detector of strange spots, and so a heat map. Class, confidence and novelty score stay as they
    are, number for number, and so do their limits.

    Example: inspector-deploy add-spots disc-3.bundle pictures/train pictures/held_out --out disc-4.bundle
    """
    with clear_errors():
        from edge_deploy.patches import TAPS, PatchConfig
        from edge_deploy.promises import promise_lines
        from edge_deploy.spots import SpotOptions
        from edge_deploy.spots import add_spots as add
        from edge_deploy.steps import TerminalSteps

        chosen = tuple(tap.strip() for tap in taps.split(","))
        if not set(chosen) <= set(TAPS) or len(set(chosen)) != len(chosen):
            raise typer.BadParameter(f"--taps {taps!r}: some of {', '.join(TAPS)}, each once")
        options = SpotOptions(PatchConfig(taps=chosen), group_by=group_by, threads=threads)
        manifest = add(bundle, learn, held_out, out, options, TerminalSteps())
        limit = manifest.limits.max_anomaly_score
        typer.echo(f"limits by {manifest.limits.chosen_by}")
        typer.echo(f"  anomaly, most       {'none' if limit is None else f'{limit.default:.5g}'}")
        for line in promise_lines(manifest.limits.bounds):
            typer.echo(line)
        typer.echo(f"{out} is version {manifest.version} and not approved. Read {out.with_suffix('.html')}, then:")
        typer.echo(f"  inspector-deploy approve {out} --key KEY")
