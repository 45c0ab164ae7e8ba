"""Review: people look at kept pictures and say what they show. Labels go to office.db; nothing reaches the line."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from typing import Any, TypeVar

import apsw
from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import JSONResponse, Response

from inspector.core.errors import StoreError
from inspector.office.desk import Desk, NotForReview, Wanted
from inspector.office.labels import NothingToUndo
from inspector.office.settling import GOOD, UNSURE, Box, NewTruth, Queue, Settled, Source, State, settle
from inspector.store.review_queue import WholeRecord
from inspector.web import review_views as views
from inspector.web.access import known_person, visitor_of
from inspector.web.body import BadRequest, sent_object
from inspector.web.media import first_there
from inspector.web.pages import site_of
from inspector.web.present import View
from inspector.web.records import Row, Unreadable
from inspector.web.site import Site
from inspector.web.who import Who
from inspector.web.words import class_called, class_name, word

T = TypeVar("T")
DAYS, MIXED = (1, 7, 31), "mixed"
SHOWN_QUEUES = (*(str(queue) for queue in Queue), MIXED)
AT_ONCE = 30  # pictures that the browser is told of ahead
TRUTHS = 10  # of the newest, on the page
LOOKED_FOR = 2000  # pictures at most, to find those: after a restore the record names many that are gone
DAY_MS = 86_400_000
router = APIRouter()
readable = partial(router.api_route, methods=["GET", "HEAD"])


def desk_of(request: Request) -> Desk:
    """Raises HTTPException 503: this page keeps no labels."""
    desk: Desk | None = site_of(request).desk
    if desk is None:
        raise HTTPException(503)
    return desk


@readable("/review")
async def review(request: Request) -> Response:
    site, desk = site_of(request), desk_of(request)
    days = _days(request)
    try:
        figures = await desk.figures(*_since(desk, days))
        classes = await classes_of(site, desk)
    except (Unreadable, StoreError):
        figures, classes = None, ()
    problem = word("history.unreadable") if figures is None else ""
    may_label = visitor_of(request).may("POST", "/review/label")
    return site.page(
        "review.html", 503 if problem else 200, here="review", problem=problem, days=days, all_days=DAYS,
        figures=[] if figures is None else views.figures_view(figures), found=figures,
        may_label=may_label, told=await _told_truths(request, desk) if may_label else {},
        queues=[(name, word(f"review.queue.{name}")) for name in SHOWN_QUEUES],
        keys=[(str(n), name, class_name(name)) for n, name in enumerate(classes[:9], 1)],
        more=[(name, class_name(name)) for name in classes[9:]], two_people=desk.two_people,
        review_words=review_words, sources=[(str(source), word(f"review.source.{source}")) for source in Source],
    )  # fmt: skip


@router.get("/review/queue")
async def queue(request: Request) -> Response:
    """The next pictures for who asks, and how much is done."""
    site, desk = site_of(request), desk_of(request)
    asked = request.query_params
    name = asked.get("queue", str(Queue.REJECT))
    if name not in SHOWN_QUEUES:
        return refused(400, "review.bad")
    queues = frozenset({Queue.REJECT, Queue.NEAR, Queue.SAMPLE} if name == MIXED else {Queue(name)})
    wanted = Wanted(queues, *_since(desk, _days(request)), suspects=asked.get("first") == "suspects")
    try:
        found = await desk.waiting(known_person(request).name, wanted, LOOKED_FOR)
        last = await desk.labels.last(known_person(request).name)
    except (Unreadable, StoreError):
        return refused(503, "history.unreadable")
    blind = asked.get("blind") == "1"
    items, gone = await _viewed(site, lambda: _there(site, found.rows, blind))
    return JSONResponse({"items": items, "gone": gone, "done": found.done, "total": found.total, "last": last})


def _there(site: Site, rows: Sequence[Row], blind: bool) -> tuple[list[View], int]:
    """The first pictures that are there, and how many before them are not: nobody can label those."""
    items, gone, archive, stations = list[View](), 0, site.settings.archive, site.feed.stations
    for row in rows:
        if len(items) == AT_ONCE:
            break
        if first_there([(archive, row["image"])]) is None:
            gone += 1
        else:
            items.append(views.item_view(row, archive, blind, stations))
    return items, gone


@router.post("/review/label")
async def label(request: Request) -> Response:
    """Keep a label; the answer comes once it is on the disk, and says what the model said."""
    site, desk = site_of(request), desk_of(request)
    try:
        sent = await sent_object(request, {"no", "label", "ticket"}, {"note", "box"})
        no, sent_name, ticket, note = sent["no"], sent["label"], sent["ticket"], sent.get("note") or ""
        if type(no) is not int or not all(isinstance(text, str) for text in (sent_name, ticket, note)):
            raise BadRequest("not a number and texts")
        name = class_called(sent_name.strip())
        if not await _has_picture(site, desk, no):
            return refused(404, "review.gone")
        said = await desk.say(
            no, name, await _acceptable(site, name), known_person(request).name, ticket,
            note.strip(), _box(sent.get("box")),
        )  # fmt: skip
    except (ValueError, TypeError, OverflowError):  # Infinity is a number to a browser
        return refused(400, "review.bad")
    except NotForReview:
        return refused(404, "review.gone")
    except (Unreadable, StoreError):
        return refused(503, "review.notkept")
    return JSONResponse(await _viewed(site, lambda: views.said_view(said, site.settings.archive)))


@router.post("/review/undo")
async def undo(request: Request) -> Response:
    """Take back a label of who asks; the picture comes back."""
    site, desk, person = site_of(request), desk_of(request), known_person(request).name
    try:
        n = await _sent_n(request)
        taken, last = await desk.labels.undo(person, n), await desk.labels.last(person)
        row = await site.records.row(taken.said.no)
    except BadRequest:
        return refused(400, "review.bad")
    except NothingToUndo:
        return refused(409, "review.nothing")
    except (Unreadable, StoreError):
        return refused(503, "review.notkept")
    item = None if row is None or not row["image"] else _again(row)
    blind = request.query_params.get("blind") == "1"
    return JSONResponse(
        {
            "no": taken.said.no,
            "label": views.label_text(taken.said.label),
            "item": item and views.item_view(item, site.settings.archive, blind, site.feed.stations),
            "last": last,
        }
    )


@router.post("/review/truth")
async def truth(request: Request) -> Response:
    """Keep what a part really was, by its serial."""
    desk = desk_of(request)
    try:
        sent = await sent_object(request, {"serial", "source", "good"}, {"note"})
        if not isinstance(sent["good"], bool):
            raise BadRequest("good is true or false")
        note = str(sent.get("note") or "").strip()
        said = NewTruth(
            str(sent["serial"]).strip(), Source(sent["source"]), sent["good"], known_person(request).name, note
        )
        await desk.labels.add_truth(said)
    except (ValueError, TypeError):
        return refused(400, "review.bad")
    except StoreError:
        return refused(503, "review.notkept")
    unknown = await desk.unknown([said.serial])  # a complaint may come before its part is, and a typing error too
    return JSONResponse({"told": word("review.truth.unknown" if unknown else "review.truth.kept", serial=said.serial)})


@router.post("/review/truth/undo")
async def undo_truth(request: Request) -> Response:
    """Take back a truth, whoever told it; the history keeps it."""
    desk = desk_of(request)
    try:
        taken = await desk.labels.undo_truth(known_person(request).name, await _sent_n(request))
    except BadRequest:
        return refused(400, "review.bad")
    except NothingToUndo:
        return refused(409, "review.truth.nothing")
    except StoreError:
        return refused(503, "review.notkept")
    return JSONResponse({"told": word("review.truth.undone", serial=taken.said.serial)})


async def _told_truths(request: Request, desk: Desk) -> View:
    """The newest truths, or those before number ?before; none where they cannot be read now."""
    asked = request.query_params.get("before", "")
    before_n = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 16 else None
    try:
        found = await desk.labels.newest_truths(TRUTHS + 1, before_n)
    except StoreError:
        return {}
    shown = found[:TRUTHS]
    return {
        "truths": views.truths_view(shown, await desk.unknown({truth.said.serial for truth in shown})),
        "older": shown[-1].n if len(found) > TRUTHS else None,
    }


async def _sent_n(request: Request) -> int:
    """The number of a label or a truth. Raises BadRequest."""
    n = (await sent_object(request, {"n"}))["n"]
    if type(n) is not int or not 0 <= n < 2**63:
        raise BadRequest("not the number of what was said")
    return n


async def _has_picture(site: Site, desk: Desk, no: int) -> bool:
    """False where the record names a picture that is gone: nobody can have looked at it. Raises Unreadable."""
    rows = await desk.ask(lambda files: WholeRecord(files).by_number((no,)))
    places = [(site.settings.archive, row["image"]) for row in rows if row["image"]]
    return await site.pictures.call(first_there, places) is not None


async def _viewed(site: Site, view: Callable[[], T]) -> T:
    """On the pictures' thread, as it looks for files; in the language of who asks, which a thread does not know."""
    return await site.pictures.call(copy_context().run, view)


