"""The pages and pictures that a person asks for, one handler each. All of them only read."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import partial
from urllib.parse import urlencode

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from inspector.web import media, rows
from inspector.web.access import may_still
from inspector.web.feed import FeedFull
from inspector.web.present import time_zone
from inspector.web.records import Filters, Row, Unreadable
from inspector.web.site import Site
from inspector.web.stream import EventStream
from inspector.web.words import offline_words, reason_words, word
from plc.registers import OfflineReason, Reason

PAGE_ROWS = 50
ON_ITS_WAY, WRITTEN_WITHIN_S = 20, 2.0  # looks for a picture that the archive is about to write
FIELDS = ("from", "to", "verdict", "reason", "label", "part_id", "trigger_id")
LARGEST = {"verdict": 6, "reason": 65535, "part_id": 2**32 - 1, "trigger_id": 65535, "before": 2**63 - 1}
_NUMBER = re.compile(r"[0-9]{1,19}", re.ASCII)
router = APIRouter()
readable = partial(router.api_route, methods=["GET", "HEAD"])


class BadFilter(ValueError):
    """A filter that cannot be read; the text is the field's name as the person sees it."""


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


@readable("/")
async def line(request: Request) -> Response:
    return site_of(request).page("line.html", here="line")


@router.get("/events")
async def events(request: Request) -> Response:
    feed = site_of(request).feed
    try:
        return EventStream(feed, feed.open_screen(), partial(may_still, request))
    except FeedFull:
        return JSONResponse({"error": word("error.clients")}, 503, {"retry-after": "5"})


@readable("/preview/{name}")
async def preview(request: Request, name: str) -> Response:
    """A small picture; that of a part that was told of just now is waited for, as the archive writes it last."""
    site = site_of(request)
    left = ON_ITS_WAY if site.feed.expects(name) else 0
    while True:
        try:
            body, kind = await site.pictures.call(media.read_named, site.settings.previews, name)
            return Response(body, media_type=kind, headers={"cache-control": "private, max-age=600"})
        except media.NoPicture as exc:
            if not left:
                raise HTTPException(404) from exc
        left -= 1
        await asyncio.sleep(WRITTEN_WITHIN_S / ON_ITS_WAY)


@readable("/picture/{no}")
async def picture(request: Request, no: int) -> Response:
    """The kept picture of a part, under the name that its row holds; no name comes from the browser."""
    site = site_of(request)
    try:
        row = await site.records.row(no)
        if row is None or not row["image"]:
            raise HTTPException(404)
        body, kind = await site.pictures.call(media.read_below, site.settings.archive, row["image"])
    except Unreadable as exc:
        raise HTTPException(503) from exc
    except media.NoPicture as exc:
        raise HTTPException(404) from exc
    return Response(body, media_type=kind, headers={"cache-control": "private, max-age=600"})


@readable("/history")
async def history(request: Request) -> Response:
    site = site_of(request)
    form = {k: v for k in FIELDS if (v := request.query_params.get(k, "").strip())}
    found: Sequence[Row] = []
    problem, hint, status, before = "", "", 200, None
    try:
        before = _number(request.query_params, "before")
        found = await site.records.page(filters_of(form), before, PAGE_ROWS + 1)
    except BadFilter as exc:
        problem, status = word("history.badfilter", what=exc), 400
    except Unreadable:
        problem, hint, status = word("history.unreadable"), word("history.unreadable.hint"), 503
    more, found = len(found) > PAGE_ROWS, found[:PAGE_ROWS]
    return site.page(
        "history.html", status, here="history", rows=[rows.row_view(r) for r in found],
        form=form, verdicts=[(str(n), word(f"verdict.{n}")) for n in range(1, 7)],
        reasons=[(str(int(r)), reason_words(r, "…").text) for r in Reason], zone=time_zone(), problem=problem,
        problem_hint=hint, paged=before is not None, newest=_link(form),
        older=_link({**form, "before": str(found[-1]["no"])}) if more else "",
    )  # fmt: skip


@readable("/part/{no}")
async def part(request: Request, no: int) -> Response:
    site = site_of(request)
    try:
        row = await site.records.row(no)
        if row is None:
            raise HTTPException(404)
        older, newer = await site.records.neighbours(no)
    except Unreadable as exc:
        raise HTTPException(503) from exc
    view = rows.detail_view(row, site.limits_of(row))
    return site.page("part.html", here="history", p=view, older=older, newer=newer)


@readable("/healthz")
async def healthz() -> Response:
    """This process turns."""
    return JSONResponse({"status": "ok"})


@readable("/readyz")
async def readyz(request: Request) -> Response:
    """The daemon is reached, fresh and ready."""
    feed = site_of(request).feed
    if feed.ready:
        return JSONResponse({"ready": True})
    number = int(feed.status.get("offline_reason") or 0) if feed.up else -1
    known = number in list(OfflineReason) and number != 0
    text = offline_words(number).text if known else word("stale.text" if feed.up else "offline.text")
    return JSONResponse({"ready": False, "reason": text}, 503)


@readable("/favicon.ico")
async def favicon(request: Request) -> Response:
    return Response(site_of(request).favicon, media_type="image/svg+xml", headers={"cache-control": "max-age=86400"})


def filters_of(form: Mapping[str, str]) -> Filters:
    """Raises BadFilter."""
    label = form.get("label")
    return Filters(
        from_utc_ms=_moment(form, "from"),
        to_utc_ms=_moment(form, "to", end=True),
        verdict=_number(form, "verdict"),
        reason=_number(form, "reason"),
        label=label.replace(" ", "_")[:100] if label else None,
        part_id=_number(form, "part_id"),
        trigger_id=_number(form, "trigger_id"),
    )


def _number(form: Mapping[str, str], key: str) -> int | None:
    text = form.get(key, "").strip()
    if not text:
        return None
    if not _NUMBER.fullmatch(text) or int(text) > LARGEST[key]:
        raise BadFilter(_field_name(key))
    return int(text)


def _moment(form: Mapping[str, str], key: str, end: bool = False) -> int | None:
    """A local time as the browser's field gives it, in UTC ms; as an end it takes in all of its second or minute."""
    text = form.get(key, "")
    if not text:
        return None
    try:
        when = datetime.fromisoformat(text)
        ms = int(when.timestamp() * 1000)  # without a zone it is the station's time
    except (ValueError, OverflowError, OSError) as exc:
        raise BadFilter(_field_name(key)) from exc
    return ms + (999 if text.count(":") > 1 else 59_999) if end else ms


def _field_name(key: str) -> str:
    others = {"part_id": "history.part", "trigger_id": "history.trigger", "before": "history.older"}
    return word(others.get(key, f"history.{key}"))


def _link(query: Mapping[str, str]) -> str:
    return f"/history?{urlencode(query)}" if query else "/history"
