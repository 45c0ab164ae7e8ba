"""Where the time of a cycle went: each stage's own time, and whether all of them add up to the whole. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass

from inspector.web.present import View, milliseconds
from inspector.web.records import Row
from inspector.web.words import has_word, readable, word

CYCLE = (  # the order in which a cycle goes; what runs meanwhile stands where it begins
    "accepted", "opening", "opened", "exposing", "exposed", "grabbed", "checked", "cropped", "predicted", "judged",
    "decided", "publishing", "published", "acknowledged", "stamped",
)  # fmt: skip
MEANWHILE = {"opened": "opening"}  # stage -> the end of which it begins at: the commit runs while the camera exposes
TOLD, ACKNOWLEDGED = "publishing", "acknowledged"
DECIDED = "decided"  # the whole that a row holds (elapsed_ms) ends here; telling the PLC comes after
AGREE_WITHIN_MS = 1.0


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a cycle, in ms since the trigger was accepted."""

    name: str
    begun_ms: float
    ended_ms: float

    @property
    def own_ms(self) -> float:
        return self.ended_ms - self.begun_ms

    @property
    def beside(self) -> bool:
        """It runs beside the others and delays none."""
        return self.name in MEANWHILE


def stages_of(stored: str | None) -> dict[str, float]:
    """Stage -> ms since accept at its end, as stored. An unreadable one shows no times, not an error page."""
    try:
        found = json.loads(stored or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(k): float(v) for k, v in found.items() if isinstance(v, (int, float)) and math.isfinite(v)}


def ends_of(row: Row) -> dict[str, float]:
    """All of a row's stages; the PLC's acknowledge is noted beside them, counted from the publishing write."""
    ends = stages_of(row["stages"])
    if row.get("ack") == ACKNOWLEDGED and TOLD in ends and row["ack_ms"] is not None:
        ends[ACKNOWLEDGED] = ends[TOLD] + row["ack_ms"]
    return ends


def cycle_of(ends: Mapping[str, float]) -> list[Stage]:
    """The stages in the order they ended; each begins where the one before it ended."""
    found, before = [], 0.0
    for name, ms in sorted(ends.items(), key=lambda end: (end[1], place_of(end[0]))):
        if ms <= 0:
            continue
        begun = ends.get(MEANWHILE[name], 0.0) if name in MEANWHILE else before
        found.append(Stage(name, begun, ms))
        before = before if name in MEANWHILE else ms
    return found


def waterfall(ends: Mapping[str, float]) -> list[View]:
    """Each stage's own time as a bar, in the order of the cycle: x and width in percent of the whole."""
    stages = sorted(cycle_of(ends), key=lambda s: place_of(s.name))
    whole = max((s.ended_ms for s in stages), default=0.0)
    return [
        {
            "name": stage_name(s.name),
            "x": round(100 * s.begun_ms / whole, 2),
            "width": round(max(100 * s.own_ms / whole, 0.4), 2),
            "took": word("milliseconds", number=f"{s.own_ms:.1f}"),
            "beside": s.beside,
            "tone": place_of(s.name),
        }
        for s in stages
    ]


def sum_ms(ends: Mapping[str, float]) -> float | None:
    """What the stages up to the decision on record took together; None where no decision is among them."""
    stages = [s for s in cycle_of(ends) if s.ended_ms <= ends.get(DECIDED, -math.inf) and not s.beside]
    return sum(s.own_ms for s in stages) if stages else None


def sum_view(ends: Mapping[str, float], elapsed_ms: float | None) -> View | None:
    """The sum of the stages beside the whole that was measured; None where one of them is not known."""
    together = sum_ms(ends)
    if together is None or elapsed_ms is None:
        return None
    agree = abs(together - elapsed_ms) <= AGREE_WITHIN_MS
    text = word("stages.agree" if agree else "stages.differ", sum=f"{together:.1f}", whole=f"{elapsed_ms:.1f}")
    return {"agree": agree, "text": text, "whole": milliseconds(elapsed_ms)}


def place_of(name: str) -> int:
    """Where in the cycle a stage is; one that is not known comes last."""
    return CYCLE.index(name) if name in CYCLE else len(CYCLE)


def stage_name(name: str) -> str:
    return word(f"stage.{name}") if has_word(f"stage.{name}") else readable(name)
