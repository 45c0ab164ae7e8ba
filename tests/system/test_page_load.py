"""The page under strangers that do no good: it serves as many as it may, ends who does not read, and stays small."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import httpx
import psutil
import pytest

from inspector.web.body import BODY_S
from inspector.web.feed import MAX_CLIENTS
from inspector.web.server import HEADERS_S, NICE, STALLED_S, UNREAD_S
from inspector.web.strips import KEEP
from tests.support.fake_daemon import FakeDaemon
from tests.support.page import until
from tests.support.strangers import EVENTS, HOST, frozen_screen, slow_body, status_of
from tests.system.test_page_accounts import PATIENCE_S, page_in

pytestmark = pytest.mark.system

FROZEN, CLIENTS, AT_ONCE = 50, 1000, 250
LONG = "x" * 8000  # a class as no model has one: fills buffers as hours of parts would
MOST_MB = 80


def page_of(port: int) -> psutil.Process:
    """The process that listens there."""
    return next(
        child
        for child in psutil.Process().children(recursive=True)
        if any(c.laddr.port == port and c.status == psutil.CONN_LISTEN for c in child.net_connections(kind="tcp"))
    )


async def test_frozen_screens_are_dropped_in_ten_seconds_and_of_a_thousand_as_many_as_may_are_served(
    tmp_path: Path, free_port: int
) -> None:
    assert STALLED_S <= 10, "the page's own limit, which it keeps where its machine lets it"
    daemon = FakeDaemon(tmp_path / "run")
    await daemon.start()
    async with (
        page_in(tmp_path, free_port, "") as page,
        httpx.AsyncClient(base_url=f"http://{HOST}:{page.port}", timeout=PATIENCE_S) as ask,
    ):
        process = page_of(page.port)
        async with asyncio.timeout(PATIENCE_S):
            while (await ask.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        before_mb = process.memory_info().rss / 1e6
        async with contextlib.AsyncExitStack() as stack:
            for _ in range(FROZEN):
                await stack.enter_async_context(frozen_screen(page.port))
            await until(lambda: _open(process, page.port) >= FROZEN)
            for n in range(150):
                daemon.part(label=LONG, preview=None, no=1000 + n)
                await asyncio.sleep(0.01)
            await until(lambda: _open(process, page.port) < FROZEN // 10, PATIENCE_S)
            assert (await ask.get("/")).status_code == 200
        for n in range(KEEP):  # what a new screen gets first is of a usual size again
            daemon.part(preview=None, no=2000 + n)
        await until(lambda: _open(process, page.port) <= 1, PATIENCE_S)  # `ask` itself
        async with asyncio.timeout(PATIENCE_S):
            while LONG.encode() in await _first_word(page.port):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        found = await _a_thousand(page.port)
        assert found == {200: MAX_CLIENTS, 503: CLIENTS - MAX_CLIENTS}
        assert (await ask.get("/healthz")).status_code == 200
        assert process.memory_info().rss / 1e6 - before_mb < MOST_MB
    await daemon.stop()


async def test_the_page_gives_way_to_the_line_whoever_starts_it(tmp_path: Path, free_port: int) -> None:
    async with page_in(tmp_path, free_port, "") as page:
        assert page_of(page.port).nice() == max(NICE, os.getpriority(os.PRIO_PROCESS, 0))


async def test_a_body_that_comes_byte_by_byte_is_cut_off_within_ten_seconds_whoever_sends_it(
    tmp_path: Path, free_port: int
) -> None:
    assert max(BODY_S, UNREAD_S, HEADERS_S) <= 10, "the page's own limits, which it keeps where its machine lets it"
    async with (
        page_in(tmp_path, free_port, "") as page,
        httpx.AsyncClient(base_url=f"http://{HOST}:{page.port}", timeout=PATIENCE_S) as ask,
    ):
        await ask.get("/log-in")
        cookie = "; ".join(f"{name}={value}" for name, value in ask.cookies.items())
        asked = [(path, cookie) for path in ("/log-in", "/first-start", "/admin/people", "/nowhere", "/")] * 4
        async with asyncio.timeout(PATIENCE_S):
            await asyncio.gather(*(slow_body(page.port, path, cookie) for path, cookie in asked))
        assert (await ask.get("/healthz")).status_code == 200


def _open(process: psutil.Process, port: int) -> int:
    """Connections of others with the page."""
    return sum(
        c.status == psutil.CONN_ESTABLISHED and c.laddr.port == port for c in process.net_connections(kind="tcp")
    )


async def _first_word(port: int) -> bytes:
    """What a new screen is told first: the parts of before."""
    reader, writer = await asyncio.open_connection(HOST, port, limit=2**24)
    try:
        writer.write(EVENTS)
        return await reader.readuntil(b"event: link")
    finally:
        writer.close()


async def _a_thousand(port: int) -> dict[int, int]:
    """How many screens were answered with which status; those that are served stay open until all have asked."""
    found: dict[int, int] = {}
    served: list[asyncio.StreamWriter] = []
    for _ in range(0, CLIENTS, AT_ONCE):
        opened = await asyncio.gather(*(asyncio.open_connection(HOST, port) for _ in range(AT_ONCE)))
        for _, writer in opened:
            writer.write(EVENTS)
        for status, (_, writer) in zip(await asyncio.gather(*(status_of(r) for r, _ in opened)), opened, strict=True):
            found[status] = found.get(status, 0) + 1
            if status == 200:
                served.append(writer)
            else:
                writer.close()
    for writer in served:
        writer.close()
    return found
