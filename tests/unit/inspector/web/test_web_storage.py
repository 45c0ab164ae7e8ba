"""The page of what is kept: figures of the daemon, lots on hold by whom and why, and what a part page says of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import apsw
import pytest

from inspector.backup.make import _note as note_run
from inspector.control import ControlServer
from inspector.office.person import Role
from inspector.store.farewell import Month, note
from inspector.store.record_files import seen
from inspector.store.regain import own_folder
from inspector.web.reviewed import ReviewTeller
from inspector.web.site import Site
from inspector.web.storage import size
from tests.support.box import MONTH, file_a_month
from tests.support.fake_daemon import unrecorded
from tests.support.keeping import Keeping, keeping
from tests.support.labels import open_labels, undo_last
from tests.support.reviewing import said
from tests.support.visitors import people_of


@asynccontextmanager
async def daemon_in(run: Path) -> AsyncIterator[Keeping]:
    """What keeps pictures, behind its control socket, in the folder of the page."""
    async with keeping(run) as box:
        server = ControlServer(run / "control.sock", box.retention.handlers(), unrecorded)
        await server.start()
        try:
            yield box
        finally:
            await server.close()


async def test_the_page_lists_months_that_lie_here_are_damaged_or_were_let_go(site: Site, tmp_path: Path) -> None:
    async with daemon_in(tmp_path) as box, people_of(site, [[Role.MAINTENANCE]]) as (person,):
        await box.part(1)
        assert "No month is past yet" in (await person.get("/storage")).text
        file_a_month(tmp_path / "results.db")
        (tmp_path / "results-2024-11.db").write_bytes(b"noise" * 1000)
        gone = Month("2024-10", tmp_path, "00" * 32, 123_456, 9_000_000, (), frozenset())
        with apsw.Connection(str(tmp_path / "results.db")) as db:
            note(db, gone, "root at the box", "on the <server>", 1_780_000_000_000)
        shown = (await person.get("/storage")).text
        assert MONTH in shown and "2024-11" in shown and shown.count(">damaged<") == 1
        assert "123,456" in shown and "on the &lt;server&gt;" in shown


@pytest.mark.parametrize("who", ["daemon", "backup"])
async def test_what_the_daemon_or_a_backup_found_damaged_is_marked_and_what_was_set_aside_is_named(
    site: Site, tmp_path: Path, who: str
) -> None:
    async with daemon_in(tmp_path) as box, people_of(site, [[Role.MAINTENANCE]]) as (person,):
        await box.part(1)
        file_a_month(tmp_path / "results.db")
        month = tmp_path / f"results-{MONTH}.db"
        assert ">damaged<" not in (await person.get("/storage")).text
        if who == "daemon":
            box.retention.damaged = (month.name,)
        else:
            note_run(own_folder(tmp_path), {"ok": True, "damaged": {month.name: list(seen(month))}})
        aside = tmp_path / "results-2024-11.broken-20261126T153234Z.db"
        aside.write_bytes(b"noise")
        shown = (await person.get("/storage")).text
        assert shown.count(">damaged<") == 1 and aside.name in shown


async def test_quality_puts_a_lot_on_hold_and_releases_it_and_the_page_says_who_and_why(site: Site, tmp_path) -> None:
    async with daemon_in(tmp_path) as box, people_of(site, [[Role.QUALITY], [Role.OPERATOR]]) as (quality, operator):
        await box.part(1, lot="L-7")
        await box.written()
        await box.retention._measure()
        empty = (await quality.get("/storage")).text
        assert "No lot is on hold" in empty and "Rejects" in empty and "GB" in empty
        assert "Put this lot on hold" in (await quality.get("/part/1")).text
        sent = {"lot": " L-7 ", "reason": "complaint <17>"}
        done = await quality.submit("/storage/hold", sent, page="/storage")
        assert (done.status_code, done.headers["location"]) == (303, "/storage")
        shown = (await quality.get("/storage")).text
        assert "p0" in shown and "complaint &lt;17&gt;" in shown and "/history?lot=L-7" in shown
        again = await quality.submit("/storage/hold", sent, page="/storage")
        assert again.status_code == 409 and "on hold already" in again.text
        assert "This lot is on hold since" in (await quality.get("/part/1")).text

        looks = await operator.get("/storage")
        assert looks.status_code == 200 and "/storage/release" not in looks.text and "L-7" in looks.text
        for deed in ("hold", "release"):
            assert (await operator.submit(f"/storage/{deed}", sent, page="/storage")).status_code == 403

        lacks = await quality.submit("/storage/release", {"lot": "L-7", "reason": " "}, page="/storage")
        assert lacks.status_code == 400 and box.results._journal.holds.lots == {"L-7"}
        await quality.submit("/storage/release", {"lot": "L-7", "reason": "closed"}, page="/storage")
        shown = (await quality.get("/storage")).text
        assert "No lot is on hold" in shown and "released" in shown and "closed" in shown
        assert box.results._journal.holds.lots == set()
        none = await quality.submit("/storage/release", sent, page="/storage")
        assert none.status_code == 409 and "is not on hold" in none.text


async def test_without_the_daemon_nothing_is_done_and_the_page_says_so(site: Site, tmp_path) -> None:
    async with people_of(site, [[Role.QUALITY]]) as (quality,):
        shown = await quality.get("/storage")
        assert shown.status_code == 503 and "does not answer" in shown.text
        async with keeping(tmp_path):
            pass  # a record, and nobody behind it
        shown = await quality.get("/storage")
        assert shown.status_code == 200 and "does not answer" in shown.text and "No lot is on hold" in shown.text
        done = await quality.submit("/storage/hold", {"lot": "A", "reason": "x"}, page="/storage")
        assert done.status_code == 503 and "not known whether" in done.text


async def test_a_part_page_says_since_when_its_picture_is_gone_and_why(site: Site, tmp_path) -> None:
    async with daemon_in(tmp_path) as box, people_of(site, [[Role.OPERATOR]]) as (browser,):
        for seq in (1, 2, 3):
            await box.part(seq)
        await box.written()
        for preview in (tmp_path / "previews").iterdir():
            preview.unlink()
        box.results.note_image(1, None)
        box.results.note_image(2, None, "missing")
        await box.results.alive()
        assert "removed on" in (await browser.get("/part/1")).text
        assert "found missing on" in (await browser.get("/part/2")).text
        kept = (await browser.get("/part/3")).text
        assert "/picture/3" in kept and "removed on" not in kept


async def test_the_daemon_learns_what_was_reviewed_and_what_was_taken_back(tmp_path) -> None:
    async with daemon_in(tmp_path) as box:
        with open_labels(tmp_path / "office.db") as labels:
            teller = ReviewTeller(labels, tmp_path / "control.sock", two_people=False)
            for no, label in ((1, "good"), (2, "scratch"), (3, "unsure")):
                await labels.add(said(no, label))
            assert await teller.tell() == 3 and _reviewed(box) == [1, 2]
            assert await teller.tell() == 0
            await undo_last(labels, "anna")  # unsure, of 3
            await undo_last(labels, "anna")
            await teller.tell()
            assert _reviewed(box) == [1]
            await labels.add(said(2, "dent", person="bo"))
            await teller.tell()
            assert _reviewed(box) == [1, 2]
            assert await ReviewTeller(labels, teller.socket, two_people=True).tell() == 3
            assert _reviewed(box) == [], "one person is not enough where two must agree"


async def test_what_the_daemon_was_not_told_is_told_once_it_is_there(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("inspector.web.reviewed.EVERY_S", 0.01)
    with open_labels(tmp_path / "office.db") as labels:
        await labels.add(said(1, "good"))
        telling = asyncio.create_task(ReviewTeller(labels, tmp_path / "control.sock").run_forever(), name="teller")
        await asyncio.sleep(0.05)
        async with daemon_in(tmp_path) as box, asyncio.timeout(60):
            while _reviewed(box) != [1]:  # noqa: ASYNC110 - another task commits it
                await asyncio.sleep(0.01)
        telling.cancel()
        await asyncio.gather(telling, return_exceptions=True)


@pytest.mark.parametrize(
    ("found", "text"),
    [(0, "0 B"), (999, "999 B"), (12_345, "12.3 kB"), (999_999, "1 MB"), (5e12, "5 TB"), (None, "–")],
)
def test_sizes_are_told_in_three_digits(found: object, text: str) -> None:
    assert size(found) == text


def _reviewed(box: Keeping) -> list[int]:
    with box.results._journal._database.reading() as db:
        return [no for (no,) in db.execute("SELECT no FROM reviewed ORDER BY no")]
