"""The life of an alarm by ISA-18.2: raised, acknowledged, cleared, shelved for a while. Pure; time is handed in.

Nothing here says whether the station is READY: that is health's alone, and no acknowledging or shelving reaches it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from inspector.core.alarm_kinds import CRITICAL, KINDS, OFF_S, PRIORITIES, Params, Problem
from inspector.core.errors import InspectorError

MAX_SHELVE_S = 8 * 3600.0  # one shift
BOX = "inspector"  # who acts where nobody did


class AlarmRefused(InspectorError):
    """What was asked for is not allowed for this alarm now; the text is for the person who asked."""


class Phase(StrEnum):
    NORMAL = "normal"
    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"
    CLEARED = "cleared"  # it is over, and nobody took note yet


class Event(StrEnum):
    RAISED = "raised"
    CHANGED = "changed"  # another problem of the same place, or a critical one that grew: to be taken note of again
    CLEARED = "cleared"
    ACKNOWLEDGED = "acknowledged"
    SHELVED = "shelved"
    UNSHELVED = "unshelved"


NEXT = {
    (Phase.NORMAL, Event.RAISED): Phase.UNACKNOWLEDGED,
    (Phase.CLEARED, Event.RAISED): Phase.UNACKNOWLEDGED,
    (Phase.UNACKNOWLEDGED, Event.CHANGED): Phase.UNACKNOWLEDGED,
    (Phase.ACKNOWLEDGED, Event.CHANGED): Phase.UNACKNOWLEDGED,
    (Phase.UNACKNOWLEDGED, Event.CLEARED): Phase.CLEARED,
    (Phase.ACKNOWLEDGED, Event.CLEARED): Phase.NORMAL,
    (Phase.UNACKNOWLEDGED, Event.ACKNOWLEDGED): Phase.ACKNOWLEDGED,
    (Phase.CLEARED, Event.ACKNOWLEDGED): Phase.NORMAL,
}
ACTIVE = frozenset({Phase.UNACKNOWLEDGED, Phase.ACKNOWLEDGED})
UNHEEDED = frozenset({Phase.UNACKNOWLEDGED, Phase.CLEARED})  # nobody took note


@dataclass(frozen=True, slots=True)
class Condition:
    """What is wrong now, and where. id: its place, in a box of several stations `station.place`."""

    id: str
    problem: Problem


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the journal, and all of the alarm as it is afterwards."""

    id: str
    event: Event
    phase: Phase
    key: str  # of its kind; one that this version does not know may come out of the journal
    params: Params
    cause: str  # terse, for the log
    priority: str
    since_utc_ms: int  # when it was raised
    shelved_until_utc_ms: int | None
    utc_ms: int
    actor: str = BOX
    shelved_by: str = ""
    shelved_why: str = ""


@dataclass(slots=True)
class _Life:
    last: Change
    now: Problem | None = None  # as it is told this moment; its figures may grow without a change
    shelved_until_s: float | None = None  # monotonic: no jump of the wall clock makes it longer
    seen_from_s: float | None = None  # since when it holds without a break, while it is no alarm yet
    gone_from_s: float | None = None

    @property
    def pending(self) -> bool:
        """Seen, but not for long enough to be an alarm."""
        return self.last.phase is Phase.NORMAL and self.shelved_until_s is None

    @property
    def forgotten(self) -> bool:
        return self.pending and self.seen_from_s is None


