"""What all pages share: settings, feed, records, templates."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import copy_context
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from inspector.backup.shelf import Kept
from inspector.office.desk import Desk
from inspector.office.office import Office
from inspector.threads import DeviceThread
from inspector.web.access import log_in_link, visitor
from inspector.web.alarm_views import shelf_times, unheeded
from inspector.web.export import Exports
from inspector.web.feed import Feed
from inspector.web.look import Looks
from inspector.web.present import UNKNOWN
from inspector.web.settings import WebSettings
from inspector.web.speech import choices
from inspector.web.tally import Tallies
from inspector.web.thumbs import Thumbs
from inspector.web.traces import TracedRecords
from inspector.web.words import FOLDER, has_word, language, word

P = ParamSpec("P")
R = TypeVar("R")

HERE = Path(__file__).parent
PIECE = {"x-piece": "1"}  # without it inplace.js puts nothing into a page
NONE: Mapping[str, str] = {}
STATIC, TEMPLATES = HERE / "static", HERE / "templates"


@lru_cache(maxsize=1)
def assets_hash() -> str:
    """Changes with the page's own files and texts, so that an open screen knows when to load itself again."""
    digest = hashlib.sha256()
    own = (p for p in (*STATIC.rglob("*"), *TEMPLATES.rglob("*"), *FOLDER.rglob("*.toml")) if p.is_file())
    for path in sorted(own):
        digest.update(path.name.encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]


def client_words() -> str:
    """The few words that the browser itself must know: those for when nobody can tell it any more."""
    alone = {
        sign: {"word": word(f"sign.{sign}"), "text": word(f"{sign}.text"), "hint": word(f"{sign}.hint")}
        for sign in ("stale", "offline")
    }
    keys = {
        "part": "part.id", "class": "part.class", "confidence": "part.confidence", "time": "part.time",
        "elapsed": "part.elapsed", "picture": "part.id", "nopicture": "picture.none", "nopart": "part.none",
        "notknown": "states.notknown", "nofail": "strip.nofail", "noreasons": "counts.noreasons",
        "nolot": "tally.lot.none", "colon": "colon",
    }  # fmt: skip
    if not visitor().sees:
        keys["nopicture"] = "picture.login"
    return json.dumps({**alone, **{name: word(key) for name, key in keys.items()}}, ensure_ascii=False)


def environment(*folders: Path) -> Environment:
    """Templates of `folders`, then the page's own; all that they are given is escaped."""
    made = Environment(
        loader=FileSystemLoader([*folders, TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals |= {"w": word, "w_known": has_word, "unknown": UNKNOWN}
    made.globals |= {"client_words": client_words, "language": language, "languages": choices, "visitor": visitor}
    made.globals["static"] = f"/static/{assets_hash()}"  # under which a browser keeps what it got, for good
    made.globals |= {"unheeded": 0, "shelf_times": shelf_times}
    return made


@dataclass(slots=True)
class Site:
    """Collaborators of the handlers in pages.py."""

    settings: WebSettings
    feed: Feed
    records: TracedRecords
    office: Office
    desk: Desk | None = None  # where people review; None: this page keeps no labels
    pictures: DeviceThread = field(default_factory=lambda: DeviceThread("pictures"))
    thumbs: Thumbs = field(default_factory=Thumbs)
    exports: Exports = field(default_factory=Exports)
    asking: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))  # the daemon has few places
    measuring: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(2))  # each holds many rows
    looks: Looks | None = None  # None: nobody is asked what the cameras see
    tallies: Tallies = field(default_factory=Tallies)
    listing: Future[list[Kept]] | None = None  # the look at the folder of backups that was begun last
    aside: DeviceThread = field(default_factory=lambda: DeviceThread("aside"))
    favicon: bytes = field(default_factory=lambda: (STATIC / "favicon.svg").read_bytes())
    _templates: Environment = field(default_factory=environment)

    def page(
        self, template: str, status: int = 200, /, *, here: str = "", pieces: Mapping[str, str] = NONE, **values: Any
    ) -> Response:
        """Render a template; everything in it is escaped.

        pieces: the templates of what htmx may ask for alone, by the id of the element that they go into.
        """
        if (piece := pieces.get(visitor().target)) is not None:
            return self.piece(piece, status, here=here, **values)
        values = {"here": here, "unheeded": unheeded(self.feed.status), **values}
        return HTMLResponse(self._templates.get_template(template).render(values), status)

    def piece(self, template: str, status: int = 200, /, **values: Any) -> Response:
        """Render what htmx puts into a page that is open."""
        return HTMLResponse(self._templates.get_template(template).render(values), status, PIECE)

    def error_page(self, status: int, key: str = "") -> Response:
        """What went wrong, in words: those of `key`, else of the status."""
        key = key or f"error.{status}"
        text = word(key if has_word(key) else "error.other")
        hint = word(f"{key}.hint") if has_word(f"{key}.hint") else word("error.code", status=status)
        if visitor().target:  # in the open page's place for what went wrong, whatever was asked for
            again = log_in_link(visitor().open_page) if status == 401 else ""
            answer = self.piece("_problem.html", status, text=text, hint=hint, log_in=again)
            answer.headers.update({"hx-retarget": "#notice", "hx-reswap": "innerHTML"})
            return answer
        return self.page("error.html", status, text=text, hint=hint)

    async def call_aside(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run what takes long beside the loop, in the language of the task that asks: the line screen goes on."""
        return await self.aside.call(partial(copy_context().run, fn, *args, **kwargs))

    def close(self) -> None:
        """End the threads."""
        self.records.close()
        self.office.close()
        self.pictures.close()
        self.aside.close()

    def limits_of(self, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The limits that judged a row, where the daemon still runs the same model and recipe revision."""
        keys = ("bundle_id", "recipe", "recipe_revision")
        for limits in (line.get("limits") for line in self.feed.lines if row["bundle_id"]):
            if isinstance(limits, Mapping) and all(limits.get(key) == row[key] for key in keys):
                return limits
        return None
