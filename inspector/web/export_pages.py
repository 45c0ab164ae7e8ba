"""/history.csv and /history.xlsx: the rows of a filter as files. Two at once; memory and disk are bounded."""

from __future__ import annotations

import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from pathlib import Path

from fastapi import APIRouter, Request
from fastapi.responses import Response

from inspector.threads import DeviceThread
from inspector.web.access import visitor
from inspector.web.download import Download
from inspector.web.export import TooManyExports, cells, csv_pages, names, walk
from inspector.web.filters import BadFilter, filters_of, form_of
from inspector.web.pages import site_of
from inspector.web.records import Row, Unreadable
from inspector.web.site import Site
from inspector.web.words import word
from inspector.web.workbook import MOST_ROWS, NoSpace, TooLarge, Workbook, place

CSV = "text/csv; charset=utf-8"
XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
PIECE_BYTES = 256 * 1024
router = APIRouter()
Pieces = AsyncGenerator[bytes]
Make = Callable[[Request, AsyncIterator[Sequence[Row]]], Pieces]


@router.get("/history.csv")
async def rows_csv(request: Request) -> Response:
    return await _rows(request, _csv, CSV, "csv")


@router.get("/history.xlsx")
async def rows_xlsx(request: Request) -> Response:
    return await _rows(request, _xlsx, XLSX, "xlsx")


async def _rows(request: Request, make: Make, media_type: str, suffix: str) -> Response:
    site = site_of(request)
    try:
        filters = filters_of(form_of(request.query_params))
        what = "rows-incomplete" if await site.records.left_out() else "rows"
    except BadFilter as exc:
        return site.page("error.html", 400, text=word("history.badfilter", what=exc), hint="")
    except Unreadable as exc:
        status, text, hint = _refusal(exc)
        return site.page("error.html", status, text=text, hint=hint)
    return await download(site, make(request, walk(site.records, filters)), media_type, file_name(what, suffix))


def file_name(what: str, suffix: str) -> str:
    return f"inspector-{what}-{time.strftime('%Y%m%d-%H%M%S')}.{suffix}"


async def download(site: Site, pieces: Pieces, media_type: str, name: str) -> Response:
    """A file while a place is free; else, and where its first piece cannot be had, a page that says why."""
    try:
        done = site.exports.begin(known=visitor().person is not None)
    except TooManyExports:
        busy = site.page("error.html", 503, text=word("export.busy"), hint=word("export.busy.hint"))
        busy.headers["retry-after"] = "10"
        return busy
    begun = False
    try:
        answer = Download(await anext(pieces), pieces, name, media_type, done)
        begun = True  # from here on the answer gives its place back
        return answer
    except (TooLarge, NoSpace, Unreadable) as exc:
        status, text, hint = _refusal(exc)
        return site.page("error.html", status, text=text, hint=hint)
    finally:
        if not begun:
            await pieces.aclose()
            done()


def _refusal(exc: Exception) -> tuple[int, str, str]:
    if isinstance(exc, TooLarge):
        return 413, word("export.large", rows=f"{MOST_ROWS:,}"), word("export.large.hint")
    if isinstance(exc, NoSpace):
        return 503, word("export.nospace"), word("export.nospace.hint")
    return 503, word("history.unreadable"), word("history.unreadable.hint")


async def _csv(_: Request, pages: AsyncIterator[Sequence[Row]]) -> Pieces:
    async with aclosing(csv_pages(pages, names())) as pieces:
        async for piece in pieces:
            yield piece


async def _xlsx(request: Request, pages: AsyncIterator[Sequence[Row]]) -> Pieces:
    """The whole workbook is made before its first piece. Raises TooLarge, NoSpace, Unreadable."""
    thread = DeviceThread("workbook")
    try:
        with tempfile.TemporaryDirectory(prefix="inspector-", dir=place()) as folder:
            path = Path(folder) / "rows.xlsx"
            await _make(request, pages, path, thread)
            with path.open("rb") as file:
                while piece := file.read(PIECE_BYTES):
                    yield piece
    finally:
        thread.close()


async def _make(request: Request, pages: AsyncIterator[Sequence[Row]], path: Path, thread: DeviceThread) -> None:
    book = await thread.call(Workbook, path, names())
    try:
        async for page in pages:
            if await request.is_disconnected():
                raise Unreadable("nobody waits for this workbook any more")
            await thread.call(book.add, [cells(row) for row in page])
    except BaseException:
        await thread.call(book.discard)
        raise
    await thread.call(book.close)
