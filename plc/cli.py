"""inspector-plc: play a PLC, look at a link, write a register, and print the contract's registers."""

from __future__ import annotations

import typer

from plc.conformance.cli import conformance
from plc.docs_command import docs
from plc.monitor import monitor
from plc.poke import poke
from plc.sim.command import sim

app = typer.Typer(help=__doc__, no_args_is_help=True, add_completion=False)
app.command()(sim)
app.command()(monitor)
app.command()(poke)
app.command()(conformance)
app.command()(docs)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
