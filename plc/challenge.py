"""TEST_PART that stands too long: a forgotten switch must not keep a line rejecting, nor hide in its counts."""

from __future__ import annotations

import math

from plc.parts import HandshakeConfig


class Challenge:
    """One run of challenge parts, from TEST_PART=1 to TEST_PART=0; also across a lost link.

    expired: it held too many parts or took too long; latched until TEST_PART is 0 and the error was acknowledged.
    """

    def __init__(self, cfg: HandshakeConfig) -> None:
        self._max_parts, self._max_s = cfg.test_part_max_parts, cfg.test_part_max_s
        self._since_s, self._parts = math.inf, 0
        self.expired = False

    def see(self, on: bool, now_s: float) -> None:
        """TEST_PART of one image."""
        if not on:
            self._since_s, self._parts = math.inf, 0
        elif self._since_s == math.inf:
            self._since_s = now_s

    def accepted(self) -> None:
        """One more part of this run."""
        self._parts += 1

    def tick(self, now_s: float) -> bool:
        """True: it has just expired."""
        before = self.expired
        self.expired |= self._parts >= self._max_parts or now_s - self._since_s > self._max_s
        return self.expired and not before

    def acknowledge(self) -> None:
        if self._since_s == math.inf:
            self.expired = False
