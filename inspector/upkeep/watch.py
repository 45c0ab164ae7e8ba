"""The daemon's eye on the box: figures every ten seconds, alarms from them, and a minute's value for the trend."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import chain
from typing import Protocol

import structlog

from inspector.backup.make import backup_found
from inspector.backup.places import OFFICE, RESULTS
from inspector.config import AppConfig
from inspector.core.alarm_kinds import Kind
from inspector.core.errors import CameraError
from inspector.core.ports import Clock
from inspector.health import Health
from inspector.light_trend import NEAR_LIMIT
from inspector.store.months import damaged_months
from inspector.store.rescue import set_aside
from inspector.store.salvage import aside_of
from inspector.threads import DeviceThread
from inspector.upkeep import gauges
from inspector.upkeep.measures import ALARMS, Measure, problem_of
from inspector.upkeep.trends import TrendBook

log = structlog.get_logger(__name__)

EVERY_S = 10.0
WRITE_S = 60.0
PATIENCE_S = 60.0  # a folder that gives no answer for so long counts as gone
MOMENT_S = 0.5
HOUR_S = 3600.0
END_S = 1.0
MOST_LOST = 1000  # beyond so many an hour the number says nothing more


@dataclass(slots=True)
class LostFrames:
    """Pictures that a camera did not give."""

    _at_s: deque[float] = field(default_factory=lambda: deque(maxlen=MOST_LOST))

    def saw(self, error: BaseException | None, mono_s: float) -> None:
        """One part is done; error: what it met."""
        if isinstance(error, CameraError):
            self._at_s.append(mono_s)

    def within_an_hour(self, mono_s: float) -> int:
        return sum(mono_s - at < HOUR_S for at in self._at_s)


class Tended(Protocol):
    """A station as it is looked after."""

    @property
    def name(self) -> str: ...

    @property
    def health(self) -> Health: ...

    def figures(self) -> tuple[int, float | None, dict[str, float] | None]:
        """Pictures lost within an hour; the camera's °C or None; light and focus, 0 at one limit and 1 at the other.

        Of these {} while there are too few pictures, None where no zone is watched.
        """
        ...


class Upkeep:
    """run_forever() is its only task. Nothing here can hold up the line: what blocks has threads of its own."""

    def __init__(
        self, cfg: AppConfig, clock: Clock, stations: Sequence[Tended], trends: TrendBook,
        thread: DeviceThread, folder_thread: DeviceThread, damaged: Callable[[], Sequence[str]] = tuple,
    ) -> None:  # fmt: skip
        """damaged: months of which others have seen it, further in than is looked here."""
        self._cfg, self._clock, self._stations, self._trends = cfg, clock, stations, trends
        self._thread, self._folder_thread, self._damaged = thread, folder_thread, damaged
        self._clock_gauge = gauges.ClockGauge(cfg.upkeep, clock.utc_s, clock.monotonic_s)
        self._asked: tuple[Future[Measure], float] | None = None
        self._backup: Measure | None = None  # as the folder last answered
        self._written_s = float("-inf")
        self.measures: tuple[Measure, ...] = ()

    async def run_forever(self) -> None:
        first = self._stations[0].health
        while True:
            try:
                await self.look()
                first.warn(Kind.UPKEEP, None)
            except Exception as exc:  # a bug in here is an alarm, and no reason to stop the line
                log.exception("the state of the box is not watched")
                first.warn(Kind.UPKEEP, {"detail": repr(exc)})
            await self._clock.sleep(EVERY_S)

    async def look(self) -> None:
        """Read everything once, tell the alarms, and write it down once a minute."""
        of_stations = list(chain.from_iterable(map(self._of_station, self._stations)))
        of_box = await self._thread.call(self._read_box)
        for kind, files in await self._thread.call(self._broken_files):
            self._stations[0].health.warn(kind, {"files": ", ".join(files)} if files else None)
        self.measures = (*of_stations, *of_box, await self._of_backups())
        self._tell()
        if self._clock.monotonic_s() - self._written_s >= WRITE_S:
            self._written_s = self._clock.monotonic_s()
            await self._thread.call(self._trends.put, self.measures, int(self._clock.utc_s() * 1000))

    def close(self) -> None:
        """End the threads; one that hangs at a folder ends with the process."""
        with suppress(TimeoutError):  # its disk hangs: the process ends anyway
            self._thread.submit(self._trends.close).result(timeout=END_S)
        self._thread.close()
        self._folder_thread.close()

    def _of_station(self, station: Tended) -> Iterator[Measure]:
        lost, camera_c, light = station.figures()
        limits, name = self._cfg.upkeep, station.name
        yield Measure(f"frames_lost.{name}", lost, "per_hour", high=limits.frames_lost_per_h)
        yield Measure(f"camera_temp.{name}", camera_c, "celsius", high=limits.camera_c, text="no_camera")
        low, high = 100 * NEAR_LIMIT, 100 * (1 - NEAR_LIMIT)
        if not light:
            text = "no_zones" if light is None else "few_pictures"
            yield Measure(f"light.{name}", None, "percent", low=low, high=high, text=text, off=light is None)
        for figure, place in (light or {}).items():
            yield Measure(f"light.{name}.{figure}", round(100 * place, 1), "percent", low=low, high=high)

    def _read_box(self) -> list[Measure]:
        cfg = self._cfg
        found = [*gauges.disk(cfg), gauges.cpu(cfg.upkeep), *self._clock_gauge.read()]
        return [*found, *gauges.certificates(cfg)]

    def _broken_files(self) -> list[tuple[Kind, list[str]]]:
        """Databases that are damaged and wait for a person, other than results.db."""
        paths = self._cfg.paths
        results = paths.state / RESULTS
        months = {*damaged_months(results), *self._damaged(), *backup_found(paths.state)}
        return [(Kind.BROKEN_ACCOUNTS, set_aside(paths.office_folder / OFFICE)),
                (Kind.BROKEN_MONTH, [*sorted(months), *aside_of(results)])]  # fmt: skip

    async def _of_backups(self) -> Measure:
        """Waits for a moment only: a network folder that is gone answers never."""
        now, high = self._clock.monotonic_s(), self._cfg.backup.max_age_h
        if self._asked is None:
            utc_ms = int(self._clock.utc_s() * 1000)
            self._asked = self._folder_thread.submit(gauges.backups, self._cfg, utc_ms), now
        asked, since_s = self._asked
        if not asked.done():
            await asyncio.wait([asyncio.wrap_future(asked)], timeout=MOMENT_S)
        if asked.done():
            self._backup, self._asked = asked.result(), None
        elif now - since_s > PATIENCE_S:
            text = f"the folder of backups {self._cfg.backup.folder} gives no answer"
            return Measure("backup_age", None, "hours", high=high, fault=text)
        return self._backup or Measure("backup_age", None, "hours", high=high)

    def _tell(self) -> None:
        """The one place where a figure becomes an alarm."""
        healths = {station.name: station.health for station in self._stations}
        for measure in self.measures:
            kind = ALARMS.get(measure.kind)
            if kind is not None:
                health, problem = healths.get(measure.about, self._stations[0].health), problem_of(measure)
                health.warn(problem.kind if problem else kind, problem.params if problem else None)
