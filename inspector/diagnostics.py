"""What the box tells the PLC of itself, once a second: the counters of DIAG that are not the handshake's own."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from inspector.core.ports import Clock

THERMAL = Path("/sys/class/thermal")
CPU_ZONES = ("x86_pkg_temp", "coretemp", "k10temp", "cpu")  # type of a thermal zone that is the CPU's, best first
UNKNOWN_C = 0  # contract: 0 = unknown


@dataclass(slots=True)
class Diagnostics:
    """Called for the DIAG block; names are the contract's. disk: a folder on the disk that holds the record."""

    boot: int
    clock: Clock
    disk: Path
    thermal: Path = THERMAL
    _started_s: float = 0.0

    def __post_init__(self) -> None:
        self._started_s = self.clock.monotonic_s()

    def __call__(self) -> dict[str, int]:
        return {
            "BOOT_COUNT": self.boot,
            "UPTIME": int(self.clock.monotonic_s() - self._started_s),
            "DISK_FREE": disk_free_percent(self.disk),
            "CPU_C": cpu_celsius(self.thermal),
        }


def disk_free_percent(folder: Path) -> int:
    """Free space for this process, rounded down, so that 0 is said in time; 0 where it cannot be asked."""
    try:
        found = os.statvfs(folder)
    except OSError:
        return 0
    return 100 * found.f_bavail // max(1, found.f_blocks)


def cpu_celsius(thermal: Path = THERMAL) -> int:
    """The CPU's temperature by the kernel's thermal zones; 0 where there is none, as in a virtual machine."""
    readings: dict[str, int] = {}
    for zone in sorted(thermal.glob("thermal_zone*")):
        try:
            kind, text = (zone / "type").read_text().strip(), (zone / "temp").read_text()
            readings.setdefault(kind, int(text))
        except (OSError, ValueError):
            continue  # a zone that is switched off
    for kind in CPU_ZONES:
        for name, millidegrees in readings.items():
            if kind in name.lower():
                return max(UNKNOWN_C, round(millidegrees / 1000))
    return UNKNOWN_C
