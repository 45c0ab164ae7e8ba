"""Has every part that the PLC counted been a trigger here? Compared while nothing is under way."""

from __future__ import annotations

from collections.abc import Callable

from inspector.core.ports import Clock
from inspector.store.results import SqliteResults
from plc.handshake import Handshake

DIFFERS_S = 5.0  # a PLC's program may count a part some time before it triggers, or after


class PartCheck:
    """`look` often. parts: counted by the PLC beyond our rows since the last reset; below 0: rows beyond its parts.

    alarm: as many, for an alarm. down: one stands of what takes READY, as a camera that was pulled. Parts that a belt
    then carries past are what follows from it, and an alarm once it is over; one that was told already stays.
    """

    def __init__(
        self, results: SqliteResults, handshake: Handshake, clock: Clock, down: Callable[[], bool] = lambda: False
    ) -> None:
        self._results, self._handshake, self._clock, self._down = results, handshake, clock, down
        self._differs_since_s: float | None = None
        self.parts = self.alarm = 0

    def look(self) -> None:
        """A difference counts once it has stood for DIFFERS_S without a moment in which there was none."""
        if not self._handshake.quiet or self._results.busy():
            return
        found = self._results.counting.difference()
        if found == 0:
            self._differs_since_s, self.parts, self.alarm = None, 0, 0
            return
        now_s = self._clock.monotonic_s()
        if self._differs_since_s is None:
            self._differs_since_s = now_s
        if now_s - self._differs_since_s >= DIFFERS_S:
            self.parts = found
            follows = found > 0 and self.alarm == 0 and self._down()
            self.alarm = 0 if follows else found
