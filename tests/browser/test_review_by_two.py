"""Two people review by keyboard alone: doubtful first, a dispute, taking back, a box and a note, a truth by serial.

What the page then says must be what SQL says of what is kept.
"""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest

from inspector.demo.parts import Kind
from inspector.office.person import Role
from tests.support.browser import Open, Watched, log_in
from tests.support.office import first_admin, make_hashes_cheap, someone
from tests.support.page import page_process, site_in
from tests.support.reviewing import REJECT, SAMPLE, Part, write_parts

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

SHOWN = "no => document.querySelector('#stage').dataset.shown === no"
# The one after this number, all of it, or that there is none: only then may a wait for a number be believed.
NEXT = """no => {
    const { dataset } = document.querySelector('#stage'), shot = document.querySelector('#shot');
    const drawn = shot.complete && shot.naturalWidth > 0 && dataset.shown === dataset.no;
    return !document.querySelector('#none').hidden || (dataset.no !== no && drawn);
}"""
LOOKED = "() => { const { no, shown } = document.querySelector('#stage').dataset; return no && no === shown; }"
TOLD = "text => document.querySelector('#told').textContent.includes(text)"
NOTE = "dust on the lens: it was there on the part before, too"
PARTS = [
    Part(Kind.SCRATCH, REJECT, serial="S1", confidence=0.55),
    Part(Kind.SCRATCH, REJECT, serial="S2", confidence=0.99),
    Part(Kind.DENT, REJECT, serial="S3", confidence=0.70),
    Part(Kind.DENT, REJECT, serial="S4", confidence=0.80),
    *(Part(Kind.GOOD, SAMPLE, serial=f"P{n}") for n in range(2)),
    *(Part(Kind.GOOD) for _ in range(6)),
]
# What stands of each person and part; settled where two people say the same of it.
SETTLED = """
    WITH newest AS (
        SELECT no, person, label, acceptable, queue, max(n) FROM office.labels
        WHERE n NOT IN (SELECT undone FROM office.label_undos) GROUP BY no, person
    )
    SELECT no, acceptable, queue FROM newest GROUP BY no, label HAVING count(*) >= 2
    """


async def press(seen: Watched, *keys: str) -> None:
    for key in keys:
        await seen.page.keyboard.press(key)


async def label(seen: Watched, no: int, key: str, told: str) -> None:
    """Label what is shown, which must be of this number; wait for what the page says to it, and for the next one."""
    await seen.page.wait_for_function(SHOWN, arg=str(no))
    await press(seen, key)
    await seen.page.wait_for_function(TOLD, arg=f"Record {no}:")
    assert told in await seen.page.inner_text("#told")
    await seen.page.wait_for_function(NEXT, arg=str(no))


def by_sql(run: Path) -> dict[str, str]:
    """The shares that the page must show, from the two databases alone."""
    db = apsw.Connection(str(run / "results.db"), flags=apsw.SQLITE_OPEN_READONLY)
    db.execute("ATTACH ? AS office", (str(run / "office.db"),))
    stand = "WHERE n NOT IN (SELECT undone FROM office.truth_undos)"
    truths = dict(db.execute(f"SELECT serial, good FROM office.truths {stand} ORDER BY n"))
    found: dict[str, list[int]] = {"reject": [], "sample": []}
    for no, acceptable, queue in db.execute(SETTLED):
        serial, code = db.execute("SELECT serial, published_code FROM inspections WHERE no = ?", (no,)).get
        if (code == 1) is (queue == "sample"):
            found[queue].append(truths.get(serial, acceptable))
    db.close()
    good, bad = found["reject"], found["sample"]
    return {
        "False-reject share": f"{100 * sum(good) / len(good):.2f} %",
        "Escapes": f"{100 * (len(bad) - sum(bad)) / len(bad):.2f} %",
    }


async def figures(seen: Watched) -> dict[str, str]:
    text: list[list[str]] = await seen.page.eval_on_selector_all(
        ".figures > div",
        "all => all.map(one => [one.querySelector('dt').textContent, one.querySelector('b').textContent])",
    )
    return {name: value.replace("\N{NO-BREAK SPACE}", " ") for name, value in text}


async def keyboard_truth(seen: Watched, serial: str) -> None:
    """Good, by a re-inspection: typed and tabbed, as the form has it."""
    await seen.page.focus("#truth [name=serial]")
    await seen.page.keyboard.type(serial)
    await press(seen, "Tab", "Tab", "ArrowDown", "Tab", "Tab", "Enter")
    await seen.page.wait_for_function("() => document.querySelector('#truth-told').textContent")


async def mistype_and_take_back(seen: Watched, shots: Path) -> None:
    """A truth of a serial that no part has: marked, taken back by keyboard, and struck through from then on."""
    await keyboard_truth(seen, "S33")
    row = seen.page.locator("#truths tbody tr").first
    await row.get_by_text("no part of this serial on record").wait_for()
    assert await seen.page.locator("#truths").get_by_text("no part of this serial").count() == 1, "S2 is a part's"
    await seen.page.screenshot(path=shots / "review-truths.png", full_page=True)
    await row.get_by_role("button", name="Take back, serial S33").focus()
    await press(seen, "Enter")
    await row.get_by_text("taken back by bo").wait_for()
    assert await row.locator("s").first.inner_text() == "S33" and await row.get_by_role("button").count() == 0
    assert "Taken back for serial S33" in await seen.page.inner_text("#truth-told")
    assert await seen.page.evaluate("document.activeElement.id") == "truths", "where what had the focus is gone"
    await seen.page.screenshot(path=shots / "review-truths-back.png", full_page=True)


