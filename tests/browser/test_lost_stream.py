"""A screen whose stream dies without a word, or is refused: a laptop that slept, a cable, a log-in that ended."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.support.browser import Open, log_in
from tests.support.fake_daemon import FakeDaemon
from tests.support.office import PASSWORD, make_hashes_cheap
from tests.support.page import page_process, site_in, until
from tests.support.shown import LONG_MS

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

# Every big word from now on: STALE stands for three seconds only, then the screen connects anew.
WORDS = """() => {
    const node = document.querySelector('#verdict-word'), words = window.words = [];
    new MutationObserver(() => words.push(node.textContent)).observe(node, {childList: true, subtree: true});
}"""
WORD = "word => document.querySelector('#verdict-word').textContent === word"


class Cable:
    """Carries bytes both ways; what is pulled stays open on both sides and carries nothing any more."""

    def __init__(self, to_port: int) -> None:
        self._to_port, self._open = to_port, list[asyncio.Event]()
        self._carrying, self._writers = set[asyncio.Task[None]](), list[asyncio.StreamWriter]()

    def pull(self) -> None:
        """Of all that is connected now; who connects anew gets through."""
        for pulled in self._open:
            pulled.set()

    async def connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        there = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._writers.append(there[1])
        self._open.append(pulled := asyncio.Event())
        for source, sink in ((reader, there[1]), (there[0], writer)):
            self._carrying.add(asyncio.create_task(self._carry(source, sink, pulled), name="cable"))

    async def _carry(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, pulled: asyncio.Event) -> None:
        try:
            while data := await source.read(65536):
                if pulled.is_set():
                    await asyncio.Event().wait()
                sink.write(data)
        except ConnectionError:
            pass  # either side ended: so does this one
        finally:
            sink.close()

    async def end(self) -> None:
        for task in self._carrying:
            task.cancel()
        await asyncio.gather(*self._carrying, return_exceptions=True)
        for writer in self._writers:  # one that was ended before it began has closed nothing
            writer.transport.abort()


@asynccontextmanager
async def cable_to(port: int) -> AsyncIterator[tuple[Cable, str]]:
    """A cable to a port of this machine, and the origin at its other end."""
    cable = Cable(port)
    server = await asyncio.start_server(cable.connect, "127.0.0.1", 0)
    try:
        yield cable, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    finally:
        server.close()
        await cable.end()


async def test_a_screen_that_hears_nothing_any_more_connects_anew_though_nobody_told_it_of_an_end(
    daemon: FakeDaemon, tmp_path: Path, open_page: Open
) -> None:
    site = site_in(tmp_path)
    async with page_process(site) as origin, cable_to(int(origin.rsplit(":", 1)[1])) as (cable, address):
        await until(lambda: site.feed.ready)
        seen = await open_page(address)
        await seen.page.wait_for_function(WORD, arg="PASS")
        await seen.page.evaluate(WORDS)
        cable.pull()
        await seen.page.wait_for_function("() => window.words.includes('STALE')")
        await seen.page.wait_for_function(WORD, arg="PASS")
        assert seen.errors == []
        await seen.page.context.close()


async def test_a_screen_whose_log_in_has_ended_asks_for_one(
    daemon: FakeDaemon, tmp_path: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    monkeypatch.setattr("inspector.web.stream.CHECK_S", 0.2)
    site = site_in(tmp_path, view="logged_in")
    await site.office.begin_first(await site.office.first_code() or "", "anna", PASSWORD, "setup")
    async with page_process(site) as origin:
        await until(lambda: site.feed.ready)
        seen = await log_in(open_page, origin, "anna")
        await seen.page.wait_for_function(WORD, arg="PASS")
        await site.office.set_disabled("anna", 1, False)  # ends the sessions
        await seen.page.wait_for_url("**/log-in?next=/", timeout=LONG_MS)
        await seen.page.context.close()
