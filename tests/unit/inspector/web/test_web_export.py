from __future__ import annotations

import asyncio
import csv
import io
import re
import zipfile
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import apsw
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.demo.parts import Kind
from inspector.export_rows import ExportError, export_rows
from inspector.web import download, export, export_pages, workbook
from inspector.web.export import COLUMNS, Exports, TooManyExports, csv_text, safe, walk
from inspector.web.records import Filters, Found, Unreadable
from tests.support.page import browser_at, client_of, page_process, site_in
from tests.support.record import Entry, line_of, write_record

FORMULA = tuple("=+-@\t\r＝＋－＠")
NUMBERS = ("no", "part_id", "confidence", "novelty_score", "elapsed_ms", "published_code", "encoder")


@pytest.fixture
async def record(tmp_path: Path) -> Path:
    odd = Entry(900, Kind.DENT, lot="=HYPERLINK(1)", serial="\tS;@x")
    await write_record(tmp_path, [*line_of(60), odd], pictures=False)
    return tmp_path


def sql(run: Path, question: str) -> list[Any]:
    db = apsw.Connection(str(run / "results.db"))
    found = list(db.execute(question))
    db.close()
    return found


def read_csv(body: bytes) -> list[dict[str, str]]:
    """By the columns' keys."""
    lines = list(csv.reader(io.StringIO(body.decode("utf-8-sig"), newline="")))
    keys = [re.sub(r".*\[(\w+)\]$", r"\1", name) for name in lines[0]]
    return [dict(zip(keys, line, strict=True)) for line in lines[1:]]


def read_xlsx(body: bytes) -> list[list[Any]]:
    """The cells of the only sheet, from its XML; a formula would be None."""
    with zipfile.ZipFile(io.BytesIO(body)) as book:
        assert "xl/sharedStrings.xml" not in book.namelist(), "constant memory: strings stand in their cells"
        sheet = ElementTree.fromstring(book.read("xl/worksheets/sheet1.xml"))
    space = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
    assert not list(sheet.iter(f"{space}f"))
    found = []
    for row in sheet.iter(f"{space}row"):
        cells: dict[int, Any] = {}
        for cell in row:
            column = 0
            for letter in re.sub(r"\d", "", cell.attrib["r"]):
                column = column * 26 + ord(letter) - 64
            text = "".join(t.text or "" for t in cell.iter(f"{space}t"))
            value = cell.find(f"{space}v")
            cells[column] = text if cell.get("t") == "inlineStr" else float(value.text or "nan")  # type: ignore[union-attr]
        found.append([cells.get(n) for n in range(1, len(COLUMNS) + 1)])
    return found


LETTERS = st.sampled_from(
    "=+-@\t\r\n,;|\"' ＝＋－＠a1"
)  # an alphabet of these and all others would hardly ever give them


@given(st.lists(st.one_of(LETTERS, st.characters(codec="utf-8")), max_size=12).map("".join))
def test_however_a_spreadsheet_splits_a_text_no_cell_begins_a_formula(text: str) -> None:
    written = csv_text([[safe(text), 1]])
    (line,) = csv.reader(io.StringIO(written, newline=""))
    assert line[1] == "1" and line[0].replace("'", "") == text.replace("'", ""), "nothing is lost"
    pieces = [piece for cut in (line[0], written) for piece in re.split('[,;|"\r\n\t]', cut)]
    assert not [p for p in pieces if p.lstrip(" ").startswith(tuple("=+-@＝＋－＠"))]
    assert not line[0].startswith(FORMULA)
    assert safe(safe(text)) == safe(text)


@given(st.one_of(st.floats(), st.integers(), st.booleans(), st.none()))
def test_a_number_stays_a_number(value: float | None) -> None:
    cell = safe(value)
    if isinstance(cell, str):
        assert cell in ("nan", "inf", "'-inf")
    else:
        assert cell is value


async def test_the_csv_is_the_record_to_the_last_number(record: Path) -> None:
    async with client_of(site_in(record)) as client:
        answer = await client.get("/history.csv")
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    assert re.fullmatch(r'attachment; filename="inspector-rows-[\d-]+\.csv"', answer.headers["content-disposition"])
    assert answer.content.startswith(b"\xef\xbb\xbfRecord [no],Time [opened]")
    found = read_csv(answer.content)
    expected = sql(record, f"SELECT {', '.join(NUMBERS)}, opened_utc_ms, lot FROM inspections ORDER BY no DESC")
    assert len(found) == len(expected) == 61
    for line, (*numbers, opened_utc_ms, lot) in zip(found, expected, strict=True):
        assert [float(line[k]) if line[k] else None for k in NUMBERS] == numbers
        when = datetime.fromisoformat(line["opened"])
        assert when.tzinfo is not None and round(when.timestamp() * 1000) == opened_utc_ms
        assert line["lot"] == lot or line["lot"] == f"'{lot}"
    assert found[0]["lot"] == "'=HYPERLINK(1)" and found[0]["serial"].startswith("'")


