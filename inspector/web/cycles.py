"""/timing: where the time of the last cycles went, and which were the slowest."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

from fastapi import APIRouter, Request
from fastapi.responses import Response

from inspector.web.export import BOM, Cell, csv_text, moment, older_than, safe
from inspector.web.export_pages import CSV, file_name
from inspector.web.filters import BadFilter, Form, filters_of, link, stations_to_ask
from inspector.web.pages import site_of
from inspector.web.present import View, time_zone
from inspector.web.records import Records, Row, Unreadable
from inspector.web.site import Site
from inspector.web.stages import stage_name
from inspector.web.timing import Cycle, cycles_of, legend_of, plot, slowest, stage_names, stage_table, whole_line
from inspector.web.words import word

LAST = (100, 1000, 10_000)
AT_ONCE = 500
FIELDS = ("from", "to", "station")
R = TypeVar("R")
router = APIRouter()
readable = partial(router.api_route, methods=["GET", "HEAD"])


@readable("/timing")
async def timing(request: Request) -> Response:
    site = site_of(request)
    form, problem, hint, status = _form(request), "", "", 200
    count, figures = 0, _figures(())
    try:
        count, figures = await _measured(site, form, _figures)
    except BadFilter as exc:
        problem, status = word("history.badfilter", what=exc), 400
    except Unreadable:
        problem, hint, status = word("history.unreadable"), word("history.unreadable.hint"), 503
    cut = bool(form.get("from")) and count == int(form["last"])
    return site.page(
        "timing.html", status, here="timing", pieces={"found": "_cycles.html"}, form=form,
        stations=stations_to_ask(site.feed.stations, form),
        zone=time_zone(), problem=problem, problem_hint=hint,
        last=[(str(n), f"{n:,}") for n in LAST], cut=cut, csv=link("/timing.csv", form),
        **figures,
    )  # fmt: skip


@router.get("/timing.csv")
async def timing_csv(request: Request) -> Response:
    """A line for each cycle: its number, time and part, the whole and each stage's own time in ms."""
    site, form = site_of(request), _form(request)
    try:
        _, text = await _measured(site, form, _csv)
    except BadFilter as exc:
        return site.page("error.html", 400, text=word("history.badfilter", what=exc), hint="")
    except Unreadable:
        text, hint = word("history.unreadable"), word("history.unreadable.hint")
        return site.page("error.html", 503, text=text, hint=hint)
    return Response(
        BOM + text, media_type=CSV,
        headers={"content-disposition": f'attachment; filename="{file_name("timing", "csv")}"'},
    )  # fmt: skip


async def _measured(site: Site, form: Form, fn: Callable[[Sequence[Row]], R]) -> tuple[int, R]:
    """How many rows there are, and `fn` of them. Raises BadFilter, Unreadable.

    For few at a time: ten thousand rows with their stages are some 50 MB, and anyone may ask for them.
    """
    async with site.measuring:
        found = await _last(site.records, form)
        return len(found), await site.call_aside(fn, found)


def _figures(found: Sequence[Row]) -> View:
    cycles = cycles_of(found)
    slow = slowest(cycles)
    return {
        "stages": stage_table(cycles), "whole": whole_line(cycles), "points": plot(cycles),
        "slow": slow, "legend": legend_of(slow),
    }  # fmt: skip


def _csv(found: Sequence[Row]) -> str:
    return csv_text(_lines(cycles_of(found)))


def _form(request: Request) -> dict[str, str]:
    form = {key: text for key in FIELDS if (text := request.query_params.get(key, "").strip())}
    last = request.query_params.get("last", "")
    return {**form, "last": last if last in map(str, LAST) else str(LAST[1])}


async def _last(records: Records, form: Form) -> list[Row]:
    """The newest rows of the time asked for, in short questions. Raises BadFilter, Unreadable."""
    filters, wanted = filters_of(form), int(form["last"])
    found: list[Row] = []
    before: int | None = None
    while len(found) < wanted:
        asked = min(AT_ONCE, wanted - len(found))
        page = await records.page(filters, before, asked)
        found += page
        before = older_than(page, asked)
        if before is None:
            break
    return found


def _lines(cycles: Sequence[Cycle]) -> list[list[Cell]]:
    stages = stage_names(cycles)
    heads = [*((k, word(f"export.{k}")) for k in ("no", "opened", "station", "part_id", "trigger_id", "elapsed_ms"))]
    heads += [(f"{name}_ms", f"{stage_name(name)}, ms") for name in stages]
    return [[safe(f"{text} [{key}]") for key, text in heads], *(_line(cycle, stages) for cycle in cycles)]


def _line(cycle: Cycle, stages: Sequence[str]) -> list[Cell]:
    own, row = {s.name: round(s.own_ms, 3) for s in cycle.stages}, cycle.row
    about = [row["no"], moment(row["opened_utc_ms"]), row["station"], row["part_id"], row["trigger_id"], cycle.whole_ms]
    return [*map(safe, about), *(own.get(name) for name in stages)]
