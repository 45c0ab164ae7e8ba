"""What the line says of its parts (inspector/core/details.py), in the language of the task. Pure."""

from __future__ import annotations

from inspector.core.details import AND, read
from inspector.web.words import has_word, word


def in_words(text: str) -> str:
    """What a driver or the system said itself stays as it is: translated, nobody could search for it."""
    pieces = [text] if read(text) else text.split(AND)
    return word("said.and").join(map(_piece, pieces)) if any(map(read, pieces)) else text


def _piece(text: str) -> str:
    found = read(text)
    if found is None:
        return text
    detail, data = found
    return word(f"said.{detail.key}", **{name: _value(name, value) for name, value in data.items()})


def _value(name: str, value: str) -> str:
    """Some data are words, too: what was measured, which limit, another detail."""
    key = f"said.{name}.{value.replace(' ', '_')}"
    return in_words(value) if name == "link" else word(key) if has_word(key) else value
