"""What a person looks for, from the fields of a form or an address to Filters of the record, and back to an address."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from urllib.parse import urlencode

from inspector.core.errors import InspectorError
from inspector.web.records import Filters
from inspector.web.words import class_called, word

LONGEST_TEXT = 100
LARGEST = {
    "verdict": 6,
    "reason": 65535,
    "part_id": 2**32 - 1,
    "trigger_id": 65535,
    "recipe": 65535,
    "before": 2**63 - 1,
}
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
Form = Mapping[str, str]


class BadFilter(InspectorError, ValueError):
    """A filter that cannot be read; the text is the field's name as the person sees it."""


def number(form: Form, key: str) -> int | None:
    """A whole number from 0 to the largest that the field may hold. Raises BadFilter."""
    text = form.get(key, "").strip()
    if not text:
        return None
    if not _NUMBER.fullmatch(text) or int(text) > LARGEST[key]:
        raise BadFilter(field_name(key))
    return int(text)


def _moment(form: Form, key: str) -> int | None:
    """A local time as the browser's field gives it, in UTC ms; as an end it takes in all of its second or minute.

    Where clocks are set back an hour comes twice: a begin means the first one, an end the second.
    """
    text = form.get(key, "")
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
        both = [
            int(when.replace(fold=fold).timestamp() * 1000) for fold in (0, 1)
        ]  # without a zone: the station's time
    except (ValueError, OverflowError, OSError) as exc:
        raise BadFilter(field_name(key)) from exc
    return max(both) + (999 if text.count(":") > 1 else 59_999) if key == "to" else min(both)


def _text(form: Form, key: str) -> str | None:
    return form.get(key, "").strip()[:LONGEST_TEXT] or None


def _label(form: Form, key: str) -> str | None:
    text = _text(form, key)
    return class_called(text).replace(" ", "_") if text else None


def _score(form: Form, key: str) -> float | None:
    """A decimal number, with a point or a comma. Raises BadFilter."""
    text = form.get(key, "").strip()
    if not text:
        return None
    try:
        value = float(text.replace(",", ".", 1))
    except ValueError as exc:
        raise BadFilter(field_name(key)) from exc
    if not math.isfinite(value):
        raise BadFilter(field_name(key))
    return value


def _percent(form: Form, key: str) -> float | None:
    value = _score(form, key)
    return None if value is None else value / 100


def _yes(form: Form, key: str) -> bool | None:
    text = form.get(key, "")
    if text not in ("", "0", "1"):
        raise BadFilter(field_name(key))
    return text == "1" if text else None


# field of the form -> (field of Filters, how it is read)
FIELDS: Mapping[str, tuple[str, Callable[[Form, str], object]]] = {
    "from": ("from_utc_ms", _moment),
    "to": ("to_utc_ms", _moment),
    "verdict": ("verdict", number),
    "reason": ("reason", number),
    "lot": ("lot", _text),
    "serial": ("serial", _text),
    "part_id": ("part_id", number),
    "trigger_id": ("trigger_id", number),
    "label": ("label", _label),
    "recipe": ("recipe", number),
    "model": ("bundle_id", _text),
    "station": ("station", _text),
    "confidence_min": ("confidence_min", _percent),
    "confidence_max": ("confidence_max", _percent),
    "novelty_min": ("novelty_min", _score),
    "novelty_max": ("novelty_max", _score),
    "anomaly_min": ("anomaly_min", _score),
    "anomaly_max": ("anomaly_max", _score),
    "test": ("test_part", _yes),
    "picture": ("has_picture", _yes),
    "plc": ("plc_disagrees", _yes),
}
COMMON = ("from", "to", "verdict", "reason", "lot", "serial", "part_id")  # at hand; the others fold away
_NAMES = {"part_id": "history.part", "trigger_id": "history.trigger", "before": "history.older"}
_OWN_NAMES = frozenset({"from", "to", "verdict", "reason", "label"})  # of the history's first words


def form_of(query: Form) -> dict[str, str]:
    """The fields that were filled in, and no others."""
    return {key: text for key in FIELDS if (text := query.get(key, "").strip())}


def filters_of(form: Form) -> Filters:
    """Raises BadFilter."""
    return Filters(**{name: read(form, key) for key, (name, read) in FIELDS.items()})  # type: ignore[arg-type]


def stations_to_ask(there: Sequence[str], form: Form) -> list[tuple[str, str]]:
    """Of the box, and the one that was asked for, which may be of a former set-up; none where there is one only."""
    return [(name, name) for name in dict.fromkeys([*there, form.get("station") or there[0]])] if len(there) > 1 else []


def field_name(key: str) -> str:
    """As the person sees it."""
    return word(_NAMES.get(key) or (f"history.{key}" if key in _OWN_NAMES else f"filter.{key}"))


def link(page: str, query: Form) -> str:
    """An address with what is filled in."""
    filled = {key: text for key, text in query.items() if text}
    return f"{page}?{urlencode(filled)}" if filled else page
