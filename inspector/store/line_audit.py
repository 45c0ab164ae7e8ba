"""The audit of the line: what was done on it and by whom, a person, the PLC or the configuration. In results.db."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

import apsw

from inspector.core.chain import Head
from inspector.store import audit
from inspector.store.database import Database

LONGEST = 400  # characters of what is told of one deed; a hash stands for the rest
NOTED = "line.head"  # action of an entry in the page's audit that holds a head of the line's
_HEAD = re.compile(r"([0-9]{1,15}):([0-9a-f]{64})", re.ASCII)


class LineAudit:
    """Blocking; every call on the store's thread. Every method raises StoreError.

    A deed that is itself a change of the database adds its entry in its own transaction, with audit.append.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def note(self, actor: str, action: str, what: str, utc_ms: int) -> None:
        """On the disk when this returns: call it before the deed."""
        with self._database.transaction() as db:
            audit.append(db, utc_ms, actor, action, what)

    def note_state(self, actor: str, action: str, of: str, state: str, utc_ms: int) -> None:
        """The same where it is another `state` than the newest entry of this action has `of` something."""
        begin = f"{of}: "
        with self._database.transaction() as db:
            last = audit.latest(db, action, begin)
            if last is None or last.what != begin + state:
                audit.append(db, utc_ms, actor, action, begin + state)


def told(params: Mapping[str, Any]) -> str:
    """The parameters of a command, for its entry; "" where it has none."""
    text = json.dumps(params, ensure_ascii=False, sort_keys=True) if params else ""
    if len(text) <= LONGEST:
        return text
    return f"{text[:LONGEST]}… SHA-256 of all {hashlib.sha256(text.encode()).hexdigest()}"


def head_text(head: Head) -> str:
    """As a head is noted, on the command line too."""
    return f"{head.number}:{head.hash}"


def head_of(text: str) -> Head | None:
    """What head_text() wrote; None: that is no head."""
    match = _HEAD.fullmatch(text.strip().lower())
    return None if match is None else Head(int(match[1]), match[2])


def noted_heads(db: apsw.Connection) -> list[Head]:
    """Of the page's audit: the heads of the line's audit that the page wrote down, oldest first."""
    rows = db.execute("SELECT what FROM audit WHERE action = ? ORDER BY number", (NOTED,))
    return [head for (what,) in rows if (head := head_of(str(what))) is not None]
