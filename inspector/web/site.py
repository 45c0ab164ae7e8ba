"""What all pages share: settings, feed, records, templates."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse, Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from inspector.office.desk import Desk
from inspector.threads import DeviceThread
from inspector.web.feed import Feed
from inspector.web.present import UNKNOWN
from inspector.web.records import Records
from inspector.web.settings import WebSettings
from inspector.web.speech import choices
from inspector.web.words import FOLDER, language, word

HERE = Path(__file__).parent
STATIC, TEMPLATES = HERE / "static", HERE / "templates"


@lru_cache(maxsize=1)
def assets_hash() -> str:
    """Changes with the page's own files and texts, so that an open screen knows when to load itself again."""
    digest = hashlib.sha256()
    for path in sorted([*STATIC.iterdir(), *TEMPLATES.iterdir(), *FOLDER.rglob("*.toml")]):
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
        "nofail": "strip.nofail", "noreasons": "counts.noreasons", "noalarms": "alarms.none", "action": "alarms.action",
        "colon": "colon",
    }  # fmt: skip
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
    made.globals["w"], made.globals["unknown"] = word, UNKNOWN
    made.globals |= {"client_words": client_words, "language": language, "languages": choices}
    return made


@dataclass(slots=True)
class Site:
    """Collaborators of the handlers in pages.py."""

    settings: WebSettings
    feed: Feed
    records: Records
    desk: Desk | None = None  # where people review; None: this page keeps no labels
    pictures: DeviceThread = field(default_factory=lambda: DeviceThread("pictures"))
    favicon: bytes = field(default_factory=lambda: (STATIC / "favicon.svg").read_bytes())
    _templates: Environment = field(default_factory=environment)

    def page(self, template: str, status: int = 200, /, *, here: str = "", **values: Any) -> Response:
        """Render a template; everything in it is escaped."""
        return HTMLResponse(self._templates.get_template(template).render(here=here, **values), status)

    def close(self) -> None:
        """End the threads."""
        self.records.close()
        self.pictures.close()

    def limits_of(self, row: Mapping[str, Any]) -> Mapping[str, Any] | None:
        """The limits that judged a row, where the daemon still runs the same model and recipe revision."""
        limits = self.feed.status.get("limits")
        if not isinstance(limits, Mapping) or not row["bundle_id"]:
            return None
        same = all(limits.get(k) == row[k] for k in ("bundle_id", "recipe", "recipe_revision"))
        return limits if same else None
