"""What a person does from the line screen: it goes to the daemon, in their name."""

from __future__ import annotations

import json

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from inspector.control import ControlError, connect_control
from inspector.web.access import known_person
from inspector.web.pages import site_of
from inspector.web.words import word

log = structlog.get_logger(__name__)
MAX_WHY = 200
router = APIRouter()


@router.post("/counts/reset")
async def reset_counts(request: Request) -> Response:
    """Begin a new counting period; what was counted is kept. The screens learn of it with the next status."""
    site, person = site_of(request), known_person(request)
    try:
        sent = json.loads(await request.body())
        why = str(sent["why"]).strip()
    except (ValueError, TypeError, KeyError, RecursionError):
        return _refused(400, "tally.reset.bad")
    if len(why) > MAX_WHY or not (why == "" or why.isprintable()):
        return _refused(400, "tally.reset.bad")
    try:
        async with connect_control(site.settings.socket, person.name) as daemon:
            await daemon.call("reset_counts", {"station": site.feed.status.get("station", ""), "why": why})
    except ControlError as exc:
        log.warning("counts not reset", error=str(exc))
        return _refused(409, "tally.reset.refused")
    except (OSError, ValueError) as exc:
        log.warning("counts not reset", error=str(exc))
        return _refused(503, "tally.reset.offline")
    return JSONResponse({"told": word("tally.reset.done")})


def _refused(status: int, key: str) -> Response:
    return JSONResponse({"error": word(key)}, status)
