"""/maintenance: how the box itself is, its backups, and what to send to who helps."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from inspector.backup import shelf
from inspector.backup.make import last_run
from inspector.backup.places import wanted_file
from inspector.core.errors import InspectorError, StoreError
from inspector.store import audit
from inspector.support.bundle import Sources, support_file
from inspector.threads import DeviceThread
from inspector.upkeep.measures import Measure
from inspector.upkeep.trends import FILE, SPANS, Reading, Span, Trends, is_stale
from inspector.web.access import known_person, visitor
from inspector.web.export import TooManyExports
from inspector.web.media import Opened
from inspector.web.open_file import OpenFile
from inspector.web.pages import site_of
from inspector.web.present import UNKNOWN, View, date_time, rounded, time_zone
from inspector.web.said import in_words, zone_in_words
from inspector.web.site import Site
from inspector.web.words import has_word, word

log = structlog.get_logger(__name__)
POINTS = 120  # of a small trend
FAR = 4  # times the highest value: a limit beyond is told and not drawn
LISTED = 30  # backups on the page
FOLDER_S = 3.0  # a network folder that gives no answer in this time is called silent
TAKEN_S = 70.0  # a backup that was asked for so long ago and has not begun: nobody takes it
_LIGHT = re.compile(r"(?P<station>[^.]+)\.zone (?P<zone>.+): (?P<figure>brightness|contrast|sharpness)")
router = APIRouter()
readable = partial(router.api_route, methods=["GET", "HEAD"])


@readable("/maintenance")
async def maintenance(request: Request) -> Response:
    return await _page(request)


@readable("/maintenance/measures")
async def measures(request: Request) -> Response:
    """The figures, of which an open page asks anew."""
    site = site_of(request)
    seen = await site.call_aside(_figures, site.settings.results_db.parent, "", "day")
    return site.piece("_measures.html", zone=time_zone(), **seen)


@readable("/maintenance/backups")
async def backups(request: Request) -> Response:
    """The backups, of which a page asks that waits for one."""
    site = site_of(request)
    kept = await _kept_backups(site)
    return site.piece("_backups.html", problem="", backups=await site.call_aside(_backups_view, site, kept))


@router.post("/maintenance/backup")
async def ask_for_backup(request: Request) -> Response:
    """Leave a note that systemd looks for: this process may write no backup, and read not all that is in one."""
    site, actor = site_of(request), known_person(request).name
    await site.office.write(audit.append, time.time_ns() // 1_000_000, actor, "backup.asked", "")
    try:
        await site.call_aside(_leave_note, wanted_file(site.settings.office), actor)
    except OSError as exc:
        return await _page(request, 503, word("backup.cannot_ask", why=exc.strerror or exc))
    return RedirectResponse("/maintenance#backups", 303)


@router.get("/maintenance/support.zip")
async def support(request: Request) -> Response:
    """Made in a file first, so that its size is known; two at once, as exports."""
    site, actor = site_of(request), known_person(request).name
    try:
        done = site.exports.begin(known=True)
    except TooManyExports:
        return await _page(request, 503, word("export.busy"))
    try:
        await site.office.write(audit.append, time.time_ns() // 1_000_000, actor, "support.asked", "")
        made = await site.call_aside(_support, _sources(site))
    except (InspectorError, OSError) as exc:
        return await _page(request, 503, word("support.cannot", why=in_words(exc)))
    finally:
        done()
    name = f"inspector-support-{time.strftime('%Y%m%d-%H%M%S')}.zip"
    return OpenFile(made, site.aside, {"content-disposition": f'attachment; filename="{name}"'})


def _support(sources: Sources) -> Opened:
    """Open, and without a name: however the sending ends, nothing of it is left on the disk. Raises BackupError."""
    path = support_file(sources)
    try:
        return Opened(path.open("rb"), path.stat().st_size, "application/zip")
    finally:
        path.unlink()


def _sources(site: Site) -> Sources:
    settings = site.settings
    return Sources(settings.results_db.parent, settings.config, settings.socket, settings.results_db)


async def _page(request: Request, status: int = 200, problem: str = "") -> Response:
    site = site_of(request)
    asked, span = request.query_params.get("trend", ""), request.query_params.get("span", "")
    state = site.settings.results_db.parent
    seen = await site.call_aside(_figures, state, asked, span if span in SPANS else "week")
    kept = await _kept_backups(site) if visitor().person is not None else None
    return site.page(
        "maintenance.html", status, here="maintenance", problem=problem, zone=time_zone(), spans=SPANS,
        pieces={"trend": "_trend.html", "backups": "_backups.html"},
        backups=await site.call_aside(_backups_view, site, kept), **seen,
    )  # fmt: skip


# -- figures -----------------------------------------------------------------------------------------------------------


def _figures(state: Path, asked: str, span: Span) -> View:
    """The table, and the trend of one of its lines."""
    trends = Trends(state / FILE)
    try:
        readings = trends.newest()
        small = {r.measure.key: trends.series(r.measure.key, "day") for r in readings}
        chosen = next((r for r in readings if r.measure.key == asked), None)
        long = trends.series(chosen.measure.key, span) if chosen is not None else []
    except StoreError as exc:
        log.warning("the box's state cannot be read", error=str(exc))
        return {"lines": [], "as_of": UNKNOWN, "stale": False, "chosen": None, "unreadable": True}
    plot = None if chosen is None else {"span": span, **trend_view(chosen.measure, long)}
    return {
        "lines": [line_view(r, small[r.measure.key]) for r in readings], "chosen": plot, "unreadable": False,
        "as_of": date_time(readings[0].utc_ms) if readings else UNKNOWN,
        "stale": bool(readings) and is_stale(readings[0]),
    }  # fmt: skip


def line_view(reading: Reading, series: Sequence[tuple[int, float]]) -> View:
    """A line of the table; what the daemon has not said lately is no state."""
    measure = reading.measure
    state = "unknown" if is_stale(reading) else measure.state
    return {
        "key": measure.key, "name": name_of(measure), "state": state, "word": word(f"measure.state.{state}"),
        "value": UNKNOWN if measure.value is None else amount(measure.value, measure),
        "limit": limit_of(measure), "note": note_of(measure), "spark": spark_of(series, measure),
    }  # fmt: skip


def name_of(measure: Measure) -> str:
    found = _LIGHT.fullmatch(measure.about) if measure.kind == "light" else None
    if found is not None:
        figure = word(f"measure.{found['figure']}")
        return word("measure.light", station=found["station"], zone=zone_in_words(found["zone"]), figure=figure)
    if measure.kind == "light":
        return word("measure.lights", station=measure.about)
    key = f"measure.{measure.kind}"
    return word(key, about=measure.about) if has_word(key) else measure.key


def unit_of(measure: Measure) -> str:
    return word(f"measure.unit.{measure.unit}")


def amount(value: float, measure: Measure) -> str:
    return f"{rounded(value)}\N{NO-BREAK SPACE}{unit_of(measure)}"


def limit_of(measure: Measure) -> str:
    if measure.low is not None and measure.high is not None:
        return word("measure.between", low=rounded(measure.low), high=amount(measure.high, measure))
    if measure.low is not None:
        return word("measure.least", low=amount(measure.low, measure))
    return word("measure.most", high=amount(measure.high, measure)) if measure.high is not None else ""


def note_of(measure: Measure) -> str:
    """Why there is no value, or what is wrong; as the daemon says it."""
    if measure.fault or measure.value is not None:
        return in_words(measure.fault)
    key = f"measure.note.{measure.text}"
    return word(key) if has_word(key) else in_words(measure.text)


def spark_of(series: Sequence[tuple[int, float]], measure: Measure) -> View | None:
    """Points of an SVG of 100 by 24, newest at the right, and its limits as heights; None: too few."""
    step = max(1, math.ceil(len(series) / POINTS))
    values = [value for _, value in series[::-1][::step][::-1] if math.isfinite(value)]
    if len(values) < 2:
        return None
    limits = [x for x in (measure.low, measure.high) if x is not None]
    low, high = min(values), max(values)
    near = [x for x in limits if low - (high - low) <= x <= high + (high - low)]  # far ones would flatten the curve
    low, high = min([low, *near]), max([high, *near])
    scale = 20 / (high - low) if high > low else 0.0
    middle = 0.0 if high > low else 10.0

    def height(value: float) -> float:
        return round(22 - middle - (value - low) * scale, 1)

    points = " ".join(f"{100 * n / (len(values) - 1):.1f},{height(v)}" for n, v in enumerate(values))
    return {"points": points, "limits": [height(x) for x in near]}


def trend_view(measure: Measure, series: Sequence[tuple[int, float]]) -> View:
    """One figure over time with its limits; those beyond the scale are told beside it."""
    values = [value for _, value in series if math.isfinite(value)]
    low, high = scale_of(values, [x for x in (measure.low, measure.high) if x is not None])
    least = [] if measure.low is None else [(measure.low, word("measure.least", low=amount(measure.low, measure)))]
    most = [] if measure.high is None else [(measure.high, word("measure.most", high=amount(measure.high, measure)))]
    seen = [(limit, text) for limit, text in least + most if low <= limit <= high]
    return {
        "key": measure.key, "name": name_of(measure), "unit": unit_of(measure),
        "points": plot_of(series) if series else "", "none": note_of(measure) or word("maintenance.novalues"),
        "scale": json.dumps([low, high]), "limits": json.dumps(seen, ensure_ascii=False),
        "drawn": word("maintenance.limit.drawn", limit=limit_of(measure)) if seen else "",
        "beyond": [word("maintenance.limit.beyond", limit=text) for at, text in least + most if (at, text) not in seen],
    }  # fmt: skip


def scale_of(values: Sequence[float], limits: Sequence[float]) -> tuple[float, float]:
    """From zero, or below it, to a little above: with each limit but one so far off that the curve would lie flat."""
    most = max(map(abs, values), default=0.0)
    near = [x for x in limits if not most or abs(x) <= FAR * most]
    low, high = min([0.0, *values, *near]), max([0.0, *values, *near])
    room = (high - low) / 10 or 1.0
    return (low - room if low < 0 else 0.0, high + room)


def plot_of(series: Sequence[tuple[int, float]]) -> str:
    """[[seconds], [values]] as JSON, oldest first; seconds of the station's own time, as timing.js takes them."""
    step = max(1, math.ceil(len(series) / 1500))
    shown = series[::step]
    times = [utc_ms / 1000 + time.localtime(utc_ms / 1000).tm_gmtoff for utc_ms, _ in shown]
    return json.dumps([times, [round(value, 3) for _, value in shown]])


