"""A line without a PLC, for a person to see a hundred cycles: a twin of a station beside the daemon, which stands.

The twin is a process of its own with a simulated PLC on loopback, a second daemon with the station's settings, recipes
and bundle, drawn or stored pictures, and a store that is thrown away: nothing of it can reach the line's PLC, its
record or its counts. It takes the box's time, so it runs only while every station is Offline, and ends at once when one
is not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from inspector.config import AppConfig
from inspector.control import ControlError
from inspector.demo.processes import DemoError, child, last_words
from inspector.sections import StationConfig

log = structlog.get_logger(__name__)
TWIN = "inspector.demo.twin"
MOST_PARTS = 1000
LOOK_S = 0.1  # how often it is looked whether all stations are still Offline
ABORT_S = 2.0  # whoever aborts waits that long for its end
SILENT_S = 120.0  # longer than it may take to be READY; a twin that says nothing for so long is ended
Message = dict[str, Any]


@dataclass(slots=True)
class DryRun:
    """At most one at a time, on the daemon's loop. may_run: every station is Offline."""

    cfg: AppConfig
    may_run: Callable[[], bool] = lambda: False
    _task: asyncio.Task[None] | None = None
    _why: str = ""  # it was ended early
    _state: Message = field(default_factory=lambda: {"state": "none"})

    def state(self) -> Message:
        """state: none, starting, running, done, aborted or failed; parts that came of how many, by what came of them;
        summary once it is done."""
        if self._why and self._task is not None and self._task.done() and "why" not in self._state:
            self._end("aborted", self._why)  # before it had begun
        return dict(self._state)

    async def start(self, section: StationConfig, bundle: Path | None, parts: int, actor: str) -> None:
        """bundle: where the station's is unpacked, for its golden pictures. Raises ControlError: not now."""
        if self._task is not None and not self._task.done():
            raise ControlError("a dry run is under way: wait for its end, or abort it")
        if not self.may_run():
            raise ControlError("not every station is Offline: a dry run would take time from parts")
        self._why = ""
        self._state = {
            "state": "starting", "station": section.id, "actor": actor, "parts": parts, "done": 0, "codes": {},
            "began_utc_ms": int(time.time() * 1000),
        }  # fmt: skip
        log.warning("dry run", station=section.id, parts=parts, actor=actor)
        self._task = asyncio.create_task(self._run(section, bundle, parts), name="dry run")

    async def abort(self, why: str) -> None:
        """End it, if there is one; returns once its processes are gone, or soon before."""
        if self._task is not None and not self._task.done():
            self._stop(why)
            await asyncio.wait([self._task], timeout=ABORT_S)

    async def close(self) -> None:
        """At the daemon's end: all of it is gone then."""
        self._stop("the daemon ends")
        if self._task is not None:
            await asyncio.wait([self._task])

    async def _run(self, section: StationConfig, bundle: Path | None, parts: int) -> None:
        """A supervisor: whatever comes of the twin is told, and the line's daemon goes on."""
        try:
            with tempfile.TemporaryDirectory(prefix="inspector-dry-run-", ignore_cleanup_errors=True) as name:
                await self._watched(section, bundle, parts, Path(name))
        except asyncio.CancelledError:
            if not self._why:
                raise
            self._end("aborted", self._why)
        except (DemoError, OSError, ValueError, TimeoutError) as exc:
            self._end("failed", str(exc) or f"the twin said nothing for {SILENT_S:g} s")

    async def _watched(self, section: StationConfig, bundle: Path | None, parts: int, folder: Path) -> None:
        order = {"station": section.id, "parts": parts, "bundle": None if bundle is None else str(bundle)}
        (folder / "order.json").write_text(json.dumps(order), encoding="utf-8")
        config = self.cfg.model_dump_json(exclude_unset=True)
        (folder / "station.json").write_text(config, encoding="utf-8")
        watching = asyncio.create_task(self._end_with_offline(), name="dry run guard")
        try:
            async with child(TWIN, str(folder), log=folder / "twin.log", piped=True) as twin:
                async for told in _told(twin):
                    self._take(told)
                await twin.wait()
                if self._state["state"] in ("starting", "running"):
                    raise DemoError(last_words(folder / "twin.log") or f"the twin ended with {twin.returncode}")
        finally:
            watching.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await watching

    async def _end_with_offline(self) -> None:
        while self.may_run():  # noqa: ASYNC110 - a state
            await asyncio.sleep(LOOK_S)
        self._stop("a station is no longer Offline")

    def _stop(self, why: str) -> None:
        """Once only: a second time would break off the end of its processes."""
        if self._task is not None and not self._why:
            self._why = why
            self._task.cancel()

    def _take(self, told: Message) -> None:
        """One line of the twin. Raises DemoError: it failed, and says why."""
        state = self._state
        if "failed" in told:
            raise DemoError(str(told["failed"]))
        if "part" in told:
            code = str(told["part"]["code"])
            counted: Counter[str] = Counter(state["codes"])
            counted[code] += 1
            self._state = {**state, "state": "running", "done": state["done"] + 1, "codes": dict(counted)}
        elif "ready_s" in told:
            self._state = {**state, "state": "running", "ready_s": told["ready_s"]}
        elif "summary" in told:
            self._state = {**state, "summary": told["summary"]}
            self._end("done", "")

    def _end(self, state: str, why: str) -> None:
        self._state = {**self._state, "state": state, "why": why, "ended_utc_ms": int(time.time() * 1000)}
        log.warning("dry run ended", state=state, why=why)


async def _told(twin: asyncio.subprocess.Process) -> AsyncIterator[Message]:
    """What it says, line by line, to its end. Raises TimeoutError: it says nothing; ValueError: what it says is none of
    its lines."""
    if twin.stdout is None:
        raise RuntimeError("the twin has no pipe")
    while True:
        async with asyncio.timeout(SILENT_S):
            line = await twin.stdout.readline()
        if not line:
            return
        found = json.loads(line)
        if not isinstance(found, dict):
            raise ValueError("the twin speaks no JSON objects")
        yield found
