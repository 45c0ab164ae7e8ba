"""The life of an alarm by ISA-18.2: raised, acknowledged, cleared, shelved for a while. Pure; time is handed in.

Nothing here says whether the station is READY: that is health's alone, and no acknowledging or shelving reaches it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from inspector.core.errors import InspectorError

MAX_SHELVE_S = 8 * 3600.0  # one shift
CRITICAL = "critical"
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
    CHANGED = "changed"  # it grew worse, or a critical one says something new: to be taken note of again
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
_RANK = {"low": 0, "medium": 1, "high": 2, CRITICAL: 3}


@dataclass(frozen=True, slots=True)
class Delays:
    """A condition must hold on_s without a break to be an alarm, and be gone off_s without a break to be over.

    on_s hides what comes and goes faster, so it is 0 for all that takes READY; off_s is what ends chattering.
    """

    on_s: float = 0.0
    off_s: float = 5.0


DELAYS: Mapping[str, Delays] = {
    "plc": Delays(on_s=1.0, off_s=5.0),  # a reconnect is no alarm
    "picture": Delays(off_s=10.0),  # good and bad pictures take turns while a lamp flickers
    "light": Delays(on_s=1.0, off_s=60.0),
    "archive": Delays(on_s=1.0, off_s=10.0),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """What is wrong now. id: the kind, in a box of several stations `station.kind`."""

    id: str
    cause: str
    priority: str

    @property
    def kind(self) -> str:
        return self.id.rpartition(".")[2]


@dataclass(frozen=True, slots=True)
class Change:
    """One line of the journal, and all of the alarm as it is afterwards."""

    id: str
    event: Event
    phase: Phase
    cause: str
    priority: str
    since_utc_ms: int  # when it was raised
    shelved_until_utc_ms: int | None
    utc_ms: int
    actor: str = BOX
    why: str = ""


@dataclass(slots=True)
class _Life:
    last: Change
    shelved_until_s: float | None = None  # monotonic: no jump of the wall clock makes it longer
    seen_from_s: float | None = None  # since when it holds without a break, while it is no alarm yet
    gone_from_s: float | None = None

    @property
    def forgotten(self) -> bool:
        return self.last.phase is Phase.NORMAL and self.shelved_until_s is None and self.seen_from_s is None


@dataclass(slots=True)
class Alarms:
    """All alarms of a box. Every method returns the changes it made, oldest first, for the journal."""

    delays: Mapping[str, Delays] = field(default_factory=lambda: dict(DELAYS))
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
        lasts = [life.last for life in self._lives.values() if not _pending(life)]
        return sorted(lasts, key=lambda c: (-_RANK.get(c.priority, 3), -c.since_utc_ms, c.id))

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
                changes.append(self._unshelve(life, utc_ms, BOX, "its time is over"))
            if life.forgotten:
                del self._lives[id_]
        return changes

    def acknowledge(self, id_: str, actor: str, utc_ms: int) -> list[Change]:
        """A person took note. Raises AlarmRefused: there is nothing to take note of."""
        life = self._known(id_)
        if (life.last.phase, Event.ACKNOWLEDGED) not in NEXT:
            raise AlarmRefused(f"alarm {id_} is {life.last.phase}: there is nothing to acknowledge")
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
        life.last = replace(life.last, shelved_until_utc_ms=utc_ms + round(seconds * 1000))
        return [_note(life, Event.SHELVED, utc_ms, actor, why)]

    def unshelve(self, id_: str, actor: str, utc_ms: int) -> list[Change]:
        """Raises AlarmRefused: it is not shelved."""
        life = self._known(id_)
        if life.shelved_until_s is None:
            raise AlarmRefused(f"alarm {id_} is not shelved")
        return [self._unshelve(life, utc_ms, actor, "")]

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _known(self, id_: str) -> _Life:
        life = self._lives.get(id_)
        if life is None or _pending(life):
            raise AlarmRefused(f"there is no alarm {id_[:64]!r} now")
        return life

    def _delays(self, condition: Condition) -> Delays:
        found = self.delays.get(condition.kind, Delays())
        return replace(found, on_s=0.0) if condition.priority == CRITICAL else found

    def _holds(self, condition: Condition, now_s: float, utc_ms: int) -> list[Change]:
        life = self._lives.get(condition.id)
        if life is None:
            new = Change(condition.id, Event.RAISED, Phase.NORMAL, "", condition.priority, utc_ms, None, utc_ms)
            life = self._lives[condition.id] = _Life(new)
        life.gone_from_s = None
        changes: list[Change] = []
        if life.last.phase in ACTIVE:
            if _is_news(life.last, condition):
                changes.append(_step(life, Event.CHANGED, utc_ms, condition=condition))
        else:
            life.seen_from_s = now_s if life.seen_from_s is None else life.seen_from_s
            if now_s - life.seen_from_s >= self._delays(condition).on_s:
                life.seen_from_s = None
                changes.append(_step(life, Event.RAISED, utc_ms, condition=condition))
        if life.shelved_until_s is not None and condition.priority == CRITICAL:
            changes.append(self._unshelve(life, utc_ms, BOX, "it became critical"))
        return changes

    def _gone(self, id_: str, now_s: float, utc_ms: int) -> list[Change]:
        life = self._lives[id_]
        life.seen_from_s = None
        if life.last.phase not in ACTIVE:
            return []
        life.gone_from_s = now_s if life.gone_from_s is None else life.gone_from_s
        off_s = self.delays.get(Condition(id_, "", "").kind, Delays()).off_s
        if now_s - life.gone_from_s < off_s:
            return []
        life.gone_from_s = None
        return [_step(life, Event.CLEARED, utc_ms)]

    def _unshelve(self, life: _Life, utc_ms: int, actor: str, why: str) -> Change:
        life.shelved_until_s = None
        life.last = replace(life.last, shelved_until_utc_ms=None)
        return _note(life, Event.UNSHELVED, utc_ms, actor, why)


def _pending(life: _Life) -> bool:
    """Seen, but not for long enough to be an alarm."""
    return life.last.phase is Phase.NORMAL and life.shelved_until_s is None


def _is_news(last: Change, condition: Condition) -> bool:
    worse = _RANK.get(condition.priority, 3) > _RANK.get(last.priority, 3)
    return worse or (condition.priority == CRITICAL and condition.cause != last.cause)


def _step(
    life: _Life, event: Event, utc_ms: int, *, actor: str = BOX, condition: Condition | None = None
) -> Change:  # fmt: skip
    last = life.last
    if condition is not None:
        since = utc_ms if event is Event.RAISED else last.since_utc_ms
        last = replace(last, cause=condition.cause, priority=condition.priority, since_utc_ms=since)
    life.last = replace(last, phase=NEXT[last.phase, event])
    return _note(life, event, utc_ms, actor, "")


def _note(life: _Life, event: Event, utc_ms: int, actor: str, why: str) -> Change:
    life.last = replace(life.last, event=event, utc_ms=utc_ms, actor=actor, why=why)
    return life.last
