"""What the line says of its parts (inspector/core/details.py), in the language of the task. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

from inspector.core.details import AND, read
from inspector.core.wording import FREE
from inspector.web.words import has_word, language, word

COLON = ": "  # behind a place, before what is wrong there
PLACES = 3  # before one text, at most
TEXTS = FREE | {"link"}  # data that may be a text of ours again


def in_words(text: object) -> str:
    """What a driver or the system said itself stays as it is: translated, nobody could search for it."""
    return _in_words(str(text), language())


class Said:
    """The same, worded when it is shown: as a value of a Text."""

    def __init__(self, text: object) -> None:
        self._text = str(text)

    def __str__(self) -> str:
        return in_words(self._text)


@lru_cache(maxsize=1024)
def _in_words(text: str, _: str) -> str:
    pieces = list(_pieces(text.split(AND)))
    return word("said.and").join(map(_piece, pieces)) if any(map(_known, pieces)) else text


def _pieces(parts: list[str]) -> Iterator[str]:
    """Each is all that is left, two parts (some texts have the sign inside) or one, whichever is known first."""
    at = 0
    while at < len(parts):
        end = next((end for end in (len(parts), at + 2) if _known(AND.join(parts[at:end]))), at + 1)
        yield AND.join(parts[at:end])
        at = end


def _known(text: str) -> bool:
    return read(text) is not None or _placed(text) is not None


def _placed(text: str) -> tuple[str, str] | None:
    """A place (a file, an address, or one in the other) and what we say is wrong there."""
    parts = text.split(COLON, PLACES)
    splits = ((COLON.join(parts[:at]), COLON.join(parts[at:])) for at in range(1, len(parts)))
    return next((found for found in splits if read(found[1]) is not None), None)


def _piece(text: str) -> str:
    found = read(text)
    if found is not None:
        wording, data = found
        return word(f"said.{wording.key}", **{name: _value(name, value) for name, value in data.items()})
    placed = _placed(text)
    return text if placed is None else word("said.placed", place=placed[0], text=in_words(placed[1]))


def actor_in_words(actor: str) -> str:
    """A person's name; of what acts by itself its word."""
    return word(f"audit.by.{actor}") if acts_by_itself(actor) else actor


def acts_by_itself(actor: str) -> bool:
    """True for what is no person: none may be called so (office/people.py, RESERVED)."""
    return has_word(f"audit.by.{actor}")


def zone_in_words(zone: str) -> str:
    """One of the zones that every bundle of ours has; another as its person called it."""
    return _value("zone", zone)


def _value(name: str, value: str) -> str:
    """Some data are words, too: what was measured, which limit, another detail."""
    key = f"said.{name}.{value.replace(' ', '_')}"
    return in_words(value) if name in TEXTS else word(key) if has_word(key) else value
