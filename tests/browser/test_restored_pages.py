"""A restored box in a browser: the record names pictures that no backup holds, and no screen shows a hole."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from inspector.demo.parts import Kind
from tests.support.browser import Open, log_in
from tests.support.fake_daemon import FakeDaemon
from tests.support.office import PASSWORD, make_hashes_cheap
from tests.support.page import page_process, site_in
from tests.support.record import Entry, write_record

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]
DRAWN = "() => { const all = [...document.querySelectorAll('#strip img[src]')];"
DRAWN += " return all.length > 1 && all.every((one) => one.complete && one.naturalWidth); }"


@pytest.mark.parametrize(("size", "dark"), [((1280, 800), False), ((390, 844), True)], ids=["wide", "phone"])
async def test_filmstrip_history_part_and_review_show_calmly_that_pictures_are_not_kept(
    tmp_path: Path, open_page: Open, shots: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], dark: bool
) -> None:
    make_hashes_cheap(monkeypatch)
    name = "phone" if dark else "wide"
    await write_record(tmp_path, [Entry(n, Kind.DENT if n % 2 else Kind.GOOD) for n in range(1, 31)])
    shutil.rmtree(tmp_path / "pictures")
    daemon, site = FakeDaemon(tmp_path), site_in(tmp_path)  # nothing in its memory: the strip comes from the record
    daemon.changes["station"] = "st1"
    await daemon.start()
    try:
        async with page_process(site) as origin:
            await site.office.begin_first(await site.office.first_code() or "", "anna", PASSWORD, "setup")
            watched = await log_in(open_page, origin, "anna", size=size, dark=dark)
            page = watched.page
            await page.wait_for_function(DRAWN)
            await page.screenshot(path=shots / f"restored-line-{name}.png")
            for path in ("history", "review", "part/3"):
                await page.goto(f"{origin}/{path}")
                await page.wait_for_load_state("networkidle")
                await page.screenshot(path=shots / f"restored-{path.replace('/', '-')}-{name}.png")
            assert "a backup holds no pictures" in await page.inner_text("#shot")
            assert watched.errors == [] and watched.foreign == []
    finally:
        await daemon.stop()
