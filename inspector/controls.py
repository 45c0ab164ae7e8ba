"""What a controls engineer asks of the daemon over its socket: both images and their changes, Offline and Online,
forced values, and a dry run without a PLC. Every guard stands here or below, on the one event loop of the line."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import structlog

from inspector.control import ControlError, Handler, Params
from inspector.core.errors import StoreError
from inspector.dry_run import MOST_PARTS, DryRun
from inspector.stations import Running
from plc.changes import Change
from plc.forcing import ForceRefused
from plc.registers import OfflineReason
from plc.values import NameProblem, find, parse_assignment

log = structlog.get_logger(__name__)
MOST_CHANGES = 500  # in one answer
MOST_CHARACTERS = 100  # of a name and its value
Message = dict[str, Any]


class Controls:
    """Handlers for ControlServer. dry_run: the line without a PLC that may run while every station is Offline."""

    def __init__(self, stations: Sequence[Running], dry_run: DryRun) -> None:
        self._stations, self._dry_run = {running.section.id: running for running in stations}, dry_run
        self._asked: Counter[str] = Counter()  # station -> how often somebody took it Offline
        self._writing = asyncio.Lock()  # what is written last is what was asked for last

    def handlers(self) -> dict[str, Handler]:
        return {
            "registers": self._registers, "changes": self._changes, "offline": self._offline, "online": self._online,
            "force": self._force, "release": self._release, "dry_run": self._dry_run_state,
            "dry_run_start": self._dry_run_start, "dry_run_abort": self._dry_run_abort,
        }  # fmt: skip

    # -- looking -------------------------------------------------------------------------------------------------------

    def _registers(self, params: Params, _: str) -> Message:
        """Both images as words, how old they are, and what is forced; {station}: left out, the first."""
        running = self._station(params)
        port, hs = running.port, running.port.handshake
        changes, now_ms = port.changes, int(1000 * running.shared.clock.utc_s())
        told = OfflineReason(hs.stat["OFFLINE_REASON"])
        return {
            "station": running.section.id, "stations": list(self._stations), "word_order": port.word_order,
            "ctrl": list(changes.ctrl_side.words), "stat": list(hs.outgoing),
            "ctrl_age_ms": _age_ms(now_ms, changes.ctrl_side.seen_ms), "no": changes.no,
            "plc_beat_ms": _age_ms(now_ms, changes.ctrl_side.beat_ms), "connected": port.status.connected,
            "text": port.status.text, "offline_reason": int(told), "offline": told is OfflineReason.SET_OFFLINE,
            "held_by": running.offline_by, "may_force": hs.may_force, "forced": dict(hs.forcing.values),
            "forced_by": running.forced_by if hs.forcing else "",
            "forced_left_s": round(hs.forcing.left_s(running.shared.clock.monotonic_s())), "utc_ms": now_ms,
            "counts": dict(hs.counts),
        }  # fmt: skip

    def _changes(self, params: Params, _: str) -> Message:
        """The newest changes with after < no < before, packed as they are kept; whoever asks decodes them."""
        port = self._station(params).port
        limit = min(MOST_CHANGES, max(1, _whole(params, "limit", MOST_CHANGES)))
        before = _whole(params, "before", 0) or None
        found = port.changes.newest(limit, max(0, _whole(params, "after", 0)), before)
        return {"changes": [_packed(change) for change in found], "word_order": port.word_order}

    # -- Offline, Online, forced values ------------------------------------------------------------------------------

    async def _offline(self, params: Params, actor: str) -> bool:
        """At once; and on the disk when it is answered, for no restart brings back what a person took away.

        Raises ControlError: it is Offline, and will not be after a restart.
        """
        running, shared = self._station(params), self._station(params).shared
        running.offline_by = actor
        self._asked[running.section.id] += 1
        running.port.handshake.hold_offline(True, running.shared.clock.monotonic_s())
        running.warn()
        log.warning("set offline", station=running.section.id, actor=actor)
        try:
            async with self._writing:
                book, utc_ms = shared.journal.offline, int(shared.clock.utc_s() * 1000)
                await shared.journal.call(book.take, running.section.id, actor, utc_ms)
        except StoreError as exc:
            raise ControlError(f"the station is Offline now, but will not be so after a restart: {exc}") from exc
        return True

    async def _online(self, params: Params, actor: str) -> bool:
        """A dry run ends first. The PLC's own SET_OFFLINE and HALT stay.

        Raises ControlError: it stays Offline, as that cannot be put on record, or as somebody else wants it so.
        """
        running = self._station(params)
        asked = self._asked[running.section.id]
        await self._dry_run.abort("a station goes Online")
        try:
            async with self._writing:
                self._require_not_taken_again(running, asked)
                journal = running.shared.journal
                await journal.call(journal.offline.give_back, running.section.id)
        except StoreError as exc:
            raise ControlError(f"the station stays Offline: {exc}") from exc
        self._require_not_taken_again(running, asked)  # who did so meanwhile writes it behind us
        running.offline_by = ""
        running.port.handshake.hold_offline(False, running.shared.clock.monotonic_s())
        running.warn()
        log.warning("set online", station=running.section.id, actor=actor)
        return True

    def _require_not_taken_again(self, running: Running, asked: int) -> None:
        if self._asked[running.section.id] != asked:
            raise ControlError(f"the station stays Offline: {running.offline_by} has just set it so")

    def _force(self, params: Params, actor: str) -> Message:
        """{name, value}. Raises ControlError: not Offline, or never to be forced."""
        running = self._station(params)
        name, value = _text(params, "name"), _text(params, "value")
        try:
            wanted = parse_assignment(f"{name}={value}")
            running.port.handshake.force(wanted, running.shared.clock.monotonic_s())
        except (NameProblem, ForceRefused) as exc:
            raise ControlError(str(exc)) from exc
        running.forced_by = actor
        running.warn()
        log.warning("value forced", station=running.section.id, name=str(wanted.place), value=value, actor=actor)
        return dict(running.port.handshake.forcing.values)

    def _release(self, params: Params, actor: str) -> Message:
        """{name}: left out, all."""
        running, name = self._station(params), _text(params, "name")
        forcing = running.port.handshake.forcing
        try:
            forcing.release(str(find(name))) if name else forcing.end()
        except NameProblem as exc:
            raise ControlError(str(exc)) from exc
        running.warn()
        log.warning("forced value released", station=running.section.id, name=name or "all", actor=actor)
        return dict(forcing.values)

    # -- a line without a PLC --------------------------------------------------------------------------------------

    def _dry_run_state(self, _: Params, __: str) -> Message:
        return self._dry_run.state()

    async def _dry_run_start(self, params: Params, actor: str) -> Message:
        """{station, parts}. Raises ControlError: a station is not Offline, one runs already, or no such number."""
        running, parts = self._station(params), _whole(params, "parts", 100)
        if not 1 <= parts <= MOST_PARTS:
            raise ControlError(f"a dry run has 1 to {MOST_PARTS} parts")
        bundle = running.judging.bundle
        await self._dry_run.start(running.section, bundle.directory if bundle is not None else None, parts, actor)
        return self._dry_run.state()

    async def _dry_run_abort(self, _: Params, actor: str) -> Message:
        await self._dry_run.abort(f"by {actor}")
        return self._dry_run.state()

    def _station(self, params: Params) -> Running:
        name = _text(params, "station") or next(iter(self._stations))
        if name not in self._stations:
            raise ControlError(f"there is no station {name!r}")
        return self._stations[name]


def all_offline(stations: Sequence[Running]) -> bool:
    """True while no PLC can trigger: every station is set Offline, and nothing is in flight."""
    handshakes = [running.port.handshake for running in stations]
    return all(hs.stat["OFFLINE_REASON"] == OfflineReason.SET_OFFLINE and hs.current is None for hs in handshakes)


def _packed(change: Change) -> list[Any]:
    return [change.no, change.utc_ms, change.block, change.before.hex(), change.after.hex()]


def _age_ms(now_ms: int, at_ms: int) -> int | None:
    return max(0, now_ms - at_ms) if at_ms else None


def _text(params: Params, key: str) -> str:
    found = params.get(key, "")
    if not isinstance(found, str) or len(found) > MOST_CHARACTERS:
        raise ControlError(f"{key} is a text of at most {MOST_CHARACTERS} characters")
    return found


def _whole(params: Mapping[str, Any], key: str, default: int) -> int:
    found = params.get(key, default)
    if type(found) is not int:
        raise ControlError(f"{key} is a whole number")
    return found