@dataclass(slots=True)
class Alarms:
    """All alarms of a box. Every method returns the changes it made, oldest first, for the journal."""

    _lives: dict[str, _Life] = field(default_factory=dict)

    def recall(self, lasts: Iterable[Change], now_s: float, utc_ms: int) -> None:
        """Take up what a former life left: the last change of each alarm."""
        for last in lasts:
            life = _Life(last)
            if last.shelved_until_utc_ms is not None:
                left_s = min((last.shelved_until_utc_ms - utc_ms) / 1000, MAX_SHELVE_S)
                life.shelved_until_s = now_s + left_s
            if not life.forgotten:
                self._lives[last.id] = life

    def listed(self) -> list[Change]:
        """Each alarm as it is, the most urgent and then the newest first; those that are normal only while shelved."""
        lasts = [_told(life) for life in self._lives.values() if not life.pending]
        return sorted(lasts, key=lambda c: (_rank(c.priority), -c.since_utc_ms, c.id))

    def ending(self) -> frozenset[str]:
        """Ids of those that hold no more and only wait for their off-delay."""
        return frozenset(id_ for id_, life in self._lives.items() if life.gone_from_s is not None)

    def see(self, conditions: Iterable[Condition], now_s: float, utc_ms: int) -> list[Change]:
        """What holds now. To be called often: a delay is as exact as that."""
        holds = {condition.id: condition for condition in conditions}
        changes: list[Change] = []
        for condition in holds.values():
            changes += self._holds(condition, now_s, utc_ms)
        for id_ in [id_ for id_ in self._lives if id_ not in holds]:
            changes += self._gone(id_, now_s, utc_ms)
        for id_, life in list(self._lives.items()):
            if life.shelved_until_s is not None and not now_s < life.shelved_until_s:
                changes.append(_unshelve(life, utc_ms, BOX))
            if life.forgotten:
                del self._lives[id_]
        return changes

    def acknowledge(self, id_: str, seen_utc_ms: int, actor: str, utc_ms: int) -> list[Change]:
        """A person took note of the alarm as it was since its change at `seen_utc_ms`.

        Raises AlarmRefused: there is nothing to take note of, or it is another alarm by now.
        """
        life = self._known(id_)
        if (life.last.phase, Event.ACKNOWLEDGED) not in NEXT:
            raise AlarmRefused(f"alarm {id_} is {life.last.phase}: there is nothing to acknowledge")
        if life.last.utc_ms != seen_utc_ms:
            raise AlarmRefused(f"alarm {id_} has changed since it was looked at")
        return [_step(life, Event.ACKNOWLEDGED, utc_ms, actor=actor)]

    def shelve(self, id_: str, seconds: float, actor: str, why: str, now_s: float, utc_ms: int) -> list[Change]:
        """Off the list for a while. Raises AlarmRefused: critical, too long, or without a reason."""
        life = self._known(id_)
        if life.last.priority == CRITICAL:
            raise AlarmRefused(f"alarm {id_} is critical and cannot be shelved")
        if not 0 < seconds <= MAX_SHELVE_S:
            raise AlarmRefused(f"an alarm is shelved for more than 0 and at most {MAX_SHELVE_S / 3600:g} hours")
        if not why.strip():
            raise AlarmRefused("shelving needs a reason")
        life.shelved_until_s = now_s + seconds
        until = utc_ms + round(seconds * 1000)
        life.last = replace(_told(life), shelved_until_utc_ms=until, shelved_by=actor, shelved_why=why.strip())
        return [_note(life, Event.SHELVED, utc_ms, actor)]

    def unshelve(self, id_: str, actor: str, utc_ms: int) -> list[Change]:
        """Raises AlarmRefused: it is not shelved."""
        life = self._known(id_)
        if life.shelved_until_s is None:
            raise AlarmRefused(f"alarm {id_} is not shelved")
        return [_unshelve(life, utc_ms, actor)]

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _known(self, id_: str) -> _Life:
        life = self._lives.get(id_)
        if life is None or life.pending:
            raise AlarmRefused(f"there is no alarm {id_[:64]!r} now")
        return life

    def _holds(self, condition: Condition, now_s: float, utc_ms: int) -> list[Change]:
        life = self._lives.get(condition.id)
        if life is None:
            life = self._lives[condition.id] = _Life(_unborn(condition, utc_ms))
        life.now, life.gone_from_s = condition.problem, None
        changes: list[Change] = []
        if life.last.phase in ACTIVE:
            if _is_news(life.last, condition.problem):
                changes.append(_step(life, Event.CHANGED, utc_ms, problem=condition.problem))
                if life.shelved_until_s is not None:
                    changes.append(_unshelve(life, utc_ms, BOX))
        else:
            life.seen_from_s = now_s if life.seen_from_s is None else life.seen_from_s
            if now_s - life.seen_from_s >= condition.problem.kind.on_s:
                life.seen_from_s, other = None, condition.problem.kind.key != life.last.key
                changes.append(_step(life, Event.RAISED, utc_ms, problem=condition.problem))
                if other and life.shelved_until_s is not None:  # what was shelved was another problem
                    changes.append(_unshelve(life, utc_ms, BOX))
        return changes

    def _gone(self, id_: str, now_s: float, utc_ms: int) -> list[Change]:
        life = self._lives[id_]
        life.seen_from_s = None
        if life.last.phase not in ACTIVE:
            return []
        life.gone_from_s = now_s if life.gone_from_s is None else life.gone_from_s
        kind = KINDS.get(life.last.key)
        if now_s - life.gone_from_s < (OFF_S if kind is None else kind.off_s):
            return []
        changes = [_step(life, Event.CLEARED, utc_ms)]
        life.gone_from_s = life.now = None
        return changes


def _unborn(condition: Condition, utc_ms: int) -> Change:
    problem = condition.problem
    return Change(
        condition.id, Event.RAISED, Phase.NORMAL, problem.kind.key, problem.params, str(problem), problem.kind.priority,
        utc_ms, None, utc_ms,
    )  # fmt: skip


def _rank(priority: str) -> int:
    """0: the most urgent, as is one that nobody knows."""
    return PRIORITIES.index(priority) if priority in PRIORITIES else 0


def _is_news(last: Change, problem: Problem) -> bool:
    kind = problem.kind
    return kind.key != last.key or (kind.priority == CRITICAL and str(problem) != last.cause)


def _told(life: _Life) -> Change:
    now = life.now
    if now is None or life.last.phase not in ACTIVE:
        return life.last
    return replace(life.last, params=now.params, cause=str(now))


def _unshelve(life: _Life, utc_ms: int, actor: str) -> Change:
    life.shelved_until_s = None
    life.last = replace(life.last, shelved_until_utc_ms=None, shelved_by="", shelved_why="")
    return _note(life, Event.UNSHELVED, utc_ms, actor)


def _step(
    life: _Life, event: Event, utc_ms: int, *, actor: str = BOX, problem: Problem | None = None
) -> Change:  # fmt: skip
    last = _told(life)  # with the figures that everybody sees
    if problem is not None:
        last = replace(
            last, key=problem.kind.key, params=problem.params, cause=str(problem), priority=problem.kind.priority,
            since_utc_ms=utc_ms if event is Event.RAISED else last.since_utc_ms,
        )  # fmt: skip
    life.last = replace(last, phase=NEXT[last.phase, event])
    return _note(life, event, utc_ms, actor)


def _note(life: _Life, event: Event, utc_ms: int, actor: str) -> Change:
    life.last = replace(life.last, event=event, utc_ms=utc_ms, actor=actor)
    return life.last
