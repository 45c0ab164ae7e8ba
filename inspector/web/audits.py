"""The audits of accounts and of the line as a page; the line's newest entry is noted where the daemon cannot write."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any

import structlog
from fastapi import APIRouter, Request
from fastapi.responses import Response

from inspector.core.chain import Entry, Flaw, Head
from inspector.core.errors import StoreError
from inspector.office.office import OUTSIDE, now_utc_ms
from inspector.office.person import Role
from inspector.store import audit
from inspector.store.line_audit import NOTED, head_of, head_text, noted_heads
from inspector.web.pages import site_of
from inspector.web.present import UNKNOWN, date_time
from inspector.web.said import actor_in_words, in_words
from inspector.web.site import Site
from inspector.web.words import has_word, word

log = structlog.get_logger(__name__)

ROWS = 100
NOTE_EVERY_S = 3600.0
ROLE = re.compile("|".join(Role))
router = APIRouter()
Checked = tuple[int, list[Flaw]]  # entries, and what does not fit


@router.get("/admin/audit")
async def audit_page(request: Request) -> Response:
    """?of=line: of the line, else of accounts. ?check: with a check of the whole chain."""
    site, query = site_of(request), request.query_params
    of = "line" if query.get("of") == "line" else "accounts"
    asked = query.get("before", "")
    before = int(asked) if asked.isascii() and asked.isdecimal() and len(asked) < 16 else None
    found, checked, problem = list[Entry](), None, ""
    try:
        found = await _newest(site, of, before)
        checked = await _check(site, of) if "check" in query else None
    except StoreError as exc:
        if of == "accounts":
            raise
        log.warning("the line's audit is not readable", error=str(exc))
        problem = word("audit.unreadable")
    return site.page(
        "audit.html", here="admin", of=of, entries=[_entry_view(entry) for entry in found[:ROWS]], problem=problem,
        older=found[ROWS - 1].number if len(found) > ROWS else None, paged=before is not None,
        counted=None if checked is None else checked[0], flaws=[] if checked is None else checked[1],
    )  # fmt: skip


async def note_line_head_forever(site: Site) -> None:
    """Every hour, and at once: who cuts off the end of the line's audit would have to change ours too."""
    while True:
        try:
            await note_line_head(site)
        except StoreError as exc:  # no record yet, or no accounts: the next hour tries again
            log.info("the newest entry of the line's audit is not noted", error=str(exc))
        await asyncio.sleep(NOTE_EVERY_S)


async def note_line_head(site: Site) -> None:
    """Write the line's newest entry into the audit of accounts, where it is another one. Raises StoreError."""
    last = await site.office.read(audit.latest, NOTED)
    noted = head_of(last.what) if last is not None else None
    head, at_noted = await site.call_aside(_line_head, site.settings.results_db, noted)
    if noted is not None and at_noted != noted.hash:
        log.error("the line's audit was changed: run `inspector audit check`", number=noted.number)
    if head.number and head != noted:
        await site.office.write(audit.append, now_utc_ms(), OUTSIDE, NOTED, head_text(head))


def _line_head(path: Path, noted: Head | None) -> tuple[Head, str | None]:
    with audit.reading(path) as db:
        return audit.head(db), None if noted is None else audit.hash_at(db, noted.number)


async def _newest(site: Site, of: str, before: int | None) -> list[Entry]:
    if of == "accounts":
        return await site.office.read(audit.newest, before, ROWS + 1)
    return await site.call_aside(_newest_in, site.settings.results_db, before)


def _newest_in(path: Path, before: int | None) -> list[Entry]:
    with audit.reading(path) as db:
        return audit.newest(db, before, ROWS + 1)


async def _check(site: Site, of: str) -> Checked:
    if of == "accounts":
        return await site.office.read(audit.check)
    heads = await site.office.read(noted_heads)
    counted, found, _ = await site.call_aside(audit.check_file, site.settings.results_db, heads)
    return counted, found


def _entry_view(entry: Entry) -> dict[str, Any]:
    return {
        "number": entry.number, "time": date_time(entry.utc_ms), "actor": actor_in_words(entry.actor),
        "action": _told(entry.action), "what": _what(entry),
    }  # fmt: skip


def _what(entry: Entry) -> str:
    """In words, as far as they are ours; what was sent with a command follows by its names."""
    of, colon, rest = entry.what.partition(": ")
    if entry.action.startswith("person.") and colon:
        return of + word("colon") + ROLE.sub(lambda found: word(f"role.{found[0]}"), rest)
    if entry.action == "station.mode" and has_word(key := f"mode.{rest}"):
        return of + word("colon") + word(key)
    begin = entry.what.find("{")
    sent = _sent(entry.what[begin:]) if begin == 0 or entry.what[begin - 1 : begin] == " " else None
    if sent is None:
        why, brace, params = entry.what.partition(" {")
        return in_words(why) + brace + params
    why = entry.what[:begin].rstrip()
    return word("audit.sent", why=in_words(why), sent=sent) if why else sent


def _sent(text: str) -> str | None:
    """The parameters of a command, which line_audit.told() wrote; None: it is not that, or was cut off."""
    try:
        found = json.loads(text)
    except ValueError:
        return None
    if not isinstance(found, dict):
        return None
    return word("audit.and").join(_param(name) + word("colon") + _value(name, value) for name, value in found.items())


def _param(name: str) -> str:
    key = f"audit.param.{name}"
    return word(key) if has_word(key) else name


def _value(name: str, value: object) -> str:
    if isinstance(value, bool):
        return word("yes" if value else "no")
    if isinstance(value, list):
        return word("audit.and").join(_value("", one) for one in value) or UNKNOWN
    if name.endswith("_utc_ms") and isinstance(value, int):
        return date_time(value)
    return (value or UNKNOWN) if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def _told(action: str) -> str:
    """In words; a command that was not done has those of the command."""
    command = action.removesuffix(".refused")
    key = f"audit.{command}"
    text = word(key) if has_word(key) else command
    return text if command == action else word("audit.refused", action=text)
