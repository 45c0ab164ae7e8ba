"""/controls: what station and PLC tell each other, Offline and Online, forced values, and a line without a PLC.

The daemon decides; what it refuses is answered here with 409 and its reason in words.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from inspector.control import ControlError
from inspector.web import control_views as views
from inspector.web.access import known_person, visitor_of
from inspector.web.acting import Unreached, have_done
from inspector.web.export import BOM, csv_text, safe
from inspector.web.export_pages import CSV, file_name
from inspector.web.pages import site_of
from inspector.web.said import in_words
from inspector.web.words import word
from plc.changes import KEPT, Edge
from plc.forcing import FORCEABLE, why_never
from plc.values import NameProblem, parse_assignment

ACTOR = "web"  # where nobody acts
SHOWN = 200  # edges that a browser is told of at a time
ASKED = 500  # changes in one answer of the daemon
MAX_BODY = 4 * 1024
PARTS = (10, 100, 1000)
router = APIRouter()
readable = partial(router.api_route, methods=["GET", "HEAD"])


class BadRequest(ValueError):
    """What was sent cannot be meant."""


@readable("/controls")
async def controls(request: Request) -> Response:
    """The empty tables of the register map; the browser fills them."""
    site, may = site_of(request), visitor_of(request).may
    stations = [str(line["station"]) for line in site.feed.status.get("stations") or []]
    return site.page(
        "controls.html", here="controls", groups=[views.group_view(name) for name in views.GROUPS],
        stations=stations, chosen=_station(request), forceable=FORCEABLE, may_act=may("POST", "/controls/force"),
        parts=PARTS, controls_words=controls_words, cycle=site.feed.status.get("cycle_ms") or {},
    )  # fmt: skip


@router.get("/controls/state")
async def state(request: Request) -> Response:
    """Both images, and the edges after `after`; the newest ones where that is 0."""
    station, wanted = _station(request), request.query_params.get("name", "")[:100]
    after = _number(request, "after")
    try:
        found = await _ask(request, "registers", {"station": station})
        known = await _edges(request, station, wanted, after, SHOWN)
        run = await _ask(request, "dry_run", {})
    except ControlError:
        raise HTTPException(404) from None
    except Unreached:
        return _refused(503, "controls.unreached")
    return JSONResponse(
        {**views.state_view(found), "edges": [views.edge_view(edge) for edge in known], "run": views.run_view(run)},
        headers={"cache-control": "no-store"},
    )  # fmt: skip


@router.get("/controls/changes.csv")
async def changes_csv(request: Request) -> Response:
    """Every edge that the daemon still has, newest first."""
    station, wanted = _station(request), request.query_params.get("name", "")[:100]
    try:
        found = await _edges(request, station, wanted, 0, KEPT * 100)
    except ControlError:
        raise HTTPException(404) from None
    except Unreached:
        return site_of(request).page("error.html", 503, text=word("controls.unreached"), hint="")
    text = await site_of(request).call_aside(_csv, found)
    headers = {"content-disposition": f'attachment; filename="{file_name("registers", "csv")}"'}
    return Response(BOM + text, media_type=CSV, headers=headers)


@router.post("/controls/offline")
async def offline(request: Request) -> Response:
    return await _act(request, "offline", {}, "controls.told.offline")


@router.post("/controls/online")
async def online(request: Request) -> Response:
    return await _act(request, "online", {}, "controls.told.online")


@router.post("/controls/force")
async def force(request: Request) -> Response:
    """Force one value. 409: the station is not Offline; 400: that is never forced."""
    try:
        sent = await _sent(request, {"name", "value"})
        never = why_never(parse_assignment(f"{sent['name']}={sent['value']}"))
    except NameProblem as exc:
        return JSONResponse({"error": word("controls.force.bad", why=in_words(exc))}, 400)
    except BadRequest:
        return _refused(400, "error.400")
    if never:
        return JSONResponse({"error": word("controls.force.never", why=in_words(never))}, 400)
    return await _act(request, "force", sent, "controls.told.forced")


@router.post("/controls/release")
async def release(request: Request) -> Response:
    try:
        sent = await _sent(request, {"name"})
    except BadRequest:
        return _refused(400, "error.400")
    return await _act(request, "release", sent, "controls.told.released")


@router.post("/controls/run")
async def run(request: Request) -> Response:
    """Begin a dry run. 409: a station is not Offline, or one is under way."""
    try:
        parts = int((await _sent(request, {"parts"}))["parts"])
    except ValueError:
        return _refused(400, "error.400")
    return await _act(request, "dry_run_start", {"parts": parts}, "controls.told.run")


@router.post("/controls/abort")
async def abort(request: Request) -> Response:
    return await _act(request, "dry_run_abort", {}, "controls.told.aborted")


async def _act(request: Request, method: str, params: Mapping[str, Any], told: str) -> Response:
    """Have the daemon do it, in the person's name; a refusal is told with the reason that the page knows in words."""
    station = _station(request)
    try:
        await have_done(
            site_of(request).settings.socket, known_person(request).name, method, {"station": station, **params}
        )
    except ControlError as exc:
        return JSONResponse({"error": await _why(request, method, str(exc))}, 409)
    except Unreached:
        return _refused(503, "controls.unreached")
    return JSONResponse({"told": word(told)})


