"""The picture out of a multipart form, in whatever pieces it comes, and never more of it than allowed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.datastructures import Headers

from inspector.serve import upload
from inspector.serve.declined import Declined

PICTURE = b"\xff\xd8\xff\r\n--b\r\n-- not the end \r\n\0"


def part(name: str, data: bytes, boundary: bytes = b"bound") -> bytes:
    head = f'Content-Disposition: form-data; name="{name}"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    return b"--" + boundary + b"\r\n" + head.encode() + data + b"\r\n"


END = b"--bound--\r\n"
KIND = "multipart/form-data; boundary=bound"


async def read(chunks: Iterable[bytes], limit: int = 1000, **headers: str) -> bytes:
    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    return await upload.read_upload(Headers({"content-type": KIND, **headers}), stream(), limit)


async def declined(chunks: Iterable[bytes], limit: int = 1000, **headers: str) -> Declined:
    with pytest.raises(Declined) as caught:
        await read(chunks, limit, **headers)
    return caught.value


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
def test_the_picture_comes_out_however_the_body_is_cut(lengths: list[int]) -> None:
    body = part("note", b"hello") + part("file", PICTURE) + part("other", b"\0" * 50) + END
    chunks, at = [], 0
    while at < len(body):
        for length in lengths:
            chunks.append(body[at : at + length])
            at += length
    assert asyncio.run(read(chunks)) == PICTURE


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "ends too early"),
        (part("file", PICTURE), "ends too early"),
        (part("other", PICTURE) + END, 'no field "file"'),
        (part("file", b"") + END, 'no field "file"'),
        (part("file", PICTURE) + part("file", PICTURE) + END, 'two fields "file"'),
        (b"nonsense", "cannot be read"),
    ],
)
async def test_a_form_without_one_whole_picture_is_422_and_says_how_to_send_it(body: bytes, told: str) -> None:
    refused = await declined([body])
    assert refused.status == 422 and told in refused.error and refused.what_to_do


@pytest.mark.parametrize("kind", ["", "image/png", "multipart/form-data", "multipart/form-data; boundary=" + "x" * 300])
async def test_what_is_no_form_is_422(kind: str) -> None:
    assert (await declined([PICTURE], **{"content-type": kind})).status == 422


async def test_a_length_that_is_told_is_refused_before_a_byte_is_read() -> None:
    def never() -> Iterable[bytes]:
        raise AssertionError("read")
        yield b""

    refused = await declined(never(), **{"content-length": "1001"})
    assert refused.status == 413
    assert (await declined(never(), **{"content-length": "9" * 100})).status == 413


async def test_bytes_are_counted_where_no_length_is_told_and_reading_stops_there() -> None:
    taken = 0

    def long() -> Iterable[bytes]:
        nonlocal taken
        yield part("file", b"")[:-2]
        while taken < 100_000:
            taken += 100
            yield bytes(100)

    assert (await declined(long())).status == 413
    assert taken <= 1000


async def test_an_upload_that_pauses_or_crawls_is_408(monkeypatch: pytest.MonkeyPatch) -> None:
    async def crawl() -> AsyncIterator[bytes]:
        while True:
            yield b""
            await asyncio.sleep(0.01)

    for name in ("SILENCE_S", "BODY_S"):
        monkeypatch.setattr(upload, name, 0.1)
        async with asyncio.timeout(60):
            with pytest.raises(Declined) as caught:
                await upload.read_upload(Headers({"content-type": KIND}), crawl(), 1000)
        assert caught.value.status == 408
        monkeypatch.undo()
