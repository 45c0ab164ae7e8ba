"""A row of the record as the tables show it. Pure."""

from __future__ import annotations

from inspector.web.present import View, clock_time, date_time, explain, milliseconds, percent, sign_of
from inspector.web.records import Row
from inspector.web.words import has_word, readable, word


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
        "lot": row["lot"],
        "serial": row["serial"],
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


def code_text(code: int | None) -> str:
    key = f"verdict.{code}"
    return word(key) if code is not None and has_word(key) else word("verdict.none")


def delivery_text(delivery: str | None) -> str:
    key = f"delivery.{delivery or 'pending'}"
    return word(key) if has_word(key) else str(delivery)
