"""How many pictures of which class and lot people have labelled so far. Counted anew only where something was said."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from inspector.office import collecting
from inspector.office.collecting import Counted
from inspector.office.desk import Desk
from inspector.office.office import Office
from inspector.office.settling import Queue
from inspector.store.record_files import RecordFiles
from inspector.store.review_queue import Row, WholeRecord

LOTS_KEPT = 200_000  # in memory, a few bytes each
AT_ONCE = 5_000  # lots that are asked for in one question


@dataclass(frozen=True, slots=True)
class Tally:
    """done: each target; by_lot: pictures by (class, lot)."""

    done: list[Counted]
    by_lot: Mapping[tuple[str, str], int]


@dataclass(slots=True)
class Tallies:
    """The last count, and of which lot each picture is, which never changes."""

    _lots: dict[int, str] = field(default_factory=dict)
    _settled: Mapping[int, str] = field(default_factory=dict)
    _state: tuple[int, int] = (-1, -1)  # of the labels that `_settled` is of
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def of(self, office: Office, desk: Desk) -> Tally:
        """Raises Unreadable, StoreError."""
        async with self._one_at_a_time:
            state = await desk.labels.state()
            if state != self._state:
                await self._recount(desk, state)
            await self._learn(desk, [no for no in self._settled if no not in self._lots])
            wanted = await office.read(collecting.targets)
            return Tally(*collecting.counted(wanted, self._settled, self._lots))

    async def _recount(self, desk: Desk, state: tuple[int, int]) -> None:
        """Of the pictures that got a label since; of all where one was taken back."""
        newest, undone = self._state
        labels = await desk.labels.in_queue(Queue.COLLECT, newest if undone == state[1] else 0)
        kept = {no: label for no, label in self._settled.items() if no not in labels} if undone == state[1] else {}
        self._settled, self._state = kept | collecting.settled_labels(labels, desk.two_people), state

    async def _learn(self, desk: Desk, numbers: Sequence[int]) -> None:
        if len(self._lots) > LOTS_KEPT:
            self._lots.clear()
            numbers = list(self._settled)
        for first in range(0, len(numbers), AT_ONCE):
            some = numbers[first : first + AT_ONCE]
            rows = await desk.ask(partial(_by_number, numbers=some))
            found = {row["no"]: row["lot"] or "" for row in rows}
            self._lots |= dict.fromkeys(some, "") | found  # of a row that results.db has no more, no lot is known


def _by_number(files: RecordFiles, numbers: Sequence[int]) -> list[Row]:
    return WholeRecord(files).by_number(numbers)
