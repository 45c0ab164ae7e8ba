"""The pages and pictures that a person asks for, one handler each. All of them only read."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Annotated

from fastapi import APIRouter, HTTPException, Request
from fastapi import Path as PathParameter
from fastapi.responses import JSONResponse, RedirectResponse, Response

from inspector.office.throttle import address_key
from inspector.store.names import heat_beside
from inspector.web import media
from inspector.web.access import address_of, may_still, visitor
from inspector.web.alarm_views import alarms_for
from inspector.web.feed import FeedFull, UnknownStation
from inspector.web.filters import link
from inspector.web.guard import is_loopback
from inspector.web.open_file import OpenFile
from inspector.web.placeholder import not_kept, wants_a_picture
from inspector.web.records import Unreadable
from inspector.web.site import Site
from inspector.web.stream import EventStream
from inspector.web.thumbs import KEPT
from inspector.web.words import offline_words, word
from plc.registers import OfflineReason

ON_ITS_WAY, WRITTEN_WITHIN_S = 20, 2.0  # looks for a picture that the archive is about to write
IN_SIGHT = 12  # small pictures that a panel of 1280 pixels shows; the browser asks for others as they come into sight
FRESH = {"cache-control": "private, max-age=600"}
STATION = "station"  # in the address, and in this browser's memory
KEPT_S = 365 * 24 * 3600
MOST_SHOWN = 40  # characters of a name that is none
Number = Annotated[int, PathParameter(ge=0, lt=2**63)]  # of an inspection or a person, as the databases take one
router = APIRouter()
readable = partial(router.api_route, methods=["GET", "HEAD"])


def site_of(request: Request) -> Site:
    site: Site = request.app.state.site
    return site


@readable("/")
async def line(request: Request) -> Response:
    """The screen of one station: of several the address says which, so that a panel can be set to it."""
    site, asked = site_of(request), request.query_params.get(STATION, "")
    several = len(site.feed.stations) > 1
    if several and not asked:
        return _to_its_own(request, site.feed.stations)
    try:
        strip = site.feed.strip(asked)
    except UnknownStation:
        return _no_station(site, asked)
    parts, last_fail = strip.parts, strip.last_fail
    in_sight = [*parts[:IN_SIGHT], *([last_fail] if last_fail else [])]
    shots = {part["no"]: site.thumbs.address_of(part["no"]) for part in in_sight if visitor().sees}
    listed = await alarms_for(site.office, site.feed.status, asked)
    answer = site.page(
        "line.html", here="line", station=asked, stations=site.feed.stations if several else [],
        events=link("/events", {STATION: asked}), parts=parts, last_fail=last_fail, shots=shots,
        listed=listed, list_link=link("/alarms/list", {STATION: asked}), problem="",
    )  # fmt: skip
    if several:
        answer.set_cookie(STATION, asked, max_age=KEPT_S, httponly=True, samesite="lax")
    return answer


def _to_its_own(request: Request, stations: Sequence[str]) -> Response:
    """Where this browser was last, else the first: the links of other pages do not know."""
    last = request.cookies.get(STATION, "")
    address = link("/", {STATION: last if last in stations else stations[0]})
    return RedirectResponse(address, 303, {"cache-control": "no-store"})


def _no_station(site: Site, asked: str) -> Response:
    """Never another one in its place: whoever stands there would believe it."""
    there = [(name, link("/", {STATION: name})) for name in site.feed.stations]
    return site.page("no_station.html", 404, here="", asked=asked[:MOST_SHOWN], there=there)


@router.get("/events")
async def events(request: Request) -> Response:
    feed, address = site_of(request).feed, address_of(request)
    whose = "" if is_loopback(address) else address_key(address)
    try:
        screen = feed.open_screen(request.query_params.get(STATION, ""), whose)
    except FeedFull:
        return JSONResponse({"error": word("error.clients")}, 503, {"retry-after": "5"})
    except UnknownStation:
        return JSONResponse({"error": word("stations.unknown")}, 404)
    return EventStream(feed, screen, partial(may_still, request))


@router.head("/events")
async def may_open(request: Request) -> Response:
    """That a screen may be opened; access.py answers who may not. Why a stream was refused, no script can see."""
    try:
        site_of(request).feed.strip(request.query_params.get(STATION, ""))
    except UnknownStation as exc:
        raise HTTPException(404) from exc
    return Response()


@readable("/preview/{name}")
async def preview(request: Request, name: str) -> Response:
    """A small picture of one of the last parts."""
    try:
        return _shown(*await _preview(site_of(request), name))
    except media.NoPicture as exc:
        raise HTTPException(404) from exc


@readable("/thumb/{no}")
async def thumb(request: Request, no: Number) -> Response:
    """A part's picture as small as the filmstrip shows it, kept in memory."""
    site = site_of(request)
    if (known := site.thumbs.get(no)) is None:
        name = site.feed.preview_of(no)
        try:
            if name is not None:
                known = await site.pictures.call(_made, site, no, (await _preview(site, name))[0])
            else:
                known = await site.pictures.call(_small, site, no, await _kept(site, no))
        except media.NoPicture as exc:
            return _gone(request, exc)
    return _shown(known, "image/jpeg")


