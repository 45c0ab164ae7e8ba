"""How long something took the product: without the time in which the machine let it, or the test, wait for a core."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from pathlib import Path

_TICKS_S = 0.01  # of /proc/stat
_STEAL = 8


class FairTime:
    """Seconds since it was made, less those that this process or `others` waited for a core, by the kernel's account.

    A bound of the contract is held against it: on a machine with nothing else to do it is the time on the clock. Of
    each process the thread counts that waited longest since the last look: ask often, for the next may be another.
    others: which processes matter; asked each time, for one may end and another begin.
    """

    def __init__(self, others: Callable[[], Iterable[int]] = tuple) -> None:
        self._others = others
        self._fair_s = self.waited_s = 0.0
        self._looked_s, self._waits = time.monotonic(), self._look()
        self._stolen_s = stolen_s()

    def s(self) -> float:
        """Until now."""
        now_s, waits, stolen = time.monotonic(), self._look(), stolen_s()
        longest: dict[Path, float] = {}
        for thread, each in waits.items():
            waited_s = each - self._waits.get(thread, 0.0)
            longest[thread.parent.parent] = max(longest.get(thread.parent.parent, 0.0), waited_s)
        waited_s = stolen - self._stolen_s + sum(longest.values())
        self.waited_s += waited_s
        self._fair_s = max(0.0, self._fair_s + now_s - self._looked_s - waited_s)  # a wait is told when it is over
        self._looked_s, self._stolen_s = now_s, stolen
        self._waits |= waits
        return self._fair_s

    def _look(self) -> dict[Path, float]:
        """Seconds that each thread waited for a core, ever."""
        found = {}
        for process in ("self", *self._others()):
            for thread in Path(f"/proc/{process}/task").glob("*/schedstat"):
                try:
                    found[thread] = int(thread.read_text().split()[1]) / 1e9
                except (OSError, IndexError):
                    continue  # it ended meanwhile
        return found


def stolen_s() -> float:
    """What a hypervisor took of this machine's cores, ever."""
    return int(Path("/proc/stat").read_text().split(maxsplit=_STEAL + 1)[_STEAL]) * _TICKS_S
