"""The scores of a part against the limits that judged it: in words, and as a bar with the limits marked. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from inspector.web.present import View, percent
from inspector.web.words import word

ROOM = 0.15  # of the shown range, beyond the outermost limit or value
THICK = 1.2  # of the line that marks the value, in percent of the width
Limit = float | None


def score_views(row: Mapping[str, Any], limits: Mapping[str, Any] | None) -> list[View]:
    """Measure, value, limit and bar; `kept` is None where the limit is not known.

    limits: min_confidence, novelty_low, novelty_high, max_anomaly_score of what judged; None: not known.
    """
    at = limits or {}
    found = [
        _score("detail.confidence", row["confidence"], at.get("min_confidence"), None, share=True),
        _score("detail.novelty", row["novelty_score"], at.get("novelty_low"), at.get("novelty_high")),
        _score("detail.anomaly", row["anomaly_score"], None, at.get("max_anomaly_score")),
    ]
    return [s for s in found if s is not None]


def _score(key: str, value: float | None, low: Limit, high: Limit, share: bool = False) -> View | None:
    if value is None:
        return None

    def number(x: float) -> str:
        return percent(x, digits=1) if share else f"{x:.3f}"

    limit, kept = "", None
    if low is not None and high is not None:
        limit, kept = word("limit.range", low=number(low), high=number(high)), low <= value <= high
    elif low is not None:
        limit, kept = word("limit.min", low=number(low)), value >= low
    elif high is not None:
        limit, kept = word("limit.max", high=number(high)), value <= high
    said = "" if kept is None else word("limit.kept" if kept else f"limit.{_side(value, low)}")
    bar = _bar(value, low, high, (0.0, 1.0) if share else None)
    return {"name": word(key), "value": number(value), "limit": limit, "kept": kept, "said": said, "bar": bar}


def _side(value: float, low: Limit) -> str:
    return "below" if low is not None and value < low else "above"


def _bar(value: float, low: Limit, high: Limit, ends: tuple[float, float] | None) -> View | None:
    """Percent of the width: the line of the value, the limits, and the stretch that is allowed; None: no limit."""
    limits = [x for x in (low, high) if x is not None]
    if not limits or not math.isfinite(value):
        return None
    begin, end = ends or _around([value, *limits], from_zero=low is None)

    def at(x: float) -> float:
        return round(100 * min(1.0, max(0.0, (x - begin) / (end - begin))), 2)

    left, right = (0.0 if low is None else at(low)), (100.0 if high is None else at(high))
    mark = min(100 - THICK, max(0.0, at(value) - THICK / 2))  # whole, also at an end
    return {"mark": round(mark, 2), "limits": [at(x) for x in limits], "left": left, "width": round(right - left, 2)}


def _around(values: list[float], from_zero: bool) -> tuple[float, float]:
    """A range with some room on both sides; from 0 where only a highest is allowed and nothing lies below."""
    least, most = min(values), max(values)
    room = ROOM * (most - least) or ROOM * abs(most) or 1.0
    if from_zero and least >= 0:
        return 0.0, most + ROOM * most if most else 1.0
    return least - room, most + room