async def test_the_workbook_holds_what_the_csv_holds(record: Path) -> None:
    async with client_of(site_in(record)) as client:
        text = (await client.get("/history.csv")).content.decode("utf-8-sig")
        answer = await client.get("/history.xlsx")
    assert answer.headers["content-type"] == export_pages.XLSX
    sheet, lines = read_xlsx(answer.content), list(csv.reader(io.StringIO(text, newline="")))
    assert [[_as_text(cell) for cell in row] for row in sheet] == [[_as_text(cell) for cell in row] for row in lines]
    assert isinstance(sheet[1][0], float) and sheet[1][6] == "'=HYPERLINK(1)"


def _as_text(cell: Any) -> str:
    try:
        return f"{float(cell):.9g}"
    except (TypeError, ValueError):
        return cell or ""


async def test_an_export_keeps_the_filter_and_every_page_of_it(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = [n for (n,) in sql(record, "SELECT no FROM inspections WHERE published_code = 2 ORDER BY no DESC")]
    site = site_in(record)
    async with client_of(site) as client:
        found = [int(line["no"]) for line in read_csv((await client.get("/history.csv?verdict=2")).content)]
        pages = [page async for page in walk(site.records, Filters(verdict=2), page_rows=1)]
    assert found == expected and [row["no"] for page in pages for row in page] == expected
    assert max(map(len, pages)) == 1


class Broken:
    """A record that can be read only so often."""

    def __init__(self, site: Any, good: int) -> None:
        self._records, self.good = site.records, good

    async def page(self, *args: Any) -> Found:
        self.good -= 1
        if self.good < 0:
            raise Unreadable("restarting")
        found: Found = await self._records.page(*args)
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._records, name)


class Hasty(Broken):
    """A record whose search ends early and says how far it came."""

    async def page(self, filters: Filters, before_no: int | None, limit: int) -> Found:
        low = max(1, (before_no or 62) - 5)
        found = await self._records.page(replace(filters, from_no=low), before_no, limit)
        return Found(found, low if low > 1 and len(found) < limit else None)


async def test_a_search_that_ended_early_is_gone_on_with_and_nothing_is_lost(record: Path) -> None:
    expected = [n for (n,) in sql(record, "SELECT no FROM inspections WHERE published_code = 2 ORDER BY no DESC")]
    site = site_in(record)
    site.records = Hasty(site, 0)  # type: ignore[assignment]
    async with client_of(site) as client:
        found = [int(line["no"]) for line in read_csv((await client.get("/history.csv?verdict=2")).content)]
        timed = [line["no"] for line in read_csv((await client.get("/timing.csv?last=100")).content)]
        seen: list[int] = []
        link: str | None = "/history?verdict=2"
        while link:
            answer = await client.get(link)
            seen += [int(no) for no in re.findall(r'<a href="/part/(\d+)">', answer.text)]
            older = re.search(r'rel="next" href="([^"]+)"', answer.text)
            link = older[1].replace("&amp;", "&") if older else None
    assert found == expected == seen
    assert len(timed) == sql(record, "SELECT count(*) FROM inspections WHERE kind = 'accepted'")[0][0]


