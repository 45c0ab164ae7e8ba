"""Who works with the box: a person and what they may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What a person is here for. Who is not logged in has none, and may look at the line where the config allows it."""

    OPERATOR = "operator"
    QUALITY = "quality"
    CONTROLS = "controls"
    MAINTENANCE = "maintenance"
    ML = "ml"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Person:
    """Who is logged in. `name` is the actor of all that they do."""

    no: int
    name: str
    roles: frozenset[Role]
    language: str  # of their pages, as in words.LANGUAGES