# -- backups -----------------------------------------------------------------------------------------------------------


async def _kept_backups(site: Site) -> list[shelf.Kept] | str:
    """Those in the folder, or why they cannot be listed. One look at a time, which all wait for: it may never end."""
    folder = site.settings.backups
    if folder is None:
        return ""
    if site.listing is None or site.listing.done():
        thread = DeviceThread("backups")
        site.listing = thread.submit(shelf.kept_in, folder)
        site.listing.add_done_callback(lambda _: thread.close())
    try:
        async with asyncio.timeout(FOLDER_S):
            return await asyncio.shield(asyncio.wrap_future(site.listing))
    except TimeoutError:
        return word("backup.silent", folder=folder)
    except OSError as exc:
        return word("backup.unreadable", folder=folder, why=exc.strerror or exc)


def _backups_view(site: Site, kept: list[shelf.Kept] | str | None) -> View:
    """kept: None for who may not see them."""
    settings = site.settings
    last, wanted = last_run(settings.results_db.parent), wanted_file(settings.office)
    asked_s = _age_s(wanted)
    listed = kept if isinstance(kept, list) else []
    return {
        "shown": kept is not None, "folder": str(settings.backups or ""),
        "problem": kept if isinstance(kept, str) else "",
        "list": [_backup_view(one) for one in listed[:LISTED]], "more": max(0, len(listed) - LISTED),
        "last": None if last is None else _last_view(last),
        "sealed": any(one.encrypted for one in listed),
        "asked": asked_s is not None, "nobody": asked_s is not None and asked_s > TAKEN_S,
    }  # fmt: skip


