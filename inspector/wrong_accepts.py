"""Parts that the PLC took as good and that were not passed: on the disk first, then shown."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from inspector.core.ports import Clock

PATIENCE_S = 1.0  # the page has to tell within 2 s, whatever the disk does
RETRY_S = 1.0
Part = tuple[int, int]  # trigger id, part id


@dataclass(slots=True)
class _Writing:
    future: Future[None]
    first_s: float
    tried_s: float

    @property
    def failed(self) -> bool:
        return self.future.cancelled() or self.future.exception() is not None


class WrongAcceptNotes:
    """What is shown is on the disk: a crash a moment later takes no alarm back that a person may have seen.

    A disk that is slow, or fails, withholds an alarm for PATIENCE_S at most, and is tried again until it has it.
    note: begins the commit. recalled: what a former life left on the disk.
    """

    def __init__(self, clock: Clock, note: Callable[[Part], Future[None]], recalled: Iterable[Part] = ()) -> None:
        self._clock, self._note = clock, note
        self._shown = set(recalled)
        self._writing: dict[Part, _Writing] = {}

    def __bool__(self) -> bool:
        """There are some that nobody took note of."""
        return bool(self._shown or self._writing)

    def to_show(self, parts: Iterable[Part]) -> list[Part]:
        """Note the new ones; returns those of `parts` that may be shown by now."""
        told, now = list(parts), self._clock.monotonic_s()
        for part in told:
            if part not in self._shown and part not in self._writing:
                self._writing[part] = _Writing(self._note(part), now, now)
        for part, writing in list(self._writing.items()):
            self._look(part, writing, now)
        return [part for part in told if part in self._shown]

    def _look(self, part: Part, writing: _Writing, now_s: float) -> None:
        if writing.future.done() or now_s - writing.first_s >= PATIENCE_S:
            self._shown.add(part)
        if not writing.future.done():
            return
        if not writing.failed:
            del self._writing[part]
        elif now_s - writing.tried_s >= RETRY_S:
            writing.future, writing.tried_s = self._note(part), now_s

    def forget(self) -> None:
        """A person took note of all of them."""
        self._shown.clear()
        self._writing.clear()
