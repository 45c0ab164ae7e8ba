"""The table of people: names, roles, hashes of their passwords. Functions over a connection; `Office` calls them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass

import apsw

from inspector.office.person import Person, Role
from inspector.office.refused import Refused

NAME = re.compile(r"\w[\w.-]{0,31}")
RESERVED = frozenset(
    {"config", "check", "demo", "inspector", "page", "plc", "root", "start", "system", "web"}
)  # actors
CODE_LIVES_MS = 24 * 3_600_000

STEP = """
    CREATE TABLE people (
        no INTEGER PRIMARY KEY AUTOINCREMENT,
        name TEXT NOT NULL,
        folded TEXT NOT NULL UNIQUE,  -- Anna and anna are one person
        roles TEXT NOT NULL,  -- with a blank between
        language TEXT NOT NULL DEFAULT '',  -- '': that of the browser
        password_hash TEXT,  -- NULL: none yet, or taken away by a new code
        code_hash TEXT, code_until_utc_ms INTEGER,  -- a one-time code, to choose a password with
        disabled INTEGER NOT NULL DEFAULT 0,
        created_utc_ms INTEGER NOT NULL
    );
    """
_COLUMNS = "no, name, roles, language, password_hash, code_hash, code_until_utc_ms, disabled"


@dataclass(frozen=True, slots=True)
class Account:
    """A row. password_hash None: no password now."""

    person: Person
    password_hash: str | None
    code_hash: str | None
    code_until_utc_ms: int | None
    disabled: bool

    def has_code(self, utc_ms: int) -> bool:
        """True while a one-time code of theirs would be taken; also a clock that was set back does not prolong it."""
        until = self.code_until_utc_ms
        return self.code_hash is not None and until is not None and until - CODE_LIVES_MS - 1000 <= utc_ms < until


def folded(name: str) -> str:
    return unicodedata.normalize("NFKC", name).casefold()


def require_name(name: str) -> str:
    """The name as it is kept. Raises Refused."""
    kept = unicodedata.normalize("NFKC", name).strip()
    if not NAME.fullmatch(kept) or folded(kept) in RESERVED:
        raise Refused("people.badname")
    return kept


def is_empty(db: apsw.Connection) -> bool:
    return db.execute("SELECT 1 FROM people LIMIT 1").fetchone() is None


def everyone(db: apsw.Connection) -> list[Account]:
    """By name."""
    return [_account(row) for row in db.execute(f"SELECT {_COLUMNS} FROM people ORDER BY folded")]


def roles_by_name(db: apsw.Connection) -> dict[str, frozenset[Role]]:
    """What each person is here for, by the name under which they act."""
    return {account.person.name: account.person.roles for account in everyone(db)}


def by_name(db: apsw.Connection, name: str) -> Account | None:
    return _one(db.execute(f"SELECT {_COLUMNS} FROM people WHERE folded = ?", (folded(name),)))


def by_no(db: apsw.Connection, no: int) -> Account | None:
    return _one(db.execute(f"SELECT {_COLUMNS} FROM people WHERE no = ?", (no,)))


def require(db: apsw.Connection, no: int) -> Account:
    """Raises Refused: there is no such person."""
    found = by_no(db, no)
    if found is None:
        raise Refused("people.unknown")
    return found


def add(db: apsw.Connection, name: str, roles: Iterable[Role], utc_ms: int) -> int:
    """A person without a password yet; returns their number. Raises Refused: the name is taken, or none."""
    kept = require_name(name)
    if by_name(db, kept) is not None:
        raise Refused("people.taken")
    row = (kept, folded(kept), _stored(roles), utc_ms)
    db.execute("INSERT INTO people (name, folded, roles, created_utc_ms) VALUES (?, ?, ?, ?)", row)
    return db.last_insert_rowid()


def set_roles(db: apsw.Connection, no: int, roles: Iterable[Role]) -> None:
    """Raises Refused: no admin would be left."""
    db.execute("UPDATE people SET roles = ? WHERE no = ?", (_stored(roles), no))
    _require_admin(db)


def set_disabled(db: apsw.Connection, no: int, disabled: bool) -> None:
    """Raises Refused: no admin would be left."""
    db.execute("UPDATE people SET disabled = ? WHERE no = ?", (disabled, no))
    _require_admin(db)


def set_language(db: apsw.Connection, no: int, language: str) -> None:
    db.execute("UPDATE people SET language = ? WHERE no = ?", (language, no))


def set_password(db: apsw.Connection, no: int, password_hash: str) -> None:
    """A one-time code is used up by it."""
    db.execute(
        "UPDATE people SET password_hash = ?, code_hash = NULL, code_until_utc_ms = NULL WHERE no = ?",
        (password_hash, no),
    )


def set_code(db: apsw.Connection, no: int, code_hash: str, utc_ms: int, *, last: bool = False) -> None:
    """A one-time code in place of the password. Raises Refused: no admin with a password would be left.

    last: that may be so, for who has the box in hand.
    """
    db.execute(
        "UPDATE people SET password_hash = NULL, code_hash = ?, code_until_utc_ms = ? WHERE no = ?",
        (code_hash, utc_ms + CODE_LIVES_MS, no),
    )
    if not last:
        _require_admin(db)


def _require_admin(db: apsw.Connection) -> None:
    """The last one who could let others in again stays able to. The transaction that raises is undone."""
    if not any(Role.ADMIN in a.person.roles and not a.disabled and a.password_hash is not None for a in everyone(db)):
        raise Refused("people.lastadmin")


def _stored(roles: Iterable[Role]) -> str:
    return " ".join(sorted(set(roles)))


def _one(rows: Iterable[tuple[object, ...]]) -> Account | None:
    return next((_account(row) for row in rows), None)


def _account(row: tuple[object, ...]) -> Account:
    no, name, roles, language, password_hash, code_hash, until, disabled = row
    person = Person(int(str(no)), str(name), frozenset(Role(r) for r in str(roles).split()), str(language))
    return Account(
        person,
        None if password_hash is None else str(password_hash),
        None if code_hash is None else str(code_hash),
        until if isinstance(until, int) else None,
        bool(disabled),
    )
