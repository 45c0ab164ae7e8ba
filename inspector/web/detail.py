"""All that is known of one part, as its page shows it. Pure."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from inspector.core.checksum import checksum_of
from inspector.core.types import DeliveryState
from inspector.web.filters import link
from inspector.web.present import View, date_time, explain, help_of, milliseconds, result_text, rounded
from inspector.web.reactions import ack_text, verdict_view
from inspector.web.records import Row
from inspector.web.rows import delivery_text, row_view
from inspector.web.said import in_words, zone_in_words
from inspector.web.scores import score_views
from inspector.web.stages import ends_of, sum_view, waterfall
from inspector.web.traces import Revision, Told, Trace
from inspector.web.who import NAMED, Who
from inspector.web.words import class_name, has_word, readable, word
from plc.registers import Verdict

Pair = dict[str, str]
JUDGED = (Verdict.FAIL, Verdict.UNCERTAIN, Verdict.NOT_INSPECTED)  # results that have a reason


def detail_view(row: Row, trace: Trace, running: Mapping[str, Any] | None, who: Who = NAMED) -> View:
    """running: the limits of what judges now, where it is what judged this part; the record's own come first."""
    decided, published = row["decided_code"], row["published_code"]
    reason = row["published_reason"] if published is not None else row["decided_reason"]
    code = published if published is not None else decided
    settings = _object(trace.settings)
    limits, ends = limits_of(settings) or running, ends_of(row)
    return {
        **row_view(row),
        "hint": explain(code, reason or 0, row["label"]).hint if code is not None else "",
        "help": help_of("reason", reason) if code in JUDGED else "",
        "decided": _outcome(decided, row["decided_reason"], row["label"]),
        "told": _all_told(row, trace.told),
        "plc": verdict_view(row),
        "taken_as_good": [date_time(ms) for ms in trace.taken_as_good_utc_ms],
        "downgraded": published is not None and (published, reason) != (decided, row["decided_reason"]),
        "facts": _facts(row),
        "like_this": _like_this(row, code, reason),
        "judged": _judged(row),
        "settings": _settings(settings, trace.settings),
        "revision": _revision(trace.revision, who),
        "scores": score_views(row, limits),
        "limits_known": limits is not None,
        "timing": waterfall(ends),
        "sum": sum_view(ends, row["elapsed_ms"]),
        "total": milliseconds(row["elapsed_ms"]),
    }


