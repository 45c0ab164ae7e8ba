"""Tells the daemon which kept pictures were settled in review, as only the page reads labels.

A reviewed picture gives way before one that nobody has looked at. What the daemon was not told yet counts as not
reviewed, and is kept longer: a page that is down costs room, and no picture.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from inspector.asking import NoDaemon, ask_daemon
from inspector.control import ControlError
from inspector.core.errors import StoreError
from inspector.office.labels import Labels
from inspector.office.settling import State, settle

log = structlog.get_logger(__name__)
EVERY_S = 5.0
AT_ONCE = 1000  # numbers in one message


@dataclass(slots=True)
class ReviewTeller:
    """two_people: as the desk has it. After a start all labels are told once more."""

    labels: Labels
    socket: Path
    two_people: bool = False
    _told: tuple[int, int] = (0, 0)  # labels and undos that the daemon knows of
    _failing: bool = field(default=False)

    async def run_forever(self) -> None:
        while True:
            try:
                await self.tell()
                self._failing = False
            except (NoDaemon, ControlError, StoreError) as exc:
                if not self._failing:
                    log.warning("the daemon does not know what was reviewed", error=str(exc))
                self._failing = True
            await asyncio.sleep(EVERY_S)

    async def tell(self) -> int:
        """What changed since it was told last; how many pictures. Raises NoDaemon, ControlError, StoreError."""
        upto, numbers = await self.labels.changed(*self._told)
        for at in range(0, len(numbers), AT_ONCE):
            reviewed: list[int] = []
            opened: list[int] = []
            for no in numbers[at : at + AT_ONCE]:
                settled = settle(await self.labels.of(no), self.two_people).state is State.SETTLED
                (reviewed if settled else opened).append(no)
            await ask_daemon(self.socket, "web", "reviewed", {"reviewed": reviewed, "open": opened})
        self._told = upto
        return len(numbers)
