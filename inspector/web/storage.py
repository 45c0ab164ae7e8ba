"""What is kept and what goes: room on the disk, kept pictures, lots on hold. Acting goes to the daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import RedirectResponse, Response

from inspector.asking import NoDaemon, ask_daemon
from inspector.backup.make import backup_found
from inspector.control import ControlError
from inspector.store.holds import Hold
from inspector.store.month_list import GoneMonth, KeptMonth
from inspector.store.months import month_path
from inspector.store.salvage import aside_of
from inspector.store.shelf import Kind
from inspector.web.access import known_person, visitor_of
from inspector.web.filters import link
from inspector.web.pages import site_of
from inspector.web.present import UNKNOWN, View, date_time
from inspector.web.records import Unreadable
from inspector.web.words import word

LONG_DAYS = 3650  # nobody plans beyond
NEWEST = 50  # entries of the history of holds
UNITS = ("B", "kB", "MB", "GB", "TB")
GOES = (Kind.PASS, Kind.NEAR, Kind.COLLECT, Kind.REJECT, Kind.TEST)  # from what goes first to what never does
router = APIRouter()
readable = partial(router.api_route, methods=["GET", "HEAD"])


@readable("/storage")
async def storage(request: Request) -> Response:
    return await _page(request)


@readable("/storage/room")
async def room(request: Request) -> Response:
    """The piece of the page that an open one asks for anew."""
    return site_of(request).piece("_room.html", **await _room(request))


@router.post("/storage/hold")
async def hold(request: Request) -> Response:
    """Put a lot on hold."""
    return await _act(request, "hold")


@router.post("/storage/release")
async def release(request: Request) -> Response:
    """Let a lot go."""
    return await _act(request, "release")


async def _act(request: Request, method: str) -> Response:
    form = await request.form()
    sent = {"lot": str(form.get("lot", "")).strip(), "reason": str(form.get("reason", "")).strip()}
    if not all(sent.values()):
        return await _page(request, 400, word("storage.hold.needed"), sent)
    try:
        await ask_daemon(site_of(request).settings.socket, known_person(request).name, f"{method}_lot", sent)
    except ControlError:
        return await _page(request, 409, word(f"storage.{method}.refused", lot=sent["lot"]), sent)
    except NoDaemon:
        return await _page(request, 503, word("storage.notdone"), sent)
    return RedirectResponse("/storage", 303)


async def _page(
    request: Request, status: int = 200, problem: str = "", typed: Mapping[str, str] | None = None
) -> Response:
    site = site_of(request)
    standing: list[Hold] = []
    newest: list[Hold] = []
    kept: Sequence[KeptMonth] = ()
    gone: Sequence[GoneMonth] = ()
    try:
        standing, newest = await site.records.holds(NEWEST)
        kept, gone = await site.records.months()
    except Unreadable:
        problem, status = problem or word("history.unreadable"), 503 if status == 200 else status
    results, figures = site.settings.results_db, await _room(request)
    met, aside = await site.call_aside(_damaged, results)
    damaged = {*met, *figures["damaged"]}
    lot = (typed or {}).get("lot", request.query_params.get("lot", ""))[:64]
    return site.page(
        "storage.html", status, here="storage", problem=problem, lot=lot, reason=(typed or {}).get("reason", ""),
        pieces={"holds": "_holds.html"}, may_hold=visitor_of(request).may("POST", "/storage/hold"),
        held=[hold_view(one) for one in standing], entries=[hold_view(one) for one in newest],
        months=[month_view(one, month_path(results, one.month).name in damaged) for one in kept],
        gone=[gone_view(one) for one in gone], aside=aside, **figures,
    )  # fmt: skip


async def _room(request: Request) -> View:
    """What the daemon says of the disk and of what is kept; disk None: it says nothing."""
    try:
        figures = await ask_daemon(site_of(request).settings.socket, "web", "storage")
    except (NoDaemon, ControlError):
        return {"disk": None, "kinds": [], "notes": [], "damaged": ()}
    return {
        "disk": disk_view(figures), "kinds": kinds_view(figures), "notes": notes_of(figures),
        "damaged": figures["damaged"],
    }  # fmt: skip


def _damaged(results: Path) -> tuple[list[str], list[str]]:
    """Months' files that the newest backup found damaged, and those that were set aside: what the alarm names.

    A page deep in a file is met by the daemon's looks and by backups, hardly ever by a question of ours.
    """
    return backup_found(results.parent), aside_of(results)


def size(found: object) -> str:
    """Bytes in words: 12.3 GB."""
    if not isinstance(found, int | float):
        return UNKNOWN
    amount, unit = float(found), 0
    while abs(amount) >= 999.5 and unit < len(UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.3g} {UNITS[unit]}"


def disk_view(figures: Mapping[str, Any]) -> View:
    """The disk as a bar, and in figures."""
    whole = max(1, figures["disk_bytes"])
    pictures = sum(size_ for _, size_ in figures["kinds"].values())
    record = figures["record_bytes"] or 0
    other = max(0, whole - figures["free_bytes"] - pictures - record)
    days = figures["days_left"]
    reserve = word("storage.days.none") if days is None else word("storage.days", days=f"{days:.0f}")
    if days is not None and days > LONG_DAYS:
        reserve = word("storage.days.many", years=LONG_DAYS // 365)
    shares = {"pictures": pictures, "record": record, "other": other}
    bars, at = [], 0.0
    for name, amount in shares.items():
        width = 100 * amount / whole
        bars.append({"name": name, "x": round(at, 2), "width": round(width, 2), "text": size(amount),
                     "title": word(f"storage.bar.{name}")})  # fmt: skip
        at += width
    marks = {name: round(100 - 100 * figures[f"{name}_bytes"] / whole, 2) for name in ("begin", "floor")}
    rows = [
        (word("storage.free"), size(figures["free_bytes"])),
        (word("storage.begin"), word("storage.between", begin=size(figures["begin_bytes"]),
                                     stop=size(figures["stop_bytes"]))),
        (word("storage.floor"), size(figures["floor_bytes"])),
        (word("storage.growth"), UNKNOWN if figures["per_day_bytes"] is None
         else word("storage.perday", size=size(figures["per_day_bytes"]))),
        (word("storage.reserve"), reserve if figures["per_day_bytes"] is not None else UNKNOWN),
    ]  # fmt: skip
    return {"bars": bars, "marks": marks, "rows": rows, "size": size(whole)}


def kinds_view(figures: Mapping[str, Any]) -> list[View]:
    """What is kept of each kind, in the order in which it goes."""
    found = []
    for kind in GOES:
        count, amount = figures["kinds"][kind]
        room = word("storage.room", size=size(figures["sample_bytes"])) if kind is Kind.PASS else ""
        found.append({
            "name": word(f"storage.kind.{kind}"), "count": count, "size": size(amount),
            "goes": word(f"storage.goes.{kind}"), "room": room,
        })  # fmt: skip
    return found


def notes_of(figures: Mapping[str, Any]) -> list[str]:
    """What a person should know beside the figures."""
    look, found = figures["look"], []
    if not figures["counted"]:
        found.append(word("storage.counting"))
    if figures["stuck"]:
        found.append(word("storage.stuck"))
    elif figures["giving_way"]:
        found.append(word("storage.giving"))
    if figures["removed"]:
        found.append(word("storage.removed", count=figures["removed"]))
    if look is None:
        found.append(word("storage.look.none"))
    elif look["doubt"]:
        found.append(word("storage.look.doubt", time=date_time(look["utc_ms"])))
    else:
        found.append(word("storage.look", time=date_time(look["utc_ms"]), aside=look["set_aside"],
                          missing=look["missing"]))  # fmt: skip
    if figures["aside"]:
        found.append(word("storage.aside", count=figures["aside"]))
    return found


def month_view(month: KeptMonth, damaged: bool = False) -> View:
    """One month's file. damaged: others found it so."""
    ends = None if month.from_no is None or month.to_no is None else (month.from_no, month.to_no)
    return {
        "month": month.month, "size": size(month.bytes), "damaged": damaged or month.damaged,
        "parts": UNKNOWN if ends is None else "{:,} \N{EN DASH} {:,}".format(*ends),
    }  # fmt: skip


def gone_view(month: GoneMonth) -> View:
    """One month that was let go."""
    return {
        "month": month.month, "rows": f"{month.rows:,}", "size": size(month.bytes), "time": date_time(month.utc_ms),
        "actor": month.actor, "reason": month.reason,
    }  # fmt: skip


def hold_view(entry: Hold) -> View:
    """One entry of the history of holds."""
    return {
        "lot": entry.lot, "link": link("/history", {"lot": entry.lot}), "time": date_time(entry.utc_ms),
        "actor": entry.actor, "reason": entry.reason, "held": entry.held,
        "what": word("storage.what.held" if entry.held else "storage.what.released"),
    }  # fmt: skip