async def test_a_record_that_is_away_for_a_moment_does_not_end_an_export(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAUSE_S", 0.01)
    site = site_in(record)
    broken = Broken(site, 3)
    site.records = broken  # type: ignore[assignment]
    numbers = []
    async with client_of(site):
        async for page in walk(broken, Filters(), page_rows=10):  # type: ignore[arg-type]
            numbers += [row["no"] for row in page]
            broken.good = 0 if len(numbers) == 20 else 2  # once it fails, and then it works
            asyncio.get_running_loop().call_later(0.02, lambda: setattr(broken, "good", 9))
    assert numbers == list(range(61, 0, -1))


async def test_an_export_that_breaks_off_is_not_ended_as_if_it_were_whole(
    record: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAUSE_S", 0.0)
    site = site_in(record)
    site.records = Broken(site, 2)  # type: ignore[assignment]
    monkeypatch.setattr(walk, "__defaults__", (10,))
    async with page_process(site) as origin, browser_at(origin) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            await client.get("/history.csv")
        site.records.good = 1000  # type: ignore[attr-defined]
        assert (await client.get("/history.csv")).status_code == 200, "its place is free again"


async def test_an_export_beyond_those_that_may_run_is_told_to_wait_and_places_come_back(record: Path) -> None:
    site = site_in(record)
    async with client_of(site) as client:
        done = site.exports.begin(known=False)
        for page in ("/history.csv", "/history.xlsx"):
            answer = await client.get(page)
            assert answer.status_code == 503 and "As many exports run already" in answer.text
            assert answer.headers["retry-after"]
        done()
        for _ in range(3):
            assert (await client.get("/history.csv")).status_code == 200
            assert (await client.get("/history.xlsx")).status_code == 200


def test_strangers_take_no_place_from_who_is_logged_in_but_one() -> None:
    exports = Exports()
    exports.begin(known=False)
    with pytest.raises(TooManyExports):
        exports.begin(known=False)
    done = exports.begin(known=True)
    with pytest.raises(TooManyExports):
        exports.begin(known=True)
    done()
    with pytest.raises(TooManyExports):
        exports.begin(known=False)
    exports.begin(known=True)


async def test_a_reader_that_takes_nothing_gives_its_place_back(record: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "SEND_WITHIN_S", 0.05)
    exports, sent = Exports(1), list[Any]()

    async def rest() -> AsyncIterator[bytes]:
        while True:
            yield b"more"

    async def frozen(message: Any) -> None:
        sent.append(message)
        if len(sent) > 3:
            await asyncio.sleep(60)

    async def quiet() -> Any:
        await asyncio.sleep(60)

    answer = download.Download(b"first", rest(), "x.csv", "text/csv", exports.begin(known=True))  # type: ignore[arg-type]
    async with asyncio.timeout(50):
        await answer({"type": "http"}, quiet, frozen)
    exports.begin(known=True)()
    assert all(message.get("more_body", True) for message in sent), "it was not ended as if it were whole"


async def test_a_reader_that_goes_ends_its_export(record: Path) -> None:
    exports, closed = Exports(1), asyncio.Event()

    async def rest() -> AsyncIterator[bytes]:
        try:
            while True:
                await asyncio.sleep(0)
                yield b"more"
        finally:
            closed.set()

    async def gone() -> Any:
        await asyncio.sleep(0.02)
        return {"type": "http.disconnect"}

    async def takes(_: Any) -> None:
        await asyncio.sleep(0)

    async with asyncio.timeout(50):
        await download.Download(b"", rest(), "x.csv", "text/csv", exports.begin(known=True))(  # type: ignore[arg-type]
            {"type": "http"}, gone, takes
        )
    assert closed.is_set()
    exports.begin(known=True)()


async def test_too_many_rows_for_excel_are_refused_in_words_and_leave_nothing(
    record: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(workbook, "PLACE", scratch)
    monkeypatch.setattr(workbook, "MOST_ROWS", 60)
    async with client_of(site_in(record)) as client:
        answer = await client.get("/history.xlsx")
        assert answer.status_code == 413 and "do not fit into an Excel file" in answer.text
        assert (await client.get("/history.xlsx?verdict=2")).status_code == 200
        monkeypatch.setattr(workbook, "NEEDS_BYTES", 1 << 62)
        answer = await client.get("/history.xlsx")
        assert answer.status_code == 503 and "no room" in answer.text
    assert not list(scratch.iterdir())


async def test_an_empty_record_and_none_at_all_give_a_header_and_an_answer(tmp_path: Path) -> None:
    async with client_of(site_in(tmp_path)) as client:
        for page in ("/history.csv", "/history.xlsx"):
            answer = await client.get(page)
            assert answer.status_code == 503 and "cannot be read now" in answer.text
        await write_record(tmp_path, [])
        assert read_csv((await client.get("/history.csv")).content) == []
        assert len(read_xlsx((await client.get("/history.xlsx")).content)) == 1


def test_the_command_writes_the_same_rows_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    from inspector.config import load_config

    asyncio.run(write_record(tmp_path, line_of(30), pictures=False))
    cfg = load_config(Path(__file__).parents[4] / "configs" / "demo.toml")
    cfg = cfg.model_copy(update={"paths": cfg.paths.model_copy(update={"state": tmp_path})})
    out, console = tmp_path / "out.csv", Console(file=io.StringIO())
    assert export_rows(cfg, out, {"verdict": "2"}, console) == len(
        expected := sql(tmp_path, "SELECT no FROM inspections WHERE published_code = 2 ORDER BY no DESC")
    )
    found = read_csv(out.read_bytes())
    assert [(int(line["no"]),) for line in found] == expected
    assert list(found[0]) == [column.key for column in COLUMNS]
    with pytest.raises(ExportError, match="From"):
        export_rows(cfg, out, {"from": "yesterday"}, console)
    with pytest.raises(ExportError, match="cannot be written"):
        export_rows(cfg, tmp_path / "nowhere" / "out.csv", {}, console)
    monkeypatch.setattr(export, "PAUSE_S", 0.0)
    (tmp_path / "results.db").unlink()
    whole = out.read_bytes()
    with pytest.raises(Unreadable):
        export_rows(cfg, out, {}, console)
    assert out.read_bytes() == whole and not list(tmp_path.glob(".*.new"))
