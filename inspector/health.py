"""Is the station fit to say PASS? Freshness of every part -> READY; alarms with cause, consequence and action."""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import structlog

from inspector.core.errors import InspectorError, ModelError, PartError, StoreBroken, StoreError
from inspector.core.ports import Clock
from inspector.core.types import Inspection
from plc.registers import OfflineReason, Reason

log = structlog.get_logger(__name__)

ERRORS_THAT_LATCH = 3  # inference errors or missed deadlines in a row
EXIT_HUNG = 70  # EX_SOFTWARE: systemd starts us again


@dataclass(frozen=True, slots=True)
class Alarm:
    """ISA-18.2: what is wrong, what follows, what to do. One while it lasts, however many parts it meets."""

    id: str
    cause: str
    consequence: str
    action: str
    priority: str
    since_utc_ms: int


@dataclass(frozen=True, slots=True)
class Watched:
    """A part that must be seen working within `max_age_s`; `reason` is why READY drops when it is not."""

    max_age_s: float
    reason: OfflineReason
    consequence: str
    action: str


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


NOT_READY = "The station is not ready; every part that comes now is a reject."
_ACTIONS = {
    "camera": (OfflineReason.CAMERA, "Check the camera's cable and power; it reconnects by itself."),
    "model": (OfflineReason.MODEL, "Restart the service; if it stays, install the former bundle."),
    "store": (OfflineReason.STORAGE, "Make room on the disk; READY comes back by itself once records are committed."),
}
BAD_PICTURE = ("Parts with such a picture are rejects.", "Check lamps, lens, focus, and what else is in the picture.")
WRONG_ACCEPT = (
    "Parts that may be bad are among the good ones; the station is not ready.",
    "Hold the lot, find these parts, check the PLC's program; then acknowledge with CLEAR_ERROR.",
)
BROKEN_STORE = "Check the disk and its cable, replace it if it fails again, and restart the service: only that helps."


