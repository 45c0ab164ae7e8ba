"""How many parts the PLC says have reached the camera: the growth of PLC_PART_COUNT, over its restarts and ours."""

from __future__ import annotations

STEP = 1000  # parts between two images; more, or less than none, is believed once the next image says so too
LEAP = 10_000_000  # parts that may have come by while we were away; a change of more is a counter that was set
_U32 = 1 << 32


class PartCount:
    """Fed with every image of a PLC that has shown its signature. Pure.

    raw: PLC_PART_COUNT as it was last believed; None: not seen yet. grown: parts since this object was made, and those
    since what `recall` was told.
    """

    def __init__(self) -> None:
        self.raw: int | None = None
        self.grown = 0
        self._doubted: int | None = None

    def recall(self, raw: int) -> None:
        """As it was last seen in a former life: what came since then has grown too."""
        if self.raw is None:
            self.raw = raw

    def see(self, raw: int) -> None:
        """PLC_PART_COUNT of one image, u32. A number torn between its two registers stands in one image only."""
        if raw == self.raw:
            self._doubted = None
            return
        if self.raw is None:
            self.raw = raw
            return
        grown = (raw - self.raw) % _U32
        if grown > STEP:
            if self._doubted is None or not 0 <= raw - self._doubted <= STEP:
                self._doubted = raw
                return
            if grown >= LEAP:  # the PLC counts from zero again, or was set
                grown = raw if raw < LEAP else 0
        self.raw, self._doubted = raw, None
        self.grown += grown
