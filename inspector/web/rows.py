"""A row of the record as the tables show it. Pure."""

from __future__ import annotations

from inspector.web.present import View, date_time, explain, milliseconds, part_view, percent, result_word, sign_of
from inspector.web.reactions import disagrees, verdict_text
from inspector.web.records import Row
from inspector.web.words import class_name, has_word, word


def row_view(row: Row) -> View:
    """One line of the table: what the PLC was told counts; before that, what was decided."""
    published = row["published_code"] is not None
    code = row["published_code"] if published else row["decided_code"]
    reason = row["published_reason"] if published else row["decided_reason"]
    shown = {
        "no": row["no"],
        "station": row["station"],
        "time": date_time(row["opened_utc_ms"]),
        "part_id": row["part_id"],
        "trigger_id": row["trigger_id"],
        "lot": row["lot"],
        "serial": row["serial"],
        "refused": row["kind"] == "refused",
        "label": class_name(row["label"] or ""),
        "confidence": percent(row["confidence"], digits=1),
        "elapsed": milliseconds(row["elapsed_ms"]),
        "delivery": delivery_text(row["delivery"]),
        "delivery_state": row["delivery"] or "pending",
        "plc": word("history.plc", did=verdict_text(row)) if disagrees(row) else "",
        "image": bool(row["image"]),
        "test_part": bool(row["test_part"]),
    }
    if code is None:
        return {**shown, "sign": "waiting", "word": word("verdict.none"), "reason": word("history.open")}
    sign = sign_of(code, reason or 0)
    said = result_word(code, reason or 0)
    return {**shown, "sign": sign, "word": said, "reason": explain(code, reason or 0, row["label"]).text}


def screen_part(row: Row) -> View:
    """A settled row, for the filmstrip: parts from before the daemon's memory began. `past`: no news to anyone."""
    told = row["published_code"] is not None
    part = {
        **row, "code": row["published_code" if told else "decided_code"], "utc_ms": row["opened_utc_ms"],
        "reason": row["published_reason" if told else "decided_reason"] or 0, "refused": row["kind"] == "refused",
    }  # fmt: skip
    return {**part_view(part), "preview": None, "heat": None, "past": True, "image": bool(row["image"])}


def delivery_text(delivery: str | None) -> str:
    key = f"delivery.{delivery or 'pending'}"
    return word(key) if has_word(key) else str(delivery)
