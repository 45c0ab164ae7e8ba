"""Is the clock of the box kept by a time service? Asked of the kernel (adjtimex(2)), which every such service tells.

Where a unit's filter refuses that call, systemd-timesyncd's own file tells (docs/decisions/0036-is-the-clock-kept.md).
Nothing is decided by it: rules use the monotonic clock. The PLC reads CLOCK_UNSYNCED, so that nobody trusts the UTC of
a record that was made under a free-running clock.
"""

from __future__ import annotations

import ctypes
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import structlog

log = structlog.get_logger(__name__)
STA_UNSYNC = 0x0040  # linux/timex.h
STA_NANO = 0x2000  # offset is in ns, else in us
TIME_ERROR = 5  # what adjtimex returns of a clock that is not kept
TIMESYNCD = Path("/run/systemd/timesync/synchronized")  # touched at each answer of its server
TIMESYNCD_AGE_S = 7200.0  # it asks every 34 minutes at the latest


class _Timex(ctypes.Structure):
    """struct timex of linux/timex.h up to `status`; the kernel writes 208 bytes on 64-bit machines, less on others."""

    _fields_ = (
        ("modes", ctypes.c_uint),  # 0: nothing is set, and everybody may ask
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        ("rest", ctypes.c_long * 32),
    )


def clock_unsynced(
    kernel: Callable[[], bool | None] | None = None, file: Path = TIMESYNCD, utc_s: Callable[[], float] = time.time
) -> bool:
    """True also where nobody can say."""
    told = (kernel or kernel_says_unsynced)()
    if told is not None:
        return told
    try:
        age_s = utc_s() - file.stat().st_mtime
    except OSError:
        return True
    return not 0 <= age_s <= TIMESYNCD_AGE_S


def kernel_says_unsynced() -> bool | None:
    """None: it cannot be asked, for the system is another or a filter refuses the call."""
    asked = _ask_kernel()
    if asked is None:
        return None
    state, found = asked
    return state == TIME_ERROR or bool(found.status & STA_UNSYNC)


def kernel_offset_ms() -> float | None:
    """How far off the time service found the clock last; None: the kernel cannot be asked, or no service keeps it."""
    asked = _ask_kernel()
    if asked is None or asked[1].status & STA_UNSYNC:
        return None
    _, found = asked
    return float(found.offset) / (1e6 if found.status & STA_NANO else 1e3)


@cache
def _adjtimex() -> Callable[..., int] | None:
    """Looked up once: it is asked ten times a second."""
    found: Callable[..., int] | None = getattr(ctypes.CDLL(None), "adjtimex", None)
    return found


def _ask_kernel() -> tuple[int, _Timex] | None:
    ask = _adjtimex()
    if ask is None:
        return None
    found = _Timex()
    state = ask(ctypes.byref(found))
    return None if state == -1 else (state, found)


@dataclass(slots=True)
class ClockWatch:
    """Asks `unsynced` each time, and logs each change."""

    unsynced: Callable[[], bool] = clock_unsynced
    _was: bool | None = None

    def __call__(self) -> bool:
        now = self.unsynced()
        if now is not self._was:
            self._was = now
            text = "the clock is not kept by a time service" if now else "the clock is kept by a time service"
            log.warning("clock", text=text) if now else log.info("clock", text=text)
        return now