def _leave_note(path: Path, actor: str) -> None:
    """One that lies there already keeps its age: who presses again must not wait anew to hear that nobody takes it."""
    with suppress(FileExistsError), path.open("x", encoding="utf-8") as note:
        note.write(f"{actor}\n")


def _age_s(path: Path) -> float | None:
    try:
        return max(0.0, time.time() - path.stat().st_mtime)
    except OSError:
        return None


def _backup_view(kept: shelf.Kept) -> View:
    return {"name": kept.path.name, "time": date_time(kept.utc_ms), "size": megabytes(kept.size),
            "encrypted": word("yes" if kept.encrypted else "no")}  # fmt: skip


def _last_view(last: Mapping[str, Any]) -> View:
    when = last.get("utc_ms")
    at = date_time(when if isinstance(when, int) else None)
    if last.get("ok") is not True:
        return {"ok": False, "text": word("backup.failed", time=at, why=in_words(last.get("text", ""))), "left_out": []}
    took, size = last.get("took_s"), last.get("size")
    told = {"time": at, "size": megabytes(size if isinstance(size, int) else 0), "took": f"{took:g}" if took else "0"}
    left = last.get("left_out")
    return {
        "ok": True,
        "text": word("backup.made", **told),
        "left_out": list(map(in_words, left)) if isinstance(left, list) else [],
    }


def megabytes(size: int) -> str:
    return word("measure.mb", number=f"{size / 1e6:,.1f}" if size >= 1e5 else f"{size / 1e6:.2g}")
