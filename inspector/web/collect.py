"""Collect: set a camera up, and fill a dataset: live picture, light and focus, region, targets. Labels are review's."""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import partial
from typing import Any

import apsw
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from inspector.core.errors import StoreError
from inspector.office import collecting
from inspector.office.collecting import Counted, Region, Target
from inspector.office.office import now_utc_ms
from inspector.office.refused import Refused
from inspector.office.settling import GOOD
from inspector.store import audit
from inspector.web.access import known_person, visitor_of
from inspector.web.body import sent_object
from inspector.web.look import NoLook
from inspector.web.pages import site_of
from inspector.web.records import Unreadable
from inspector.web.review import classes_of, desk_of, refused
from inspector.web.review_views import label_text
from inspector.web.said import in_words
from inspector.web.site import Site
from inspector.web.tally import Tally
from inspector.web.words import class_called, class_name, word

router = APIRouter()
readable = partial(router.api_route, methods=["GET", "HEAD"])
WORDS = (
    "live", "armed", "nopart", "gone", "best", "kept", "again", "undone", "changed", "unseen", "empty", "waiting",
    "region.kept", "region.whole", "region.fixed",
)  # fmt: skip


@readable("/collect")
async def collect(request: Request) -> Response:
    site, desk = site_of(request), desk_of(request)
    try:
        names, regions = await classes_of(site, desk), await site.office.read(collecting.regions)
        tally, problem = await _tally(site), ""
    except (Unreadable, StoreError):
        names, regions, tally, problem = (), {}, None, word("history.unreadable")
    may = visitor_of(request).may
    return site.page(
        "collect.html", 503 if problem else 200, here="collect", problem=problem, stations=_stations(site),
        keys=[(str(n), name, class_name(name)) for n, name in enumerate(names[:9], 1)],
        more=[(name, class_name(name)) for name in names[9:]], may_label=may("POST", "/review/label"),
        may_region=may("POST", "/collect/region"), may_target=may("POST", "/collect/target"),
        may_export=may("POST", "/collect/dataset"), collect_words=collect_words, left_out=_left_out(site),
        regions=json.dumps({station: list(box) for station, box in regions.items()}),
        progress=[] if tally is None else progress_view(tally.done), lots=[] if tally is None else lots_view(tally),
    )  # fmt: skip


@router.get("/collect/look")
async def look(request: Request) -> Response:
    """What a camera sees now, or saw of the last part; where to fetch the picture."""
    site, asked = site_of(request), request.query_params
    if site.looks is None:
        raise HTTPException(503)
    try:
        found = await site.looks.look(asked.get("station", ""), _region(asked.get("region", "")))
    except ValueError:
        return refused(400, "collect.bad")
    except NoLook as exc:
        key = "collect.gone" if exc.gone else "collect.trouble"
        return JSONResponse({"error": word(key, what=in_words(exc))})  # no failure of the page: asked for all the time
    said = dict(found.said)
    picture = f"/collect/look/{found.name}" if found.name else said["preview"] and f"/preview/{said['preview']}"
    return JSONResponse({**said, "picture": picture})


@router.get("/collect/look/{name}")
async def picture(request: Request, name: str) -> Response:
    looks = site_of(request).looks
    found = looks.picture(name) if looks is not None else None
    if found is None:
        raise HTTPException(404)
    return Response(found, media_type="image/jpeg")


@router.get("/collect/progress")
async def progress(request: Request) -> Response:
    try:
        tally = await _tally(site_of(request))
    except (Unreadable, StoreError):
        return refused(503, "history.unreadable")
    return JSONResponse({"progress": progress_view(tally.done), "lots": lots_view(tally)})


