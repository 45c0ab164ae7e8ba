"""The real daemon and PLC, the page in a real browser: the numbers are those of SQL, before and after a reset."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from inspector.demo.parts import Kind
from inspector.web.site import Site
from plc.sim import NewPart
from tests.support.browser import Open
from tests.support.counted import counted
from tests.support.live_line import START_S, LiveLine, live_line, parts_of
from tests.support.office import PASSWORD, make_hashes_cheap
from tests.support.page import page_process, site_in

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
IDS = {"triggers": "total", "plc": "plc", **{n: n for n in ("pass", "fail", "uncertain", "not_inspected", "test")}}


@pytest_asyncio.fixture(loop_scope="module")
async def line(tmp_path: Path) -> AsyncIterator[LiveLine]:
    async with live_line(tmp_path) as line:
        line.configure()
        await line.start()
        good, bad = parts_of(Kind.GOOD), parts_of(Kind.EMPTY)
        lots = ["A", "A", "B", "B", "B"]
        await line.sim.play([NewPart(next(bad if n % 2 else good), lot=lot) for n, lot in enumerate(lots)])
        # What the PLC was told of the last one is committed after it has its result.
        assert await line.until(lambda: counted(line.db, lambda r: True)["triggers"] == len(lots), START_S)
        yield line


@pytest.fixture
def site(line: LiveLine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    make_hashes_cheap(monkeypatch)
    state = line.folder / "state"
    return site_in(tmp_path / "run", results_db=line.db, archive=state / "pictures", office=tmp_path / "office")


async def shows(page: Any, scope: str, wanted: Mapping[str, int]) -> None:
    """Choose a count by its button; wait until the screen shows these numbers."""
    await page.check(f"input[value={scope}]")
    told = {f"#count-{IDS[name]}": str(n) for name, n in wanted.items()}
    ask = "told => Object.entries(told).every(([id, n]) => document.querySelector(id).textContent === n)"
    await page.wait_for_function(ask, arg=told, timeout=60_000)


async def test_the_numbers_on_the_screen_are_those_of_sql_and_a_person_begins_a_new_count(
    line: LiveLine, site: Site, open_page: Open, shots: Path
) -> None:
    token = await site.office.begin_first(await site.office.first_code() or "", "Anna", PASSWORD, "setup")
    async with page_process(site) as origin:
        seen = await open_page(origin)
        await seen.page.context.add_cookies([{"name": "inspector-local", "value": token, "url": origin}])
        await seen.page.reload()
        for scope, of in (("lot", lambda r: r["running_lot"] == "B"), ("reset", lambda r: True)):
            wanted = counted(line.db, of)
            await shows(seen.page, scope, {**wanted, "plc": wanted["triggers"]})
        strip = await seen.page.evaluate(
            "[...document.querySelectorAll('#strip .thumb')].map(a => [a.dataset.no, a.dataset.sign])"
        )
        signs = {1: "pass", 2: "fail", 3: "fail", 4: "fault"}
        assert strip == [[str(r["no"]), signs[r["published_code"]]] for r in reversed(line.checked())]
        await seen.page.screenshot(path=shots / "line-counts.png")

        await seen.page.click("#reset")
        await seen.page.fill("#reset-form input", "new coil")
        await seen.page.screenshot(path=shots / "line-reset.png")
        await seen.page.click("#reset-form .main")
        await seen.page.wait_for_selector("#reset-dialog", state="hidden")
        await shows(seen.page, "reset", dict.fromkeys(IDS, 0))
        await shows(seen.page, "lot", counted(line.db, lambda r: r["running_lot"] == "B"))
        await seen.page.reload()
        assert await seen.page.is_checked("input[value=lot]"), "this browser remembers what was chosen"
        assert seen.errors == [] and seen.foreign == []
        await seen.page.close()
