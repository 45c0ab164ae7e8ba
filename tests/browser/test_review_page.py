"""Somebody reviews pictures by keyboard, on a page that is killed in between."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path
from typing import Any

import apsw
import pytest

from inspector.demo.parts import Kind
from inspector.office.office import Office
from tests.support.browser import Open, Watched, log_in
from tests.support.office import PASSWORD
from tests.support.reviewing import REJECT, Part, write_parts

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

KINDS = (Kind.SCRATCH, Kind.DENT, Kind.STAIN, Kind.SCRATCH, Kind.DENT, Kind.STAIN)
SHOWN = "no => document.querySelector('#stage').dataset.shown === no"
PHONE = (390, 844)


async def start(run: Path, port: int) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "tests.support.reviewing", str(run), str(port))
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            assert process.returncode is None, "the page ended"
            await asyncio.sleep(0.05)
        else:
            writer.close()
            return process


async def make_anna(run: Path) -> None:
    """The first person of the box, who may review."""
    office = Office(run / "office.db")
    await office.begin_first(await office.first_code() or "", "anna", PASSWORD, "setup")
    office.close()


async def open_review(open_page: Open, port: int, query: str = "", **more: Any) -> Watched:
    """The page of reviews in a browser where Anna has logged in."""
    return await log_in(open_page, f"http://127.0.0.1:{port}", "anna", f"/review{query}", **more)


def kept(run: Path) -> list[tuple[Any, ...]]:
    db = apsw.Connection(str(run / "office.db"), flags=apsw.SQLITE_OPEN_READONLY)
    found = list(db.execute("SELECT no, label, note, x, y, w, h, person FROM labels ORDER BY n"))
    db.close()
    return found


async def test_five_pictures_are_labelled_by_keyboard_though_the_page_is_killed(
    tmp_path: Path, free_port: int, open_page: Open, shots: Path
) -> None:
    await write_parts(tmp_path, [Part(kind, REJECT, lot="L-7") for kind in KINDS])
    await make_anna(tmp_path)
    process = await start(tmp_path, free_port)
    try:
        watched = await open_review(open_page, free_port)
        page = watched.page
        await page.wait_for_function(SHOWN, arg="6")
        assert await page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
        whole = await page.evaluate(
            "() => document.querySelector('.work').getBoundingClientRect().bottom <= innerHeight"
        )
        assert whole, "a panel PC shows picture and keys without scrolling"
        await page.screenshot(path=shots / "review.png")
        assert "Model: stain" in await page.inner_text("#said"), "what the model said of it"

        await page.keyboard.press("g")  # 6; how soon the next one is there: make bench-screen
        await page.wait_for_function(SHOWN, arg="5")
        key = await page.get_attribute("[data-label=dent]", "data-key")
        await page.keyboard.press("n")
        await page.keyboard.type("g u 1")  # a note is no command
        await page.keyboard.press("Enter")
        for pressed in ("b", "ArrowRight", "Shift+ArrowDown", "Enter"):
            await page.keyboard.press(pressed)
        await page.keyboard.press(key)  # 5
        await page.wait_for_function(SHOWN, arg="4")
        assert [row[0] for row in kept(tmp_path)] == [6, 5], "on the disk when it is shown as kept"
        assert watched.errors == []

        process.send_signal(signal.SIGKILL)
        await process.wait()
        await page.keyboard.press("u")  # 4, with nobody there
        await page.wait_for_function("() => document.querySelector('#told').hasAttribute('data-bad')")
        assert await page.get_attribute("#stage", "data-no") == "4", "not kept, so not gone"
        process = await start(tmp_path, free_port)
        await page.wait_for_function(SHOWN, arg="3")

        await page.keyboard.press("g")  # 3, by mistake
        await page.wait_for_function(SHOWN, arg="2")
        await page.keyboard.press("z")
        await page.wait_for_function(SHOWN, arg="3")
        await page.keyboard.press(await page.get_attribute("[data-label=stain]", "data-key"))
        await page.wait_for_function(SHOWN, arg="2")
        await page.keyboard.press("c")
        await page.keyboard.type("rust")
        await page.keyboard.press("Enter")
        await page.wait_for_function(SHOWN, arg="1")
        await page.wait_for_function("() => document.querySelector('#count').innerText === '5 of 6 done'")
        await page.wait_for_function("() => document.querySelector('#figures b').textContent === '25.00 %'")  # 1 of 4
        await page.screenshot(path=shots / "review-after.png")

        found = kept(tmp_path)
        assert [(row[0], row[1]) for row in found] == [
            (6, "good"), (5, "dent"), (4, "unsure"), (3, "good"), (3, "stain"), (2, "rust"),
        ]  # fmt: skip
        assert found[1][2] == "g u 1" and found[1][3:7] == (118, 90, 96, 82) and found[1][7] == "anna"
        assert [e for e in watched.errors if "net::ERR_" not in e] == [] and watched.foreign == []

        elsewhere = await page.context.new_page()  # the same person logs in anew beside it
        await elsewhere.goto(f"http://127.0.0.1:{free_port}/me")
        async with elsewhere.expect_navigation():
            await elsewhere.click("form[action='/log-out'] button")
        await elsewhere.goto(f"http://127.0.0.1:{free_port}/log-in")
        await elsewhere.fill("[name=name]", "anna")
        await elsewhere.fill("[name=password]", PASSWORD)
        await elsewhere.press("[name=password]", "Enter")
        await elsewhere.wait_for_selector("form[action='/log-out']")
        await page.keyboard.press("g")
        told = "() => document.querySelector('#told').textContent"
        await page.wait_for_function(f"{told}.includes('load this page again')")
        assert len(kept(tmp_path)) == 6 and await page.get_attribute("#stage", "data-no") == "1"

        phone = await open_review(open_page, free_port, "?blind=1", size=PHONE, dark=True)
        arrived = asyncio.Event()

        async def late(route: Any) -> None:
            await arrived.wait()
            await route.continue_()

        await phone.page.route("**/picture/1", late)
        await phone.page.reload(wait_until="domcontentloaded")  # "load" may want the picture, too
        await phone.page.wait_for_selector("#stage[data-no='1']")
        await phone.page.click("[data-label=good]")
        assert "not shown yet" in await phone.page.inner_text("#told") and len(kept(tmp_path)) == len(found)
        arrived.set()
        await phone.page.wait_for_function(SHOWN, arg="1")
        assert await phone.page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
        assert await phone.page.is_hidden("#said"), "the result is hidden until the label is given"
        box = await phone.page.locator("#stage").bounding_box()
        await phone.page.click("#draw")
        await phone.page.mouse.move(box["x"] + 100, box["y"] + 60)
        await phone.page.mouse.down()
        await phone.page.mouse.move(box["x"] + 200, box["y"] + 140)
        await phone.page.mouse.up()
        await phone.page.screenshot(path=shots / "review-phone.png", full_page=True)
        await phone.page.click("[data-label=unsure]")
        await phone.page.wait_for_function("() => !document.querySelector('#none').hidden")
        no, label, _, x, y, w, h, _ = kept(tmp_path)[-1]
        assert (no, label) == (1, "unsure") and 0 < x < 320 and 0 < y < 256 and w > 20 and h > 20
        assert phone.errors == []
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()
