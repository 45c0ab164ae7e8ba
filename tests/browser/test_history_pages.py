"""What quality and controls people do with the history, in a real browser."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from inspector.demo.parts import Kind
from tests.support.browser import Open, Watched
from tests.support.page import page_process, site_in
from tests.support.record import Entry, line_of, write_record, write_settings

DRAWN_IN_TEXT_COLOUR = """() => {
    const canvas = document.querySelector('#plot canvas'), hex = getComputedStyle(document.documentElement);
    const wanted = parseInt(hex.getPropertyValue('--text').trim().slice(1), 16);
    const all = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
    for (let at = 0; at < all.length; at += 4)
        if (all[at + 3] > 250 && (all[at] << 16 | all[at + 1] << 8 | all[at + 2]) === wanted) return true;
    return false;
}"""
pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

WIDE, PHONE = (1280, 800), (390, 844)
WIDTHS = "() => ['#found table', '#found .scroll'].map((of) => document.querySelector(of).clientWidth)"


@pytest_asyncio.fixture(loop_scope="module")
async def origin(tmp_path: Path) -> AsyncIterator[str]:
    bypassed = {"ack_ms": 21.4, "plc_verdict": 4}
    marked = Entry(500, Kind.DENT, lot="L-2026-47", serial="SN-000500", heat=True, **bypassed)
    await write_record(tmp_path, [*line_of(60), marked])
    write_settings(tmp_path)
    async with page_process(site_in(tmp_path)) as address:
        yield address


async def fits(watched: Watched) -> None:
    """Nothing is wider than the screen, and the console stayed empty."""
    over = await watched.page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
    assert over <= 0 and watched.errors == [] and watched.foreign == []


async def test_on_a_panel_the_table_of_parts_shows_its_last_column_with_lots_and_serials(
    tmp_path: Path, open_page: Open, shots: Path
) -> None:
    told = {"lot": "L-2026-47-002", "serial": "SN-2026-000500", "ack_ms": 21.4}
    kinds = (Kind.MISSING_HOLE, Kind.GOOD, None, Kind.SCRATCH)
    await write_record(tmp_path, [Entry(64_000 + n, kind, **told) for n, kind in enumerate(kinds)])
    async with page_process(site_in(tmp_path)) as origin:
        watched = await open_page(origin, "/history", WIDE)
        wide, room = await watched.page.evaluate(WIDTHS)
        assert "SN-2026-000500" in await watched.page.inner_text("#found") and wide <= room
        await watched.page.screenshot(path=shots / "history-serials.png")
        await fits(watched)


@pytest.mark.parametrize(("size", "dark"), [(WIDE, False), (PHONE, True)], ids=["wide", "phone"])
async def test_a_part_is_found_by_its_serial_and_seen_with_all_that_judged_it(
    origin: str, open_page: Open, shots: Path, size: tuple[int, int], dark: bool
) -> None:
    name = "wide" if size == WIDE else "phone"
    watched = await open_page(origin, "/history", size, dark)
    page = watched.page
    await page.click("details.more summary")
    await fits(watched)
    await page.screenshot(path=shots / f"history-{name}.png")
    await page.fill("[name=serial]", "SN-000500")
    await page.click(".filters button")
    await page.wait_for_url("**/history?serial=SN-000500")
    await page.screenshot(path=shots / f"history-found-{name}.png")
    await page.click("td a")
    await page.wait_for_url("**/part/*")
    assert "acknowledged it after 21.4 ms" in await page.inner_text(".told")
    assert "bypassed" in await page.inner_text("#plc-verdict.problem")
    assert "PLC acknowledged" in await page.inner_text(".waterfall")
    await page.click("#heat-toggle")
    await page.wait_for_function("() => document.getElementById('heat').naturalWidth > 0")
    await page.fill("#heat-opacity", "100")
    assert await page.evaluate("getComputedStyle(document.getElementById('heat')).opacity") == "1"
    boxes = [await page.locator(f".layers img >> nth={n}").bounding_box() for n in (0, 1)]
    assert boxes[0] == boxes[1], "the map lies exactly over the picture"
    await fits(watched)
    await page.screenshot(path=shots / f"part-{name}.png", full_page=True)
    await page.click("#heat-toggle")
    assert not await page.is_visible("#heat")
    await page.click("dd a >> text=L-2026-47")
    await page.wait_for_url("**/history?*")
    assert await page.input_value("[name=lot]") == "L-2026-47"
    async with page.expect_download() as begun:
        await page.click("text=CSV")
    file = await (await begun.value).path()
    assert file.read_bytes().startswith(b"\xef\xbb\xbf") and b"SN-000500" in file.read_bytes()


async def test_parts_that_the_plc_did_something_else_with_are_found_by_a_filter(origin: str, open_page: Open) -> None:
    watched = await open_page(origin, "/history", WIDE, False)
    page = watched.page
    await page.click("details.more summary")
    await page.select_option("[name=plc]", "1")
    await page.click(".filters button")
    await page.wait_for_function("() => document.querySelectorAll('tbody tr').length === 1")  # put in place
    assert [await cell.inner_text() for cell in await page.locator("tbody td:last-child").all()] == ["Yes"]
    assert "PLC: bypassed" in await page.inner_text("tbody")
    await fits(watched)


@pytest.mark.parametrize(("size", "dark"), [(WIDE, True), (PHONE, False)], ids=["wide", "phone"])
async def test_the_slowest_cycles_are_seen_with_where_their_time_went(
    origin: str, open_page: Open, shots: Path, size: tuple[int, int], dark: bool
) -> None:
    watched = await open_page(origin, "/timing", size, dark)
    page = watched.page
    await page.wait_for_selector("#plot canvas")
    await fits(watched)
    await page.screenshot(path=shots / f"timing-{'wide' if size == WIDE else 'phone'}.png", full_page=True)
    await page.click("#slowest td:last-child a >> nth=0")
    await page.wait_for_selector("#sum")
    await fits(watched)


async def test_the_course_of_the_cycle_time_is_drawn_anew_when_the_panel_turns_dark(
    origin: str, open_page: Open
) -> None:
    page = (await open_page(origin, "/timing")).page
    await page.wait_for_selector("#plot canvas")
    for scheme in ("dark", "light"):
        await page.emulate_media(color_scheme=scheme)
        await page.wait_for_function(DRAWN_IN_TEXT_COLOUR)


async def test_a_filter_and_older_parts_come_without_a_new_page_and_the_way_back_shows_what_was_there(
    origin: str, open_page: Open
) -> None:
    watched = await open_page(origin, "/history")
    page = watched.page
    await page.evaluate("window.same = true")
    newest = await page.inner_text("tbody td a >> nth=0")
    async with page.context.expect_page() as beside:
        await page.click("#older", modifiers=["ControlOrMeta"])
    await (await beside.value).wait_for_url("**/history?before=*")
    await (await beside.value).close()
    assert page.url.endswith("/history"), "a new tab is still a new tab"
    await page.focus("#older")
    await page.keyboard.press("Enter")
    await page.wait_for_url("**/history?before=*")
    await page.wait_for_function(
        "() => document.activeElement.id === 'found'"
    )  # nothing is older, and focus has a place
    await page.wait_for_function("() => document.querySelector('#announced').innerText === 'Parts shown: 11'")
    await page.go_back()
    await page.wait_for_function("(no) => document.querySelector('tbody td a')?.innerText === no", arg=newest)
    await page.wait_for_load_state()  # it is a new page, whose scripts come after its rows
    await page.evaluate("window.same = true")
    await page.fill("[name=serial]", "SN-000500")
    await page.press("[name=serial]", "Enter")
    await page.wait_for_url("**/history?serial=SN-000500")
    await page.wait_for_function("() => document.querySelectorAll('tbody tr').length === 1")
    assert await page.evaluate("window.same")
    await page.wait_for_function("() => document.activeElement.name === 'serial'")
    assert "serial=SN-000500" in str(await page.get_attribute("text=CSV", "href"))
    kept = await page.evaluate("[...Object.keys(sessionStorage), ...Object.keys(localStorage)]")
    assert kept == ["htmx-current-path-for-history"], "an address, and no page"
    await fits(watched)
    await page.fill("[name=part_id]", "1e9")
    await page.click(".filters button")
    await page.wait_for_selector("#found [role=alert]")
    assert await page.input_value("[name=serial]") == "SN-000500" and await page.evaluate("window.same")


IN_SIGHT = """() => [...document.querySelectorAll('.parts tbody tr')].map(
  (tr) => ['.first', '.second', '.outcome'].map((of) => {
    const { left, right, top, width } = tr.querySelector(of).getBoundingClientRect();
    return { top: Math.round(top), shown: width > 0 && left >= 0 && right <= innerWidth };
}))"""


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_on_a_phone_time_part_and_result_of_each_part_stand_side_by_side_without_scrolling(
    tmp_path: Path, open_page: Open, shots: Path, language: str
) -> None:
    told = {"lot": "L-2026-47-002", "serial": "SN-2026-000500", "ack_ms": 21.4}
    kinds = (Kind.MISSING_HOLE, Kind.GOOD, None, Kind.STAIN, Kind.EMPTY)
    bypassed = Entry(64_999, Kind.DENT, plc_verdict=4, **told)
    await write_record(tmp_path, [*(Entry(64_000 + n, kind, **told) for n, kind in enumerate(kinds)), bypassed])
    async with page_process(site_in(tmp_path)) as origin:
        for dark in (False, True):
            watched = await open_page(origin, "/history", PHONE, dark)
            await watched.page.goto(f"{origin}/language/{language}?to=/history")
            await watched.page.wait_for_selector(f"html[lang={language}] .parts")
            wide, room = await watched.page.evaluate(WIDTHS)
            rows = await watched.page.evaluate(IN_SIGHT)
            assert wide <= room and len(rows) == 6 and all(cell["shown"] for row in rows for cell in row)
            middles = [max(c["top"] for c in row) - min(c["top"] for c in row) for row in rows]
            assert max(middles) < 12, "in one line"
            await watched.page.screenshot(path=shots / f"history-phone-{language}-{dark}.png", full_page=True)
            await fits(watched)
        await watched.page.click(".parts tr >> nth=1")
        await watched.page.wait_for_url("**/part/6")
