"""The daemon's latest word, kept in memory in every language and handed to every open screen in its own.

One connection to the control socket serves all browsers; a browser that reads too slowly is dropped, so none can hold
up another, and none reaches the daemon. Each screen follows one station of the box.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Protocol

import structlog

from inspector.core.errors import InspectorError
from inspector.web import present
from inspector.web.alarm_views import alarms_told
from inspector.web.strips import Strip, View, Views
from inspector.web.words import in_each, language, speaking

log = structlog.get_logger(__name__)

MAX_CLIENTS = 64
MAX_OF_ONE = MAX_CLIENTS // 2  # from one address: nobody alone keeps all others out
QUEUE = 32  # messages that wait for a screen to begin
SILENT_S = 5.0  # the daemon speaks every second; after this the connection is made anew
RETRY_S = 0.3
FRESH_S = 2.0


class FeedFull(InspectorError):
    """As many screens are open as we serve, to all or to one address."""


class UnknownStation(InspectorError):
    """The box has no station of this name: no other one may be shown in its place."""


class Daemon(Protocol):
    """One open connection to the daemon."""

    async def status(self) -> Mapping[str, Any]: ...

    async def recent(self, station: str) -> list[Mapping[str, Any]]:
        """The last parts of a station, newest first."""
        ...

    def events(self) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
        """`part` and `status` messages as they come; ends when the daemon does."""
        ...


Connect = Callable[[], AbstractAsyncContextManager[Daemon]]


class Screen:
    """One open browser, in the language it was opened in. Its messages wait until `begin` says where they go.

    station: the one that it follows; "": the first. whose: of which address it is; "": the box's own.
    """

    def __init__(self, station: str = "", whose: str = "") -> None:
        self.station, self.whose, self.language = station, whose, language()
        self.waiting: deque[bytes] = deque()
        self.ended = asyncio.Event()
        self._take: Callable[[bytes], None] | None = None

    @property
    def closed(self) -> bool:
        return self.ended.is_set()

    def begin(self, take: Callable[[bytes], None]) -> None:
        """Hand over what waits, and each message from now on as it comes. take: quick, and bounded by itself."""
        while self.waiting:
            take(self.waiting.popleft())
        self._take = take

    def offer(self, message: bytes) -> None:
        """Give it a message; a screen that does not begin is ended instead."""
        if self.closed:
            return
        if self._take is not None:
            self._take(message)
        elif len(self.waiting) < QUEUE:
            self.waiting.append(message)
        else:
            log.info("screen dropped: it does not begin")
            self.close()

    def close(self) -> None:
        """End it now; what it had not taken is dropped."""
        self.waiting.clear()
        self.ended.set()


class Feed:
    """Follows the daemon for ever. `run` is its only task; everything else is a quick call on the same loop."""

    def __init__(
        self, connect: Connect, *, assets: str = "", monotonic_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._connect, self._assets, self._monotonic_s = connect, assets, monotonic_s
        self._screens: set[Screen] = set()
        self._strips: dict[str, Strip] = {}  # by station, in the order of the configuration; none before the first word
        self._nobodys = Strip()  # what is shown while it is not known which stations there are
        self._raw: Mapping[str, Any] = {}
        self._lines: dict[str, Mapping[str, Any]] = {}  # of the status message: each station's own
        self._said: dict[tuple[str, str], View] = {}  # the status by station and language, made when it is first shown
        self._status_at_s = float("-inf")
        self.up = False

    # --- what others ask -------------------------------------------------------------------------------------------

    @property
    def status(self) -> Mapping[str, Any]:
        """The daemon's last status message, however old; empty before the first."""
        return self._raw

    @property
    def lines(self) -> Sequence[Mapping[str, Any]]:
        """The same of each station."""
        return list(self._lines.values())

    @property
    def ready(self) -> bool:
        """True only on a fresh word of the daemon that all stations are ready."""
        fresh = self._monotonic_s() - self._status_at_s <= FRESH_S
        return self.up and fresh and all(line.get("ready") is True for line in self._lines.values())

    @property
    def stations(self) -> Sequence[str]:
        """Their names, in the order of the configuration; none before the daemon's first word."""
        return list(self._strips)

    def strip(self, station: str = "") -> Strip:
        """Of a station; "": of the first. While no station is known, all are empty. Raises UnknownStation."""
        if not self._strips:
            return self._nobodys
        if (name := self._name(station)) not in self._strips:
            raise UnknownStation(f"there is no station {station[:32]!r}")
        return self._strips[name]

    def tabs(self) -> list[View]:
        """What each station shows now, in the language of the task; none where there is one station only."""
        if len(self._strips) < 2:
            return []
        return [present.tab_view(self._lines[name], strip.newest) for name, strip in self._strips.items()]

    @property
    def screens(self) -> int:
        return len(self._screens)

    def open_screen(self, station: str = "", whose: str = "") -> Screen:
        """A new browser, with all that it needs to draw first in its queue. Raises FeedFull, UnknownStation."""
        if len(self._screens) >= MAX_CLIENTS:
            raise FeedFull(f"{MAX_CLIENTS} screens are open")
        if whose and sum(screen.whose == whose for screen in self._screens) >= MAX_OF_ONE:
            raise FeedFull(f"{MAX_OF_ONE} screens of one address are open")
        self.strip(station)
        screen = Screen(station, whose)
        name = self._name(station)
        screen.offer(encode("hello", self._hello(name, screen.language)))
        screen.offer(encode("link", {"up": self.up}))
        if self.up and self._lines:
            status = self._status_of(name, screen.language)
            screen.offer(encode("status", {**status, "age_ms": self._status_age_ms()}))
        self._screens.add(screen)
        return screen

    def close_screen(self, screen: Screen) -> None:
        self._screens.discard(screen)

    def close(self) -> None:
        """End all screens: the process is about to."""
        for screen in list(self._screens):
            screen.close()

    def refresh(self, station: str) -> None:
        """Have the screens of a station draw it anew: its strip has changed, and by no new part."""
        self._push("hello", self._hello, self._name(station))

    def expects(self, name: str) -> bool:
        """True if `name` is a picture of one of the newest parts: it may still be on its way."""
        return any(strip.expects(name) for strip in self._strips.values())

    def preview_of(self, no: int) -> str | None:
        """The name of the small picture of one of the last parts."""
        return next((name for strip in self._strips.values() if (name := strip.preview_of(no))), None)

    # --- following the daemon --------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Connect, listen, and connect again. Ends only by cancellation."""
        while True:
            try:
                async with self._connect() as daemon:
                    await self._follow(daemon)
            except (OSError, TimeoutError, InspectorError, ValueError, KeyError, TypeError) as exc:
                # a daemon that is gone, silent, or speaks another version: OFFLINE, and try again
                if self.up or not isinstance(exc, OSError):
                    log.warning("daemon lost", error=repr(exc))
            self._set_up(False)
            await asyncio.sleep(RETRY_S)

    async def _follow(self, daemon: Daemon) -> None:
        async with asyncio.timeout(SILENT_S):
            status = await daemon.status()
            self._keep(status)
            recent = {name: await daemon.recent(name) for name in self._lines}
        self._load({name: [self._views(part) for part in parts] for name, parts in recent.items()})
        self._set_up(True)
        self._take_status(status)
        events = daemon.events()
        while True:
            async with asyncio.timeout(SILENT_S):
                try:
                    kind, data = await anext(events)
                except StopAsyncIteration:
                    return
            if kind == "status":
                self._take_status(data)
            elif kind == "part":
                self._take_part(data["station"], self._views(data))

    def _load(self, parts: Mapping[str, Sequence[Views]]) -> None:
        """Begin again from the daemon's memory. A screen whose station is gone ends: who asks anew is told so."""
        self._strips = {name: self._strips.get(name, Strip()) for name in parts}
        for name, of in parts.items():
            self._strips[name].load(of)
        for name in self._followed() & parts.keys():
            self._push("hello", self._hello, name)
        for screen in list(self._screens):
            if self._name(screen.station) not in parts:
                screen.close()

    def _keep(self, status: Mapping[str, Any]) -> None:
        self._raw = status
        self._lines = {str(line["station"]): line for line in status.get("stations") or [status]}
        self._said = {}

    def _take_status(self, status: Mapping[str, Any]) -> None:
        self._keep(status)
        self._status_at_s = self._monotonic_s()
        for name in self._followed() & self._lines.keys():  # one that is ending may follow another
            self._push("status", self._status_of, name)

    def _take_part(self, station: str, part: Views) -> None:
        if self._strips[station].take(part):
            self._push("part", lambda _, spoken: part[spoken], station)

    def _set_up(self, up: bool) -> None:
        if up != self.up:
            self.up = up
            log.info("daemon reached" if up else "daemon offline")
            for name in self._followed():
                self._push("link", lambda *_: {"up": up}, name)

    def _views(self, part: Mapping[str, Any]) -> Views:
        mode = str(self._lines[part["station"]].get("mode", ""))
        return in_each(partial(present.part_view, part, mode))

    def _hello(self, station: str, spoken: str) -> View:
        strip = self._strips.get(station, self._nobodys)
        return {
            "assets": f"{self._assets} {spoken}",  # a screen whose person chose another language loads itself again
            "parts": strip.parts_in(spoken),
            "last_fail": strip.last_fail_in(spoken),
        }

    def _status_of(self, station: str, spoken: str) -> View:
        if (station, spoken) not in self._said:
            with speaking(spoken):
                self._said[station, spoken] = {
                    **present.status_view(self._lines[station]), **alarms_told(self._raw),
                    "tabs": self.tabs(), "age_ms": 0,
                }  # fmt: skip
        return self._said[station, spoken]

    def _name(self, station: str) -> str:
        """Which one a screen follows: that of no name the first, once it is known which that is."""
        return station or next(iter(self._strips), "")

    def _followed(self) -> set[str]:
        return {self._name(screen.station) for screen in self._screens}

    def _status_age_ms(self) -> int:
        return int((self._monotonic_s() - self._status_at_s) * 1000)

    def _push(self, event: str, make: Callable[[str, str], object], station: str) -> None:
        """Tell every screen of a station in its own language; it is encoded once for each that is open there.

        make: given station and language.
        """
        messages: dict[str, bytes] = {}
        for screen in list(self._screens):
            if self._name(screen.station) != station:
                continue
            if screen.language not in messages:
                messages[screen.language] = encode(event, make(station, screen.language))
            screen.offer(messages[screen.language])


def encode(event: str, data: object) -> bytes:
    """One server-sent event. JSON holds no line break, so one data line is enough."""
    return f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False, allow_nan=False)}\n\n".encode()
