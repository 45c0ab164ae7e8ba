"""Is the station fit to say PASS? Freshness of every part -> READY; and what is wrong, for the alarms."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from inspector.core.alarm_kinds import KINDS, Kind, Params, Problem
from inspector.core.details import Detail
from inspector.core.errors import InspectorError, ModelError, PartError, StoreBroken, StoreError
from inspector.core.ports import Clock
from inspector.core.types import Inspection
from plc.registers import OfflineReason, Reason

log = structlog.get_logger(__name__)

_IN_ROW = {Reason.INFERENCE: Kind.INFERENCE_ERRORS, Reason.DEADLINE: Kind.DEADLINES_MISSED}
ERRORS_THAT_LATCH = 3  # inference errors or missed deadlines in a row
EXIT_HUNG = 70  # EX_SOFTWARE: systemd starts us again


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that is wrong now. One while it lasts, however many parts it meets."""

    problem: Problem
    since_utc_ms: int

    @property
    def id(self) -> str:
        return self.problem.kind.place

    @property
    def cause(self) -> str:
        """Terse, for the log; the words for people are the page's."""
        return str(self.problem)

    @property
    def priority(self) -> str:
        return self.problem.kind.priority


@dataclass(frozen=True, slots=True)
class Watched:
    """A part that must be seen working within `max_age_s`; `reason` is why READY drops when it is not."""

    max_age_s: float
    reason: OfflineReason


@dataclass(frozen=True, slots=True)
class PartState:
    ok: bool
    text: str
    age_s: float | None


@dataclass(frozen=True, slots=True)
class HealthState:
    ready: bool
    offline_reason: OfflineReason
    error_code: Reason
    parts: Mapping[str, PartState]
    alarms: tuple[Alarm, ...]


_PARTS = {"camera": OfflineReason.CAMERA, "model": OfflineReason.MODEL, "store": OfflineReason.STORAGE}


def watched(max_age_s: float = 2.0, *, model: bool = True) -> dict[str, Watched]:
    """What a station watches; a model only where one judges."""
    return {part: Watched(max_age_s, reason) for part, reason in _PARTS.items() if model or part != "model"}


WATCHED: Mapping[str, Watched] = watched()
_REASON_OF = {
    OfflineReason.CAMERA: Reason.CAMERA,
    OfflineReason.MODEL: Reason.INFERENCE,
    OfflineReason.STORAGE: Reason.STORAGE,
}


