"""What a rendered camera does instead of its work, and when: the script of a test."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Self

from inspector.core.errors import ConfigError

WHILE = " while "


class Fault(StrEnum):
    """What the next grab does instead of its work."""

    NONE = "none"  # nothing: this part is fine
    TIMEOUT = "timeout"  # no frame within the grab timeout
    LATE = "late"  # the driver holds the frame back until the part's deadline is over
    HANG = "hang"  # the driver's call does not come back
    SLOW = "slow"  # the frame takes 0.4 s longer
    LOST = "lost"  # unplugged, from now on
    REBOOTED = "rebooted"  # started anew with settings of its own, and keeps them
    FROZEN = "frozen"  # the frame before once more, as if it were new
    BUFFERED = "buffered"  # out of a queue: the exposure of the part before
    STALE = "stale"  # exposed before this trigger
    BLACK = "black"
    OVEREXPOSED = "overexposed"
    LAMP_DEAD = "lamp_dead"
    HALF_FRAME = "half_frame"
    WRONG_SIZE = "wrong_size"


@dataclass(slots=True)
class FaultScript:
    """queue: each grab takes one. standing: while its file exists a fault meets every grab, and none is taken.

    In a configuration: `[test] camera_faults = ["none", "timeout", "lost while /run/test/unplugged"]`. There the second
    part times out, and whoever makes the file /run/test/unplugged pulls the plug; removing it puts the plug back in.
    """

    queue: deque[Fault] = field(default_factory=deque)
    standing: tuple[tuple[Fault, Path], ...] = ()

    @classmethod
    def parse(cls, entries: Sequence[str]) -> Self:
        """Raises ConfigError: a fault that there is not, or a file without an absolute path."""
        queue: deque[Fault] = deque()
        standing: list[tuple[Fault, Path]] = []
        for entry in entries:
            name, during, file = entry.partition(WHILE)
            if name not in list(Fault):
                raise ConfigError(f"[test] camera_faults: there is no {name!r}, only {', '.join(Fault)}")
            if during and not Path(file).is_absolute():
                raise ConfigError(f"[test] camera_faults: {entry!r} needs the absolute path of a file")
            if during:
                standing.append((Fault(name), Path(file)))
            else:
                queue.append(Fault(name))
        return cls(queue, tuple(standing))

    def stands(self, fault: Fault) -> bool:
        return any(one is fault and file.exists() for one, file in self.standing)

    def next(self) -> Fault:
        for fault, file in self.standing:
            if file.exists():
                return fault
        return self.queue.popleft() if self.queue else Fault.NONE
