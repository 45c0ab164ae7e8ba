"""The record as the pages ask for it: short read-only questions on a thread of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from inspector.core.errors import InspectorError

Row = Mapping[str, Any]


class Unreadable(InspectorError):
    """The record cannot be read now: not there yet, or locked by a restart. Ask again."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a person looks for; None: any. Times in ms UTC, both ends included."""

    from_utc_ms: int | None = None
    to_utc_ms: int | None = None
    verdict: int | None = None
    reason: int | None = None
    label: str | None = None
    part_id: int | None = None
    trigger_id: int | None = None


class Records(Protocol):
    """Every method raises Unreadable."""

    async def page(self, filters: Filters, before_no: int | None, limit: int) -> Sequence[Row]:
        """Rows older than `before_no`, newest first."""
        ...

    async def row(self, no: int) -> Row | None: ...

    async def neighbours(self, no: int) -> tuple[int | None, int | None]:
        """The numbers just before and just after `no`."""
        ...

    async def top_reasons(self, since_utc_ms: int, limit: int) -> Sequence[tuple[int, int]]:
        """(reason, count) of what was rejected since then, most frequent first."""
        ...

    def close(self) -> None: ...