async def part_labels(desk: Desk | None, row: Row, who: Who) -> Mapping[str, Any] | None:
    """What people said about a part, for `_labels.html`; None: no labels are kept, or they cannot be read now."""
    if desk is None:
        return None
    try:
        labels = await desk.labels.of(row["no"])
        truths = (await desk.labels.truths([row["serial"]])).get(row["serial"], ())
    except StoreError:
        return None
    settled = settle(labels, desk.two_people) if labels else Settled(State.OPEN)
    return views.history_view(labels, truths, settled, who)


def review_words() -> str:
    """What the browser itself must say, in the language of who asks."""
    keys = {
        "loading": "loading",
        "empty": "empty",
        "count": "count",
        "again": "again",
        "unseen": "unseen",
        "kept": "kept",
        "gone": "notthere",
        "undone": "taken",
    }
    return json.dumps({name: word(f"review.{key}") for name, key in keys.items()}, ensure_ascii=False)


def _since(desk: Desk, days: int) -> tuple[int, int]:
    now_ms = int(desk.utc_s() * 1000)
    return now_ms - days * DAY_MS, now_ms


def _days(request: Request) -> int:
    asked = request.query_params.get("days", "")
    return int(asked) if asked in map(str, DAYS) else DAYS[1]


async def classes_of(site: Site, desk: Desk) -> tuple[str, ...]:
    """What may pass first, then what models and people named; a name keeps its key until a model brings others.

    Raises Unreadable, StoreError.
    """
    names = (*await _may_pass(site), *await desk.classes())
    return tuple(name for name in dict.fromkeys(names) if name != GOOD)


