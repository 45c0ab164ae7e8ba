"""What is kept, and lots on hold, as a person of quality comes to it in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.control import ControlServer
from inspector.office.person import Role
from inspector.store.shelf import Bounds
from tests.support.browser import Open, log_in
from tests.support.fake_daemon import unrecorded
from tests.support.keeping import keeping
from tests.support.office import first_admin, make_hashes_cheap, someone
from tests.support.page import page_process, site_in
from tests.support.store import FAIL, PASS

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
GB = 10**9


async def test_a_lot_is_put_on_hold_and_released_and_all_fits_a_panel_and_a_phone(
    open_page: Open, tmp_path: Path, shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    site = site_in(tmp_path)
    async with keeping(tmp_path, Bounds(min_free_bytes=GB), pass_share=1.0) as box, page_process(site) as origin:
        server = ControlServer(tmp_path / "control.sock", box.retention.handlers(), unrecorded)
        await server.start()
        for seq in range(1, 9):
            await box.part(seq, FAIL if seq % 2 else PASS, (120, 160), lot="L-2026-47")
        await box.written()
        await box.retention._measure()
        await box.ask("hold_lot", lot="L-2026-31", reason="complaint 17, its parts are being measured again")
        await first_admin(site.office)
        await someone(site.office, "Quinn", [Role.QUALITY])

        seen = await log_in(open_page, origin, "Quinn", "/part/1")
        page = seen.page
        assert page.url == origin + "/part/1"
        await page.click("text=Put this lot on hold")
        await page.wait_for_url("**/storage?lot=L-2026-47")
        await page.fill(".fields [name=reason]", "dents after the tool change")
        await page.click(".fields button")
        await page.wait_for_selector("text=dents after the tool change")
        await page.screenshot(path=shots / "storage.png", full_page=True)
        await page.wait_for_function("() => document.querySelectorAll('.holds tbody tr').length === 2")
        await page.goto(origin + "/part/1")
        assert "by Quinn: dents" in await page.inner_text("main")
        await page.goto(origin + "/storage")
        row = page.locator(".holds tr", has_text="L-2026-47")
        await row.locator("[name=reason]").fill("measured, all good")
        await row.locator("button").click()
        await page.wait_for_selector(".holds tbody tr:only-child")

        cookies = await page.context.cookies()
        for size, dark, language in (((390, 844), True, "zh"), ((1280, 800), True, "en"), ((390, 844), False, "en")):
            other = await open_page(origin, "/healthz", size=size, dark=dark)
            await other.page.context.add_cookies(cookies)
            await other.page.goto(f"{origin}/language/{language}")
            await other.page.goto(f"{origin}/storage")
            await other.page.click("summary")
            await other.page.screenshot(path=shots / f"storage-{size[0]}-{dark}-{language}.png", full_page=True)
            assert await other.page.evaluate("document.documentElement.scrollWidth") <= size[0]
            assert other.errors == other.foreign == []
        assert seen.errors == seen.foreign == []
        await server.close()
