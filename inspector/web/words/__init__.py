"""Every text that a person reads on the page, by key and language: one folder a language, one TOML file a subject.

The language is that of the task that asks (`speaking`), so that nothing between a handler and a text hands it on.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from plc.registers import CTRL, STAT, OfflineReason, Reason
from plc.values import CODES

T = TypeVar("T")
FOLDER = Path(__file__).parent
REGISTERS = {  # what registers and their numbers mean is English in their one table
    **{f"register.{r.name}": r.meaning for block in (CTRL, STAT) for r in block.registers},
    **{f"code.{name}.{n}": text for name, codes in CODES.items() for n, text in codes.items()},
}
LANGUAGES = ("en", "zh")  # the first is spoken where nobody chose, and where a translation is missing


@dataclass(frozen=True, slots=True)
class Explained:
    """What happened, and what that means or what to do about it."""

    text: str
    hint: str


def read_catalog(language: str) -> Mapping[str, str]:
    """All texts of one language. Raises ValueError: a key stands in two files."""
    found: dict[str, str] = dict(REGISTERS) if language == LANGUAGES[0] else {}
    for file in sorted((FOLDER / language).glob("*.toml")):
        texts = tomllib.loads(file.read_text(encoding="utf-8"))
        if twice := found.keys() & texts.keys():
            raise ValueError(f"{file} repeats {', '.join(sorted(twice))}")
        found.update(texts)
    return found


_CATALOGS = {language: read_catalog(language) for language in LANGUAGES}
_language: ContextVar[str] = ContextVar("language", default=LANGUAGES[0])


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Texts inside are of this language; one that we do not speak is taken for the first."""
    token = _language.set(language if language in LANGUAGES else LANGUAGES[0])
    try:
        yield
    finally:
        _language.reset(token)


def language() -> str:
    """The language of the running task, as in `lang` of HTML."""
    return _language.get()


def in_each(make: Callable[[], T]) -> dict[str, T]:
    """What `make` gives, by language."""
    made = {}
    for each in LANGUAGES:
        with speaking(each):
            made[each] = make()
    return made


def word(key: str, /, **values: object) -> str:
    """The text for `key`. Raises KeyError for a key that has none: a missing text is a bug."""
    text = _CATALOGS[_language.get()].get(key) or _CATALOGS[LANGUAGES[0]][key]
    return text.format(**values) if values else text


class Text:
    """A text that is worded when it is shown, in the language of who sees it: for what is told across tasks."""

    def __init__(self, key: str, **values: object) -> None:
        self._key, self._values = key, values

    def __str__(self) -> str:
        return word(self._key, **self._values)


def has_word(key: str) -> bool:
    return key in _CATALOGS[LANGUAGES[0]]


Names = Mapping[str, Mapping[str, str]]  # language -> class of the model -> what people call it
_names: ContextVar[Names] = ContextVar("names", default=MappingProxyType({}))


@contextmanager
def naming(names: Names) -> Iterator[None]:
    """Classes inside, and in tasks that are begun there, are called so; one without a name as its model calls it."""
    token = _names.set(names)
    try:
        yield
    finally:
        _names.reset(token)


def class_name(label: str) -> str:
    """A class of the model as people call it, in the language of the task."""
    return _names.get().get(language(), {}).get(label) or readable(label)


def class_called(text: str) -> str:
    """The class that people call `text` in the language of the task, as its model calls it; `text` where it is none."""
    called = {name: label for label, name in _names.get().get(language(), {}).items()}
    return called.get(text, text)


def readable(name: str) -> str:
    """A class or stage name as people write it: missing_hole -> missing hole."""
    return name.replace("_", " ").strip()


def reason_words(number: int, label: str | None = None) -> Explained:
    """The plain words for a REASON number; an unknown one is named by its number, never hidden."""
    try:
        key = f"reason.{Reason(number).name.lower()}"
    except ValueError:
        return Explained(word("reason.unknown", number=number), word("reason.unknown.hint"))
    return Explained(_about(key, label), _about(f"{key}.hint", label))


def _about(key: str, label: str | None) -> str:
    if not label and has_word(f"{key}.bare"):
        return word(f"{key}.bare")
    return word(key, label=class_name(label or ""))


def offline_words(number: int) -> Explained:
    """The plain words for an OFFLINE_REASON number; those for "not known" where there are none."""
    known = OfflineReason(number) if number in list(OfflineReason) else OfflineReason.NONE
    key = f"notready.{known.name.lower()}"
    return Explained(word(key), word(f"{key}.hint"))
