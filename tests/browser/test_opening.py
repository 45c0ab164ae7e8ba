"""What the line screen's first frame waits for, in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.support.browser import Open
from tests.support.fake_daemon import FakeDaemon
from tests.support.page import page_process, site_in, until

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PANEL, PHONE = (1000, 800), (390, 844)
HEIGHTS = "[...document.querySelectorAll('#strip .thumb')].map((one) => one.getBoundingClientRect().height)"
LAST_IS_DRAWN = "document.querySelector('#strip li:last-child .cap').checkVisibility({contentVisibilityAuto: true})"
INITIATORS = """performance.getEntriesByType('resource').filter((one) => /\\.(js|css)$/.test(one.name))
    .map((one) => [one.name.split('/').pop(), one.startTime])"""


@pytest_asyncio.fixture(loop_scope="module")
async def origin(daemon: FakeDaemon, tmp_path: Path) -> AsyncIterator[str]:
    site = site_in(tmp_path)
    async with page_process(site) as address:
        await until(lambda: site.feed.up)
        yield address


async def test_a_browser_lays_out_the_results_near_the_window_and_leaves_the_same_room_for_the_others(
    open_page: Open, origin: str, daemon: FakeDaemon
) -> None:
    for _ in range(26):
        daemon.part()
    seen = await open_page(origin, size=PANEL)
    await seen.page.wait_for_function("() => document.querySelectorAll('#strip li').length === 40")
    assert not await seen.page.evaluate(LAST_IS_DRAWN)
    before = await seen.page.evaluate(HEIGHTS)
    assert max(before) - min(before) < 0.1, "the strip would jump as it is moved"
    await seen.page.evaluate("document.querySelector('#strip').scrollLeft = 1e6")
    await seen.page.wait_for_function(f"() => {LAST_IS_DRAWN}")
    assert await seen.page.evaluate(HEIGHTS) == pytest.approx(before, abs=0.1)
    assert seen.errors == []
    phone = await open_page(origin, size=PHONE)
    assert await phone.page.evaluate(LAST_IS_DRAWN), "the strip lies below the window: all would come a frame late"


async def test_the_sheet_and_one_script_are_all_that_is_asked_for_before_the_first_script_is_there(
    open_page: Open, origin: str
) -> None:
    seen = await open_page(origin)
    asked = await seen.page.evaluate(INITIATORS)
    at_once = {name for name, at in asked if at <= dict(asked)["line.js"]}
    assert at_once == {"base+line+alarms.css", "line.js"} and "htmx.min.js" in dict(asked)


async def test_the_first_frame_waits_for_what_comes_after_the_whole_filmstrip(open_page: Open, origin: str) -> None:
    seen = await open_page(origin)
    awaited = await seen.page.get_attribute('link[rel="expect"][blocking="render"]', "href")
    behind = "(id) => document.querySelector('#strip').compareDocumentPosition(document.querySelector(id))"
    assert await seen.page.evaluate(behind, awaited) == 4, "4: it follows, and is not inside"
