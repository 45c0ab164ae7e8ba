"""What a person sees when a piece of a page cannot come, and what htmx may not do, in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inspector.office.person import Role
from tests.browser.test_maintenance_page import write_figures
from tests.support.browser import Open, log_in
from tests.support.office import PASSWORD, first_admin, make_hashes_cheap, someone
from tests.support.page import page_process, site_in

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

LINK = "tr[data-key=cpu_temp] th a"
COUNT_ANSWERS = """() => {
    window.answers = 0;
    document.body.addEventListener('htmx:afterOnLoad', () => { window.answers += 1; }); // swapped by then, or not
}"""
MARK = """() => {
    window.answers = 0;
    window.held = document.querySelector('tr[data-key=cpu_temp] th a');
    window.held.focus();
    getSelection().selectAllChildren(window.marked = window.held.closest('tr').querySelector('.limit'));
}"""
MARKED = """() => [document.activeElement === window.held,
    window.marked.isConnected && getSelection().containsNode(window.marked, true)]"""
# Each would set window.done if htmx evaluated it.
TRIED = """() => {
    const host = document.createElement('div');
    host.innerHTML = `<b id="tried" hx-on:click="window.done = 1" hx-get="/maintenance/measures" hx-target="#trend"
        hx-vals="js:{x: window.done = 2}" hx-trigger="click[window.done = 3]">x</b>
        <i hx-get="//evil.example/x" hx-trigger="load"></i>`;
    document.body.append(host);
    htmx.process(host);
    document.getElementById('tried').click();
}"""


async def test_a_log_in_that_ended_and_a_page_that_does_not_answer_are_told_in_place_and_nothing_is_evaluated(
    open_page: Open, tmp_path: Path, shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    write_figures(tmp_path)
    site = site_in(tmp_path)
    async with page_process(site) as origin:
        await first_admin(site.office)
        await someone(site.office, "Fitz", [Role.MAINTENANCE])
        seen = await log_in(open_page, origin, "Fitz", "/maintenance")
        page = seen.page
        assert await page.locator("style").count() == 0, "no styles of htmx's own"
        await page.click(LINK)
        await page.wait_for_selector("#trend canvas")
        assert seen.errors == [] and seen.foreign == []
        assert await page.evaluate("document.activeElement.closest('tr').dataset.key") == "cpu_temp"

        async def stranger(route: Any) -> None:
            await route.fulfill(status=200, content_type="text/html", body="<form>password <input></form>")

        for path, answer in (("**trend=disk_free", stranger), ("**trend=clock_offset", lambda route: route.abort())):
            await page.route(path, answer)
            await page.click(f"tr[data-key={path.partition('=')[2]}] th a")
            await page.wait_for_function("() => document.getElementById('notice').innerText.startsWith('No answer')")
            assert "password" not in await page.inner_text("body") and await page.is_visible("#trend canvas")
            await page.unroute(path)
            await page.click(LINK)
            await page.wait_for_selector("#notice", state="hidden")

        cookie = next(c for c in await page.context.cookies() if c["name"] == "inspector-local")
        await site.office.log_out(cookie["value"], "Fitz")
        await page.click(LINK)
        await page.wait_for_function(
            "() => document.getElementById('notice').innerText.startsWith('You are not logged in')"
        )
        await page.screenshot(path=shots / "logged-out.png")
        assert await page.locator("[type=password]").count() == 0 and await page.is_visible("#trend canvas")
        seen.errors.clear()
        await page.evaluate(TRIED)
        await page.wait_for_timeout(100)
        assert await page.evaluate("window.done") is None and seen.foreign == []
        await page.click("#notice a")
        await page.wait_for_url(f"{origin}/log-in?next=/maintenance%3Ftrend%3Dcpu_temp")


async def test_figures_that_are_not_told_any_more_turn_pale_until_they_are_again(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    write_figures(tmp_path)
    site = site_in(tmp_path)
    async with page_process(site) as origin:
        await first_admin(site.office)
        await someone(site.office, "Fitz", [Role.MAINTENANCE])
        seen = await log_in(open_page, origin, "Fitz", "/maintenance")
        page = seen.page
        await page.clock.install()
        await page.goto(f"{origin}/maintenance")
        (cookie,) = [one for one in await page.context.cookies() if one["name"] == "inspector-local"]
        await site.office.log_out(cookie["value"], "Fitz")
        await page.clock.run_for(11_000)
        await page.wait_for_function("() => document.getElementById('notice').innerText.startsWith('You are not')")
        assert await page.locator("#measures[data-old]").count() == 1, "they are of a moment ago"
        token = await site.office.log_in("Fitz", PASSWORD, "another tab")
        await page.context.add_cookies([{"name": cookie["name"], "value": token, "url": origin}])
        await page.clock.run_for(11_000)
        await page.wait_for_selector("#notice", state="hidden")
        assert await page.locator("[data-old]").count() == 0
        seen.errors.clear()


async def test_what_has_not_changed_stays_with_all_that_a_person_does_in_it(
    open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A piece that asks for itself anew and gets the same: what is marked or has the focus in it is what it was."""
    make_hashes_cheap(monkeypatch)
    write_figures(tmp_path)
    site = site_in(tmp_path)
    async with page_process(site) as origin:
        await first_admin(site.office)
        await someone(site.office, "Fitz", [Role.MAINTENANCE])
        seen = await log_in(open_page, origin, "Fitz", "/maintenance")
        page = seen.page
        told: list[str] = []

        async def answers(route: Any) -> None:
            told.append(told[-1] if told else await (await route.fetch()).text())
            await route.fulfill(status=200, headers={"x-piece": "1", "content-type": "text/html"}, body=told[-1])

        await page.route("**/maintenance/measures", answers)
        await page.clock.install()
        await page.goto(f"{origin}/maintenance")
        await page.evaluate(COUNT_ANSWERS)
        await page.clock.run_for(11_000)  # the page itself is none of the pieces: the first one takes its place
        await page.wait_for_function("() => window.answers > 0")
        await page.evaluate(MARK)
        await page.clock.run_for(11_000)  # beside the real one, which goes on: it may ask more than once
        await page.wait_for_function("() => window.answers > 0")
        assert await page.evaluate(MARKED) == [True, True], "focus and what is marked stay"
        told[-1] = told[-1].replace("</tbody>", "<tr><td>one more</td></tr></tbody>")
        await page.clock.run_for(11_000)
        await page.wait_for_selector("#measures >> text=one more")
        assert await page.evaluate(MARKED) == [False, False]
        assert seen.errors == []
