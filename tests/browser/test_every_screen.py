"""Every screen, for everybody: axe finds nothing serious, all of it fits three sizes, and nothing leaves this machine.

In both languages, light and dark. The screens are found by asking every route that may be read, see support/screens.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from inspector.web.site import Site
from tests.support.disks import quick_folder
from tests.support.looking import look_at, opened
from tests.support.office import make_hashes_cheap
from tests.support.page import page_process, site_in, until
from tests.support.screens import furnish, screens_of, who_sees_all

# With nine alarms: how high the head is, how far apart its parts stand, and the width of the clock.
ONE_ROW = """() => {
    document.querySelector('#unheeded').textContent = '9';
    const of = (n) => n.getBoundingClientRect(), top = document.querySelector('.top');
    const tops = [...top.children].map((n) => of(n).top);
    const clock = of(document.querySelector('#clock')).width;
    return {height: of(top).height, tops: Math.max(...tops) - Math.min(...tops), clock};
}"""

HEAD = """() => {
    const of = (n) => n.getBoundingClientRect(), top = document.querySelector('.top'), nav = top.querySelector('nav');
    if (document.querySelector('#unheeded')) document.querySelector('#unheeded').textContent = '9';
    const tops = [...top.children].filter((n) => of(n).width).map((n) => of(n).bottom - of(n).height / 2);
    const lines = new Set([...nav.children].filter((n) => of(n).width).map((n) => Math.round(of(n).top))).size;
    return {height: of(top.querySelector('nav')).height, tops: Math.max(...tops) - Math.min(...tops), lines,
        hidden: nav.scrollWidth - nav.clientWidth};
}"""

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def box() -> AsyncIterator[tuple[Site, str, str]]:
    """Site, its origin, and the token of somebody with every role, on a line that has run."""
    with pytest.MonkeyPatch.context() as patch, quick_folder() as run:
        make_hashes_cheap(patch)
        daemon, site = await furnish(run), site_in(run)
        await daemon.start()
        async with page_process(site) as origin:
            await until(lambda: site.feed.ready)
            yield site, origin, await who_sees_all(site)
        await daemon.stop()


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_every_screen_can_be_used_by_everybody_fits_every_size_and_asks_nobody_else(
    browser: Any, box: tuple[Site, str, str], language: str
) -> None:
    site, origin, token = box
    screens = await screens_of(site, token)
    assert {"/", "/history", "/part/{no}", "/timing", "/review", "/me", "/admin", "/admin/audit", "/log-in"} <= {
        screen.template for screen in screens
    }
    found = await look_at(browser, origin, token, [s for s in screens if s.known], language)
    found += await look_at(browser, origin, "", [s for s in screens if not s.known], language)
    assert found == [], "\n".join(found)


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_on_a_panel_the_head_of_the_line_is_one_row_with_the_clock_whatever_waits(
    browser: Any, box: tuple[Site, str, str], language: str
) -> None:
    _, origin, token = box
    page, wrong = await opened(browser, origin, token, language)
    await page.goto(origin)
    await page.wait_for_function("() => document.querySelector('#clock').textContent")
    row = await page.evaluate(ONE_ROW)
    assert row["tops"] < row["height"] < 56 and row["clock"] > 40, row
    assert wrong == []
    await page.context.close()


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_on_a_panel_every_head_is_one_row_that_hides_no_link(
    browser: Any, box: tuple[Site, str, str], language: str
) -> None:
    site, origin, token = box
    page, _ = await opened(browser, origin, token, language)
    addresses = {screen.address.partition("?")[0] for screen in await screens_of(site, token) if screen.known}
    assert {"/admin", "/admin/audit", "/maintenance"} < addresses
    for address in sorted(addresses - {"/"}):  # whose head holds more, see above
        await page.goto(origin + address)
        row = await page.evaluate(HEAD)
        assert row["tops"] < row["height"] and row["lines"] == 1 and row["hidden"] <= 0, (address, row)
    await page.context.close()
