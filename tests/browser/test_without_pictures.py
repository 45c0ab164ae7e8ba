"""The line screen of somebody who may look, and may see no pictures of parts."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.demo.parts import Kind
from tests.support.browser import Open
from tests.support.fake_daemon import FakeDaemon
from tests.support.page import page_process, site_in, until
from tests.support.record import Entry, write_record

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_a_stranger_is_told_to_log_in_for_pictures_and_sees_all_else(
    daemon: FakeDaemon, tmp_path: Path, open_page: Open, shots: Path
) -> None:
    await write_record(tmp_path, [Entry(1, Kind.SCRATCH)])
    site = site_in(tmp_path, pictures="logged_in")
    async with page_process(site) as origin:
        await until(lambda: site.feed.ready)
        seen = await open_page(origin)
        page = seen.page
        daemon.part(Kind.SCRATCH, heat="00000001.jpg")
        await page.wait_for_function("() => document.querySelector('#verdict-word').textContent === 'FAIL'")
        assert await page.inner_text("#picture-none") == "Log in to see pictures"
        assert await page.locator("#strip img, #pinned img").count() == 0
        assert await page.locator("#strip li").count() >= 15
        assert await page.is_hidden("#heat-tools")
        await page.screenshot(path=shots / "line-without-pictures.png")
        await page.goto(f"{origin}/part/1")
        assert await page.inner_text("#shot") == "Log in to see pictures"
        assert seen.errors == [], "nothing is asked for that is refused"
        await page.context.close()
