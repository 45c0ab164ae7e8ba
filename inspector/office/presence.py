"""Who was logged in at the page at some time: from the audit of accounts, as sessions that are over are not kept."""

from __future__ import annotations

from dataclasses import dataclass

import apsw

CAME, WENT = ("login", "password.chosen"), "logout"
FIRST = "person.first"  # by the page, of whom it tells: "Anna: admin"; they are logged in by it


@dataclass(frozen=True, slots=True)
class Present:
    name: str
    since_utc_ms: int


def logged_in(db: apsw.Connection, utc_ms: int, whole_ms: int) -> list[Present]:
    """Who had logged in within `whole_ms` before `utc_ms` and not logged out again; who came first goes first.

    A session that was ended by an admin, or by nobody's being there, is not told apart: it has no entry of its own.
    """
    found: dict[str, int] = {}
    for actor, action, at_ms, what in db.execute(
        "SELECT actor, action, utc_ms, what FROM audit WHERE utc_ms BETWEEN ? AND ? AND action IN (?, ?, ?, ?)"
        " ORDER BY number",
        (utc_ms - whole_ms, utc_ms, *CAME, WENT, FIRST),
    ):
        if action == WENT:
            found.pop(actor, None)
        else:
            found.setdefault(what.partition(":")[0] if action == FIRST else actor, at_ms)
    return [Present(name, since_ms) for name, since_ms in found.items()]
