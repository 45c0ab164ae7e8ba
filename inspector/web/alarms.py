"""Alarms: what people have to see to, and what they said to it. Acting goes to the daemon, in the name of who acts."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from inspector.control import ControlError
from inspector.store.alarm_history import read_record
from inspector.web.access import known_person, visitor_of
from inspector.web.accounts import form_of
from inspector.web.acting import Unreached, have_done
from inspector.web.alarm_views import MINUTES, alarms_for, alarms_view, record_view
from inspector.web.body import BadRequest
from inspector.web.pages import STATION, site_of
from inspector.web.present import View
from inspector.web.records import Unreadable
from inspector.web.who import who_of
from inspector.web.words import word

log = structlog.get_logger(__name__)
MAX_ID, MAX_WHY, MAX_DIGITS = 200, 200, 15  # characters
TOLD = "alarms-told"  # where an open page tells what came of it
router = APIRouter()
readable = partial(router.api_route, methods=["GET", "HEAD"])


@readable("/alarms")
async def alarms(request: Request) -> Response:
    """The lists, which follow the stream; rates, shares and journal as they are now.

    ?shelve=ID also asks until when and why, for a browser without scripts.
    """
    wanted = request.query_params.get("shelve", "")
    if not wanted or not visitor_of(request).may("POST", "/alarms/shelve"):
        return await _page(request)
    listed = alarms_view(site_of(request).feed.status)["alarms"]
    asked = next((alarm for alarm in listed if alarm["id"] == wanted and alarm["may_shelve"]), None)
    return await _page(request, asked=asked) if asked else await _page(request, 404, word("alarms.changed"))


@readable("/alarms/list")
async def listed(request: Request) -> Response:
    """What people have to see to: the piece of a screen that lists it, of a station where it is that of one."""
    site, station = site_of(request), request.query_params.get(STATION, "")
    return site.piece("_alarms_listed.html", listed=await alarms_for(site.office, site.feed.status, station))


@readable("/alarms/shelved")
async def shelved(request: Request) -> Response:
    """What is shelved, as a piece of the page."""
    site = site_of(request)
    return site.piece("_alarms_shelved.html", listed=await alarms_for(site.office, site.feed.status))


@readable("/alarms/record")
async def record(request: Request) -> Response:
    """Rates, shares and journal, as a piece of the page."""
    status, found = await _record(request)
    return site_of(request).piece("_alarm_record.html", status, record=found)


@router.post("/alarms/ack")
async def acknowledge(request: Request) -> Response:
    """Take note of an alarm as it was when it was looked at."""
    sent = await form_of(request)
    try:
        params = {"id": _text(sent.get("id", ""), MAX_ID), "changed_utc_ms": _whole(sent.get("changed_utc_ms", ""))}
    except BadRequest:
        return await _answer(request, 400, word("alarms.bad"))
    return await _have_done(request, "alarm_ack", params)


@router.post("/alarms/shelve")
async def shelve(request: Request) -> Response:
    """Take an alarm off the list until its time is over. Nothing that decides is silenced by it."""
    sent = await form_of(request)
    try:
        minutes, why = _whole(sent.get("minutes", "")), _text(sent.get("why", "").strip(), MAX_WHY)
        if minutes not in MINUTES:
            raise BadRequest("no end")
        params = {"id": _text(sent.get("id", ""), MAX_ID), "minutes": minutes, "why": why}
    except BadRequest:
        return await _answer(request, 400, word("alarms.bad"))
    return await _have_done(request, "alarm_shelve", params)


@router.post("/alarms/unshelve")
async def unshelve(request: Request) -> Response:
    """Put it back on the list."""
    sent = await form_of(request)
    try:
        params = {"id": _text(sent.get("id", ""), MAX_ID)}
    except BadRequest:
        return await _answer(request, 400, word("alarms.bad"))
    return await _have_done(request, "alarm_unshelve", params)


async def _page(request: Request, status: int = 200, problem: str = "", asked: View | None = None) -> Response:
    site = site_of(request)
    readable_as, found = await _record(request)
    answer = readable_as if status == 200 else status
    seen = await alarms_for(site.office, site.feed.status)
    return site.page(
        "alarms.html", answer, here="alarms", record=found, listed=seen, list_link="/alarms/list", problem=problem,
        asked=asked,
    )  # fmt: skip


async def _record(request: Request) -> tuple[int, View | None]:
    """(status of the answer, the record); None: it cannot be read."""
    site = site_of(request)
    try:
        record = await site.records.ask(partial(read_record, utc_ms=int(time.time() * 1000)))
    except Unreadable:
        return 503, None
    stations, who = site.feed.stations, await who_of(site.office)
    return 200, record_view(record, stations[0] if len(stations) > 1 else "", who)


async def _have_done(request: Request, method: str, params: Mapping[str, Any]) -> Response:
    site, person = site_of(request), known_person(request)
    try:
        done = await have_done(site.settings.socket, person.name, method, params)
    except ControlError as exc:
        log.info("alarm not changed", method=method, person=person.name, why=str(exc))
        return await _answer(request, 409, word("alarms.changed"))
    except Unreached as exc:
        log.warning("alarm not changed", method=method, person=person.name, why=str(exc))
        return await _answer(request, 503, word("alarms.unreached"))
    return await _answer(request, 200, "" if done["recorded"] else word("alarms.unrecorded"))


async def _answer(request: Request, status: int, text: str) -> Response:
    """What came of it: in the page that is open, else as the page of alarms."""
    if visitor_of(request).target == TOLD:
        return site_of(request).piece("_told.html", status, text=text, bad=status != 200)
    return RedirectResponse("/alarms", 303) if status == 200 else await _page(request, status, text)


def _text(value: str, most: int) -> str:
    if not value or len(value) > most or not value.isprintable():
        raise BadRequest("no text of one line")
    return value


def _whole(value: str) -> int:
    if not value.isascii() or not value.isdecimal() or len(value) > MAX_DIGITS:
        raise BadRequest("no whole number")
    return int(value)
