"""Bytes of the record that were overwritten, where SQLite finds nothing wrong: the page shows what can be read."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.core.errors import StoreBroken, StoreError
from inspector.office.office import Office
from inspector.store.salvage import fault_of
from inspector.web.app import _read_records
from inspector.web.export import moment
from inspector.web.present import date_time
from inspector.web.strips import Wanted
from tests.support.keeping import Keeping, keeping
from tests.support.months import Calendar, file_all, keep_few
from tests.support.page import client_of, site_in

LOT = "LOT-7"


def flip(path: Path, text: str = LOT) -> None:
    """One bit in each row that holds this text: it is no text any more."""
    mode, data = path.stat().st_mode, path.read_bytes()
    path.chmod(0o640)
    path.write_bytes(data.replace(text.encode(), bytes([text.encode()[0] ^ 0x80]) + text.encode()[1:]))
    path.chmod(mode)


async def lived(box: Keeping, clock: Calendar) -> None:
    for seq in range(1, 9):
        await box.part(seq, lot=LOT if seq == 3 else "other")
    await box.written()
    clock.date = "2026-02-10"


async def filed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a month in which a box has lived."""
    keep_few(monkeypatch)
    clock = Calendar("2026-01-10")
    async with keeping(folder, clock=clock) as box:
        await lived(box, clock)
        await file_all(box.filing)
    return folder / "results-2026-01.db"


async def test_one_flipped_bit_in_a_month_hides_no_other_row_and_ends_no_screen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    month = await filed(tmp_path, monkeypatch)
    flip(month)
    assert fault_of(month) is None, "no look at the file finds it"
    site = site_in(tmp_path)
    async with client_of(site) as client:
        shown = await client.get("/history")
        assert shown.status_code == 200 and all(f"/part/{no}" in shown.text for no in range(1, 9))
        assert "\N{REPLACEMENT CHARACTER}OT-7" in (await client.get("/part/3")).text
        exported = await client.get("/history.csv")
        assert exported.status_code == 200 and exported.text.count("\r\n") == 9
        site.feed._strips = {"st1": site.feed.strip()}
        site.feed.up, site.feed.strip("st1").earlier = True, Wanted(None, 100)
        await _read_records(site)  # what a task does that the page ends with
        assert len(site.feed.strip("st1").parts) == 8


@pytest.mark.parametrize("damaged", [False, True])
async def test_who_looks_for_a_part_or_takes_rows_away_is_told_that_a_months_rows_are_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damaged: bool
) -> None:
    month = await filed(tmp_path, monkeypatch)
    if damaged:
        month.chmod(0o640)
        month.write_bytes(b"no database any more" * 1000)
    async with client_of(site_in(tmp_path)) as client:
        for asked in ("/history", f"/history?lot={LOT}"):
            assert ("Parts are missing here" in (shown := (await client.get(asked)).text)) is damaged
            assert ("results-2026-01.db" in shown) is damaged
        for kind in ("csv", "xlsx"):
            taken = await client.get(f"/history.{kind}")
            name = taken.headers["content-disposition"]
            assert taken.status_code == 200 and ("rows-incomplete" in name) is damaged, name


async def test_a_row_with_a_flipped_bit_stays_in_the_record_and_what_would_file_it_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_few(monkeypatch)
    clock = Calendar("2026-01-10")
    async with keeping(tmp_path, clock=clock) as box:
        await lived(box, clock)
    flip(tmp_path / "results.db")
    async with keeping(tmp_path, clock=clock) as box:
        with pytest.raises(StoreError, match="cannot be filed"):  # and no bug, which would end the line
            await file_all(box.filing)
    async with client_of(site_in(tmp_path)) as client:
        shown = await client.get("/history")
    assert all(f"/part/{no}" in shown.text for no in range(1, 9))


async def test_accounts_that_hold_what_is_no_text_are_out_of_service_and_the_line_screen_is_not(tmp_path: Path) -> None:
    office = Office(tmp_path / "office.db")
    await office.read(lambda db: db.execute("SELECT 1").get)
    with pytest.raises(StoreBroken):
        await office.read(lambda db: db.execute("SELECT CAST(x'80' AS TEXT)").get)
    office.close()


@pytest.mark.parametrize("utc_ms", [10**18, -(10**15), "no number"])
def test_a_time_that_no_calendar_has_is_no_failure(utc_ms: int) -> None:
    assert moment(utc_ms) is None and isinstance(date_time(utc_ms), str)
