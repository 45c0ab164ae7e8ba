"""/collect/dataset: the settled pictures as a ZIP for `inspector-train fit`, sent as it is made, from no disk.

The same plan and the same files as of `inspector export dataset`, which takes what is too large here.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncGenerator
from contextvars import copy_context

import apsw
from fastapi import APIRouter, Request
from fastapi.responses import Response

from inspector.core.errors import BundleError
from inspector.office.dataset import ExportError, Plan, Sources, SplitBy, plan
from inspector.office.dataset_files import zip_pieces
from inspector.office.held_out import golden_pictures, pictures_in
from inspector.office.office import now_utc_ms
from inspector.store import audit
from inspector.threads import DeviceThread
from inspector.web.access import known_person
from inspector.web.export_pages import download, file_name
from inspector.web.pages import site_of
from inspector.web.records import Unreadable
from inspector.web.review import desk_of
from inspector.web.said import in_words
from inspector.web.site import Site
from inspector.web.words import word
from inspector.web.workbook import place

MOST_PICTURES = 20_000
MOST_BYTES = 8 << 30
REST_SHARE = 0.5  # of the time that reading took: the line's cores are wanted elsewhere
ASK_S = 0.5  # between two looks whether somebody still waits
ZIP = "application/zip"
router = APIRouter()


class _Left(Exception):
    """Nobody waits for it any more."""


class _TooMuch(ExportError):
    """More than goes out by a button."""


@router.post("/collect/dataset")
async def dataset(request: Request) -> Response:
    site, form = site_of(request), await request.form()
    desk_of(request)
    split_by = SplitBy.PART if form.get("split_by") == SplitBy.PART else SplitBy.LOT
    thread = DeviceThread("dataset")
    pieces = _pieces(request, site, split_by, thread, known_person(request).name)
    try:
        return await download(site, pieces, ZIP, file_name("dataset", "zip"))
    except _TooMuch as exc:
        return site.page("error.html", 413, text=str(exc), hint=word("collect.toomuch.hint"))
    except (ExportError, BundleError) as exc:
        return site.page(
            "error.html", 409, text=word("collect.noexport", what=in_words(exc)), hint=word("collect.noexport.hint")
        )


async def _pieces(
    request: Request, site: Site, split_by: SplitBy, thread: DeviceThread, person: str
) -> AsyncGenerator[bytes]:
    """Planned whole before the first piece. Raises ExportError and BundleError before it; Unreadable."""
    begun = False
    try:
        planned = await _planned(request, site, split_by, thread)
        pieces = zip_pieces(planned, site.settings.archive)
        while (piece := await thread.call(next, pieces, None)) is not None:
            if not begun:
                begun = True
                await site.office.write(_noted, person, len(planned.pictures))
            yield piece
    except ExportError as exc:
        if begun:  # the ZIP breaks off, and the browser says so
            raise Unreadable(str(exc)) from exc
        raise
    finally:
        thread.close()


async def _planned(request: Request, site: Site, split_by: SplitBy, thread: DeviceThread) -> Plan:
    """Looked at while somebody waits for it. Raises ExportError, BundleError, NoSpace; Unreadable: nobody does."""
    left = threading.Event()
    in_their_words = copy_context().run  # which a thread does not know
    work = asyncio.ensure_future(thread.call(in_their_words, _plan, site, split_by, left))
    try:
        while not work.done():
            await asyncio.wait((work,), timeout=ASK_S)
            if not work.done() and await request.is_disconnected():
                left.set()
        return work.result()
    except _Left as exc:
        raise Unreadable("nobody waits for this dataset any more") from exc
    finally:
        left.set()
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


# -- on the thread -----------------------------------------------------------------------------------------------------


def _plan(site: Site, split_by: SplitBy, left: threading.Event) -> Plan:
    settings, begun_s = site.settings, time.monotonic()

    def watch(done: int, of: int) -> None:
        nonlocal begun_s
        if of > MOST_PICTURES:
            raise _TooMuch(word("collect.toomuch", pictures=of, most=MOST_PICTURES))
        if left.wait(REST_SHARE * (time.monotonic() - begun_s)):
            raise _Left
        begun_s = time.monotonic()

    with golden_pictures(settings.slots, settings.bundle, place()) as golden:
        left_out = tuple(pictures_in(settings.leave_out))
        sources = Sources(settings.results_db, settings.office / "office.db", settings.archive, golden, left_out)
        planned = plan(sources, two_people=settings.two_people, split_by=split_by, watch=watch)
    size = sum((settings.archive / picture.row["image"]).stat().st_size for picture in planned.pictures)
    if size > MOST_BYTES:
        raise _TooMuch(word("collect.toolarge", gb=f"{size / 1e9:.1f}", most=f"{MOST_BYTES / 1e9:.0f}"))
    return planned


def _noted(db: apsw.Connection, person: str, pictures: int) -> None:
    """Who took the pictures of this plant's parts away."""
    audit.append(db, now_utc_ms(), person, "collect.dataset", str(pictures))
