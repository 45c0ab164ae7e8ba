"""The page in Chinese, in a real browser: it is all translated, and it fits."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from inspector.demo.parts import Kind
from tests.support.browser import Open
from tests.support.fake_daemon import FakeDaemon
from tests.support.page import page_process, site_in, until
from tests.support.record import line_of, write_record

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

WIDE, PHONE = (1280, 800), (390, 844)
SHOWS = "w => document.querySelector('#verdict-word').textContent === w"
FITS_SIDEWAYS = "document.documentElement.scrollWidth <= innerWidth"
CUT_OFF = """() => [...document.querySelectorAll('#verdict-word, #verdict-text, dt, dd, th, h2, button, nav a')]
    .filter((n) => n.offsetParent && n.scrollWidth > n.clientWidth + 1 && getComputedStyle(n).display !== 'inline')
    .filter((n) => !n.title).map((n) => n.textContent)"""
OUTSIDE = """() => {
    const text = document.querySelector("#verdict-word"), word = document.createRange();
    const high = parseFloat(getComputedStyle(text).fontSize);
    word.selectNodeContents(text);
    const box = word.getBoundingClientRect(), panel = document.querySelector('#verdict').getBoundingClientRect();
    return {right: box.right > panel.right, lines: Math.round(box.height / high)};
}"""


@pytest_asyncio.fixture(loop_scope="module")
async def origin(daemon: FakeDaemon, tmp_path: Path) -> AsyncIterator[str]:
    await write_record(tmp_path, line_of(40), pictures=False)
    site = site_in(tmp_path)
    async with page_process(site) as address:
        await until(lambda: site.feed.ready)
        yield address


async def choose_chinese(page: Any) -> None:
    """As a person does: by the link that is written in Chinese, in whatever language the page is."""
    await page.get_by_role("link", name="简体中文").click()
    await page.wait_for_selector("html[lang=zh]")


@pytest.mark.parametrize("size", [WIDE, PHONE])
async def test_the_line_and_the_history_are_in_chinese_after_one_click_and_all_of_it_fits(
    daemon: FakeDaemon, origin: str, open_page: Open, shots: Path, size: tuple[int, int]
) -> None:
    seen = await open_page(origin, size=size)
    page = seen.page
    await page.wait_for_function(SHOWS, arg="PASS")
    await choose_chinese(page)
    await page.wait_for_function(SHOWS, arg="合格")
    stations = (({"ready": False, "offline_reason": 4}, "未就绪"), ({}, "合格"))
    for kind, told in ((Kind.SCRATCH, "不合格"), (Kind.EMPTY, "故障"), (Kind.GOOD, "合格")):
        daemon.part(kind)
        await page.wait_for_function(SHOWS, arg=told)
        assert await page.evaluate(OUTSIDE) == {"right": False, "lines": 1}
        assert await page.evaluate(FITS_SIDEWAYS) and await page.evaluate(CUT_OFF) == []
        await page.screenshot(path=shots / f"line-zh-{kind}-{size[0]}.png", full_page=True)
    for changes, told in stations:
        daemon.changes = changes
        daemon.push("status", daemon.status())
        await page.wait_for_function(SHOWS, arg=told)
        assert await page.evaluate(OUTSIDE) == {"right": False, "lines": 1}
    if size == WIDE:
        assert await page.evaluate("document.documentElement.scrollHeight <= innerHeight")
    await page.click("nav a[href='/history']")
    await page.wait_for_selector("tbody tr")
    assert await page.evaluate(FITS_SIDEWAYS) and await page.evaluate(CUT_OFF) == []
    text = await page.inner_text("main")
    assert "没有零件，或不是本产品" in text and re.findall(r"[A-Z][a-z]+ [a-z]+", text) == []
    await page.screenshot(path=shots / f"history-zh-{size[0]}.png")
    assert seen.errors == [] and seen.foreign == []


async def test_an_open_screen_loads_itself_again_when_its_stream_comes_back_in_another_language(
    daemon: FakeDaemon, open_page: Open, tmp_path: Path
) -> None:
    site = site_in(tmp_path)
    async with page_process(site) as address:
        await until(lambda: site.feed.ready)
        seen = await open_page(address)
        await seen.page.wait_for_function(SHOWS, arg="PASS")
        other = await seen.page.context.new_page()
        await other.goto(f"{address}/history")
        await choose_chinese(other)
        site.feed.close()
        await seen.page.wait_for_selector("html[lang=zh]")
        await seen.page.wait_for_function(SHOWS, arg="合格")
    assert seen.foreign == []
