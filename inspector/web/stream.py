"""The answer that does not end: server-sent events to one browser."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inspector.web.feed import Feed, Screen

CHECK_S = 5.0  # a log-in that ended ends the screens that it opened
SEND_WITHIN_S = 5.0  # a browser that takes nothing for so long is dropped


class EventStream(Response):
    """Sends what the feed queues for one screen until the browser goes, falls behind, or we end."""

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
            checked_s = time.monotonic()
            with suppress(TimeoutError):
                while (message := await self._screen.next()) is not None:
                    if time.monotonic() - checked_s >= CHECK_S:
                        checked_s = time.monotonic()
                        if not await self._allowed():
                            break
                    async with asyncio.timeout(SEND_WITHIN_S):
                        await send({"type": "http.response.body", "body": message, "more_body": True})
                async with asyncio.timeout(SEND_WITHIN_S):
                    await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            self._feed.close_screen(self._screen)
            gone.cancel()
            with suppress(asyncio.CancelledError):
                await gone

    async def _watch(self, receive: Receive) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass
        self._screen.close()
