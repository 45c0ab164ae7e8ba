"""An answer that is a file of unknown length: sent as it comes, ended early where nobody takes it or no more comes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inspector.web.records import Unreadable

log = structlog.get_logger(__name__)
SEND_WITHIN_S = 30.0  # a browser that takes nothing for so long is dropped


class Download(Response):
    """done: called once, however it ends. A file that broke off is never ended in order: the browser says so."""

    def __init__(
        self, first: bytes, rest: AsyncGenerator[bytes], name: str, media_type: str, done: Callable[[], None]
    ) -> None:
        super().__init__(media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'})
        del self.headers["content-length"]
        self._first, self._rest, self._done = first, rest, done

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        sending = asyncio.create_task(self._send_all(send), name="download")
        gone = asyncio.create_task(_gone(receive), name="download-gone")
        try:
            await asyncio.wait((sending, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (sending, gone):
                task.cancel()
            try:
                await asyncio.gather(sending, gone, return_exceptions=True)
                await self._rest.aclose()
            finally:
                self._done()  # also where what it came from cannot be closed, or the page ends
        if not sending.cancelled():
            sending.result()

    async def _send_all(self, send: Send) -> None:
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            await _send(send, self._first)
            async for piece in self._rest:
                await _send(send, piece)
            await _send(send, b"", more=False)
        except (TimeoutError, Unreadable) as exc:
            log.warning("an export broke off", error=str(exc) or "nobody takes it")


async def _send(send: Send, body: bytes, more: bool = True) -> None:
    if body or not more:
        async with asyncio.timeout(SEND_WITHIN_S):
            await send({"type": "http.response.body", "body": body, "more_body": more})


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