@dataclass(slots=True)
class Health:
    """What was last seen of each part. Stale means not ready, never "as before"."""

    clock: Clock
    watched: Mapping[str, Watched] = field(default_factory=lambda: dict(WATCHED))
    _last_ok_s: dict[str, float] = field(default_factory=dict)
    _down: dict[str, tuple[str, Kind | None]] = field(default_factory=dict)  # part -> what it said, of another kind
    _latched: tuple[OfflineReason, Problem, Reason] | None = None  # reason, why, ERROR_CODE
    _recipe: tuple[OfflineReason, Problem] | None = None  # why no recipe judges
    _wrong: str = ""  # what the PLC took as good and must not have
    _in_row: dict[Reason, int] = field(default_factory=dict)
    _since_ms: dict[str, int] = field(default_factory=dict)
    _warnings: dict[str, Problem] = field(default_factory=dict)  # by place

    def ok(self, part: str) -> None:
        """`part` was seen working just now."""
        self._last_ok_s[part] = self.clock.monotonic_s()
        self._down.pop(part, None)

    def down(self, part: str, text: str, kind: Kind | None = None) -> None:
        """`part` said that it does not work. kind: where something else helps than usually does; holds until ok()."""
        if part not in self._down:
            log.warning("part down", part=part, text=text)
        self._down[part] = text, kind or self._down.get(part, ("", None))[1]
        self._last_ok_s.pop(part, None)

    def latch(self, reason: OfflineReason, why: Problem, error: Reason = Reason.NONE) -> None:
        """Stay NOT READY until a person acknowledges; the first latch stands. error: the PLC's ERROR_CODE meanwhile."""
        if self._latched is None:
            log.error("latched not ready", reason=reason.name, cause=str(why))
            self._latched = (reason, why, error)

    def warn(self, kind: Kind, params: Params | None) -> None:
        """Something that a person should see to, and that takes READY from nobody by itself; None: it is over."""
        if params is None:
            self._warnings.pop(kind.place, None)
        else:
            self._warnings[kind.place] = Problem(kind, params)

    def recipe_fails(self, reason: OfflineReason, why: Problem) -> None:
        """No recipe judges, until recipe_holds()."""
        log.error("no recipe judges", reason=reason.name, cause=str(why))
        self._recipe = reason, why

    def recipe_holds(self) -> None:
        """A recipe was verified and judges from now on."""
        self._recipe = None

    def wrongly_accepted(self, parts: Iterable[tuple[int, int]]) -> None:
        """The PLC says (PLC_VERDICT) that it let these parts go as good, and we had not passed them.

        parts: (trigger id, part id), all since the last acknowledge. READY comes back only after that.
        """
        text = ", ".join(f"{part_id} ({trigger_id})" for trigger_id, part_id in parts)
        if text and text != self._wrong:
            log.critical("parts went on as good that were not passed", parts=text)
            self._wrong = text

    @property
    def wrong(self) -> bool:
        """Parts went on as good that were not passed, and nobody took note yet."""
        return bool(self._wrong)

    @property
    def part_is_down(self) -> bool:
        """A watched part (camera, model, store) is not seen working: an alarm of it stands, and takes READY."""
        return not all(part.ok for part in self.state().parts.values())

    def acknowledge(self) -> None:
        """A person, or the PLC with CLEAR_ERROR, has taken note of a latch that may be cleared in service."""
        self._wrong = ""
        if self._latched is not None and self._latched[0] is OfflineReason.LATCHED_ERROR:
            log.info("latch acknowledged", cause=str(self._latched[1]))
            self._latched = None
            self._in_row.clear()

    def saw(self, done: Inspection, error: BaseException | None) -> None:
        """Learn from one part: a lost camera, a failed store, errors in a row, a challenge part that passed."""
        reason = done.outcome.reason
        if isinstance(error, PartError) and not isinstance(error, ModelError):
            log.info("part not inspected", no=done.no, reason=reason.name, text=str(error))
        if reason is Reason.STORAGE or isinstance(error, StoreError):
            self.down("store", Detail.NOT_COMMITTED.of(), _kind_of(error))
        if reason is Reason.IMAGE_QUALITY:
            self.warn(Kind.PICTURE, {"detail": str(error)})
        elif done.prediction is not None:
            self.warn(Kind.PICTURE, None)
        for of_part, kind in _IN_ROW.items():
            self._in_row[of_part] = self._in_row.get(of_part, 0) + 1 if reason is of_part else 0
            if self._in_row[of_part] >= ERRORS_THAT_LATCH:
                said = str(error or "") or Detail.TOOK.of(ms=round(done.elapsed_ms))
                why = kind.of(count=ERRORS_THAT_LATCH, detail=said)
                self.latch(OfflineReason.LATCHED_ERROR, why, of_part)
        if done.delivery is not None and done.delivery.code == 6:  # TEST_NOT_AS_EXPECTED
            self.latch(OfflineReason.CHECK_DUE, Kind.CHALLENGE_MISSED.of(part_id=done.trigger.part_id))

    def state(self) -> HealthState:
        """READY only if nothing is latched and every watched part was seen working within its own age."""
        now = self.clock.monotonic_s()
        parts: dict[str, PartState] = {}
        alarms: list[Alarm] = []
        first: OfflineReason | None = None
        latched_error = Reason.NONE
        if self._wrong:
            first = OfflineReason.LATCHED_ERROR
            alarms.append(self._alarm(Kind.PLC_VERDICT.of(parts=self._wrong)))
        if self._latched is not None:
            reason, why, latched_error = self._latched
            first = first or reason
            alarms.append(self._alarm(why))
        if self._recipe is not None:
            reason, why = self._recipe
            first = first or reason
            alarms.append(self._alarm(why))
        for name, rule in self.watched.items():
            age = now - self._last_ok_s.get(name, -math.inf)
            fresh = age <= rule.max_age_s  # NaN is not fresh
            alive = Detail.WORKING if fresh else Detail.NO_SIGN_OF_LIFE
            text, kind = self._down.get(name, (alive.of(), None))
            parts[name] = PartState(fresh, text, round(age, 2) if math.isfinite(age) else None)
            if not fresh:
                first = first or rule.reason
                alarms.append(self._alarm(Problem(kind or KINDS[name], {"detail": text})))
        alarms += [self._alarm(problem) for problem in self._warnings.values()]
        for gone in set(self._since_ms) - {a.id for a in alarms}:
            del self._since_ms[gone]
        error = latched_error or (_REASON_OF.get(first, Reason.NONE) if first else Reason.NONE)
        return HealthState(first is None, first or OfflineReason.NONE, error, parts, tuple(alarms))

    def _alarm(self, problem: Problem) -> Alarm:
        return Alarm(problem, self._since_ms.setdefault(problem.kind.place, int(self.clock.utc_s() * 1000)))


class Watchdog:
    """Turns through each device thread; a thread that makes no full turn in `hang_after_s` ends the process.

    A thread cannot be killed, so the process is: systemd starts it again, and the standing id is answered 4/108.
    """

    def __init__(self, health: Health, *, period_s: float = 0.5, hang_after_s: float = 3.0) -> None:
        self._health, self._period_s, self.hang_after_s = health, period_s, hang_after_s
        self._turned_s: dict[str, float] = {}

    async def turn_forever(
        self, part: str, alive: Callable[[], Awaitable[None]], healths: Sequence[Health] = (), key: str = ""
    ) -> None:
        """Keep asking one part whether it works. A hang is not an error to handle but the end of the process.

        healths: of the stations that need it; none: ours. key: tells parts of one name apart.
        """
        clock, told = self._health.clock, healths or (self._health,)
        self._turned_s[key or part] = clock.monotonic_s()
        while True:
            try:
                async with asyncio.timeout(self.hang_after_s):
                    await alive()
                for health in told:
                    health.ok(part)
            except InspectorError as exc:
                for health in told:
                    health.down(part, str(exc), _kind_of(exc))
            except TimeoutError:
                log.critical("device thread hangs; ending the process", part=part, after_s=self.hang_after_s)
                os._exit(EXIT_HUNG)
            self._turned_s[key or part] = clock.monotonic_s()
            await clock.sleep(self._period_s)

    def all_turned_within(self, age_s: float) -> bool:
        """True if every part's thread made a full turn within `age_s`: what systemd's watchdog is fed by."""
        now = self._health.clock.monotonic_s()
        return all(now - turned <= age_s for turned in self._turned_s.values())


def _kind_of(error: BaseException | None) -> Kind | None:
    """Where an error needs something else than is usual for its part."""
    return Kind.STORE_BROKEN if isinstance(error, StoreBroken) else None
