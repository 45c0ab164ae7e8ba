"""The body of a request that writes: counted while it comes in, within a time, and read once for its token."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Collection, Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message, Receive, Scope

MAX_BYTES = 1024 * 1024
LARGER: dict[str, int] = {}  # path -> bytes, of what takes more
BODY_S = 8.0  # a body may take so long, and longer as it comes
SLOWEST = 512 * 1024  # bytes a second
MAX_FIELDS = 200
MAX_OBJECT = 16 * 1024  # bytes of what a script of ours sends


class BadBody(HTTPException):
    """Too large, too slow, or not a form; a handler that reads on gets it too, and so does the person."""


class BadRequest(ValueError):
    """What was sent cannot be meant."""


class Bounded:
    """`receive` of a request, within its bounds; what was read for the token is handed out again.

    Every call raises BadBody, and making one does: what a browser says is too large is not even begun.
    """

    def __init__(self, scope: Scope, receive: Receive) -> None:
        self._receive, self._most = receive, LARGER.get(scope["path"], MAX_BYTES)
        self._got, self._again = 0, list[Message]()
        self._until_s = asyncio.get_running_loop().time() + BODY_S  # for what has come; see _next
        self._ended = False
        length = Headers(scope=scope).get("content-length", "0")
        if not length.isdecimal() or len(length) > 18 or int(length) > self._most:
            raise BadBody(413)

    async def __call__(self) -> Message:
        if self._again:
            return self._again.pop(0)
        return await self._next()

    async def read(self) -> bytes:
        """All of it; the next caller of this object gets it again. Raises BadBody."""
        chunks = []
        while not self._ended:
            message = await self._next()
            if message["type"] != "http.request":
                raise BadBody(400)  # the browser is gone
            chunks.append(message.get("body", b""))
        self._again.append({"type": "http.request", "body": b"".join(chunks), "more_body": False})
        return b"".join(chunks)

    async def _next(self) -> Message:
        if self._ended:
            return await self._receive()  # until the browser goes: no bound
        try:
            async with asyncio.timeout_at(self._until_s + self._got / SLOWEST):
                message = await self._receive()
        except TimeoutError as exc:
            raise BadBody(408) from exc
        self._got += len(message.get("body", b""))
        if self._got > self._most:  # Content-Length may be absent
            raise BadBody(413)
        self._ended = not message.get("more_body", False)
        return message


async def form_field(scope: Scope, body: Bounded, name: str) -> str:
    """A field of a plain form; "" where the body is none or has none. Raises BadBody."""
    kind = Headers(scope=scope).get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/x-www-form-urlencoded":
        return ""
    try:
        fields = parse_qs((await body.read()).decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as exc:
        raise BadBody(400) from exc
    return fields.get(name, [""])[0]


async def sent_object(request: Request, needed: Collection[str], more: Collection[str] = ()) -> Mapping[str, Any]:
    """The JSON object that was sent. Raises BadRequest: too large, no object, or not these keys."""
    body = await request.body()
    if len(body) > MAX_OBJECT:
        raise BadRequest("too much")
    try:
        found = json.loads(body)
    except (ValueError, RecursionError) as exc:
        raise BadRequest("no JSON") from exc
    if not isinstance(found, dict) or not set(needed) <= found.keys() <= {*needed, *more}:
        raise BadRequest("not these keys")
    return found
