"""Accounts as a person comes to them, in a real browser: its own Origin and Sec-Fetch headers, its own cookies."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.browser import Open
from tests.support.office import PASSWORD, make_hashes_cheap
from tests.support.page import page_process, site_in

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_from_first_start_to_a_second_person_by_forms_alone(
    open_page: Open, tmp_path: Path, shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    site = site_in(tmp_path)
    async with page_process(site) as origin:
        seen = await open_page(origin, "/log-in")
        page = seen.page
        assert page.url.endswith("/first-start")
        await page.screenshot(path=shots / "first-start.png", full_page=True)
        await page.fill("[name=code]", (await site.office.first_code() or "").lower())
        await page.fill("[name=name]", "Anna")
        await page.fill("[name=password]", PASSWORD)
        await page.fill("[name=again]", PASSWORD)
        await page.press("[name=again]", "Enter")
        await page.wait_for_url("**/admin")
        await page.fill("form[action='/admin/people'] [name=name]", "Boris")
        await page.check("form[action='/admin/people'] [value=quality]")
        await page.click("form[action='/admin/people'] > button")
        code = await page.inner_text(".code-text")
        assert re.fullmatch(r"[A-Z2-9]{4}(-[A-Z2-9]{4}){3}", code)
        await page.screenshot(path=shots / "admin.png", full_page=True)
        await page.click(".who button")
        await page.wait_for_url(origin + "/")
        assert await page.inner_text(".who") == "Log in"

        phone = await open_page(origin, "/new-password", size=(390, 844), dark=True)
        for name, value in (("name", "Boris"), ("code", code), ("password", PASSWORD), ("again", PASSWORD)):
            await phone.page.fill(f"[name={name}]", value)
        await phone.page.screenshot(path=shots / "new-password.png", full_page=True)
        await phone.page.press("[name=again]", "Enter")
        await phone.page.wait_for_url(origin + "/")
        await phone.page.click(".who a")
        await phone.page.wait_for_url("**/me")
        await phone.page.screenshot(path=shots / "me.png", full_page=True)
        width = await phone.page.evaluate("document.documentElement.scrollWidth")
        assert width <= 390
        assert seen.errors == phone.errors == [] and seen.foreign == phone.foreign == []