async def _why(request: Request, method: str, text: str) -> str:
    """In words of the page where it is clear from the station's state; else what the daemon said."""
    try:
        found = await _ask(request, "registers", {"station": _station(request)})
    except (ControlError, Unreached):
        return word("controls.refused", why=in_words(text))
    if method == "force" and not found["offline"]:
        return word("controls.refused.online")
    if method == "dry_run_start" and not found["offline"]:
        return word("controls.refused.run")
    return word("controls.refused", why=in_words(text))


async def _edges(request: Request, station: str, wanted: str, after: int, limit: int) -> list[Edge]:
    """The newest edges after change `after`, newest first; asked piece by piece, and decoded here. Raises ControlError,
    Unreached."""
    found: list[Edge] = []
    before = 0
    while len(found) < limit:
        packed = await _ask(request, "changes", {"station": station, "after": after, "before": before, "limit": ASKED})
        changes, word_order = views.changes_of(packed)
        found += reversed(views.edges_of(changes, word_order, wanted))
        if len(changes) < ASKED:
            break
        before = changes[0].no
    return found[:limit]


async def _ask(request: Request, method: str, params: Mapping[str, Any]) -> Any:
    async with site_of(request).asking:
        return await have_done(site_of(request).settings.socket, ACTOR, method, params)


def _csv(found: list[Edge]) -> str:
    heads = [word(f"controls.edge.{key}") for key in ("no", "time", "writer", "name", "before", "after")]
    shown = map(views.edge_view, found)
    lines = [[safe(e[key]) for key in ("no", "time", "writer", "name", "before", "after")] for e in shown]
    return csv_text([[safe(head) for head in heads], *lines])


def controls_words() -> str:
    """What the browser itself must say."""
    keys = ("lost", "none", "noedges", "release", "confirm.online", "confirm.offline")
    return json.dumps({key: word(f"controls.{key}") for key in keys}, ensure_ascii=False)


def _station(request: Request) -> str:
    return request.query_params.get("station", "")[:32]


def _number(request: Request, key: str) -> int:
    text = request.query_params.get(key, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else 0


async def _sent(request: Request, keys: set[str]) -> dict[str, str]:
    """The JSON object of texts that was sent. Raises BadRequest."""
    body = await request.body()
    try:
        found = json.loads(body) if len(body) <= MAX_BODY else None
    except (ValueError, RecursionError) as exc:
        raise BadRequest("no JSON") from exc
    if not isinstance(found, dict) or found.keys() != keys or not all(isinstance(v, str) for v in found.values()):
        raise BadRequest("not these keys")
    if not all(text.isprintable() for text in found.values()):
        raise BadRequest("no text of one line")
    return found


def _refused(status: int, key: str) -> Response:
    return JSONResponse({"error": word(key)}, status)
