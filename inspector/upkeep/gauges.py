"""Where the figures of the box come from. All of it blocks, some on a network folder: never on the line's threads."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from inspector.backup import shelf
from inspector.backup.make import last_run
from inspector.clock_sync import clock_unsynced, kernel_offset_ms
from inspector.config import AppConfig
from inspector.diagnostics import THERMAL, UNKNOWN_C, cpu_celsius
from inspector.office.certificate import own_pair
from inspector.upkeep.measures import Measure
from inspector.upkeep.section import UpkeepConfig
from plc.tls import WARN_DAYS, TlsError, read_certificate

HOUR_S = 3600.0


def disk(cfg: AppConfig) -> Iterator[Measure]:
    """Room on the disk that the record lies on."""
    try:
        found = os.statvfs(cfg.paths.state)
    except OSError as exc:
        yield Measure("disk_free", None, "gb", low=cfg.upkeep.disk_free_gb, fault=exc.strerror or str(exc))
        return
    free_gb = found.f_bavail * found.f_frsize / 1e9
    yield Measure("disk_free", round(free_gb, 2), "gb", low=cfg.upkeep.disk_free_gb)
    if found.f_files:  # some file systems count none
        share = 100 * found.f_favail / found.f_files
        yield Measure("inodes_free", round(share, 1), "percent", low=cfg.upkeep.inodes_free_percent)


def cpu(limits: UpkeepConfig, thermal: Path = THERMAL) -> Measure:
    found = cpu_celsius(thermal)
    return Measure("cpu_temp", None if found == UNKNOWN_C else found, "celsius", high=limits.cpu_c, text="no_sensor")


@dataclass(slots=True)
class ClockGauge:
    """Offset and service as the kernel tells them, and jumps as we see them against the monotonic clock.

    The shipped unit may not ask the kernel (docs/decisions/0036): there the jumps alone tell of an offset.
    """

    limits: UpkeepConfig
    utc_s: Callable[[], float] = time.time
    monotonic_s: Callable[[], float] = time.monotonic
    unsynced: Callable[[], bool] = clock_unsynced
    offset_ms: Callable[[], float | None] = kernel_offset_ms
    _apart_s: float | None = None  # of the two clocks, at the last look
    _steps: list[tuple[float, float]] = field(default_factory=list)  # when, by how many ms; of the last hour
    _kept_s: float | None = None  # when a time service was last seen keeping it

    def read(self) -> Iterator[Measure]:
        limits, now = self.limits, self.monotonic_s()
        offset, text = self.offset_ms(), "no_kernel"
        yield Measure("clock_offset", None if offset is None else round(abs(offset), 3), "ms",
                      high=limits.clock_offset_ms, text=text)  # fmt: skip
        yield Measure("clock_step", self._stepped(now), "ms", high=limits.clock_offset_ms)
        if not self.unsynced():
            self._kept_s = now
        free_h = None if self._kept_s is None else round((now - self._kept_s) / HOUR_S, 2)
        yield Measure("clock_free", free_h, "hours", high=limits.clock_free_h, off=free_h is None,
                      text="no_service")  # fmt: skip

    def _stepped(self, now: float) -> float:
        """The largest jump within the last hour; ms."""
        apart = self.utc_s() - now
        if self._apart_s is not None and abs(jump_ms := 1000 * (apart - self._apart_s)) >= 1:
            self._steps.append((now, jump_ms))
        self._apart_s = apart
        self._steps = [(at, ms) for at, ms in self._steps if now - at < HOUR_S]
        return round(max((abs(ms) for _, ms in self._steps), default=0.0), 1)


def certificates(cfg: AppConfig, now: datetime | None = None) -> Iterator[Measure]:
    """Days until each ends; negative: it has."""
    at = now or datetime.now(UTC)
    if not cfg.web.tls:
        yield Measure("certificate_page", None, "days", low=cfg.upkeep.certificate_days, off=True, text="no_tls")
    else:
        page = cfg.web.certificate or own_pair(cfg.paths.office_folder).certificate
        found = _days("certificate_page", page, cfg.upkeep.certificate_days, at)
        yield replace(found, fault=found.text) if found.value is None and page.exists() else found
    for link in cfg.plc.links:
        if link.tls is not None:
            yield _days(f"certificate_link.{link.name}", link.tls.certificate, WARN_DAYS, at)
            yield _days(f"certificate_ca.{link.name}", link.tls.ca, WARN_DAYS, at)


def _days(key: str, file: Path, least: float, now: datetime) -> Measure:
    try:
        return Measure(key, round(read_certificate(file).days_left(now), 1), "days", low=least)
    except TlsError as exc:
        return Measure(key, None, "days", low=least, text=str(exc))


def backups(cfg: AppConfig, utc_ms: int) -> Measure:
    """How old the newest backup is. It may take for ever, where the folder is one of a network that is gone."""
    high, folder = cfg.backup.max_age_h, cfg.backup.folder
    if folder is None:
        return Measure("backup_age", None, "hours", high=high, off=True, text="no_folder")
    try:
        age_h = shelf.age_h(shelf.kept_in(folder, utc_ms), utc_ms)
    except OSError as exc:
        fault = f"the folder of backups {folder} cannot be read: {exc.strerror}"
        return Measure("backup_age", None, "hours", high=high, fault=fault)
    last = last_run(cfg.paths.state)
    failed = f"the last backup failed: {last.get('text', '')}" if last is not None and not last.get("ok") else ""
    if age_h is None:
        return Measure("backup_age", None, "hours", high=high, fault=failed or f"there is no backup in {folder}")
    return Measure("backup_age", round(age_h, 2) if math.isfinite(age_h) else None, "hours", high=high, fault=failed)
