"""inspector-plc: play a PLC, and print the contract's registers."""

from __future__ import annotations

import asyncio
import itertools
import json
import signal
from dataclasses import asdict
from typing import Annotated

import typer

from plc.document import markdown
from plc.sim import SimConfig, SimPlc, SimResult

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)


@app.command()
def sim(
    port: Annotated[int, typer.Option(help="where the appliance finds this PLC on 127.0.0.1", min=0, max=65535)] = 5020,
    parts: Annotated[int, typer.Option(help="how many parts to bring; 0 = until it is ended", min=0)] = 100,
    rate: Annotated[float, typer.Option(help="parts a second; 0 = as fast as the appliance answers", min=0)] = 0.0,
    scan_ms: Annotated[float, typer.Option(help="scan time of the PLC's program", min=0.5)] = 5.0,
) -> None:
    """Play a line: one JSON object a part, with what the PLC read and whether it let the part go as good.

    Example: inspector-plc sim --port 5020 --parts 200 --rate 5
    """
    asyncio.run(_play(port, parts, rate, scan_ms))


async def _play(port: int, parts: int, rate: float, scan_ms: float) -> None:
    """SIGTERM and SIGINT end it after the part in flight."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    plc = SimPlc(SimConfig(scan_s=scan_ms / 1000), on_result=_print)
    await plc.start(port=port)
    try:
        for part_id in range(1, parts + 1) if parts else itertools.count(1):
            if stop.is_set():
                break
            await plc.play([part_id], 1 / rate if rate else 0.0)
    finally:
        await plc.close()


def _print(result: SimResult) -> None:
    typer.echo(json.dumps(asdict(result)))


@app.command()
def docs() -> None:
    """Print the register map as Markdown; docs/registers.md is made by this.

    Example: inspector-plc docs > docs/registers.md
    """
    typer.echo(markdown(), nl=False)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
