"""A row of the record as the history and the part page show it. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from inspector.web.present import View, clock_time, date_time, explain, milliseconds, percent, sign_of
from inspector.web.words import has_word, readable, word
from plc.registers import Verdict

Row = Mapping[str, Any]
MEANWHILE = {"opened": "opening"}  # stage -> the end of which it begins at: the commit runs while the camera exposes


def row_view(row: Row) -> View:
    """One line of the table: what the PLC was told counts; before that, what was decided."""
    published = row["published_code"] is not None
    code = row["published_code"] if published else row["decided_code"]
    reason = row["published_reason"] if published else row["decided_reason"]
    shown = {
        "no": row["no"],
        "time": date_time(row["opened_utc_ms"]),
        "part_id": row["part_id"],
        "trigger_id": row["trigger_id"],
        "refused": row["kind"] == "refused",
        "label": readable(row["label"] or ""),
        "confidence": percent(row["confidence"], digits=1),
        "elapsed": milliseconds(row["elapsed_ms"]),
        "delivery": delivery_text(row["delivery"]),
        "delivery_state": row["delivery"] or "pending",
        "image": bool(row["image"]),
        "test_part": bool(row["test_part"]),
    }
    if code is None:
        return {**shown, "sign": "waiting", "word": word("verdict.none"), "reason": word("history.open")}
    sign = sign_of(code, reason or 0)
    return {**shown, "sign": sign, "word": code_text(code), "reason": explain(code, reason or 0, row["label"]).text}


def screen_part(row: Row) -> View:
    """A row that was told to the PLC, for the filmstrip: the last FAIL where the daemon's memory is too short."""
    view = row_view(row)
    return {
        "no": row["no"],
        "sign": view["sign"],
        "word": word(f"sign.{view['sign']}"),
        "text": view["reason"],
        "part_id": str(row["part_id"]),
        "time": clock_time(row["opened_utc_ms"]),
        "preview": None,
        "image": f"/picture/{row['no']}" if row["image"] else None,
    }


def detail_view(row: Row, limits: Mapping[str, Any] | None) -> View:
    """All that is known of one part. limits: of the bundle and recipe revision that judged it, or None."""
    decided, published = row["decided_code"], row["published_code"]
    reason = row["published_reason"] if published is not None else row["decided_reason"]
    code = published if published is not None else decided
    return {
        **row_view(row),
        "hint": explain(code, reason or 0, row["label"]).hint if code is not None else "",
        "decided": _outcome(decided, row["decided_reason"], row["label"]),
        "published": _outcome(published, row["published_reason"], row["label"]),
        "published_time": date_time(row["published_utc_ms"]),
        "downgraded": published is not None and (published, reason) != (decided, row["decided_reason"]),
        "facts": _facts(row),
        "judged": _judged(row),
        "scores": _scores(row, limits),
        "limits_known": limits is not None,
        "timing": waterfall(stages_of(row["stages"])),
        "total": milliseconds(row["elapsed_ms"]),
    }


def code_text(code: int | None) -> str:
    key = f"verdict.{code}"
    return word(key) if code is not None and has_word(key) else word("verdict.none")


def delivery_text(delivery: str | None) -> str:
    key = f"delivery.{delivery or 'pending'}"
    return word(key) if has_word(key) else str(delivery)


def stages_of(stored: str | None) -> dict[str, float]:
    """Stage -> ms since accept, as stored. An unreadable one shows no times, not an error page."""
    try:
        found = json.loads(stored or "{}")
    except ValueError:
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(k): float(v) for k, v in found.items() if isinstance(v, (int, float)) and math.isfinite(v)}


def waterfall(stages: Mapping[str, float]) -> list[View]:
    """Each stage's own time as a bar: x and width in percent of the whole, in the order they ended.

    A stage begins where the one before it ended; a meanwhile stage runs beside the others and delays none.
    """
    ends = sorted((ms, name) for name, ms in stages.items() if ms > 0)
    whole = ends[-1][0] if ends else 0.0
    bars, before = [], 0.0
    for ms, name in ends:
        begun = stages.get(MEANWHILE[name], 0.0) if name in MEANWHILE else before
        bars.append(_bar(name, begun, ms, whole))
        before = before if name in MEANWHILE else ms
    return bars


def _bar(name: str, begun_ms: float, ended_ms: float, whole_ms: float) -> View:
    return {
        "name": word(f"stage.{name}") if has_word(f"stage.{name}") else readable(name),
        "x": round(100 * begun_ms / whole_ms, 2),
        "width": round(max(100 * (ended_ms - begun_ms) / whole_ms, 0.4), 2),
        "took": word("milliseconds", number=f"{ended_ms - begun_ms:.1f}"),
    }


def _outcome(code: int | None, reason: int | None, label: str | None) -> str:
    if code is None:
        return word("verdict.none")
    if code == Verdict.PASS:
        return code_text(code)
    why = explain(code, reason or 0, label).text
    return word("verdict.why", verdict=code_text(code), why=why, number=reason)


def _facts(row: Row) -> list[tuple[str, str]]:
    found = [
        (word("history.no"), row["no"]),
        (word("part.id"), row["part_id"]),
        (word("part.trigger"), row["trigger_id"]),
        (word("detail.kind"), word(f"detail.kind.{row['kind']}")),
        (word("part.time"), date_time(row["opened_utc_ms"])),
        (word("detail.encoder"), row["encoder"]),
        (word("detail.lot"), row["lot"]),
        (word("detail.serial"), row["serial"]),
        (word("detail.test_part"), word("yes") if row["test_part"] else ""),
        (word("detail.boot"), row["boot"]),
    ]
    return [(name, str(value)) for name, value in found if value not in (None, "")]


def _judged(row: Row) -> list[tuple[str, str]]:
    if not row["bundle_id"]:
        return []
    recipe = word("detail.recipe.text", recipe=row["recipe"], revision=row["recipe_revision"])
    return [
        (word("detail.bundle"), str(row["bundle_id"])),
        (word("detail.recipe"), recipe),
        (word("detail.model_rev"), str(row["model_rev"])),
    ]


def _scores(row: Row, limits: Mapping[str, Any] | None) -> list[View]:
    """Measure, value, limit, and whether it kept it; `kept` is None where the limit is not known."""
    at = limits or {}
    low, high = at.get("novelty_low"), at.get("novelty_high")
    found = [
        _score("detail.confidence", row["confidence"], at.get("min_confidence"), None, share=True),
        _score("detail.novelty", row["novelty_score"], low, high),
        _score("detail.anomaly", row["anomaly_score"], None, at.get("max_anomaly_score")),
    ]
    return [s for s in found if s is not None]


def _score(key: str, value: float | None, low: float | None, high: float | None, share: bool = False) -> View | None:
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
    return {"name": word(key), "value": number(value), "limit": limit, "kept": kept}
