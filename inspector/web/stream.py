"""The answer that does not end: server-sent events to one browser.

A message goes to all screens in one go, from the feed right into each connection: with a task, a timer and the layers
of the server between, sixty-four screens took a tenth of a core from the line.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inspector.web.feed import Feed, Screen
from inspector.web.server import transport_of

log = structlog.get_logger(__name__)

CHECK_S = 5.0  # a log-in that ended ends the screens that it opened
END_WITHIN_S = 5.0  # a browser that does not take the end in so long is dropped
MOST_BEHIND = 256 * 1024  # bytes that wait here for one browser beside its largest message, which may be all at once


class EventStream(Response):
    """Sends what the feed offers to one screen until the browser goes, falls behind, or we end."""

    media_type = "text/event-stream"

    def __init__(self, feed: Feed, screen: Screen, allowed: Callable[[], Awaitable[bool]]) -> None:
        """allowed: asked from time to time; the screen ends when it is False."""
        super().__init__(headers={"cache-control": "no-store", "x-accel-buffering": "no"})
        del self.headers["content-length"]
        self._feed, self._screen, self._allowed = feed, screen, allowed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        gone = asyncio.create_task(self._watch(receive), name="screen-gone")
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            self._screen.begin(writer_of(transport_of(scope), chunked=scope["http_version"] == "1.1"))
            while await self._is_open() and await self._allowed():
                pass
            with suppress(TimeoutError):
                async with asyncio.timeout(END_WITHIN_S):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._feed.close_screen(self._screen)
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone

    async def _is_open(self) -> bool:
        """After a while, or at once when it was closed."""
        with suppress(TimeoutError):
            async with asyncio.timeout(CHECK_S):
                await self._screen.ended.wait()
        return not self._screen.closed

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._screen.close()


def writer_of(transport: asyncio.Transport, *, chunked: bool) -> Callable[[bytes], None]:
    """Writes a message as a part of the answer that has begun; a browser that is too far behind is cut off instead.

    chunked: as HTTP/1.1 frames an answer without a length; before, it ends with the connection.
    """

    largest = 0

    def write(message: bytes) -> None:
        nonlocal largest
        if transport.is_closing():
            return
        if transport.get_write_buffer_size() > MOST_BEHIND + largest:
            log.info("screen dropped: too slow")
            transport.abort()
        else:
            largest = max(largest, len(message))
            transport.write(b"%x\r\n%b\r\n" % (len(message), message) if chunked else message)

    return write
