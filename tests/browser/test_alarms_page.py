"""Somebody sees to alarms, in a real browser and in both languages."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inspector.core.alarm_kinds import Kind
from inspector.demo.parts import Kind as Drawn
from tests.support.alarms import alarming
from tests.support.browser import Open, log_in
from tests.support.office import PASSWORD
from tests.support.page import page_process, site_in, until
from tests.support.shown import LONG_MS

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

PHONE = (390, 844)
# They come with the next status, the list by a question of its own.
COUNTED = """(count) => ['#unheeded', '#alarms-count'].every((id) => document.querySelector(id).innerText === count)"""
TEXT = "([id, text]) => document.querySelector(id)?.innerText.includes(text)"


async def test_a_person_acknowledges_and_shelves_alarms_in_both_languages_and_a_visitor_only_looks(
    tmp_path: Path, open_page: Open, shots: Path
) -> None:
    async with alarming(tmp_path) as daemon:
        daemon.part(Drawn.GOOD)
        daemon.look(Kind.GAP, Kind.NEGATIVES)
        site = site_in(tmp_path)
        async with page_process(site) as origin:
            await until(lambda: len(site.feed.status.get("alarm_list", ())) == 3)
            await site.office.begin_first(await site.office.first_code() or "", "anna", PASSWORD, "setup")
            watched = await log_in(open_page, origin, "anna")
            page = watched.page

            await page.wait_for_function(TEXT, arg=["#alarms", "Check the camera's cable and power"])
            assert "The camera does not work: link lost within 2 s" in await page.inner_text("#alarms")
            await page.wait_for_function(COUNTED, arg="3")
            await page.screenshot(path=shots / "alarms-line.png")
            await page.click("[data-do=ack][data-id=camera]")
            await page.wait_for_function(TEXT, arg=["#alarms", "Acknowledged by anna"])
            await page.wait_for_function(COUNTED, arg="2")
            assert not daemon.health.state().ready

            await page.click("[data-do=shelve][data-id=gap]")
            await page.screenshot(path=shots / "alarms-shelve.png")
            await page.fill("#shelve-why", "PLC is being changed")
            await page.select_option("#shelve-minutes", "60")
            await page.click("#shelve .main")
            await page.wait_for_selector("#alarms [data-id=gap]", state="detached")
            await page.wait_for_function(TEXT, arg=["#shelved-count", "Shelved: 1"])

            await page.click("nav a[lang=zh]")
            await page.click("nav a[href='/alarms']")
            await page.wait_for_function(TEXT, arg=["#shelved", "anna：PLC is being changed"])
            await page.wait_for_function(TEXT, arg=["#alarms", "anna 已确认"])
            await page.wait_for_function(TEXT, arg=["#record", "搁置至"])
            await page.screenshot(path=shots / "alarms-zh.png", full_page=True)
            await page.click("[data-do=unshelve][data-id=gap]")
            await page.wait_for_selector("#alarms [data-id=gap]")
            await page.wait_for_function(TEXT, arg=["#record", "结束搁置"])
            await page.keyboard.press("Tab")
            await page.focus("[data-do=ack][data-id=negatives]")
            await page.keyboard.press("Enter")
            await page.wait_for_selector("[data-id=negatives][data-phase=acknowledged]")
            assert watched.errors == [] and watched.foreign == []

            visitor = await open_page(origin, "/alarms", size=PHONE, dark=True)
            await visitor.page.wait_for_selector("#alarms [data-id=gap]")
            assert await visitor.page.locator("[data-do]").count() == 0
            assert "Log in to acknowledge" in await visitor.page.inner_text("main")
            assert await visitor.page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
            await visitor.page.screenshot(path=shots / "alarms-phone.png", full_page=True)
            assert visitor.errors == [] and visitor.foreign == []


async def test_without_scripts_an_alarm_is_shelved_by_a_plain_form(tmp_path: Path, browser: Any, shots: Path) -> None:
    async with alarming(tmp_path) as daemon:
        daemon.look(Kind.GAP)
        site = site_in(tmp_path)
        async with page_process(site) as origin:
            await until(lambda: "gap" in [alarm["id"] for alarm in site.feed.status.get("alarm_list", ())])
            token = await site.office.begin_first(await site.office.first_code() or "", "anna", PASSWORD, "setup")
            for size in ((1280, 800), PHONE):
                context = await browser.new_context(
                    viewport={"width": size[0], "height": size[1]}, java_script_enabled=False
                )
                await context.add_cookies([{"name": "inspector-local", "value": token, "url": origin}])
                context.set_default_timeout(LONG_MS)
                page = await context.new_page()
                await page.goto(f"{origin}/alarms")
                await page.click("[data-do=shelve][data-id=gap]")
                await page.wait_for_url(f"{origin}/alarms?shelve=gap")
                assert "ids are missing: 3" in await page.inner_text("#shelve-what")
                await page.screenshot(path=shots / f"alarms-shelve-plain-{size[0]}.png")
                await page.click("#shelve-cancel")
                await page.wait_for_selector("#shelve", state="hidden")
                assert not daemon.alarm("gap")["shelved_by"]
                await page.click("[data-do=shelve][data-id=gap]")
                await page.fill("#shelve-why", "PLC is being changed")
                await page.select_option("#shelve-minutes", "60")
                await page.click("#shelve .main")
                await page.wait_for_url(f"{origin}/alarms")
                assert daemon.alarm("gap")["shelved_why"] == "PLC is being changed"
                await until(lambda: any(alarm["shelved_by"] for alarm in site.feed.status["alarm_list"]))
                await page.reload()  # it is drawn of the daemon's last word
                async with page.expect_navigation():
                    await page.click("#shelved [data-do=unshelve][data-id=gap]")
                assert not daemon.alarm("gap")["shelved_by"]
                await until(lambda: not any(alarm["shelved_by"] for alarm in site.feed.status["alarm_list"]))
                answer = await page.goto(f"{origin}/alarms?shelve=gone")
                assert answer.status == 404 and "the alarm has changed" in await page.inner_text("#alarms-told")
                await context.close()