def watched(max_age_s: float = 2.0, *, model: bool = True) -> dict[str, Watched]:
    """What a station watches; a model only where one judges."""
    return {
        part: Watched(max_age_s, reason, NOT_READY, action)
        for part, (reason, action) in _ACTIONS.items()
        if model or part != "model"
    }


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
    _down: dict[str, tuple[str, str | None]] = field(default_factory=dict)  # part -> what it said, what to do
    _latched: tuple[OfflineReason, str, str, Reason] | None = None  # reason, cause, action, ERROR_CODE
    _recipe: tuple[OfflineReason, str, str] | None = None  # why no recipe judges: reason, cause, action
    _wrong: str = ""  # what the PLC took as good and must not have
    _in_row: dict[Reason, int] = field(default_factory=dict)
    _since_ms: dict[str, int] = field(default_factory=dict)
    _warnings: dict[str, tuple[str, str, str, str]] = field(default_factory=dict)  # id -> cause ... priority

    def ok(self, part: str) -> None:
        """`part` was seen working just now."""
        self._last_ok_s[part] = self.clock.monotonic_s()
        self._down.pop(part, None)

    def down(self, part: str, text: str, action: str | None = None) -> None:
        """`part` said that it does not work. action: where another one helps than usually does; holds until ok()."""
        if part not in self._down:
            log.warning("part down", part=part, text=text)
        self._down[part] = text, action or self._down.get(part, ("", None))[1]
        self._last_ok_s.pop(part, None)

    def latch(self, reason: OfflineReason, cause: str, action: str, error: Reason = Reason.NONE) -> None:
        """Stay NOT READY until a person acknowledges; the first latch stands. error: the PLC's ERROR_CODE meanwhile."""
        if self._latched is None:
            log.error("latched not ready", reason=reason.name, cause=cause)
            self._latched = (reason, cause, action, error)

    def warn(
        self, id_: str, cause: str | None, consequence: str = "", action: str = "", priority: str = "medium"
    ) -> None:
        """Something that a person should see to, and that takes READY from nobody by itself; None: it is over."""
        if cause is None:
            self._warnings.pop(id_, None)
        else:
            self._warnings[id_] = cause, consequence, action, priority

    def recipe_fails(self, reason: OfflineReason, cause: str, action: str) -> None:
        """No recipe judges, until recipe_holds()."""
        log.error("no recipe judges", reason=reason.name, cause=cause)
        self._recipe = reason, cause, action

    def recipe_holds(self) -> None:
        """A recipe was verified and judges from now on."""
        self._recipe = None

    def wrongly_accepted(self, parts: Iterable[tuple[int, int]]) -> None:
        """The PLC says (PLC_VERDICT) that it let these parts go as good, and we had not passed them.

        parts: (trigger id, part id), all since the last acknowledge. READY comes back only after that.
        """
        text = ", ".join(f"part {part_id} (trigger {trigger_id})" for trigger_id, part_id in parts)
        if text and text != self._wrong:
            log.critical("parts went on as good that were not passed", parts=text)
            self._wrong = text

    @property
    def wrong(self) -> bool:
        """Parts went on as good that were not passed, and nobody took note yet."""
        return bool(self._wrong)

    def acknowledge(self) -> None:
        """A person, or the PLC with CLEAR_ERROR, has taken note of a latch that may be cleared in service."""
        self._wrong = ""
        if self._latched is not None and self._latched[0] is OfflineReason.LATCHED_ERROR:
            log.info("latch acknowledged", cause=self._latched[1])
            self._latched = None
            self._in_row.clear()

    def saw(self, done: Inspection, error: BaseException | None) -> None:
        """Learn from one part: a lost camera, a failed store, errors in a row, a challenge part that passed."""
        reason = done.outcome.reason
        if isinstance(error, PartError) and not isinstance(error, ModelError):
            log.info("part not inspected", no=done.no, reason=reason.name, text=str(error))
        if reason is Reason.STORAGE or isinstance(error, StoreError):
            self.down("store", "a record was not committed in time", _help(error))
        if reason is Reason.IMAGE_QUALITY:
            self.warn("picture", f"picture not fit to be judged: {error}", *BAD_PICTURE)
        elif done.prediction is not None:
            self.warn("picture", None)
        for kind in (Reason.INFERENCE, Reason.DEADLINE):
            self._in_row[kind] = self._in_row.get(kind, 0) + 1 if reason is kind else 0
            if self._in_row[kind] >= ERRORS_THAT_LATCH:
                cause = f"{ERRORS_THAT_LATCH} parts in a row ended with {kind.name.lower()}: {error}"
                self.latch(OfflineReason.LATCHED_ERROR, cause, "Find the cause, then acknowledge the error.", kind)
        if done.delivery is not None and done.delivery.code == 6:  # TEST_NOT_AS_EXPECTED
            self.latch(
                OfflineReason.CHECK_DUE,
                f"challenge part {done.trigger.part_id} was not rejected",
                "Hold the parts since the last good challenge run; have quality release the station (restart).",
            )

    def state(self) -> HealthState:
        """READY only if nothing is latched and every watched part was seen working within its own age."""
        now = self.clock.monotonic_s()
        parts: dict[str, PartState] = {}
        alarms: list[Alarm] = []
        first: OfflineReason | None = None
        latched_error = Reason.NONE
        if self._wrong:
            first = OfflineReason.LATCHED_ERROR
            cause = f"the PLC let parts go as good that were not passed: {self._wrong}"
            alarms.append(self._alarm("plc_verdict", cause, *WRONG_ACCEPT, "critical"))
        if self._latched is not None:
            reason, cause, action, latched_error = self._latched
            first = first or reason
            alarms.append(self._alarm("latched", cause, NOT_READY, action, "high"))
        if self._recipe is not None:
            reason, cause, action = self._recipe
            first = first or reason
            alarms.append(self._alarm("recipe", cause, NOT_READY, action, "high"))
        for name, rule in self.watched.items():
            age = now - self._last_ok_s.get(name, -math.inf)
            fresh = age <= rule.max_age_s  # NaN is not fresh
            text, action_now = self._down.get(name, ("working" if fresh else "no sign of life", None))
            parts[name] = PartState(fresh, text, round(age, 2) if math.isfinite(age) else None)
            if not fresh:
                first = first or rule.reason
                helps = action_now or rule.action
                alarms.append(self._alarm(name, f"{name}: {text}", rule.consequence, helps, "high"))
        for id_, (cause, consequence, action, priority) in self._warnings.items():
            alarms.append(self._alarm(id_, cause, consequence, action, priority))
        for gone in set(self._since_ms) - {a.id for a in alarms}:
            del self._since_ms[gone]
        error = latched_error or (_REASON_OF.get(first, Reason.NONE) if first else Reason.NONE)
        return HealthState(first is None, first or OfflineReason.NONE, error, parts, tuple(alarms))

    def _alarm(self, id_: str, cause: str, consequence: str, action: str, priority: str) -> Alarm:
        since = self._since_ms.setdefault(id_, int(self.clock.utc_s() * 1000))
        return Alarm(id_, cause, consequence, action, priority, since)


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
                    health.down(part, str(exc), _help(exc))
            except TimeoutError:
                log.critical("device thread hangs; ending the process", part=part, after_s=self.hang_after_s)
                os._exit(EXIT_HUNG)
            self._turned_s[key or part] = clock.monotonic_s()
            await clock.sleep(self._period_s)

    def all_turned_within(self, age_s: float) -> bool:
        """True if every part's thread made a full turn within `age_s`: what systemd's watchdog is fed by."""
        now = self._health.clock.monotonic_s()
        return all(now - turned <= age_s for turned in self._turned_s.values())


def _help(error: BaseException | None) -> str | None:
    """What to do where an error needs something else than is usual for its part."""
    return BROKEN_STORE if isinstance(error, StoreBroken) else None
