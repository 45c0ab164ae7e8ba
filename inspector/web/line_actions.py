"""What a person does from the line screen: it goes to the daemon, in their name."""

from __future__ import annotations

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse, Response

from inspector.control import ControlError
from inspector.web.access import known_person
from inspector.web.acting import Unreached, have_done
from inspector.web.body import BadRequest, sent_object
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
        sent = await sent_object(request, {"station", "why"})
    except BadRequest:
        return _refused(400, "tally.reset.bad")
    station, why = sent["station"], sent["why"]
    if not isinstance(station, str) or not isinstance(why, str) or len(why) > MAX_WHY or not _one_line(why):
        return _refused(400, "tally.reset.bad")
    params = {"station": station[:MAX_WHY], "why": why.strip()}  # one that does not exist the daemon refuses
    try:
        await have_done(site.settings.socket, person.name, "reset_counts", params)
    except ControlError as exc:
        log.warning("counts not reset", error=str(exc))
        return _refused(409, "tally.reset.refused")
    except Unreached as exc:
        log.warning("counts not reset", error=str(exc))
        return _refused(503, "tally.reset.offline")
    return JSONResponse({"told": word("tally.reset.done")})


def _one_line(text: str) -> bool:
    return text == "" or text.isprintable()


def _refused(status: int, key: str) -> Response:
    return JSONResponse({"error": word(key)}, status)