async def _acceptable(site: Site, label: str) -> bool | None:
    """Raises Unreadable."""
    return None if label == UNSURE else label == GOOD or label in await _may_pass(site)


async def _may_pass(site: Site) -> tuple[str, ...]:
    """Names of the classes that may pass: of what judges at any station by the daemon's last word, else of what judged
    last. A label keeps what it is told here, also where the daemon is silent or nothing can be loaded.

    Raises Unreadable.
    """
    status = site.feed.status
    running = [_good_labels(line.get("limits")) for line in status.get("stations") or [status]]
    if found := tuple(dict.fromkeys(name for names in running for name in names)):
        return found
    try:
        settings = json.loads(await site.records.ask(_newest_settings))
    except ValueError:
        return ()
    return _good_labels(settings.get("limits"))


def _newest_settings(db: apsw.Connection) -> str:
    found: str | None = db.execute("SELECT settings FROM model_revs ORDER BY model_rev DESC LIMIT 1").get
    return found or "{}"


def _good_labels(limits: object) -> tuple[str, ...]:
    names = limits.get("good_labels") if isinstance(limits, Mapping) else None
    return tuple(name for name in names if isinstance(name, str)) if isinstance(names, list) else ()


def _again(row: Row) -> Row:
    """A whole row as the queue has it."""
    told = row["published_code"] is not None
    code, reason = ("published_code", "published_reason") if told else ("decided_code", "decided_reason")
    return {**row, "code": row[code], "reason": row[reason]}


def _box(sent: object) -> Box | None:
    if sent is None:
        return None
    if not isinstance(sent, list) or len(sent) != 4 or not all(type(side) is int for side in sent):
        raise BadRequest("a box is four whole numbers")
    return Box(*sent)


def refused(status: int, key: str) -> Response:
    return JSONResponse({"error": word(key)}, status)