@router.post("/collect/target")
async def target(request: Request) -> Response:
    """So many pictures of a class and lot are wanted; 0: none any more. A class that is new here gets its key."""
    site = site_of(request)
    try:
        sent = await sent_object(request, {"label", "lot", "wanted"})
        if type(sent["wanted"]) is not int or not isinstance(sent["label"], str) or not isinstance(sent["lot"], str):
            raise ValueError("not a target")
        said = Target(class_called(sent["label"].strip()), sent["lot"].strip(), sent["wanted"])
        await site.office.write(collecting.add_target, said, known_person(request).name, now_utc_ms())
        tally = await _tally(site)
    except ValueError:
        return refused(400, "collect.badtarget")
    except Refused as exc:
        return JSONResponse({"error": word(exc.key, **exc.values)}, 409)
    except (Unreadable, StoreError):
        return refused(503, "collect.notkept")
    return JSONResponse({"progress": progress_view(tally.done), "lots": lots_view(tally)})


@router.post("/collect/region")
async def region(request: Request) -> Response:
    """What of a station's pictures is to be judged, for the dataset; null: all. Refused where a bundle fixed it."""
    site = site_of(request)
    try:
        sent = await sent_object(request, {"station", "region"})
        station, box = str(sent["station"]), _sides(sent["region"])
        if station not in (known := {each["station"]: each for each in _stations(site)}):
            raise ValueError("no such station")
        if bundle := known[station]["bundle_id"]:
            return JSONResponse({"error": word("collect.region.fixed", bundle=bundle)}, 409)
        person = known_person(request).name
        await site.office.write(_keep_region, station, box, person)
    except ValueError:
        return refused(400, "collect.bad")
    except StoreError:
        return refused(503, "collect.notkept")
    return JSONResponse({"region": box})


def _keep_region(db: apsw.Connection, station: str, box: Region | None, person: str) -> None:
    """With its entry in the audit: it decides what a model will learn from."""
    now = now_utc_ms()
    collecting.set_region(db, station, box, person, now)
    audit.append(db, now, person, "collect.region", f"{station}: {'-' if box is None else ', '.join(map(str, box))}")


def _left_out(site: Site) -> str:
    """What the dataset is kept free of beside golden and test pictures, or how to say so."""
    folders = ", ".join(map(str, site.settings.leave_out))
    return word("collect.leave_out", folders=folders) if folders else word("collect.leave_out.none")


def collect_words() -> str:
    """What the browser itself must say, in the language of who asks."""
    return json.dumps({name: word(f"collect.{name}") for name in WORDS}, ensure_ascii=False)


def progress_view(done: Sequence[Counted]) -> list[dict[str, Any]]:
    return [
        {
            "label": one.target.label, "name": label_text(one.target.label), "lot": one.target.lot,
            "of": one.target.lot or word("collect.alllots"), "done": one.done, "wanted": one.target.wanted,
            "share": round(one.share, 3),
        }
        for one in done
    ]  # fmt: skip


def lots_view(tally: Tally) -> list[list[str | int]]:
    """Lot, class, pictures: what there is, wanted or not."""
    rows = sorted(tally.by_lot.items(), key=lambda item: (item[0][1], item[0][0] != GOOD, item[0][0]))
    return [[lot or word("collect.nolot"), label_text(label), n] for (label, lot), n in rows]


def _stations(site: Site) -> list[dict[str, str]]:
    """Of the box, from the daemon's last word; id, mode, and the bundle that judges there."""
    status = site.feed.status
    listed = status.get("stations") or ([status] if "station" in status else [])
    bundle = str(status.get("bundle_id") or "")  # a box has one for all
    return [{"station": str(each["station"]), "mode": str(each["mode"]), "bundle_id": bundle} for each in listed]


async def _tally(site: Site) -> Tally:
    """Raises Unreadable, StoreError."""
    if site.desk is None:
        raise HTTPException(503)
    return await site.tallies.of(site.office, site.desk)


def _region(text: str) -> list[int] | None:
    """x,y,width,height. Raises ValueError."""
    if not text:
        return None
    sides = [int(side) for side in text.split(",") if len(side) < 7]
    if len(sides) != 4:
        raise ValueError("not a region")
    return sides


def _sides(sent: object) -> Region | None:
    if sent is None:
        return None
    if not isinstance(sent, list) or len(sent) != 4 or not all(type(side) is int for side in sent):
        raise ValueError("a region is four whole numbers")
    return sent[0], sent[1], sent[2], sent[3]
