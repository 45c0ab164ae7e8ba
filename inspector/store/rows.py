"""What of a part goes into which column. Pure but for the statements at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import apsw

from inspector.core.types import Delivery, Inspection, Outcome, Trigger
from plc.reactions import Acknowledged, Reaction

Columns = dict[str, Any]
Late = tuple[str | None, int | None, str | None]  # of a filed row's picture: where it is, since when it is gone, why


@dataclass(frozen=True, slots=True)
class Filed:
    """A row as a month's file has it: its number, and what of a settled row may still change."""

    no: int
    image: str | None
    published_utc_ms: int | None
    delivery: str
    ack: str | None = None
    plc_verdict: int | None = None


def opened(trigger: Trigger, kind: str, station: str, boot: int, utc_ms: int) -> Columns:
    """The columns that a row begins with."""
    return {
        "station": station, "boot": boot, "kind": kind, "trigger_id": trigger.seq, "part_id": trigger.part_id,
        "encoder": trigger.encoder, "lot": trigger.lot, "serial": trigger.serial, "test_part": int(trigger.test_part),
        "opened_utc_ms": utc_ms,
    }  # fmt: skip


def outcome_of(outcome: Outcome) -> Columns:
    return {"decided_code": int(outcome.verdict), "decided_reason": int(outcome.reason)}


def decided(done: Inspection) -> Columns:
    """The columns that a decision adds."""
    p, by = done.prediction, done.judged_by
    judged: Columns = {} if p is None else {
        "label": p.label, "class_id": p.class_id, "confidence": p.confidence, "novelty_score": p.novelty_score,
        "anomaly_score": p.anomaly_score,
    }  # fmt: skip
    return {
        **outcome_of(done.outcome), **judged, "bundle_id": by.bundle_id, "recipe": by.recipe,
        "recipe_revision": by.recipe_revision, "model_rev": by.model_rev, "elapsed_ms": done.elapsed_ms,
        "stages": stages(done.trigger, done.stamps),
    }  # fmt: skip


def told(done: Inspection, delivery: Delivery, utc_ms: int) -> Columns:
    """The columns that a delivery adds; the times are now known to the end."""
    timing: Columns = {}
    if "decided" in done.stamps:
        timing = {
            "elapsed_ms": done.elapsed_ms,
            "stages": stages(done.trigger, {**done.stamps, "publishing": delivery.mono_s}),
        }
    return {
        "published_code": int(delivery.code), "published_reason": int(delivery.reason), "published_utc_ms": utc_ms,
        "delivery": str(delivery.state), **timing,
    }  # fmt: skip


def reaction(done: Reaction, utc_ms: int) -> Columns:
    """The columns that what the PLC did after its result adds. utc_ms: when that was seen."""
    if isinstance(done, Acknowledged):
        return {"ack": "acknowledged" if done.by_plc else "timeout", "ack_ms": round(done.after_s * 1000, 3)}
    after_ms = None if done.after_s is None else round(done.after_s * 1000, 3)
    return {"plc_verdict": done.verdict, "plc_verdict_utc_ms": utc_ms, "plc_verdict_ms": after_ms}


def picture(name: str | None, why: str, utc_ms: int) -> Columns:
    """Where the kept picture is; None: it is gone since `utc_ms`, and why."""
    gone = (None, None) if name is not None else (utc_ms, why)
    return {"image": name, "picture_gone_utc_ms": gone[0], "picture_gone_why": gone[1]}


def stages(trigger: Trigger, stamps: Mapping[str, float]) -> str:
    """Milliseconds since accept at the end of each stage, as JSON."""
    begun = trigger.accepted_mono_s
    return json.dumps({stage: round((at - begun) * 1000, 3) for stage, at in stamps.items()})


def write(db: apsw.Connection, no: int, columns: Columns) -> None:
    """Insert the row, or change it where it exists. Column names are ours, from the functions above."""
    if "kind" in columns:
        names = ", ".join(columns)
        marks = ", ".join("?" * (len(columns) + 1))
        db.execute(f"INSERT INTO inspections (no, {names}) VALUES ({marks})", (no, *columns.values()))
    else:
        changes = ", ".join(f"{name} = ?" for name in columns)
        db.execute(f"UPDATE inspections SET {changes} WHERE no = ?", (*columns.values(), no))
        if "image" in columns and db.changes() == 0:
            late = (no, columns["image"], columns["picture_gone_utc_ms"], columns["picture_gone_why"])
            db.execute(
                "INSERT OR REPLACE INTO late_images (no, image, gone_utc_ms, gone_why) VALUES (?, ?, ?, ?)", late
            )


def drop(db: apsw.Connection, row: Filed) -> None:
    """Take a row out that a month's file holds, unless it says something else by now."""
    db.execute(
        "DELETE FROM inspections WHERE no = ?"
        " AND (image, published_utc_ms, delivery, ack, plc_verdict) IS (?, ?, ?, ?, ?)",
        (row.no, row.image, row.published_utc_ms, row.delivery, row.ack, row.plc_verdict),
    )
    if db.changes():
        db.execute("DELETE FROM earlier_deliveries WHERE no = ?", (row.no,))


def skip_to(db: apsw.Connection, next_no: int) -> None:
    """Numbers below are never given out again, whatever rows there are. Inside the caller's transaction."""
    db.execute("UPDATE sqlite_sequence SET seq = ? WHERE name = 'inspections'", (next_no - 1,))
    if not db.changes():  # no row ever
        db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES ('inspections', ?)", (next_no - 1,))
