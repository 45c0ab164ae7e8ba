"""History and part page, and the same rows as files to take away. All of it only reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import Response

from inspector.core.errors import StoreError
from inspector.office.presence import logged_in
from inspector.store.names import heat_beside, heat_name, picture_name
from inspector.web import media, rows
from inspector.web.access import visitor
from inspector.web.detail import detail_view
from inspector.web.export import older_than
from inspector.web.filters import COMMON, BadFilter, filters_of, form_of, link, number, stations_to_ask
from inspector.web.pages import Number, site_of
from inspector.web.present import View, date_or_time, date_time, result_text, time_zone
from inspector.web.records import Found, Row, Unreadable
from inspector.web.review import part_labels
from inspector.web.site import Site
from inspector.web.who import Who, who_of
from inspector.web.words import has_word, reason_words, word
from plc.registers import Reason

PAGE_ROWS = 50
router = APIRouter()
readable = partial(router.api_route, methods=["GET", "HEAD"])


@readable("/history")
async def history(request: Request) -> Response:
    site = site_of(request)
    form = form_of(request.query_params)
    found = Found()
    left_out: Sequence[str] = ()
    problem, hint, status, before = "", "", 200, None
    try:
        before = number(request.query_params, "before")
        found = await site.records.page(filters_of(form), before, PAGE_ROWS + 1)
        left_out = await site.records.left_out()
    except BadFilter as exc:
        problem, status = word("history.badfilter", what=exc), 400
    except Unreadable:
        problem, hint, status = word("history.unreadable"), word("history.unreadable.hint"), 503
    older, shown = older_than(found, PAGE_ROWS + 1), found[:PAGE_ROWS]
    if len(found) > PAGE_ROWS:
        older = shown[-1]["no"]  # the row beyond the page only showed that there is more
    stations = stations_to_ask(site.feed.stations, form)
    at_hand = {*COMMON, *(["station"] if stations else [])}
    before_link = {} if before is None else {"before": str(before)}
    answer = site.page(
        "history.html", status, here="history", pieces={"found": "_found.html"}, rows=await _row_views(site, shown),
        form=form, stations=stations,
        more_open=any(key not in at_hand for key in form), zone=time_zone(), problem=problem, problem_hint=hint,
        left_out=", ".join(left_out), verdicts=[(str(n), result_text(n)) for n in range(1, 7)],
        reasons=[(str(int(r)), reason_words(r, "…").text) for r in Reason],
        csv=link("/history.csv", form), xlsx=link("/history.xlsx", form),
        paged=before is not None, newest=link("/history", form),
        older=link("/history", {**form, "before": str(older)}) if older is not None else "",
    )  # fmt: skip
    answer.headers["hx-push-url"] = link("/history", {**form, **before_link})  # without the fields left empty
    return answer


@readable("/part/{no}")
async def part(request: Request, no: Number) -> Response:
    site = site_of(request)
    try:
        row = await site.records.row(no)
        if row is None:
            raise HTTPException(404)
        trace = await site.records.trace(row)
        older, newer = await site.records.neighbours(no)
    except Unreadable as exc:
        raise HTTPException(503) from exc
    who = await who_of(site.office)
    view, said = detail_view(row, trace, site.limits_of(row), who), await part_labels(site.desk, row, who)
    view["facts"] += await _present(site, row["opened_utc_ms"])
    return site.page(
        "part.html", here="history", p=view, shot=await _shot(site, row), older=older, newer=newer, said=said,
        hold=await _hold(site, row["lot"], who), hold_link=link("/storage", {"lot": row["lot"]}),
    )  # fmt: skip


async def _present(site: Site, utc_ms: int) -> list[View]:
    """Who was logged in at the page then. Names of people are for who is logged in."""
    if visitor().person is None:
        return []
    try:
        found = await site.office.read(logged_in, utc_ms, site.office.life.whole_ms)
    except StoreError:
        return []
    told = [word("part.present.one", name=p.name, time=date_or_time(p.since_utc_ms)) for p in found]
    return [{"name": word("part.present"), "value": "; ".join(told) or word("part.present.none"), "link": ""}]


async def _hold(site: Site, lot: str, who: Who) -> str:
    """Who put the part's lot on hold, when and why; "": it is not, or that cannot be read."""
    try:
        found = await site.records.hold_of(lot)
    except Unreadable:
        return ""
    if found is None:
        return ""
    return word("part.hold", time=date_time(found.utc_ms), actor=who(found.actor), reason=found.reason)


async def _row_views(site: Site, shown: Sequence[Row]) -> list[View]:
    """With whether each picture that the record names is there: after a restore many are not."""

    def there() -> list[bool]:
        places = ([(site.settings.archive, row["image"])] if row["image"] else [] for row in shown)
        return [media.first_there(place) is not None for place in places]

    found = await site.pictures.call(there)
    return [{**rows.row_view(row), "picture": _picture_text(row, seen)} for row, seen in zip(shown, found, strict=True)]


def _picture_text(row: Row, there: bool) -> str:
    if there:
        return word("history.haspicture")
    return word("history.notkept") if row["image"] or row.get("picture_gone_why") else ""


def _gone(row: Row) -> str:
    """Since when there is no kept picture any more, and why; "": there never was one. For where none is seen."""
    why = row.get("picture_gone_why")
    key = f"part.gone.{why}"
    if why and has_word(key):
        return word(key, time=date_time(row["picture_gone_utc_ms"]))
    return word("picture.notkept.why") if row["image"] else ""


async def _shot(site: Site, row: Row) -> Mapping[str, Any]:
    """Where picture and heat map are: kept ones, else those of the last parts' small pictures, while they are there."""
    if not visitor().sees:
        return {"picture": "", "heat": "", "small": False, "gone": word("picture.login")}
    no, small = row["no"], site.settings.previews
    pictures = [(small, name := picture_name(no), f"/preview/{name}")]
    heats = [(small, name := heat_name(no), f"/preview/{name}")]
    if row["image"]:
        pictures.insert(0, (site.settings.archive, row["image"], f"/picture/{no}"))
        heats.insert(0, (site.settings.archive, heat_beside(row["image"]), f"/heat/{no}"))

    def there(places: Sequence[tuple[Path, str, str]]) -> str:
        found = media.first_there([(folder, path) for folder, path, _ in places])
        return "" if found is None else places[found][2]

    picture, heat = await site.pictures.call(there, pictures), await site.pictures.call(there, heats)
    return {
        "picture": picture,
        "heat": heat if picture else "",
        "small": picture.startswith("/preview/"),
        "gone": _gone(row),
    }
