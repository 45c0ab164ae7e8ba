"""What the line screen shows, made from the daemon's messages. Pure: a message in, words and marks out.

The browser gets finished text and a sign; it holds no rule and no vocabulary of its own.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from inspector.core.alarm_kinds import KINDS
from inspector.web.said import in_words
from inspector.web.words import Explained, class_name, has_word, offline_words, readable, reason_words, word
from plc.registers import TEST_AS_EXPECTED, TEST_NOT_AS_EXPECTED, OfflineReason, Reason, Verdict

Message = Mapping[str, Any]
View = dict[str, Any]

SIGNS = {
    Verdict.PASS: "pass",
    Verdict.FAIL: "fail",
    Verdict.UNCERTAIN: "fail",  # treated as a fail; the reason says that it is doubt
    Verdict.NOT_INSPECTED: "fault",
    TEST_AS_EXPECTED: "test",
    TEST_NOT_AS_EXPECTED: "test",
}
UNKNOWN = "\N{EN DASH}"
PARTS = ("camera", "plc", "model", "store", "disk")
PASSING_NOTHING = ("monitor", "collect")  # modes
SCOPES = ("shift", "lot", "reset")
COUNTS = ("pass", "fail", "uncertain", "not_inspected", "test")


def sign_of(code: int, reason: int, mode: str = "") -> str:
    """The sign (word, shape and tone) of a RESULT_CODE; a code that does not exist is a fault.

    4/114 means that the station records without judging as told: a mode, and no fault of anyone.
    """
    if code == Verdict.NOT_INSPECTED and reason == Reason.COLLECTING:
        return "monitor" if mode == "monitor" else "collect"
    return SIGNS.get(code, "fault")


def result_word(code: int, reason: int = 0, mode: str = "") -> str:
    """The one word of a RESULT_CODE, wherever a result is shown: of the contract, section 5."""
    return word(f"sign.{sign_of(code, reason, mode)}")


def result_text(code: int | None, reason: int | None = 0) -> str:
    """The word, and which kind of it where RESULT_CODE tells more: 2 and 3 are both FAIL. None: no result yet."""
    if code is None:
        return word("verdict.none")
    said, key = result_word(code, reason or 0), f"verdict.{code}"
    return word(key, word=said) if has_word(key) else said


def explain(code: int, reason: int, label: str | None) -> Explained:
    """Why the part came out so, in plain words."""
    if code == TEST_AS_EXPECTED:
        return Explained(word("test.as_expected"), word("test.as_expected.hint"))
    if code == TEST_NOT_AS_EXPECTED:
        return Explained(word("test.not_as_expected"), word("test.not_as_expected.hint"))
    return reason_words(reason, label)


def help_of(kind: str, code: object) -> str:
    """Address of the page that says what a code means: alarm, reason, offline; "" for one of another version."""
    known: Mapping[str, Collection[object]] = {"alarm": KINDS, "reason": list(Reason), "offline": list(OfflineReason)}
    return f"/help/{kind}/{code}" if code in known[kind] else ""


def part_view(part: Message, mode: str = "") -> View:
    """One part for screen and filmstrip."""
    code, reason, label = int(part["code"]), int(part["reason"]), part.get("label")
    sign, why = sign_of(code, reason, mode), explain(code, reason, label)
    return {
        "no": int(part["no"]),
        "sign": sign,
        "word": result_word(code, reason, mode),
        "text": word("refused.why", why=why.text) if part.get("refused") else why.text,
        "hint": _measured(part) or why.hint,
        "urgent": code == TEST_NOT_AS_EXPECTED,  # the station let a known-bad part through
        "part_id": str(part["part_id"]),
        "trigger_id": str(part["trigger_id"]),
        "label": class_name(label) if label else "",
        "confidence": percent(part.get("confidence")),
        "time": clock_time(part.get("utc_ms")),
        "utc_ms": part.get("utc_ms"),
        "elapsed": milliseconds(part.get("elapsed_ms")),
        "preview": part.get("preview"),
        "heat": part.get("heat"),
    }


def _measured(part: Message) -> str:
    """What was measured in a picture that was not fit to be judged, beside its limits; "": it was, or is not known."""
    found = part.get("measured")
    unfit = (part["code"], part["reason"]) == (Verdict.NOT_INSPECTED, Reason.IMAGE_QUALITY)
    return word("reason.image_quality.measured", detail=in_words(found)) if found and unfit else ""


def status_view(status: Message) -> View:
    """One station: ready or why not, counts and parts."""
    mode = str(status.get("mode", ""))
    return {
        "station": str(status.get("station", "")),
        "product": readable(str(status.get("product") or "")),
        "mode": mode,
        "mode_text": mode_text(mode, ready=status.get("ready") is True),
        **standing_view(status),
        "clock": clock_time(status.get("utc_ms")),
        "simulated": status.get("simulated") is not False,  # not known to be real: say so
        "tallies": tallies_view(status),
        "states": [state_view(name, (status.get("parts") or {}).get(name)) for name in PARTS],
        "facts": facts(status),
    }


def mode_text(mode: str, *, ready: bool) -> str:
    """What the station does; while it is not ready, that it does not, and where it says what to do."""
    if ready:
        return word(f"mode.{mode}") if has_word(f"mode.{mode}") else mode
    key = f"mode.{mode}.not"
    return word(key if has_word(key) else "mode.other.not", word=word("sign.notready"))


def standing_view(status: Message) -> View:
    """Ready, or why not."""
    ready = status.get("ready") is True
    why = offline_words(int(status.get("offline_reason") or 0))
    sign = "waiting" if ready else "notready"
    return {
        "ready": ready,
        "sign": sign,
        "word": word(f"sign.{sign}"),
        "text": word("waiting.text") if ready else why.text,
        "hint": word("waiting.hint") if ready else why.hint,
    }


def tab_view(status: Message, newest: View | None) -> View:
    """One station of several as the others' screens show it: the word that its own shows. newest: part of this life."""
    shown = standing_view(status)
    if shown["ready"] and newest is not None:
        shown = newest
    keys = ("sign", "word", "text")
    return {
        "station": str(status.get("station", "")),
        **{key: shown[key] for key in keys},
        "urgent": shown.get("urgent", False),
    }