def limits_of(settings: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The limits that judged, from recipes.settings_of, in the words of the daemon's status message."""
    limits = settings.get("limits")
    if not isinstance(limits, Mapping):
        return None
    low, high = limits.get("novelty_range") or (None, None)
    return {
        "min_confidence": limits.get("min_confidence"), "max_anomaly_score": limits.get("max_anomaly_score"),
        "novelty_low": low, "novelty_high": high,
    }  # fmt: skip


def _all_told(row: Row, told: Sequence[Told]) -> list[View]:
    """Oldest first; of the first one it is known whether the PLC acknowledged it."""
    views = [_told(t, row["label"]) for t in told]
    if views and views[0]["state"] in (DeliveryState.CONFIRMED, DeliveryState.UNKNOWN):
        views[0].update(ack=ack_text(row), ack_state=row.get("ack") or "unknown")
    return views


def _told(told: Told, label: str | None) -> View:
    return {
        "time": date_time(told.utc_ms),
        "text": _outcome(told.code, told.reason, label),
        "delivery": delivery_text(told.delivery),
        "state": told.delivery or "pending",
        "ack": "",
    }


def _outcome(code: int | None, reason: int | None, label: str | None) -> str:
    if code is None or code == Verdict.PASS:
        return result_text(code)
    why = explain(code, reason or 0, label).text
    return word("verdict.why", verdict=result_text(code, reason), why=why, number=reason)


def _pairs(found: Iterable[tuple[str, object, str]]) -> list[Pair]:
    """Name, value and where all with this value are; what has no value is left out."""
    return [{"name": n, "value": str(v), "link": at} for n, v, at in found if v not in (None, "", [], {})]


def _facts(row: Row) -> list[Pair]:
    return _pairs([
        (word("history.no"), row["no"], ""),
        (word("part.id"), row["part_id"], link("/history", {"part_id": str(row["part_id"])})),
        (word("part.trigger"), row["trigger_id"], ""),
        (word("detail.kind"), word(f"detail.kind.{row['kind']}"), ""),
        (word("part.time"), date_time(row["opened_utc_ms"]), ""),
        (word("filter.station"), row["station"], link("/history", {"station": row["station"]})),
        (word("detail.encoder"), row["encoder"], ""),
        (word("detail.lot"), row["lot"], link("/history", {"lot": row["lot"]})),
        (word("detail.serial"), row["serial"], link("/history", {"serial": row["serial"]})),
        (word("detail.test_part"), word("yes") if row["test_part"] else "", link("/history", {"test": "1"})),
        (word("detail.boot"), row["boot"], ""),
    ])  # fmt: skip


def _like_this(row: Row, code: int | None, reason: int | None) -> list[Pair]:
    """Where all parts with the same outcome are: same result, same reason, same class."""
    if code is None:
        return []
    label = row["label"] or ""
    return _pairs([
        (word("history.verdict"), result_text(code, reason), link("/history", {"verdict": str(code)})),
        (word("history.reason"), explain(code, reason or 0, row["label"]).text if code != Verdict.PASS else "",
         link("/history", {"reason": str(reason or 0)})),
        (word("history.label"), class_name(label), link("/history", {"label": label})),
    ])  # fmt: skip


def _judged(row: Row) -> list[Pair]:
    if not row["bundle_id"]:
        return []
    recipe = word("detail.recipe.text", recipe=row["recipe"], revision=row["recipe_revision"])
    return _pairs([
        (word("detail.bundle"), row["bundle_id"], link("/history", {"model": row["bundle_id"]})),
        (word("detail.recipe"), recipe, link("/history", {"recipe": str(row["recipe"])})),
        (word("detail.model_rev"), row["model_rev"], ""),
    ])  # fmt: skip


def _settings(settings: Mapping[str, Any], stored: str | None) -> list[Pair]:
    """All that decided, and the number by which the PLC knows it."""
    if not settings or stored is None:
        return []
    limits = settings.get("limits") or {}
    return _pairs([
        (word("trace.checksum"), f"{checksum_of(stored)} (0x{checksum_of(stored):08X})", ""),
        (word("trace.product"), readable(str(settings.get("product") or "")), ""),
        (word("trace.good"), ", ".join(class_name(str(label)) for label in limits.get("good_labels") or ()), ""),
        (word("trace.roi"), _box(settings.get("roi")), ""),
        *((_setting(name), _number(value), "") for name, value in sorted((settings.get("camera") or {}).items())),
        *(_zone(zone) for zone in settings.get("zones") or ()),
        (word("trace.model"), settings.get("model"), ""),
    ])  # fmt: skip


def _revision(revision: Revision | None, who: Who) -> View | None:
    """Who made the recipe's revision and why, and what it says itself, as it is kept."""
    if revision is None:
        return None
    chosen = _object(revision.content)
    facts = _pairs([
        (word("trace.revision.name"), chosen.get("name"), ""),
        (word("trace.revision.made"), date_time(revision.created_utc_ms), ""),
        (word("trace.revision.actor"), who(revision.actor), ""),
        (word("trace.revision.reason"), in_words(revision.reason), ""),
    ])  # fmt: skip
    return {"facts": facts, "content": json.dumps(chosen, indent=1, ensure_ascii=False) if chosen else revision.content}


def _object(stored: str | None) -> Mapping[str, Any]:
    """A JSON object as stored; empty where there is none that can be read."""
    try:
        found = json.loads(stored or "{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _setting(name: str) -> str:
    key = f"trace.camera.{name}"
    return word(key) if has_word(key) else word("trace.camera", name=readable(name))


def _number(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


def _box(box: object) -> str:
    if not isinstance(box, list | tuple) or len(box) != 4:
        return ""
    return word("trace.box", x=box[0], y=box[1], width=box[2], height=box[3])


def _zone(zone: Mapping[str, Any]) -> tuple[str, object, str]:
    name = word("trace.zone", zone=zone_in_words(str(zone.get("name", ""))))
    figures = [f"{word(f'trace.{name}')} {_range(zone.get(name))}" for name in ("brightness", "contrast", "sharpness")]
    return name, ", ".join([_box(zone.get("box")), *figures]), ""


def _range(found: object) -> str:
    if not isinstance(found, list | tuple) or len(found) != 2:
        return ""
    return word("limit.range", low=_limit(found[0]), high=_limit(found[1]))


def _limit(value: object) -> str:
    return rounded(value) if isinstance(value, int | float) else str(value)
