"""Warnings about what others send, which may be very many: one line of a kind now and then, with a count."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

PERIOD_S = 10.0
MAX_KINDS = 64  # remembered; the kinds are ours, not the peer's words


class SparseLog:
    """At most one line of each kind every 10 s."""

    def __init__(self, logger: logging.Logger, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._logger, self._now = logger, monotonic_s
        self._since: dict[str, float] = {}
        self._hushed: dict[str, int] = {}
        self.lines = 0

    def warn(self, kind: str, text: str) -> None:
        """`kind` bounds the rate; `text` is logged if the last line of this kind is old enough."""
        now = self._now()
        if now - self._since.get(kind, -PERIOD_S) < PERIOD_S:
            self._hushed[kind] = self._hushed.get(kind, 0) + 1
            return
        more = self._hushed.pop(kind, 0)
        self._since[kind] = now
        while len(self._since) > MAX_KINDS:
            self._hushed.pop(next(iter(self._since)), None)
            del self._since[next(iter(self._since))]
        self.lines += 1
        self._logger.warning("%s%s", text, f" ({more} more of this kind since the last line)" if more else "")
