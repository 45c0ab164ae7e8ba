"""What a command of the workstation says when it cannot do what it was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import typer

from inspector.core.errors import InspectorError

EXTRA = ("torch", "torchvision", "safetensors", "nncf", "sklearn", "matplotlib", "onnx", "onnxscript", "onnxruntime")


@contextmanager
def clear_errors() -> Iterator[None]:
    """What we raise on purpose is told in one line, with what to do; a bug keeps its traceback."""
    try:
        yield
    except InspectorError as exc:
        typer.echo(f"error: {exc}", err=True)
        raise typer.Exit(1) from exc
    except ModuleNotFoundError as exc:
        if exc.name not in EXTRA:
            raise
        typer.echo(
            f"error: {exc.name} is not installed; install the workstation's part: pip install '.[train]'", err=True
        )
        raise typer.Exit(1) from exc
