"""Alarms as tests need them: what a person reads of one, and a daemon that has nothing but alarms."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from inspector.alarm_keeper import AlarmKeeper, conditions_of
from inspector.core.alarm_kinds import Kind
from inspector.core.clock import SystemClock
from inspector.health import WATCHED, Health, watched
from inspector.store.journal import Journal
from inspector.threads import DeviceThread
from inspector.web.words import word
from tests.support.fake_daemon import FakeDaemon
from tests.support.patience import LONG_S


def action_of(alarm: Mapping[str, Any] | Kind) -> str:
    """What to do, in English."""
    key, params = (alarm.key, {}) if isinstance(alarm, Kind) else (alarm["key"], alarm["params"])
    return word(f"alarm.{key}.action", **params)


class AlarmingDaemon(FakeDaemon):
    """Health, journal, keeper and control socket are real; parts are not. The camera is pulled."""

    def __init__(self, run: Path) -> None:
        clock, self.thread = SystemClock(), DeviceThread("store")
        self.journal = Journal(run / "results.db", clock, self.thread, min_free_bytes=0)
        self.health = Health(clock, watched(LONG_S))
        self.keeper = AlarmKeeper(clock, self.journal, conditions_of({"st1": self.health}))
        super().__init__(run, self.keeper.handlers())

    def status(self) -> dict[str, Any]:
        return {**super().status(), "ready": self.health.state().ready, "alarm_list": self.keeper.told()}

    def look(self, *kinds: Kind) -> None:
        """What is wrong from now on: these, and the camera."""
        for part in WATCHED:
            self.health.ok(part)
        self.health.down("camera", "link lost within 2 s")
        for kind in kinds:
            self.health.warn(kind, {name: 3 if name == "count" else name for name in kind.params})
        self.keeper.look()

    def alarm(self, id_: str) -> dict[str, Any]:
        return dict(next(a for a in self.keeper.told() if a["id"] == id_))

    def seen(self, id_: str) -> dict[str, Any]:
        """What acknowledging it needs."""
        return {"id": id_, "changed_utc_ms": self.alarm(id_)["changed_utc_ms"]}

    async def _tick(self) -> None:
        while True:
            self.look()
            self.push("status", self.status())
            await asyncio.sleep(0.2)


@asynccontextmanager
async def alarming(run: Path) -> AsyncIterator[AlarmingDaemon]:
    """Runs it."""
    daemon = AlarmingDaemon(run)
    await daemon.journal.start()
    await daemon.start()
    try:
        yield daemon
    finally:
        await daemon.stop()
        await daemon.journal.close()
        daemon.thread.close()