def counts_view(counts: Message) -> View:
    """Numbers of the period and the yield. Tests and refused triggers are shown, but a test is no product."""
    numbers = {name: int(counts.get(name, 0)) for name in COUNTS}
    product = sum(n for name, n in numbers.items() if name != "test")
    share = numbers["pass"] / product if product else None
    return {"total": int(counts.get("triggers", 0)), **numbers, "yield": percent(share, digits=1)}


def tallies_view(status: Message) -> list[View]:
    """The counting periods that run, in the order in which they are shown."""
    told = {str(tally["scope"]): tally for tally in status.get("tallies") or []}
    differs = int(status.get("part_difference") or 0)
    passes = status.get("mode") not in PASSING_NOTHING
    return [tally_view(scope, told[scope], differs, passes=passes) for scope in SCOPES if scope in told]


def tally_view(scope: str, tally: Message, differs: int = 0, *, passes: bool = True) -> View:
    """One of them. differs: parts that the PLC counted beyond ours since the last reset. passes: some part may pass,
    or its yield is none.
    """
    counts, plc_parts = counts_view(tally["counts"]), int(tally.get("plc_parts") or 0)
    counts["yield"] = counts["yield"] if passes else UNKNOWN
    counts["plc"] = plc_parts if plc_parts or not counts["total"] else UNKNOWN  # a program that keeps no count
    return {
        "scope": scope,
        "name": word("tally.lot.name", lot=tally["key"]) if scope == "lot" else word(f"tally.{scope}"),
        "since": word("counts.since", time=date_or_time(tally.get("since_utc_ms"))),
        "counts": counts,
        "differs": word("tally.differs", parts=f"{differs:+d}") if differs and scope == "reset" else "",
        "reasons": reasons_view([(r["reason"], r["count"]) for r in tally.get("reasons") or []]),
    }


