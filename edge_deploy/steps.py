"""What a build tells the person who waits for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol

Tick = Callable[[], None]


class Steps(Protocol):
    def say(self, text: str) -> None: ...

    def bar(self, text: str, total: int) -> AbstractContextManager[Tick]:
        """A progress bar; each call of the yielded function is one picture."""
        ...


class SilentSteps:
    """For tests and scripts."""

    def say(self, text: str) -> None:
        del text

    @contextmanager
    def bar(self, text: str, total: int) -> Iterator[Tick]:
        del text, total
        yield lambda: None


class TerminalSteps:
    """rich on stderr. One bar at a time: NNCF draws its own between ours."""

    def __init__(self) -> None:
        from rich.console import Console

        self._console = Console(stderr=True)

    def say(self, text: str) -> None:
        self._console.print(text, markup=False)

    @contextmanager
    def bar(self, text: str, total: int) -> Iterator[Tick]:
        from rich.progress import Progress

        with Progress(console=self._console) as progress:
            task = progress.add_task(text, total=total)
            yield lambda: progress.advance(task)
