"""The record as the pages ask for it: short read-only questions on a thread of their own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from inspector.core.errors import InspectorError

Row = Mapping[str, Any]


class Unreadable(InspectorError):
    """The record cannot be read now: not there yet, or locked by a restart. Ask again."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What a person looks for; None: any. Times in ms UTC, numbers and scores: both ends included."""

    from_utc_ms: int | None = None
    to_utc_ms: int | None = None
    verdict: int | None = None
    reason: int | None = None
    label: str | None = None
    part_id: int | None = None
    trigger_id: int | None = None
    serial: str | None = None
    lot: str | None = None
    recipe: int | None = None
    bundle_id: str | None = None
    station: str | None = None
    confidence_min: float | None = None  # share, 0..1
    confidence_max: float | None = None
    novelty_min: float | None = None
    novelty_max: float | None = None
    anomaly_min: float | None = None
    anomaly_max: float | None = None
    test_part: bool | None = None
    has_picture: bool | None = None  # kept in the archive
    plc_disagrees: bool | None = None  # the PLC's own verdict is another than it was told; of those that it reported
    from_no: int | None = None  # the oldest number: bounds how far one question looks back


class Found(list[Row]):
    """Rows, newest first. searched_to_no: not None where time ran out: what is older than this number was not looked at
    yet; ask again with it as `before_no`. Fewer rows than wanted and None: there are no more.
    """

    def __init__(self, rows: Iterable[Row] = (), searched_to_no: int | None = None) -> None:
        super().__init__(rows)
        self.searched_to_no = searched_to_no


class Records(Protocol):
    """Every method raises Unreadable."""

    async def page(self, filters: Filters, before_no: int | None, limit: int) -> Found:
        """Rows older than `before_no`, newest first."""
        ...

    async def row(self, no: int) -> Row | None: ...

    async def neighbours(self, no: int) -> tuple[int | None, int | None]:
        """The numbers just before and just after `no`."""
        ...

    async def left_out(self) -> Sequence[str]:
        """Names of the months' files that are damaged, as far as questions met them: no row of them is found."""
        ...

    def export(self, filters: Filters) -> AsyncIterator[Row]:
        """All rows that match as of now, newest first, in short questions: it may take hours and holds nothing up."""
        ...

    def close(self) -> None: ...
