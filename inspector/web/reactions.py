"""What the PLC did after it was told a part's result, in words. Pure."""

from __future__ import annotations

from inspector.web.present import View, date_time
from inspector.web.records import Row
from inspector.web.words import has_word, word
from plc.registers import Verdict

GOOD, REJECTED = 1, (2, 3)  # PLC_VERDICT
PATIENT_MS = 10_000  # longer is said in seconds


def disagrees(row: Row) -> bool | None:
    """The PLC says that it did something else than it was told: only a PASS is to go on as good. None: it says nothing.

    As migrations.DISAGREES.
    """
    verdict = row.get("plc_verdict")
    if verdict is None:
        return None
    code = row["decided_code"] if row["published_code"] is None else row["published_code"]
    return bool(verdict != GOOD) if code == Verdict.PASS else verdict not in REJECTED


def verdict_text(row: Row) -> str:
    """What the PLC says it did, in a word or two; "": it says nothing."""
    verdict = row.get("plc_verdict")
    if verdict is None:
        return ""
    key = f"plc_verdict.{verdict}"
    return word(key) if has_word(key) else word("plc_verdict.other", number=verdict)


def verdict_view(row: Row) -> View:
    """The PLC's own verdict: when, and how long after the result where both are of one life of the service."""
    return {"text": _verdict(row), "known": row.get("plc_verdict") is not None, "disagrees": bool(disagrees(row))}


def _verdict(row: Row) -> str:
    if row.get("plc_verdict") is None:
        return word("reaction.verdict.none")
    did, time, after_ms = verdict_text(row), date_time(row["plc_verdict_utc_ms"]), row["plc_verdict_ms"]
    if after_ms is None:
        return word("reaction.verdict", did=did, time=time)
    key = "reaction.verdict.after" if after_ms >= 0 else "reaction.verdict.before"
    return word(key, did=did, time=time, took=_took(abs(after_ms)))


def ack_text(row: Row) -> str:
    """Of the first thing that the PLC was told of the part."""
    if row.get("ack") is None:
        return word("reaction.ack.unknown")
    return word(f"reaction.ack.{row['ack']}", took=_took(row["ack_ms"]))


def _took(ms: float) -> str:
    return word("milliseconds", number=f"{ms:.1f}") if ms < PATIENT_MS else word("duration.s", s=f"{ms / 1000:.1f}")
