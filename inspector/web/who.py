"""Who did something, as whoever asks may know it: names of people are for people who are logged in themselves, and to
everybody else it is said what kind of person it was (docs/decisions/0066-names-of-people.md).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import structlog

from inspector.core.errors import StoreError
from inspector.office.office import Office
from inspector.office.people import roles_by_name
from inspector.office.person import Role
from inspector.web.access import visitor
from inspector.web.said import actor_in_words, acts_by_itself
from inspector.web.words import word

log = structlog.get_logger(__name__)
LONGEST_S = 1.0  # a screen that needs no log-in waits no longer for the accounts


@dataclass(frozen=True, slots=True)
class Who:
    """Call it with an actor. roles: of each person by name, instead of names; None: names are told."""

    roles: Mapping[str, frozenset[Role]] | None = None

    @property
    def names(self) -> bool:
        return self.roles is None

    def __call__(self, actor: str) -> str:
        if self.roles is None or acts_by_itself(actor):
            return actor_in_words(actor)
        held = self.roles.get(actor, frozenset())
        return " / ".join(word(f"who.{role}") for role in Role if role in held) or word("who.somebody")


NAMED = Who()


async def who_of(office: Office, told: Iterable[str] | None = None) -> Who:
    """For the visitor of the task. told: the actors that are about to be shown, where they are known; without people
    among them, and for who is logged in, nothing is asked. Where the accounts cannot be read now, it was somebody.
    """
    if visitor().person is not None:
        return NAMED
    if told is not None and all(map(acts_by_itself, told)):
        return Who({})
    try:
        async with asyncio.timeout(LONGEST_S):
            return Who(await office.read(roles_by_name))
    except (StoreError, TimeoutError) as exc:
        log.warning("roles cannot be read: nobody's is told", error=str(exc) or "too late")
        return Who({})
