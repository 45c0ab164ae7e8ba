"""How long cycles took: percentiles of each stage, the slowest cycles, their course over time. Pure."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from inspector.web.present import View, date_time
from inspector.web.records import Row
from inspector.web.stages import (
    AGREE_WITHIN_MS,
    Stage,
    cycle_of,
    ends_of,
    place_of,
    stage_name,
    stages_of,
    sum_view,
    waterfall,
)
from inspector.web.words import word

SLOWEST = 20
POINTS = 1000  # on the plot; of each stretch of parts the slowest is shown
STOOD_MS, STOOD_TIMES = 60_000, 10
SHARES = (0.5, 0.95, 0.99, 1.0)


@dataclass(frozen=True, slots=True)
class Cycle:
    """One accepted trigger that was decided. whole_ms: trigger to decision on record."""

    row: Row
    stages: tuple[Stage, ...]
    whole_ms: float


def cycles_of(found: Iterable[Row]) -> list[Cycle]:
    """Refused triggers, and rows without a decision, are no cycles."""
    return [
        Cycle(row, tuple(cycle_of(ends_of(row))), float(row["elapsed_ms"]))
        for row in found
        if row["kind"] == "accepted" and row["elapsed_ms"] is not None and math.isfinite(row["elapsed_ms"])
    ]


def quantile(ordered: Sequence[float], share: float) -> float:
    """The smallest value that `share` of all do not exceed (nearest rank); ordered: ascending, not empty."""
    return ordered[max(0, math.ceil(share * len(ordered) - 1e-9) - 1)]


def figures(values: Iterable[float]) -> tuple[float, ...]:
    """p50, p95, p99, max."""
    ordered = sorted(values)
    return tuple(quantile(ordered, share) for share in SHARES)


def stage_names(cycles: Sequence[Cycle]) -> list[str]:
    """Every stage that occurs, in the order of the cycle."""
    return sorted({stage.name for cycle in cycles for stage in cycle.stages}, key=lambda name: (place_of(name), name))


def stage_table(cycles: Sequence[Cycle]) -> list[View]:
    """A line for each stage: its name, how many cycles had it, and the figures of its own time."""
    own: dict[str, list[float]] = {}
    for cycle in cycles:
        for stage in cycle.stages:
            own.setdefault(stage.name, []).append(stage.own_ms)
    return [
        {"name": stage_name(name), "count": len(own[name]), "figures": [f"{x:.1f}" for x in figures(own[name])]}
        for name in stage_names(cycles)
    ]


def whole_line(cycles: Sequence[Cycle]) -> View | None:
    if not cycles:
        return None
    return {"count": len(cycles), "figures": [f"{x:.1f}" for x in figures(c.whole_ms for c in cycles)]}


def slowest(cycles: Sequence[Cycle]) -> list[View]:
    """The slowest ones, slowest first, each with its stages as bars and the one that took longest."""
    found = sorted(cycles, key=lambda c: -c.whole_ms)[:SLOWEST]
    return [_slow_view(cycle) for cycle in found]


def _slow_view(cycle: Cycle) -> View:
    row = cycle.row
    within = [s for s in cycle.stages if not s.beside and s.ended_ms <= cycle.whole_ms + AGREE_WITHIN_MS]
    longest = max(within, key=lambda s: s.own_ms, default=None)
    ends = stages_of(row["stages"])  # how long the PLC took to acknowledge is no part of what was slow here
    return {
        "no": row["no"], "time": date_time(row["opened_utc_ms"]), "station": row["station"],
        "part_id": row["part_id"], "whole": _ms(cycle.whole_ms), "image": bool(row["image"]), "bars": waterfall(ends),
        "longest": "" if longest is None else f"{stage_name(longest.name)} {_ms(longest.own_ms)}",
        "sum": sum_view(ends, row["elapsed_ms"]),
    }  # fmt: skip


def _ms(value: float) -> str:
    return word("milliseconds", number=f"{value:.1f}")


def legend_of(slow: Sequence[View]) -> list[View]:
    """What the bars of the slowest cycles are, in the order of the cycle."""
    tones = {bar["name"]: bar["tone"] for one in slow for bar in one["bars"]}
    return [{"name": name, "tone": tone} for name, tone in sorted(tones.items(), key=lambda item: (item[1], item[0]))]


def plot(cycles: Sequence[Cycle]) -> str:
    """[[seconds], [whole ms]] as JSON, oldest first, POINTS of them or a few more; seconds of the station's own time,
    as if it were UTC: the browser may stand in another zone. Between two runs of the line there is a null: no curve.
    """
    ordered = sorted(cycles, key=lambda c: int(c.row["no"]))
    step = max(1, math.ceil(len(ordered) / POINTS))
    times, wholes = list[float](), list[float | None]()
    for run in runs_of(ordered):
        shown = [max(run[n : n + step], key=lambda c: c.whole_ms) for n in range(0, len(run), step)]
        if times:
            times, wholes = [*times, _station_s(run[0].row["opened_utc_ms"] - 1)], [*wholes, None]
        times += [_station_s(c.row["opened_utc_ms"]) for c in shown]
        wholes += [round(c.whole_ms, 3) for c in shown]
    return json.dumps([times, wholes])


def runs_of(ordered: Sequence[Cycle]) -> list[Sequence[Cycle]]:
    """Cut where the line stood: for a minute at least, and far longer than it usually waits for a part."""
    at = [int(c.row["opened_utc_ms"]) for c in ordered]
    waits = [later - before for before, later in pairwise(at)]
    stood_ms = max(STOOD_MS, STOOD_TIMES * quantile(sorted(waits), 0.5)) if waits else STOOD_MS
    ends = [n for n, wait in enumerate(waits, 1) if wait > stood_ms]
    return [ordered[begin:end] for begin, end in pairwise([0, *ends, len(ordered)]) if begin < end]


def _station_s(utc_ms: int) -> float:
    return utc_ms / 1000 + time.localtime(utc_ms / 1000).tm_gmtoff
