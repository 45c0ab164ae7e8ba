"""Every screen, for everybody: axe finds nothing serious, all of it fits three sizes, and nothing leaves this machine.

In both languages, light and dark. The screens are found by asking every route that may be read, see support/screens.py.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from inspector.web.site import Site
from tests.support.disks import quick_folder
from tests.support.office import make_hashes_cheap
from tests.support.page import page_process, site_in, until
from tests.support.screens import Screen, furnish, screens_of, who_sees_all

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

AXE = (Path(__file__).parent / "axe" / "axe.min.js").read_text("utf-8")
SETTLE_MS = 150  # what a screen's own script asks for has come
SIZES = ((1280, 800), (390, 844), (1920, 1080))
SERIOUS = """async (rules) => {
    const found = await axe.run(document, {resultTypes: ['violations'], ...(rules ? {runOnly: rules} : {})});
    return found.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).flatMap((v) =>
        v.nodes.map((n) => `${v.id}: ${n.target} ${(n.any[0] || n.all[0] || n.none[0] || {message: ''}).message}`));
}"""
# Wider than the window; and text that its own box hides, without a title that would tell it.
CUT_OFF = """() => {
    const wide = document.documentElement.scrollWidth - innerWidth;
    const clips = (n) => ['hidden', 'clip'].includes(getComputedStyle(n).overflowX);
    const hides = (n) => clips(n) && n.scrollWidth > n.clientWidth + 1;
    const told = (n) => n.closest('[title]') || n.closest('svg, .sprite, canvas');
    const words = (n) => [...n.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
    const cut = [...document.body.querySelectorAll('*')]
        .filter((n) => n.checkVisibility() && words(n) && !told(n))
        .filter((n) => n.clientWidth > 1 && hides(n));
    return [...(wide > 0 ? [`${wide} px too wide`] : []), ...cut.map((n) => `cut off: ${n.textContent.trim()}`)];
}"""


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


async def opened(browser: Any, origin: str, token: str, language: str) -> tuple[Any, list[str]]:
    """A page of a browser of its own, and what goes wrong in it."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    cookies = {"inspector-local": token, "inspector-language": language}
    await context.add_cookies([{"name": k, "value": v, "url": origin} for k, v in cookies.items() if v])
    await context.add_init_script(AXE)
    page, wrong = await context.new_page(), list[str]()
    page.on("console", lambda m: wrong.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: wrong.append(f"script: {e}"))
    page.on("request", lambda r: None if r.url.startswith(origin) else wrong.append(f"request to {r.url}"))
    return page, wrong


async def faults_of(page: Any, *, colours: bool) -> list[str]:
    """Of the screen that is open: in light with all rules of axe, in dark those of colour, and at each size."""
    found = [f"light: {told}" for told in await page.evaluate(SERIOUS, None)]
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        found += [f"{width}x{height}: {told}" for told in await page.evaluate(CUT_OFF)]
    await page.set_viewport_size({"width": SIZES[0][0], "height": SIZES[0][1]})
    if colours:  # they do not depend on the language
        await page.emulate_media(color_scheme="dark")
        found += [f"dark: {told}" for told in await page.evaluate(SERIOUS, ["color-contrast"])]
        await page.emulate_media(color_scheme="light")
    return found


async def look_at(browser: Any, origin: str, token: str, screens: list[Screen], language: str) -> list[str]:
    """What is wrong with these screens, each named."""
    found = list[str]()
    page, wrong = await opened(browser, origin, token, language)
    try:
        for screen in screens:
            await page.goto(origin + screen.address)
            await page.wait_for_timeout(SETTLE_MS)
            faults = [*await faults_of(page, colours=language == "en"), *wrong]
            wrong.clear()
            found += [f"{screen.address} ({language}): {fault}" for fault in faults]
            assert await page.get_attribute("html", "lang") == language
    finally:
        await page.context.close()
    return found


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


async def test_the_first_start_is_such_a_screen_too(browser: Any, tmp_path: Path) -> None:
    site = site_in(tmp_path)
    async with page_process(site) as origin:
        screen = Screen("/first-start", "/first-start", known=False)
        for language in ("en", "zh"):
            assert await look_at(browser, origin, "", [screen], language) == []