async def test_two_people_settle_pictures_by_keyboard_and_the_figures_are_those_of_the_databases(
    tmp_path: Path, open_page: Open, shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    await write_parts(tmp_path, PARTS)
    site = site_in(tmp_path, two_people=True)
    async with page_process(site) as origin:
        await first_admin(site.office)
        for name in ("ida", "bo"):
            await someone(site.office, name, [Role.QUALITY])
        ida = await log_in(open_page, origin, "ida", "/review?first=suspects")
        assert await ida.page.inner_text("#count") and "Two people must agree" in await ida.page.inner_text("#wanted")
        await label(ida, 1, "g", "Another person is wanted")  # of what the model was least sure
        await press(ida, "z")
        await ida.page.wait_for_function(SHOWN, arg="1")
        await press(ida, "n")
        await ida.page.keyboard.type(NOTE)
        await press(ida, "Enter", "b", "ArrowRight", "Shift+ArrowDown", "Enter")
        await label(ida, 1, "g", "Another person is wanted")
        scratch = await ida.page.get_attribute("[data-label=scratch]", "data-key")
        dent = await ida.page.get_attribute("[data-label=dent]", "data-key")
        await label(ida, 3, dent or "", "Another person is wanted")
        await label(ida, 4, dent or "", "Another person is wanted")
        await label(ida, 2, scratch or "", "Another person is wanted")

        bo = await log_in(open_page, origin, "bo", "/review?first=suspects")
        await label(bo, 1, "g", "Settled")  # nothing tells who comes second what the first one said
        await label(bo, 3, dent or "", "Settled")
        await label(bo, 4, "g", "Disputed")
        await label(bo, 2, scratch or "", "Settled")
        for seen in (ida, bo):
            await seen.page.goto(f"{origin}/review?queue=sample")
            for _ in range(2):
                await seen.page.wait_for_function(LOOKED)
                no = await seen.page.get_attribute("#stage", "data-no")
                await label(seen, int(no or 0), "g", "")
        await keyboard_truth(bo, "S2")
        await mistype_and_take_back(bo, shots)
        await bo.page.goto(f"{origin}/review")
        shown, kept = await figures(bo), by_sql(tmp_path)
        assert kept == {name: shown[name] for name in kept} and kept["False-reject share"] == "66.67 %"
        # two of three settled rejects, S2 by its truth
        assert "1 disputed" in await bo.page.inner_text("main")
        await bo.page.screenshot(path=shots / "review-two.png", full_page=True)
        assert ida.errors == bo.errors == [] and ida.foreign == bo.foreign == []
        phone = await log_in(open_page, origin, "bo", "/part/1", size=(390, 844))
        assert NOTE in await phone.page.inner_text(".labels-said")
        assert await phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
        await phone.page.screenshot(path=shots / "review-part-phone.png", full_page=True)
    db = apsw.Connection(str(tmp_path / "office.db"))
    history = list(
        db.execute("SELECT label, note, w IS NOT NULL FROM labels WHERE no = 1 AND person = 'ida' ORDER BY n")
    )
    assert history == [("good", "", 0), ("good", NOTE, 1)], "what was taken back stays in the history"
    assert db.execute("SELECT count(*) FROM label_undos").get == 1
    told = "SELECT serial, source, good, truth_undos.person FROM truths LEFT JOIN truth_undos ON undone = n ORDER BY n"
    assert list(db.execute(told)) == [("S2", "reinspection", 1, None), ("S33", "reinspection", 1, "bo")]
    db.close()


async def test_a_key_that_is_held_down_labels_one_picture(
    tmp_path: Path, open_page: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_hashes_cheap(monkeypatch)
    await write_parts(tmp_path, [Part(Kind.DENT, REJECT) for _ in range(3)])
    site = site_in(tmp_path)
    async with page_process(site) as origin:
        await first_admin(site.office)
        await someone(site.office, "ida", [Role.QUALITY])
        ida = await log_in(open_page, origin, "ida", "/review")
        await ida.page.wait_for_function(SHOWN, arg="3")
        await ida.page.keyboard.down("g")
        await ida.page.wait_for_function(SHOWN, arg="2")
        await ida.page.keyboard.down("g")  # the browser tells a key that is down already as repeated
        await ida.page.keyboard.up("g")
        await press(ida, "u")
        await ida.page.wait_for_function(SHOWN, arg="1")
        assert ida.errors == []
    db = apsw.Connection(str(tmp_path / "office.db"), flags=apsw.SQLITE_OPEN_READONLY)
    assert list(db.execute("SELECT no, label FROM labels ORDER BY n")) == [(3, "good"), (2, "unsure")]
    db.close()
