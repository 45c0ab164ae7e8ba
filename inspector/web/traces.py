"""What the part page asks of the record beside the row itself: what judged the part, and all that the PLC was told."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import apsw

from inspector.store.holds import Hold
from inspector.store.month_list import GoneMonth, KeptMonth
from inspector.web.records import Records, Row

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Told:
    """One thing that the PLC was told of a part."""

    code: int
    reason: int
    utc_ms: int | None
    delivery: str | None


@dataclass(frozen=True, slots=True)
class Revision:
    """One revision of a recipe, as it is kept for good."""

    content: str  # JSON: recipes.RecipeContent
    created_utc_ms: int
    actor: str
    reason: str


@dataclass(frozen=True, slots=True)
class Trace:
    """None: the record does not hold it."""

    told: tuple[Told, ...] = ()  # oldest first; the last one stands
    settings: str | None = None  # JSON: recipes.settings_of, all that decided
    revision: Revision | None = None
    taken_as_good_utc_ms: tuple[int, ...] = ()  # when the PLC took a part as good that was not passed


class TracedRecords(Records, Protocol):
    """Every method raises Unreadable."""

    async def trace(self, row: Row) -> Trace: ...

    async def holds(self, limit: int) -> tuple[list[Hold], list[Hold]]:
        """The lots that are on hold, and the newest `limit` entries of all lots; newest first."""
        ...

    async def months(self) -> tuple[Sequence[KeptMonth], Sequence[GoneMonth]]:
        """Which months of the record lie here, and which were let go; newest first."""
        ...

    async def hold_of(self, lot: str) -> Hold | None:
        """Why a lot is on hold; None: it is not."""
        ...

    async def ask(self, question: Callable[[apsw.Connection], R]) -> R:
        """A short question of another subject. Raises Unreadable."""
        ...
