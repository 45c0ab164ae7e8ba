"""When a shift began: by the clock on the wall, also in the two nights in which that is set. Pure but for the time zone
of the system, which the page shows its times in too.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, time, timedelta
from itertools import pairwise


def shift_at(utc_ms: int, starts: Sequence[time]) -> tuple[int, int]:
    """(begin, end) in ms UTC of the shift that `utc_ms` lies in; the end belongs to the next one.

    A start that the night of a change has twice counts the first time; one that it leaves out counts when the clock
    has gone on by as much. Raises ValueError: no starts, or no calendar has this time.
    """
    if not starts:
        raise ValueError("there are no shifts")
    try:
        today = datetime.fromtimestamp(utc_ms / 1000).date()
        days = [today + timedelta(days=n) for n in (-2, -1, 0, 1, 2)]
        begins = sorted({round(datetime.combine(day, at).timestamp() * 1000) for day in days for at in starts})
    except (OverflowError, OSError) as exc:
        raise ValueError(f"{utc_ms} ms is no date") from exc
    return next((begin, end) for begin, end in pairwise(begins) if begin <= utc_ms < end)
