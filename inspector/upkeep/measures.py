"""Figures of the box that a person should see to in time: value, limits, and what to do beyond them. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from inspector.core.alarm_kinds import Kind, Problem

State = Literal["ok", "alarm", "unknown", "off"]


@dataclass(frozen=True, slots=True)
class Measure:
    """One figure as it was just read.

    key: what it is, and of which station or file where there are several: "disk_free", "frames_lost.st1". value None:
    it cannot be told, and `text` says why: a key below measure.note of the page's words, or plain text. low, high: it
    is right within them. fault: what is wrong whatever the value is. off: nobody asked for it.
    """

    key: str
    value: float | None
    unit: str  # of words/*/maintenance.toml
    low: float | None = None
    high: float | None = None
    text: str = ""
    fault: str = ""
    off: bool = False

    @property
    def kind(self) -> str:
        return self.key.partition(".")[0]

    @property
    def about(self) -> str:
        """Which of several: a station, a file; "" where there is one."""
        return self.key.partition(".")[2]

    @property
    def state(self) -> State:
        if self.fault:
            return "alarm"
        if self.off:
            return "off"
        if self.value is None or not math.isfinite(self.value):
            return "unknown"
        within = (self.low is None or self.value >= self.low) and (self.high is None or self.value <= self.high)
        return "ok" if within else "alarm"


# What each kind of figure raises beyond its limit, and where it cannot be had. Light, and the certificates of links to
# PLCs, have alarms of their own (stations.py): here they are shown alone.
ALARMS: Mapping[str, Kind] = {
    kind.key: kind
    for kind in (
        Kind.FRAMES_LOST, Kind.CAMERA_TEMP, Kind.CPU_TEMP, Kind.DISK_FREE, Kind.INODES_FREE, Kind.CLOCK_OFFSET,
        Kind.CLOCK_STEP, Kind.CLOCK_FREE, Kind.CERTIFICATE_PAGE, Kind.BACKUP_AGE,
    )
}  # fmt: skip
FAULTS: Mapping[str, Kind] = {
    "disk_free": Kind.DISK_FREE_FAULT, "certificate_page": Kind.CERTIFICATE_PAGE_FAULT,
    "backup_age": Kind.BACKUP_AGE_FAULT,
}  # fmt: skip


def problem_of(measure: Measure) -> Problem | None:
    """What its alarm says; None: there is none."""
    kind = ALARMS.get(measure.kind)
    if kind is None or measure.state != "alarm":
        return None
    if measure.fault:
        return FAULTS[measure.kind].of(detail=measure.fault)
    limits = [x for x in (measure.low, measure.high) if x is not None]
    return kind.of(value=f"{measure.value:g}", limit=f"{limits[0]:g}")
