"""A file that is open, as an answer: sent piece by piece, however large it is, and however slowly it is taken."""

from __future__ import annotations

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from inspector.threads import DeviceThread
from inspector.web.media import Opened

PIECE_BYTES = 64 * 1024


class OpenFile(Response):
    """Closes the file, however it ends. thread: where it is read. A file that turns out shorter breaks off."""

    def __init__(self, opened: Opened, thread: DeviceThread, headers: dict[str, str]) -> None:
        super().__init__(media_type=opened.kind, headers={**headers, "content-length": str(opened.size)})
        self._opened, self._thread = opened, thread

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._opened.file as file:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            left = self._opened.size if scope["method"] != "HEAD" else 0
            while left and (piece := await self._thread.call(file.read, min(left, PIECE_BYTES))):
                left -= len(piece)
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b"", "more_body": False})