def _small(site: Site, no: int, path: str) -> bytes:
    """Read and made small in one go: of those who wait, none holds a whole picture."""
    return _made(site, no, media.read_below(site.settings.archive, path)[0])


def _made(site: Site, no: int, picture: bytes) -> bytes:
    return site.thumbs.make(no, picture, KEPT * max(1, len(site.feed.stations)))


async def _preview(site: Site, name: str) -> tuple[bytes, str]:
    """That of a part that was told of just now is waited for, as the archive writes it last. Raises NoPicture."""
    left = ON_ITS_WAY if site.feed.expects(name) else 0
    while True:
        try:
            return await site.pictures.call(media.read_named, site.settings.previews, name)
        except media.NoPicture:
            if not left:
                raise
        left -= 1
        await asyncio.sleep(WRITTEN_WITHIN_S / ON_ITS_WAY)


@readable("/picture/{no}")
async def picture(request: Request, no: Number) -> Response:
    """The kept picture of a part, under the name that its row holds; no name comes from the browser."""
    site = site_of(request)
    try:
        return await _opened(site, await _kept(site, no))
    except media.NoPicture as exc:
        return _gone(request, exc)


@readable("/heat/{no}")
async def heat(request: Request, no: Number) -> Response:
    """The heat map that was kept beside it."""
    site = site_of(request)
    try:
        return await _opened(site, heat_beside(await _kept(site, no)))
    except media.NoPicture as exc:
        raise HTTPException(404) from exc


def _gone(request: Request, exc: media.NoPicture) -> Response:
    """Of a part that had a picture: a page shows that it is gone. Raises HTTPException 404 to all others."""
    if not wants_a_picture(request):
        raise HTTPException(404) from exc
    return not_kept()


def _shown(body: bytes, kind: str) -> Response:
    return Response(body, media_type=kind, headers=FRESH)


async def _opened(site: Site, path: str) -> Response:
    """Raises NoPicture: it is gone."""
    return OpenFile(await site.pictures.call(media.open_below, site.settings.archive, path), site.pictures, FRESH)


async def _kept(site: Site, no: int) -> str:
    """Where below the archive a part's picture lies. Raises HTTPException: no such part, or it never had one."""
    try:
        row = await site.records.row(no)
    except Unreadable as exc:
        raise HTTPException(503) from exc
    if row is None or not row["image"]:
        raise HTTPException(404)
    return str(row["image"])


@readable("/healthz")
async def healthz() -> Response:
    """This process turns."""
    return JSONResponse({"status": "ok"})


@readable("/readyz")
async def readyz(request: Request) -> Response:
    """The daemon is reached and fresh, and every station is ready; else the first that is not says why."""
    feed = site_of(request).feed
    if feed.ready:
        return JSONResponse({"ready": True})
    waiting = next((line for line in feed.lines if line.get("ready") is not True), {})
    number = int(waiting.get("offline_reason") or 0) if feed.up else -1
    known = number in list(OfflineReason) and number != 0
    text = offline_words(number).text if known else word("stale.text" if feed.up else "offline.text")
    return JSONResponse({"ready": False, "reason": text}, 503)


@readable("/favicon.ico")
async def favicon(request: Request) -> Response:
    return Response(site_of(request).favicon, media_type="image/svg+xml", headers={"cache-control": "max-age=86400"})
