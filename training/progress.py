"""What a person sees while it works: a progress bar that goes when it is done, and lines that stay."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")


def shown(items: Iterable[Item], what: str, total: int, *, quiet: bool = False) -> Iterator[Item]:
    """The items, under a progress bar on a terminal's stderr."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal, transient=True) as bar:
        yield from bar.track(items, total=total, description=what)


def say(text: object, *, quiet: bool = False) -> None:
    """A line (or a table of rich) on stderr."""
    Console(stderr=True, quiet=quiet, highlight=False, soft_wrap=isinstance(text, str)).print(text)
