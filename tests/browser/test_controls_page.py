"""A controls engineer at the box: sees both register images, forces a value, and plays a line without a PLC."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import pytest

from inspector.control import connect_control
from inspector.office.person import Role
from inspector.web.site import Site
from plc.registers import Status
from tests.support.browser import Open, Watched, log_in
from tests.support.live_line import LiveLine, live_line
from tests.support.office import PASSWORD, make_hashes_cheap
from tests.support.page import page_process, site_in, until

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

PHONE = (390, 844)
STATE = "wanted => document.querySelector('#state').dataset.state === wanted"
OUTCOME = "wanted => document.querySelector('#outcome').dataset.state === wanted"
BEGUN = "() => ['starting', 'running'].includes(document.querySelector('#outcome').dataset.state)"
FITS = "() => document.documentElement.scrollWidth <= window.innerWidth"
POST = """what => fetch(`/controls/${what}`, {
  method: 'POST', body: '{"name": "STATUS.ERROR", "value": "1"}',
  headers: {'x-csrf-token': document.querySelector('meta[name="csrf"]').content},
}).then(async answer => [answer.status, await answer.text()])"""
WAIT_MS = 110_000  # for a twin to start, on two cores that others use as well


@contextlib.asynccontextmanager
async def scanning(line: LiveLine) -> Any:
    """The PLC's program runs while people do something else."""
    task = asyncio.create_task(line.sim.idle_for(600), name="plc scans")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def open_controls(open_page: Open, origin: str, **more: Any) -> Watched:
    return await log_in(open_page, origin, "ida", "/controls", **more)


async def make_ida(site: Site) -> None:
    """An admin, and Ida, whose role is controls."""
    await site.office.begin_first(await site.office.first_code() or "", "anna", PASSWORD, "setup")
    _, code = await site.office.add("anna", "ida", [Role.CONTROLS])
    await site.office.choose_password("ida", code, PASSWORD, "setup")


async def test_an_engineer_finds_a_wire_and_plays_a_line_without_a_plc(
    tmp_path: Path, open_page: Open, shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    async with live_line(tmp_path) as line:
        line.configure()
        await line.start()
        await line.ready(60)
        await line.good()
        site = site_in(tmp_path / "run", results_db=tmp_path / "state" / "results.db", office=tmp_path / "office")
        await make_ida(site)
        async with page_process(site) as origin:
            async with scanning(line):
                watched = await open_controls(open_page, origin)
                page = watched.page
                asked: list[str] = []
                page.once(
                    "dialog", lambda dialog: (asked.append(dialog.message), asyncio.ensure_future(dialog.dismiss()))
                )
                await page.wait_for_function(STATE, arg="online")
                await page.wait_for_selector("[data-name=STATUS] [data-bit=TRIGGER_READY][data-on]")
                assert await page.is_disabled("#force button") and await page.is_disabled("#run-start")
                status, text = await page.evaluate(POST, "force")
                assert status == 409 and "not offline" in text
                assert await page.evaluate(FITS)
                await page.screenshot(path=shots / "controls.png", full_page=True)

                await page.focus("#offline")
                await page.keyboard.press("Enter")
                assert len(asked) == 1 and "No part is inspected from then on" in asked[0]
                assert await page.text_content("#told") == "", "who says no changes nothing"
                page.on("dialog", lambda dialog: asyncio.ensure_future(dialog.accept()))
                await page.keyboard.press("Enter")
                await page.wait_for_function(STATE, arg="offline")
                await page.select_option("#force select", "STATUS.ERROR")
                await page.click("#force button")
                await page.wait_for_selector("#forced:not([hidden]) li")
                assert "FORCED" in await page.inner_text("#forced") and await page.is_visible("#forced .sign")
                assert "ida" in await page.inner_text("#forced-text")
                await page.wait_for_selector("[data-name=STATUS] [data-bit=ERROR][data-on][data-forced]")
                await until(lambda: line.sim.stat()["STATUS"] & Status.ERROR)
                await page.fill("#edges-name", "status.error")
                await page.wait_for_function("() => document.querySelectorAll('#edges-body tr').length >= 1")
                cells = await page.locator("#edges-body tr").first.locator("td").all_inner_texts()
                assert cells[2:] == ["STAT.STATUS.ERROR", "0", "1"] and len(cells[0]) == len("2026-11-26 03:45:12.123")
                await page.screenshot(path=shots / "controls-forced.png", full_page=True)

                before = (await line.status())["counts"]  # a part is counted a moment after its result
                await page.select_option("#run select", "10")
                await page.click("#run-start")
                await page.wait_for_function("() => !document.querySelector('#outcome').hidden")
                await page.wait_for_function(OUTCOME, arg="done", timeout=WAIT_MS)
                assert await page.is_visible("#outcome-agree") and await page.is_hidden("#outcome-differ")
                figures = await page.locator("#outcome-figures dd").all_inner_texts()
                assert figures[:4] == ["10", "10", "10", "0"]
                async with connect_control(tmp_path / "run" / "control.sock", "test") as control:
                    summary = (await control.call("dry_run", {}))["summary"]
                assert summary["pass"] > 0 and summary["parts"] == 10
                assert (await line.status())["counts"] == before, "nothing of it is this line's"
                await page.screenshot(path=shots / "controls-run.png", full_page=True)

                phone = await open_controls(open_page, origin, size=PHONE, dark=True)
                await phone.page.goto(f"{origin}/language/zh?to=/controls")
                await phone.page.wait_for_function(STATE, arg="offline")
                assert await phone.page.evaluate(FITS)
                await phone.page.screenshot(path=shots / "controls-phone.png", full_page=True)

                await page.select_option("#run select", "1000")
                await page.click("#run-start")
                await page.wait_for_function(BEGUN)
                await page.click("#online")
                await page.wait_for_function(OUTCOME, arg="aborted")
                await page.wait_for_function(STATE, arg="online")
                await page.wait_for_selector("#forced", state="hidden")
                await until(lambda: not line.sim.stat()["STATUS"] & Status.ERROR)
            await line.ready()
            assert (await line.good()).verdict == "good"
            assert len(line.checked()) == 2
            assert [e for e in watched.errors if "409" not in e] == [] and watched.foreign == []
            assert phone.errors == [] and phone.foreign == []
