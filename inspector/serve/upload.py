"""The picture out of a multipart request: counted while it comes in, never held beyond the limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inspector.serve.declined import Declined

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

FIELD = "file"
BODY_S = 30.0  # a whole upload may take so long
SILENCE_S = 10.0  # and may pause so long
DRAIN_S = 2.0  # so long, and so much, is still read from a client that we have refused already
DRAIN_BYTES = 256 * 1024 * 1024


async def read_upload(headers: Headers, chunks: AsyncIterator[bytes], max_bytes: int) -> bytes:
    """The bytes of the field `file`. Raises Declined: 413, 422, or 408 where the client is too slow."""
    form = _Form(headers.get("content-type", ""))
    declared = headers.get("content-length", "0")
    if len(declared) > 18 or int(declared) > max_bytes:  # uvicorn has seen that it is a number
        raise _too_large(max_bytes)
    got = 0
    try:
        async with asyncio.timeout(BODY_S):
            while chunk := await _next(chunks):
                got += len(chunk)
                if got > max_bytes:  # Content-Length may be absent
                    raise _too_large(max_bytes)
                form.feed(chunk)
    except TimeoutError as exc:
        raise Declined(408, "slow", seconds=f"{BODY_S:g}") from exc
    return form.picture()


async def _next(chunks: AsyncIterator[bytes]) -> bytes:
    """The next bytes that are not none; b"" at the end."""
    async with asyncio.timeout(SILENCE_S):
        async for chunk in chunks:
            if chunk:
                return chunk
    return b""


def _too_large(max_bytes: int) -> Declined:
    return Declined(413, "large", mb=f"{max_bytes / 1e6:g}")


def _no_file(key: str) -> Declined:
    return Declined(422, key, todo="form", field=FIELD)


class _Form:
    """Collects the one part that is the picture; all others are skipped."""

    def __init__(self, content_type: str) -> None:
        kind, options = parse_options_header(content_type)
        if kind != b"multipart/form-data" or not options.get(b"boundary"):
            raise _no_file("no_form")
        self._name, self._value, self._disposition = bytearray(), bytearray(), b""
        self._part: bytearray | None = None  # of the part that is being read, where it is the picture
        self._picture: bytearray | None = None
        self._ended = False
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._begin, "on_header_field": self._header_name, "on_header_value": self._header_value,
            "on_header_end": self._header_end, "on_headers_finished": self._headers_finished,
            "on_part_data": self._data, "on_end": self._end,
        }  # fmt: skip
        try:
            self._parser = MultipartParser(options[b"boundary"], callbacks)
        except FormParserError as exc:
            raise _no_file("bad_form") from exc

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as exc:
            raise _no_file("bad_form") from exc

    def picture(self) -> bytes:
        if not self._ended:
            raise _no_file("cut_form")
        if not self._picture:
            raise _no_file("no_field")
        return bytes(self._picture)

    def _begin(self) -> None:
        self._disposition, self._part = b"", None

    def _header_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _header_end(self) -> None:
        if self._name.lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._name.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") != FIELD.encode():
            return
        if self._picture is not None:
            raise Declined(422, "two_fields", field=FIELD)
        self._part = self._picture = bytearray()

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part is not None:
            self._part += data[start:end]

    def _end(self) -> None:
        self._ended = True


class Lingering:
    """Lets a client read an answer that came before its upload's end.

    A connection closed over unread bytes is reset, and the client never sees why it was refused (RFC 9112, 9.6). So the
    answer is sent whole, then the rest of the upload is read and dropped, within bounds, and then we close.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        body_ended = False

        async def counted_receive() -> Message:
            nonlocal body_ended
            message = await receive()
            body_ended = body_ended or not message.get("more_body", False)  # also where the client is gone
            return message

        async def lingering_send(message: Message) -> None:
            if message["type"] == "http.response.start" and not body_ended and _has_body(scope):
                MutableHeaders(scope=message)["connection"] = "close"
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if last and not body_ended and _has_body(scope):
                await send({**message, "more_body": True})
                await _drain(counted_receive)
                message = {"type": "http.response.body", "body": b""}
            await send(message)

        await self._app(scope, counted_receive, lingering_send)


def _has_body(scope: Scope) -> bool:
    headers = Headers(scope=scope)
    return "transfer-encoding" in headers or headers.get("content-length", "0") != "0"


async def _drain(receive: Receive) -> None:
    left = DRAIN_BYTES
    try:
        async with asyncio.timeout(DRAIN_S):
            while left > 0 and (message := await receive()).get("more_body", False):
                left -= len(message.get("body", b""))
    except TimeoutError:
        return  # a slow client: it has had its answer
