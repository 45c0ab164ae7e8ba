"""What maintenance does on its page, in a real browser."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import pytest

from inspector.backup import shelf
from inspector.backup.places import wanted_file
from inspector.office.person import Role
from inspector.store.regain import own_folder
from tests.support.browser import Open, log_in
from tests.support.figures import write_figures
from tests.support.office import first_admin, make_hashes_cheap, someone
from tests.support.page import page_process, site_in

NOTE_WHAT_IS_DRAWN = """
  window.drawn = [];
  const pen = CanvasRenderingContext2D.prototype, { fillText, moveTo, lineTo } = pen;
  let from = 0;
  pen.fillText = function (text, ...at) {
    drawn.push({ text, ink: this.fillStyle, align: this.textAlign });
    return fillText.call(this, text, ...at);
  };
  pen.moveTo = function (x, y) { from = x; return moveTo.call(this, x, y); };
  pen.lineTo = function (x, y) {
    if (this.getLineDash().length) drawn.push({ dashed: x - from, ink: this.strokeStyle });
    return lineTo.call(this, x, y);
  };
"""

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


async def test_maintenance_sees_what_nears_its_limit_and_asks_for_a_backup_and_a_support_bundle(
    open_page: Open, tmp_path: Path, shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    run, stick = tmp_path / "run", tmp_path / "stick"
    run.mkdir()
    stick.mkdir()
    write_figures(run)
    own_folder(run).mkdir()
    (own_folder(run) / "last.json").write_text(
        '{"ok": true, "utc_ms": 1790000000000, "size": 48200000, "took_s": 31.4, "left_out": ["/etc/plc.key: a key"]}'
    )
    for hours in (3, 27, 51):
        name = shelf.name_of(time.time_ns() // 1_000_000 - hours * 3_600_000, encrypted=False)
        (stick / name).write_bytes(b"x" * 48_200)
    site = site_in(run, backups=stick)
    async with page_process(site) as origin:
        await first_admin(site.office)
        await someone(site.office, "Fitz", [Role.MAINTENANCE])
        seen = await log_in(open_page, origin, "Fitz")
        page = seen.page
        assert page.url == origin + "/"
        await page.add_init_script(NOTE_WHAT_IS_DRAWN)
        await page.click("nav a >> text=Maintenance")
        assert await page.inner_text("tr[data-key=cpu_temp] .mark") == "Alarm"
        await page.screenshot(path=shots / "maintenance-light.png", full_page=True)
        await page.emulate_media(color_scheme="dark")
        await page.click("tr[data-key=disk_free] th a")
        await page.wait_for_selector("#plot canvas")
        await page.click(".spans a >> nth=0")
        await page.wait_for_selector(".spans a[aria-current] >> text=24 hours")
        await page.wait_for_selector("#plot canvas")
        assert "at least 0.50" in await page.inner_text("#plot-limits")
        await page.screenshot(path=shots / "maintenance-dark.png", full_page=True)
        await _see_the_limit(page)
        await page.click("text=Back up now")
        await page.wait_for_selector("text=A backup was asked for")
        assert wanted_file(site.settings.office).read_text() == "Fitz\n"
        os.utime(wanted_file(site.settings.office), (time.time() - 75,) * 2)
        await page.wait_for_selector("text=nobody takes it")
        assert "inspector-backup.path" in await page.inner_text("#backups [role=alert]")
        async with page.expect_download() as begun:
            await page.click("text=Download the support bundle")
        assert (await (await begun.value).path()).read_bytes().startswith(b"PK")
        await page.set_viewport_size({"width": 390, "height": 844})
        await page.click("a.language[lang=zh]")
        await page.wait_for_selector("html[lang=zh]")
        await page.screenshot(path=shots / "maintenance-phone.png", full_page=True)
        assert await page.evaluate("document.documentElement.scrollWidth") <= 390
        assert seen.errors == [] and seen.foreign == []


async def _see_the_limit(page: Any) -> None:
    """A dashed line from left to right, and its words, in the ink of each scheme."""
    for scheme, ink in (("light", "#1c2226"), ("dark", "#e3e7e9")):
        await page.emulate_media(color_scheme=scheme)
        wanted = {"words": "at least 0.50\N{NO-BREAK SPACE}GB", "ink": ink}
        await page.wait_for_function(
            """w => drawn.some((d) => d.text === w.words && d.ink === w.ink && d.align === 'left')
                && drawn.some((d) => d.dashed > 500 && d.ink === w.ink)""",
            arg=wanted,
        )
