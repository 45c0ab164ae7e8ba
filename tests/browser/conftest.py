"""A real browser for the tests of the page; without one they skip and say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.support.browser import Open, Watched

CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)


@pytest.fixture
async def open_page() -> AsyncIterator[Open]:
    """Open an address: open_page(origin, "/", size=(1280, 800), dark=False)."""
    playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed (extra `dev`)")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (apt install chromium)")
    async with AsyncExitStack() as stack:
        driver = await stack.enter_async_context(playwright.async_playwright())
        browser = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        stack.push_async_callback(browser.close)

        async def opened(
            origin: str, path: str = "/", size: tuple[int, int] = (1280, 800), dark: bool = False
        ) -> Watched:
            context = await browser.new_context(
                viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
            )
            seen = Watched(await context.new_page())
            seen.page.on("console", lambda m: seen.errors.append(m.text) if m.type in ("error", "warning") else None)
            seen.page.on("pageerror", lambda e: seen.errors.append(str(e)))
            seen.page.on("request", lambda r: None if r.url.startswith(origin) else seen.foreign.append(r.url))
            await seen.page.goto(origin + path)
            return seen

        yield opened


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where screenshots go: the folder named by INSPECTOR_SCREENSHOTS, or the test's own."""
    where = os.environ.get("INSPECTOR_SCREENSHOTS")
    folder = Path(where) if where else tmp_path / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
