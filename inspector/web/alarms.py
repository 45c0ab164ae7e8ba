"""Alarms: what people have to see to, and what they said to it. Acting goes to the daemon, in the name of who acts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from inspector.control import ControlError
from inspector.store.alarm_history import read_record
from inspector.web.access import known_person
from inspector.web.acting import Unreached, have_done
from inspector.web.alarm_views import MINUTES, record_view
from inspector.web.body import BadRequest, sent_object
from inspector.web.pages import site_of
from inspector.web.records import Unreadable
from inspector.web.words import word

log = structlog.get_logger(__name__)
MAX_ID, MAX_WHY = 200, 200  # characters
router = APIRouter()
readable = partial(router.api_route, methods=["GET", "HEAD"])


@readable("/alarms")
async def alarms(request: Request) -> Response:
    """The list, which follows the stream; rates, shares and journal as they are now."""
    return await _page(request, "alarms.html")


@readable("/alarms/record")
async def record(request: Request) -> Response:
    """The part of the page that an open one asks for anew."""
    return await _page(request, "_alarm_record.html")


@router.post("/alarms/ack")
async def acknowledge(request: Request) -> Response:
    """Take note of an alarm as it was when it was looked at."""
    try:
        sent = await sent_object(request, {"id", "changed_utc_ms"})
        params = {"id": _text(sent["id"], MAX_ID), "changed_utc_ms": _whole(sent["changed_utc_ms"])}
    except BadRequest:
        return _refused(400, "alarms.bad")
    return await _have_done(request, "alarm_ack", params)


@router.post("/alarms/shelve")
async def shelve(request: Request) -> Response:
    """Take an alarm off the list until its time is over. Nothing that decides is silenced by it."""
    try:
        sent = await sent_object(request, {"id", "minutes", "why"})
        minutes, why = _whole(sent["minutes"]), _text(sent["why"], MAX_WHY).strip()
        if minutes not in MINUTES or not why:
            raise BadRequest("no end, or no reason")
        params = {"id": _text(sent["id"], MAX_ID), "minutes": minutes, "why": why}
    except BadRequest:
        return _refused(400, "alarms.bad")
    return await _have_done(request, "alarm_shelve", params)


@router.post("/alarms/unshelve")
async def unshelve(request: Request) -> Response:
    """Put it back on the list."""
    try:
        params = {"id": _text((await sent_object(request, {"id"}))["id"], MAX_ID)}
    except BadRequest:
        return _refused(400, "alarms.bad")
    return await _have_done(request, "alarm_unshelve", params)


async def _page(request: Request, template: str) -> Response:
    site = site_of(request)
    try:
        record = await site.records.ask(partial(read_record, utc_ms=int(time.time() * 1000)))
    except Unreadable:
        return site.page(template, 503, here="alarms", record=None)
    stations = site.feed.stations
    return site.page(template, here="alarms", record=record_view(record, stations[0] if len(stations) > 1 else ""))


async def _have_done(request: Request, method: str, params: Mapping[str, Any]) -> Response:
    site, person = site_of(request), known_person(request)
    try:
        done = await have_done(site.settings.socket, person.name, method, params)
    except ControlError as exc:
        log.info("alarm not changed", method=method, person=person.name, why=str(exc))
        return _refused(409, "alarms.changed")
    except Unreached as exc:
        log.warning("alarm not changed", method=method, person=person.name, why=str(exc))
        return _refused(503, "alarms.unreached")
    return JSONResponse({"told": "" if done["recorded"] else word("alarms.unrecorded")})


def _text(value: object, most: int) -> str:
    if not isinstance(value, str) or len(value) > most or not value.isprintable():
        raise BadRequest("no text of one line")
    return value


def _whole(value: object) -> int:
    if type(value) is not int:
        raise BadRequest("no whole number")
    return value


def _refused(status: int, key: str) -> Response:
    return JSONResponse({"error": word(key)}, status)
