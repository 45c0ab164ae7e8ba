"""inspector-plc docs: the register page and its companions, and the function blocks as text."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from plc.document import markdown, write_documents
from plc.st.generate import write_st


class For(StrEnum):
    """Whose spelling of Structured Text."""

    CODESYS = "codesys"
    SCL = "scl"


def docs(
    to: Annotated[Path | None, typer.Option(help="write registers.md, symbols.csv and timing.svg into it")] = None,
    st: Annotated[Path | None, typer.Option(help="write the function blocks into this folder")] = None,
    dialect: Annotated[For, typer.Option(help="of the function blocks")] = For.CODESYS,
) -> None:
    """Print the register page, or write it, its symbol list and timing diagram, or the function blocks, into a folder.

    Example: inspector-plc docs --st blocks --dialect scl
    """
    if to is None and st is None:
        typer.echo(markdown(), nl=False)
    written = write_documents(to) if to is not None else []
    written += write_st(st, "scl" if dialect is For.SCL else "codesys") if st is not None else []
    for path in written:
        typer.echo(str(path))
