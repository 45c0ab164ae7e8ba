"""Somebody sets the camera up, collects parts and labels them by key, and takes the dataset away: all in a browser."""

from __future__ import annotations

import asyncio
import zipfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from inspector.demo.parts import Kind
from inspector.office import collecting
from plc.sim.parts import NewPart
from tests.support.browser import Open, Watched, log_in
from tests.support.collecting import EmptyBox, empty_box
from tests.support.live_line import parts_of

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PANEL, PHONE = (1280, 800), (390, 844)
SHOWN = "no => document.querySelector('#stage').dataset.shown === no"
FITS = "() => document.documentElement.scrollWidth <= window.innerWidth"
COUNTS = "text => [...document.querySelectorAll('#progress .num')].map((e) => e.textContent).join(', ') === text"
# Presses G in the very task in which the next picture comes: after the page's own ear for it.
PRESSED_AS_IT_COMES = """() => document.querySelector('#shot').addEventListener('load', () => {
    document.body.dispatchEvent(new KeyboardEvent('keydown', {key: 'g', bubbles: true, cancelable: true}));
}, {once: true})"""
STATE = "state => document.querySelector('#eye').dataset.state === state"


async def open_collect(open_page: Open, origin: str, **more: Any) -> Watched:
    watched = await log_in(open_page, origin, "anna", "/collect", **more)
    await watched.page.wait_for_selector("#eye-shot:not([hidden])")
    return watched


@asynccontextmanager
async def scanning(box: EmptyBox) -> AsyncIterator[None]:
    """The PLC's program runs between the parts, too."""
    run = asyncio.create_task(box.sim.idle_for(600), name="plc")
    try:
        yield
    finally:
        run.cancel()
        await asyncio.gather(run, return_exceptions=True)


async def want(page: Any, label: str, wanted: int) -> None:
    await page.fill("#target [name=label]", label)
    await page.fill("#target [name=wanted]", str(wanted))
    async with page.expect_navigation():
        await page.click("#target button")


async def drag(page: Any, start: tuple[float, float], end: tuple[float, float]) -> None:
    """On the live picture; shares of its width and height (320 x 256, as large as the stage lets it)."""
    stage = await page.locator("#eye").bounding_box()
    scale = min(stage["width"] / 320, stage["height"] / 256)
    left, top = stage["x"] + (stage["width"] - 320 * scale) / 2, stage["y"] + (stage["height"] - 256 * scale) / 2
    (x1, y1), (x2, y2) = ((left + 320 * scale * x, top + 256 * scale * y) for x, y in (start, end))
    await page.mouse.move(x1, y1)
    await page.mouse.down()
    await page.mouse.move((x1 + x2) / 2, (y1 + y2) / 2)
    await page.mouse.move(x2, y2)
    await page.mouse.up()


async def parts_that_come_quickly(box: EmptyBox, page: Any, good: Iterator[int]) -> None:
    """A label goes to the picture that was looked at, and one that is labelled does not come back."""
    await box.sim.play([NewPart(next(good), lot="L1", serial="S7")])
    async with scanning(box):
        await page.wait_for_function(SHOWN, arg="7")
    await page.evaluate(PRESSED_AS_IT_COMES)  # for the one that was there until then
    await box.sim.play([NewPart(next(good), lot="L1", serial="S8")])
    async with scanning(box):
        await page.wait_for_selector("#told[data-bad]")
        await page.wait_for_function(SHOWN, arg="8")
        assert await page.text_content("#waiting") == "2 waiting"
        await page.wait_for_timeout(800)
        asked, let = asyncio.Event(), asyncio.Event()

        async def late(route: Any) -> None:
            answer = await route.fetch()
            asked.set()
            await let.wait()
            await route.fulfill(response=answer)

        await page.route("**/review/queue*", late, times=1)
        await page.dispatch_event("#days", "change")
        await asked.wait()
        await page.keyboard.press("g")
        await page.wait_for_function(SHOWN, arg="7")
        async with page.expect_response(lambda answer: "/review/queue" in answer.url):
            let.set()
        await page.wait_for_timeout(300)
        assert await page.get_attribute("#stage", "data-no") == "7"
        await page.keyboard.press("g")
        await page.wait_for_selector("#none:not([hidden])")


async def test_from_an_empty_box_to_a_dataset_by_mouse_and_keys(tmp_path: Path, open_page: Open, shots: Path) -> None:
    good, bad = parts_of(Kind.GOOD), parts_of(Kind.SCRATCH)
    async with empty_box(tmp_path) as box:
        watched = await open_collect(open_page, box.origin)
        page = watched.page
        await page.wait_for_function(STATE, arg="live")
        await page.wait_for_function("() => Number(document.querySelector('#focus').textContent) > 0")
        assert await page.evaluate(FITS)
        await page.keyboard.press("b")
        await drag(page, (0.125, 0.25), (0.75, 0.75))
        await page.keyboard.press("Enter")
        sides = [int(await page.input_value(f"#region [name={side}]")) for side in "xywh"]
        assert all(abs(a - b) <= 2 for a, b in zip(sides, (40, 64, 200, 128), strict=True)), sides
        await page.fill("#region [name=w]", "210")
        await page.click("#save-region")
        await page.wait_for_function("() => document.querySelector('#region-told').textContent.startsWith('Saved')")
        kept = await box.site.office.read(collecting.regions)
        assert kept == {"st1": (sides[0], sides[1], 210, sides[3])}
        assert f"roi = [{sides[0]}, {sides[1]}, 210, {sides[3]}]" in await page.text_content("#lines")
        await want(page, "good", 4)
        await want(page, "scratch", 2)

        kinds = ["good", "scratch", "good", "scratch", "good", "good"]
        for n, name in enumerate(kinds, 1):
            part_id = next(good if name == "good" else bad)
            await box.sim.play([NewPart(part_id, lot=f"L{n % 2}", serial=f"S{n}")])
            async with scanning(box):
                await page.wait_for_function(SHOWN, arg=str(n))
                await page.wait_for_function(STATE, arg="armed")  # the PLC may trigger: not live
                if n == 5:
                    await page.screenshot(path=shots / "collect.png", full_page=True)
                await page.keyboard.press("g" if name == "good" else "1")
                await page.wait_for_selector("#none:not([hidden])")
                if n == 2:
                    await page.keyboard.press("z")
                    await page.wait_for_function(SHOWN, arg="2")
                    await page.keyboard.press("1")
                    await page.wait_for_selector("#none:not([hidden])")
        await page.wait_for_function(COUNTS, arg="4 / 4, 2 / 2")
        await parts_that_come_quickly(box, page, good)
        await page.wait_for_function(COUNTS, arg="6 / 4, 2 / 2")
        await page.select_option("[name=split_by]", "part")
        async with page.expect_download() as download:
            await page.click("text=Take the dataset with you")
        with zipfile.ZipFile(await (await download.value).path()) as held:
            assert len([name for name in held.namelist() if name.endswith(".png")]) == 8
        await page.goto(f"{box.origin}/language/zh?to=/collect")
        for name, size, scheme in (
            ("dark", (1280, 800), "dark"),
            ("phone", PHONE, "light"),
            ("phone-dark", PHONE, "dark"),
        ):
            await page.set_viewport_size({"width": size[0], "height": size[1]})
            await page.emulate_media(color_scheme=scheme)
            await page.wait_for_selector("#eye-shot:not([hidden])")
            assert await page.evaluate(FITS), name
            await page.screenshot(path=shots / f"collect-{name}.png", full_page=True)
        assert watched.errors == [] and watched.foreign == []
