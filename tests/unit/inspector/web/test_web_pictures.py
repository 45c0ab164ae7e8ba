"""Pictures as they are handed out: large ones, to many, who read slowly."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest

from inspector.demo.parts import Kind
from inspector.web import media, server
from inspector.web.open_file import PIECE_BYTES
from tests.support.page import browser_at, client_of, page_process, site_in, until
from tests.support.record import Entry, write_record

LARGE = 24 * 1024 * 1024


async def large_picture(run: Path) -> None:
    """Part 1's kept picture, grown to that of a large camera."""
    await write_record(run, [Entry(1, Kind.SCRATCH)])
    db = apsw.Connection(str(run / "results.db"), flags=apsw.SQLITE_OPEN_READONLY)
    path = db.execute("SELECT image FROM inspections WHERE no = 1").get
    db.close()
    with (run / "pictures" / path).open("ab") as file:
        file.truncate(LARGE)


async def test_a_large_picture_comes_whole_and_is_in_memory_piece_by_piece(tmp_path: Path) -> None:
    await large_picture(tmp_path)
    site, pieces = site_in(tmp_path), list[int]()
    async with client_of(site) as client:
        app = client._transport.app  # type: ignore[attr-defined]

        async def recorded(scope: Any, receive: Any, send: Any) -> None:
            async def counting(message: Any) -> None:
                pieces.append(len(message.get("body", b"")))
                await send(message)

            await app(scope, receive, counting)

        client._transport.app = recorded  # type: ignore[attr-defined]
        answer = await client.get("/picture/1")
        head = await client.head("/picture/1")
    assert len(answer.content) == LARGE and answer.headers["content-length"] == str(LARGE)
    assert answer.headers["content-type"] == "image/png" and answer.headers["content-security-policy"]
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(LARGE))
    assert max(pieces) <= PIECE_BYTES
    await until(lambda: not _open_pictures())


async def test_who_leaves_in_the_middle_leaves_no_file_open(tmp_path: Path) -> None:
    await large_picture(tmp_path)
    async with page_process(site_in(tmp_path)) as origin, browser_at(origin) as client:
        await until(lambda: _listens(origin))
        for _ in range(5):
            async with client.stream("GET", "/picture/1") as answer:
                await anext(answer.aiter_bytes())
                assert _open_pictures()

        await until(lambda: not _open_pictures())


async def test_who_asks_for_a_picture_and_does_not_take_it_is_cut_off(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "STALLED_S", 0.2)
    opened, open_below = list[str](), media.open_below
    monkeypatch.setattr(media, "open_below", lambda *of: opened.append(of[1]) or open_below(*of))
    await large_picture(tmp_path)
    async with page_process(site_in(tmp_path)) as origin:
        await until(lambda: _listens(origin))
        with socket.socket() as frozen:
            frozen.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            frozen.connect(_address(origin))
            frozen.sendall(b"GET /picture/1 HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n")
            await until(lambda: opened)
            await until(lambda: not _open_pictures())


async def test_of_those_who_wait_for_a_small_picture_none_holds_the_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    await write_record(tmp_path, [Entry(n, Kind.SCRATCH) for n in range(1, 6)])
    site, done = site_in(tmp_path), list[str]()
    read, make = media.read_below, type(site.thumbs).make
    monkeypatch.setattr(media, "read_below", lambda *of: done.append("read") or read(*of))
    monkeypatch.setattr(type(site.thumbs), "make", lambda *of: done.append("make") or make(*of))
    async with client_of(site) as client:
        answers = await asyncio.gather(*(client.get(f"/thumb/{n}") for n in range(1, 6)))
    assert [answer.status_code for answer in answers] == [200] * 5
    assert done == ["read", "make"] * 5


def _address(origin: str) -> tuple[str, int]:
    return "127.0.0.1", int(origin.rsplit(":", 1)[1])


def _listens(origin: str) -> bool:
    with socket.socket() as asked:
        return asked.connect_ex(_address(origin)) == 0


def _open_pictures() -> list[str]:
    """Of this process."""
    found = []
    for fd in os.listdir("/proc/self/fd"):
        with suppress(FileNotFoundError):  # that of the listing itself
            found.append(os.readlink(f"/proc/self/fd/{fd}"))
    return [path for path in found if path.endswith(".png")]
