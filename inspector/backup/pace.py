"""No faster than the line's disk can spare."""

from __future__ import annotations

import time
from collections.abc import Callable

SLEEPS_S = 0.02  # shorter ones are saved up


class Pace:
    """Sleeps so that what is read and written stays at `mb_per_s`. told: of how many bytes so far."""

    def __init__(self, mb_per_s: float, told: Callable[[int], None] = lambda _: None) -> None:
        self._s_per_byte, self._told = 1e-6 / mb_per_s, told
        self._due_s = time.monotonic()
        self.bytes = 0

    def took(self, count: int) -> None:
        """So many bytes were moved just now."""
        self.bytes += count
        self._told(self.bytes)
        now = time.monotonic()
        self._due_s = max(self._due_s, now - SLEEPS_S) + count * self._s_per_byte  # a wait elsewhere saves nothing up
        if self._due_s - now >= SLEEPS_S:
            time.sleep(self._due_s - now)
