"""The belt under the simulated PLC: parts that really are somewhere, whatever the program believes of them."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

from plc.sim.parts import NewPart
from plc.sim.track import COUNTS


@dataclass(frozen=True, slots=True)
class BeltConfig:
    """Lengths in encoder counts."""

    counts_per_s: float = 1000.0
    pitch: int = 200  # from the front of one part to that of the next: rate = counts_per_s / pitch
    part_length: int = 40
    gate: int = 300  # from the camera's sensor

    def __post_init__(self) -> None:
        if not 0 < self.part_length < self.pitch:
            raise ValueError(f"parts of {self.part_length} counts do not fit a pitch of {self.pitch}")


@dataclass(slots=True)
class _Riding:
    part: NewPart
    front: float  # counts past the camera's sensor; negative: still before it


class Belt:
    """Carries parts past camera and gate. Truth: `went_on` and `binned` hold what really became of each part.

    encoder: starts near its wrap, so that every long run crosses it.
    """

    def __init__(self, cfg: BeltConfig, parts: Iterator[NewPart], *, encoder: int = COUNTS - 1000) -> None:
        self.cfg, self._parts = cfg, parts
        self._counts, self._encoder0 = 0.0, encoder
        self._riding: deque[_Riding] = deque()
        self.went_on: list[NewPart] = []
        self.binned: list[NewPart] = []
        self.brought = 0
        self.feeding = True  # False: no further part is put on the belt
        self._next_at = 0.0
        self._exhausted = False

    @property
    def encoder(self) -> int:
        return (self._encoder0 + int(self._counts)) & COUNTS

    @property
    def empty(self) -> bool:
        """Nothing is on it, and nothing comes any more."""
        return not self._riding and (self._exhausted or not self.feeding)

    @property
    def at_camera(self) -> NewPart | None:
        """What covers the camera's sensor."""
        return next((r.part for r in self._riding if 0 <= r.front < self.cfg.part_length), None)

    def next_part(self) -> NewPart | None:
        """Put the next one on the belt, where its turn has come. None: not yet, or no more."""
        if not self.feeding or self._counts < self._next_at:
            return None
        part = next(self._parts, None)
        if part is None:
            self._exhausted = True
            return None
        self._riding.append(_Riding(part, -self.cfg.part_length))
        self._next_at = self._counts + self.cfg.pitch
        self.brought += 1
        return part

    def delay_newest(self, seconds: float) -> None:
        """The part that was put on last comes so much later, and those behind it too."""
        if seconds:
            counts = seconds * self.cfg.counts_per_s
            self._riding[-1].front -= counts
            self._next_at += counts

    def move(self, seconds: float, *, gate_open: bool, ejector_stuck: bool = False) -> None:
        """The belt runs for so long. A part's front at a gate that is not open goes into the bin."""
        step = min(seconds * self.cfg.counts_per_s, self.cfg.part_length / 2)  # a late scan: no sensor is jumped over
        self._counts += step
        for riding in self._riding:
            riding.front += step
        while self._riding and self._riding[0].front >= self.cfg.gate:
            part = self._riding.popleft().part
            (self.went_on if gate_open or ejector_stuck else self.binned).append(part)
