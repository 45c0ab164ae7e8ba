"""The daemon's latest word, kept in memory in every language and handed to every open screen in its own.

One connection to the control socket serves all browsers; a browser that reads too slowly is dropped, so none can hold
up another, and none reaches the daemon.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any, Protocol

import structlog

from inspector.core.errors import InspectorError
from inspector.web import present
from inspector.web.alarm_views import alarms_view
from inspector.web.words import LANGUAGES, in_each, language

log = structlog.get_logger(__name__)

MAX_CLIENTS = 64
QUEUE = 32  # messages that wait for a screen to begin
KEEP = 100  # parts in memory
NEWEST = 8  # parts whose pictures may still be on their way
SILENT_S = 5.0  # the daemon speaks every second; after this the connection is made anew
RETRY_S = 0.3
FRESH_S = 2.0

View = dict[str, Any]
Views = Mapping[str, View]  # by language; what is no text is equal in all


class FeedFull(InspectorError):
    """As many screens are open as we serve."""


class Daemon(Protocol):
    """One open connection to the daemon."""

    async def status(self) -> Mapping[str, Any]: ...

    async def recent(self) -> list[Mapping[str, Any]]:
        """The last parts, newest first."""
        ...

    def events(self) -> AsyncIterator[tuple[str, Mapping[str, Any]]]:
        """`part` and `status` messages as they come; ends when the daemon does."""
        ...


Connect = Callable[[], AbstractAsyncContextManager[Daemon]]


class Screen:
    """One open browser, in the language it was opened in. Its messages wait until `begin` says where they go."""

    def __init__(self) -> None:
        self.language = language()
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
        self._parts: deque[Views] = deque(maxlen=KEEP)  # newest first
        self._last_fail: Views | None = None
        self._earlier_asked = False
        self._status: Views | None = None
        self._raw: Mapping[str, Any] = {}
        self._status_at_s = float("-inf")
        self.up = False

    # --- what others ask -------------------------------------------------------------------------------------------

    @property
    def status(self) -> Mapping[str, Any]:
        """The daemon's last status message, however old; empty before the first."""
        return self._raw

    @property
    def ready(self) -> bool:
        """True only on a fresh word of the daemon that it is ready."""
        fresh = self._monotonic_s() - self._status_at_s <= FRESH_S
        return self.up and fresh and self._raw.get("ready") is True

    @property
    def screens(self) -> int:
        return len(self._screens)

    def open_screen(self) -> Screen:
        """A new browser, with all that it needs to draw first in its queue. Raises FeedFull."""
        if len(self._screens) >= MAX_CLIENTS:
            raise FeedFull(f"{MAX_CLIENTS} screens are open")
        screen = Screen()
        screen.offer(encode("hello", self._hello(screen.language)))
        screen.offer(encode("link", {"up": self.up}))
        if self.up and self._status is not None:
            screen.offer(encode("status", {**self._status[screen.language], "age_ms": self._status_age_ms()}))
        self._screens.add(screen)
        return screen

    def close_screen(self, screen: Screen) -> None:
        self._screens.discard(screen)

    def close(self) -> None:
        """End all screens: the process is about to."""
        for screen in list(self._screens):
            screen.close()

    @property
    def lacks(self) -> tuple[int | None, int]:
        """(before number, how many) of earlier parts to be taken from the record, once after each daemon's start."""
        if not self.up or self._earlier_asked:
            return None, 0
        oldest = _plain(self._parts[-1])["no"] if self._parts else None
        return oldest, KEEP - len(self._parts)

    def set_earlier(self, views: Sequence[Callable[[], View]]) -> None:
        """What `lacks` asked for, newest first; each view is made in the language of the task."""
        self._earlier_asked = True
        oldest = _plain(self._parts[-1])["no"] if self._parts else math.inf
        earlier = [part for part in map(in_each, views) if _plain(part)["no"] < oldest]
        self._parts.extend(earlier[: KEEP - len(self._parts)])
        if earlier:
            self._push("hello", self._hello)

    def set_last_fail(self, view: Callable[[], View]) -> None:
        """From the record, where the daemon's memory is too short; view: makes it, in the language of the task."""
        part = in_each(view)
        if self._last_fail is None or _plain(part)["no"] > _plain(self._last_fail)["no"]:
            self._last_fail = part
            self._push("hello", self._hello)

    def expects(self, name: str) -> bool:
        """True if `name` is a picture of one of the newest parts: it may still be on its way."""
        newest = map(_plain, list(self._parts)[:NEWEST])
        return any(name in (part["preview"], part["heat"]) for part in newest)

    def preview_of(self, no: int) -> str | None:
        """The name of the small picture of one of the last parts."""
        name: str | None = next((p["preview"] for p in map(_plain, self._parts) if p["no"] == no), None)
        return name

    @property
    def parts(self) -> list[View]:
        """The last parts, newest first, in the language of the task."""
        return [part[language()] for part in self._parts]

    @property
    def last_fail(self) -> View | None:
        return None if self._last_fail is None else self._last_fail[language()]

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
            self._raw = status
            self._load([self._views(p) for p in await daemon.recent()])
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
                self._take_part(self._views(data))

    def _load(self, parts: list[Views]) -> None:
        """Begin again from the daemon's memory; it knows best after a restart of either."""
        self._parts.clear()
        self._parts.extend(parts[:KEEP])
        self._earlier_asked = len(parts) >= KEEP
        for part in reversed(parts):
            if _plain(part)["sign"] == "fail":
                self._last_fail = part
        self._push("hello", self._hello)

    def _take_status(self, status: Mapping[str, Any]) -> None:
        self._raw = status
        self._status = in_each(lambda: {**present.status_view(status), **alarms_view(status), "age_ms": 0})
        self._status_at_s = self._monotonic_s()
        self._push("status", self._status.__getitem__)

    def _take_part(self, part: Views) -> None:
        if any(_plain(p)["no"] == _plain(part)["no"] for p in self._parts):
            return  # it came with `recent` already
        self._parts.appendleft(part)
        if _plain(part)["sign"] == "fail":
            self._last_fail = part
        self._push("part", part.__getitem__)

    def _set_up(self, up: bool) -> None:
        if up != self.up:
            self.up = up
            log.info("daemon reached" if up else "daemon offline")
            self._push("link", lambda _: {"up": up})

    def _views(self, part: Mapping[str, Any]) -> Views:
        return in_each(partial(present.part_view, part, str(self._raw.get("mode", ""))))

    def _hello(self, spoken: str) -> View:
        return {
            "assets": f"{self._assets} {spoken}",  # a screen whose person chose another language loads itself again
            "parts": [part[spoken] for part in self._parts],
            "last_fail": None if self._last_fail is None else self._last_fail[spoken],
        }

    def _status_age_ms(self) -> int:
        return int((self._monotonic_s() - self._status_at_s) * 1000)

    def _push(self, event: str, in_language: Callable[[str], object]) -> None:
        """Tell every screen in its own language; a language is encoded once, and only where a screen is open in it."""
        messages: dict[str, bytes] = {}
        for screen in list(self._screens):
            if screen.language not in messages:
                messages[screen.language] = encode(event, in_language(screen.language))
            screen.offer(messages[screen.language])


def _plain(part: Views) -> View:
    """A part for what is no text: number, sign, names of pictures."""
    return part[LANGUAGES[0]]


def encode(event: str, data: object) -> bytes:
    """One server-sent event. JSON holds no line break, so one data line is enough."""
    return f"event: {event}\ndata: {json.dumps(data, ensure_ascii=False, allow_nan=False)}\n\n".encode()
