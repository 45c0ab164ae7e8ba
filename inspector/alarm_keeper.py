"""The box's alarms at work: what health says goes in, what people do comes by the control socket, all is journalled."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

import structlog

from inspector.control import ControlError, Handler, Params
from inspector.core.alarms import Alarms, Change, Condition
from inspector.core.errors import StoreError
from inspector.core.ports import Clock
from inspector.health import Health
from inspector.store.journal import Journal

log = structlog.get_logger(__name__)
LOOK_S = 0.1
SETTLE_S = 1.0  # after a start: nothing was seen working yet, and that is no alarm
WRITTEN_WITHIN_S = 1.0
MAX_WAITING = 1000  # changes that no commit has taken yet
MAX_WHY = 200


@dataclass(slots=True)
class AlarmKeeper:
    """On the event loop only. An alarm lives on while the store does not work; its changes follow when it does."""

    clock: Clock
    journal: Journal
    conditions: Callable[[], Iterable[Condition]]
    alarms: Alarms = field(default_factory=Alarms)
    _waiting: deque[Change] = field(default_factory=deque)
    _writing: Future[None] | None = None
    _batch: int = 0  # how many of _waiting, from the left, _writing is about

    async def recall(self) -> None:
        """At a start: what was acknowledged or shelved still is; where that cannot be read, all is new again."""
        try:
            lasts = await asyncio.wrap_future(self.journal.submit(self.journal.alarms.lasts))
        except StoreError as exc:
            log.error("what was acknowledged or shelved is not known", error=str(exc))
            return
        self.alarms.recall(lasts, self.clock.monotonic_s(), self._utc_ms())

    async def look_forever(self) -> None:
        """Ten times a second."""
        await self.clock.sleep(SETTLE_S)
        while True:
            self.look()
            await self.clock.sleep(LOOK_S)

    def look(self) -> None:
        self._take(self.alarms.see(self.conditions(), self.clock.monotonic_s(), self._utc_ms()))

    def told(self) -> list[Mapping[str, Any]]:
        """Every alarm with its phase, for the status message; the most urgent first."""
        ending = self.alarms.ending()
        return [
            {
                "id": c.id, "phase": str(c.phase), "key": c.key, "params": c.params, "cause": c.cause,
                "priority": c.priority, "since_utc_ms": c.since_utc_ms, "changed_utc_ms": c.utc_ms,
                "event": str(c.event), "actor": c.actor,
                "shelved_until_utc_ms": c.shelved_until_utc_ms, "shelved_by": c.shelved_by,
                "shelved_why": c.shelved_why, "ending": c.id in ending,
            }
            for c in self.alarms.listed()
        ]  # fmt: skip

    def handlers(self) -> dict[str, Handler]:
        """For the control socket. Each answers {recorded}: whether the journal has it on the disk by now."""
        return {"alarm_ack": self._ack, "alarm_shelve": self._shelve, "alarm_unshelve": self._unshelve}

    async def _ack(self, params: Params, actor: str) -> Mapping[str, bool]:
        (id_,) = _strings(params, "id", others=("changed_utc_ms",))
        seen = params["changed_utc_ms"]
        if type(seen) is not int:
            raise ControlError("changed_utc_ms must be a whole number: as the status has it")
        return await self._answer(self.alarms.acknowledge(id_, seen, actor, self._utc_ms()))

    async def _shelve(self, params: Params, actor: str) -> Mapping[str, bool]:
        id_, why = _strings(params, "id", "why", others=("minutes",))
        minutes = params["minutes"]
        if isinstance(minutes, bool) or not isinstance(minutes, int | float) or not math.isfinite(minutes):
            raise ControlError("minutes must be a number")
        now_s, utc_ms = self.clock.monotonic_s(), self._utc_ms()
        return await self._answer(self.alarms.shelve(id_, minutes * 60, actor, why, now_s, utc_ms))

    async def _unshelve(self, params: Params, actor: str) -> Mapping[str, bool]:
        (id_,) = _strings(params, "id")
        return await self._answer(self.alarms.unshelve(id_, actor, self._utc_ms()))

    async def _answer(self, changes: Sequence[Change]) -> Mapping[str, bool]:
        last = changes[-1]
        if not self._take(changes):
            return {"recorded": False}
        not_after_s = self.clock.monotonic_s() + WRITTEN_WITHIN_S
        try:
            while any(waiting is last for waiting in self._waiting) and self._writing is not None:
                await self.journal.until(self._writing, not_after_s)
                self._flush()
        except (StoreError, TimeoutError) as exc:
            log.error("change of an alarm not on record yet", alarm=last.id, error=str(exc) or "late")
            return {"recorded": False}
        return {"recorded": True}

    def _take(self, changes: Sequence[Change]) -> bool:
        """False: too many wait already, and these are in the log only."""
        for change in changes:
            log.info("alarm", id=change.id, change=str(change.event), cause=change.cause, actor=change.actor)
        room = len(self._waiting) + len(changes) <= MAX_WAITING
        if room:
            self._waiting.extend(changes)
        elif changes:
            log.error("changes of alarms are in this log only", waiting=len(self._waiting))
        self._flush()
        return room

    def _flush(self) -> None:
        """Drop what is on the disk, and begin to write what waits; what failed is tried again at the next look."""
        if self._writing is not None:
            if not self._writing.done():
                return
            if not self._writing.cancelled() and self._writing.exception() is None:
                for _ in range(self._batch):
                    self._waiting.popleft()
            self._writing = None
        if self._waiting:
            batch = tuple(self._waiting)
            self._batch, self._writing = len(batch), self.journal.submit(self.journal.alarms.note, batch)

    def _utc_ms(self) -> int:
        return int(self.clock.utc_s() * 1000)


def conditions_of(healths: Mapping[str, Health]) -> Callable[[], list[Condition]]:
    """What is wrong now at each station; ids as in the status message: the first station's have no name before them."""
    first = next(iter(healths))

    def now() -> list[Condition]:
        return [
            Condition(a.id if name == first else f"{name}.{a.id}", a.problem)
            for name, health in healths.items() for a in health.state().alarms
        ]  # fmt: skip

    return now


def _strings(params: Params, *keys: str, others: Sequence[str] = ()) -> tuple[str, ...]:
    """Raises ControlError: not exactly these parameters, or no short printable text."""
    if set(params) != {*keys, *others}:
        raise ControlError(f"needs exactly {', '.join((*keys, *others))}")
    for key in keys:
        value = params[key]
        if not isinstance(value, str) or len(value) > MAX_WHY or not value.isprintable():
            raise ControlError(f"{key} must be at most {MAX_WHY} printable characters")
    return tuple(params[key] for key in keys)
