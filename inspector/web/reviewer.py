"""Who reviews, and who may."""

from __future__ import annotations

from fastapi import Request

from inspector.office.person import Person, Role

MAY_LABEL = frozenset({Role.QUALITY, Role.ML, Role.ADMIN})


def person_of(request: Request) -> Person | None:
    """Who is logged in; nobody yet, for there is no log-in."""
    return None


def may_label(person: Person | None) -> bool:
    """Others may look."""
    return person is not None and not MAY_LABEL.isdisjoint(person.roles)
