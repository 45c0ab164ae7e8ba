"""Four hours of the box's own figures, as the daemon writes them: every state, every kind that a person looks for."""

from __future__ import annotations

import time
from pathlib import Path

from inspector.upkeep.measures import Measure
from inspector.upkeep.trends import FILE, TrendBook


def write_figures(folder: Path) -> None:
    """folder: of results.db."""
    book, now = TrendBook(folder / FILE), time.time_ns() // 1_000_000
    for n in range(1, 240):
        wave = 3 * ((n % 40) / 40)
        book.put([
            Measure("frames_lost.st1", float(n % 60 < 3), "per_hour", high=10),
            Measure("camera_temp.st1", 41 + wave, "celsius", high=70),
            Measure("light.st1.zone ring: brightness", 60 - n / 16, "percent", low=25, high=75),
            Measure("light.st1.zone ring: sharpness", 60 - n / 8, "percent", low=25, high=75),
            Measure("light.st2", None, "percent", low=25, high=75, off=True, text="no_zones"),
            Measure("disk_free", 12 - n / 40, "gb", low=0.5),
            Measure("cpu_temp", 82 + n / 20, "celsius", high=90),
            Measure("clock_offset", None, "ms", high=1000, text="no_kernel"),
            Measure("clock_free", None, "hours", high=24, off=True, text="no_service"),
            Measure("certificate_page", 212 - n / 1440, "days", low=30),
            Measure("backup_age", n / 60, "hours", high=48),
        ], now - (239 - n) * 60_000)  # fmt: skip
    book.close()
