"""A real browser for the tests of the page; without one they skip and say so."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from inspector.demo.parts import Kind
from tests.support.browser import Open, Watched
from tests.support.fake_daemon import FakeDaemon
from tests.support.shown import LONG_MS

CHROMIUM = next((p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Any]:
    """One chromium for all tests of a file; each test gets a context of its own."""
    playwright = pytest.importorskip("playwright.async_api", reason="playwright is not installed (extra `dev`)")
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (apt install chromium)")
    async with playwright.async_playwright() as driver:
        started = await driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = await started.new_page()  # chromium's helpers are there before the first test counts processes
        await page.screenshot()
        await page.close()
        yield started
        await started.close()


@pytest_asyncio.fixture(loop_scope="module")
async def open_page(browser: Any) -> AsyncIterator[Open]:
    """Open an address: open_page(origin, "/", size=(1280, 800), dark=False)."""
    async with AsyncExitStack() as stack:

        async def opened(
            origin: str, path: str = "/", size: tuple[int, int] = (1280, 800), dark: bool = False
        ) -> Watched:
            context = await browser.new_context(
                viewport={"width": size[0], "height": size[1]}, color_scheme="dark" if dark else "light"
            )
            stack.push_async_callback(context.close)
            context.set_default_timeout(LONG_MS)
            seen = Watched(await context.new_page())
            seen.page.on("console", lambda m: seen.errors.append(m.text) if m.type in ("error", "warning") else None)
            seen.page.on("pageerror", lambda e: seen.errors.append(str(e)))
            seen.page.on("request", lambda r: None if r.url.startswith(origin) else seen.foreign.append(r.url))
            await seen.page.goto(origin + path)
            return seen

        yield opened


@pytest_asyncio.fixture(loop_scope="module")
async def daemon(tmp_path: Path) -> AsyncIterator[FakeDaemon]:
    """Fourteen parts have passed, two of them bad."""
    fake = FakeDaemon(tmp_path)
    for n in range(14):
        fake.part({4: Kind.STAIN, 7: Kind.DENT}.get(n, Kind.GOOD))
    await fake.start()
    yield fake
    await fake.stop()


@pytest.fixture
def shots(tmp_path: Path) -> Path:
    """Where screenshots go: the folder named by INSPECTOR_SCREENSHOTS, or the test's own."""
    where = os.environ.get("INSPECTOR_SCREENSHOTS")
    folder = Path(where) if where else tmp_path / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
