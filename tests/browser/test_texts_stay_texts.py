"""Whatever a lot, a serial, a class, a note or an alarm is called: no screen takes it for a part of the page."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import apsw
import pytest

from inspector.core.alarm_kinds import KINDS
from inspector.office.settling import Box, NewTruth, Queue, Source
from inspector.web.site import Site
from tests.support.disks import quick_folder
from tests.support.looking import opened
from tests.support.office import make_hashes_cheap
from tests.support.page import page_process, site_in, until
from tests.support.reviewing import said
from tests.support.screens import furnish, screens_of, who_sees_all

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

CLASS = "'><img src=x onerror=window.taken=1>"  # of the letters that the name of a class may have
EVIL = f'"{CLASS}'
HIDDEN = "&quot;&gt;&lt;svg onload=window.taken=1&gt;"  # for who unescapes once too often
TOLD = {"/", "/history", "/part/3", "/review", "/collect", "/alarms", "/storage"}  # screens that show such texts
FOUND = """() => ({
    taken: window.taken ?? 0,
    made: document.querySelectorAll('img[src="x"], [onerror], [onload]').length,
    told: document.documentElement.outerHTML.includes('onerror=window.taken'),
})"""


def name_everything(run: Path) -> None:
    """All that the line's record holds of free text."""
    now = int(time.time() * 1000)
    with apsw.Connection(str(run / "results.db")) as db:
        db.execute(
            "UPDATE inspections SET lot = ?1, serial = ?1 || no, label = ?1, station = ?1, bundle_id = ?1", (EVIL,)
        )
        db.execute("INSERT INTO lot_holds (lot, held, actor, reason, utc_ms) VALUES (?1, 1, ?1, ?1, ?2)", (EVIL, now))
        db.execute("UPDATE inspections SET serial = ? WHERE no = 4", (HIDDEN,))
    db.close()


async def label_everything(site: Site) -> None:
    desk = site.desk
    assert desk is not None
    for no in (1, 3):
        await desk.labels.add(said(no, CLASS, note=EVIL, box=Box(1, 2, 3, 4), person=EVIL, ticket=f"a{no}"))
        await desk.labels.add(said(no, CLASS, note=HIDDEN, queue=Queue.COLLECT, ticket=f"b{no}"))
    await desk.labels.add_truth(NewTruth(f"{EVIL}3", Source.COMPLAINT, False, EVIL, EVIL))


def alarm() -> dict[str, Any]:
    kind = next(kind for kind in KINDS.values() if kind.params)
    now = int(time.time() * 1000)
    return {
        "id": EVIL, "key": kind.key, "params": dict.fromkeys(kind.params, EVIL), "cause": EVIL, "actor": EVIL,
        "priority": kind.priority, "phase": "unacknowledged", "event": "raised", "since_utc_ms": now,
        "changed_utc_ms": now, "shelved_until_utc_ms": None, "shelved_by": "", "shelved_why": "",
    }  # fmt: skip


async def test_no_text_of_people_lines_or_models_becomes_a_part_of_a_page(
    browser: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    with quick_folder() as run:
        daemon = await furnish(run)
        name_everything(run)
        daemon.changes = dict.fromkeys(("station", "product", "recipe", "bundle_id"), EVIL)
        daemon.changes["alarm_list"] = [alarm()]
        site = site_in(run)
        await label_everything(site)
        await daemon.start()
        async with page_process(site) as origin:
            await until(lambda: site.feed.ready)
            token = await who_sees_all(site)
            addresses = [screen.address for screen in await screens_of(site, token) if screen.known]
            addresses += [f"{page}?{key}={EVIL}" for page, key in (
                ("/history", "lot"), ("/history", "from"), ("/storage", "lot"), ("/controls", "station"),
                ("/timing", "station"), ("/maintenance", "trend"), ("/review", "queue"),
            )] + [f"/help/alarm/{EVIL}", f"/{EVIL}"]  # fmt: skip
            page, _ = await opened(browser, origin, token, "en")
            told = set[str]()
            for address in addresses:
                await page.goto(origin + address, wait_until="load")
                if address in TOLD:
                    await page.wait_for_function(f"() => ({FOUND})().told")
                    told.add(address)
                await page.wait_for_timeout(120)  # what else the screen's script asks for is drawn
                found = await page.evaluate(FOUND)
                assert (found["taken"], found["made"]) == (0, 0), address
            assert told == TOLD, TOLD - told
            await page.context.close()
        await daemon.stop()