def state_view(name: str, state: Message | None) -> View:
    """One watched part. Not heard of is not OK."""
    if state is None:
        return {"name": word(f"states.{name}"), "state": "unknown", "mark": word("states.unknown"), "text": ""}
    known, text = ("ok" if state.get("ok") is True else "bad"), in_words(str(state.get("text") or ""))
    return {"name": word(f"states.{name}"), "state": known, "mark": word(f"states.{known}"), "text": text}


def reasons_view(counted: Sequence[tuple[int, int]]) -> list[View]:
    """(reason, count) of the most frequent reasons, in words."""
    return [{"text": reason_words(reason).text, "count": count} for reason, count in counted]


def facts(status: Message) -> list[tuple[str, str]]:
    """Names and values of what runs, for the foot of the station's card."""
    cycle = status.get("cycle_ms") or {}
    found = [
        (word("states.recipe"), str(status.get("recipe") or "")),
        (word("states.bundle"), str(status.get("bundle_id") or "")),
    ]
    if _finite(cycle.get("p50")) and _finite(cycle.get("p99")):
        text = word("states.cycle.text", p50=round(cycle["p50"]), p99=round(cycle["p99"]))
        found.append((word("states.cycle"), text))
    if _finite(status.get("uptime_s")):
        found.append((word("states.uptime"), duration(status["uptime_s"])))
    return [(name, value) for name, value in found if value]


def percent(share: float | None, digits: int = 0) -> str:
    """0.934 -> 93 %. Rounded down: 99.96 % never reads as 100 %."""
    if not _finite(share):
        return UNKNOWN
    scale = 10**digits
    down = math.floor(share * 100 * scale + 1e-9) / scale  # type: ignore[operator]
    return word("percent", number=f"{down:.{digits}f}")


def milliseconds(value: float | None) -> str:
    return word("milliseconds", number=f"{value:.0f}") if _finite(value) else UNKNOWN


def duration(seconds: float) -> str:
    minutes = int(seconds) // 60
    if minutes < 1:
        return word("duration.s", s=int(seconds))
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return word("duration.d", d=days, h=hours)
    return word("duration.h", h=hours, m=minutes) if hours else word("duration.min", m=minutes)


def clock_time(utc_ms: int | None) -> str:
    """Time of day at the station."""
    return _told_as("%H:%M:%S", utc_ms)


def date_or_time(utc_ms: int | None) -> str:
    """Hours and minutes at the station, with the date where it is not today's."""
    today = _told_as("%Y-%m-%d", utc_ms) == time.strftime("%Y-%m-%d")
    return _told_as("%H:%M" if today else "%Y-%m-%d %H:%M", utc_ms)


def date_time(utc_ms: int | None) -> str:
    """Date and time at the station."""
    return _told_as("%Y-%m-%d %H:%M:%S", utc_ms)


def _told_as(form: str, utc_ms: int | None) -> str:
    """UNKNOWN also for what no calendar has: of a damaged row a page shows what can be told."""
    try:
        return time.strftime(form, time.localtime(utc_ms / 1000)) if utc_ms else UNKNOWN
    except (OverflowError, OSError, TypeError, ValueError):
        return UNKNOWN


def rounded(value: float) -> str:
    """Three digits, or all before the point: more is not known of a figure that was measured."""
    digits = 0 if abs(value) >= 100 or float(value).is_integer() else 1 if abs(value) >= 10 else 2
    return f"{value:,.{digits}f}"


def time_zone() -> str:
    """Name and offset of the station's time, e.g. CET (UTC+01:00)."""
    offset = time.strftime("%z")
    return f"{time.strftime('%Z')} (UTC{offset[:3]}:{offset[3:]})"


def _finite(value: object) -> bool:
    return isinstance(value, (int, float)) and math.isfinite(value)
