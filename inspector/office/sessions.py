"""Who is logged in: sessions on our side; the browser holds a random token, of which we keep the hash alone."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass

import apsw

TOKEN_BYTES = 32
TOUCH_MS = 60_000  # being seen is written down no more often: each write is an fsync
CLOCK_MS = 300_000  # a clock that was set back by more than this ends the sessions: their age is not known

STEP = """
    CREATE TABLE sessions (
        token_hash TEXT PRIMARY KEY,  -- SHA-256: who reads this table cannot log in with it
        person INTEGER NOT NULL REFERENCES people (no),
        opened_utc_ms INTEGER NOT NULL, seen_utc_ms INTEGER NOT NULL
    ) WITHOUT ROWID;
    CREATE INDEX sessions_by_person ON sessions (person);
    """


@dataclass(frozen=True, slots=True)
class Lifetime:
    """How long a session may be idle, and last in all."""

    idle_ms: int = 30 * 60_000
    whole_ms: int = 12 * 3_600_000


@dataclass(frozen=True, slots=True)
class Session:
    person: int
    opened_utc_ms: int
    seen_utc_ms: int

    def is_alive(self, now_utc_ms: int, life: Lifetime) -> bool:
        """A time that cannot be is no time to trust: not alive."""
        age_ms, idle_ms = now_utc_ms - self.opened_utc_ms, now_utc_ms - self.seen_utc_ms
        return -CLOCK_MS <= age_ms < life.whole_ms and -CLOCK_MS <= idle_ms < life.idle_ms


def new_token() -> str:
    """256 random bits, for a cookie."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def csrf_of(token: str) -> str:
    """What a form of this session carries: who may read our pages knows it; the token does not follow from it."""
    return hmac.new(token.encode(), b"csrf", hashlib.sha256).hexdigest()


def is_csrf(token: str, shown: str) -> bool:
    return hmac.compare_digest(csrf_of(token).encode(), shown.encode())


def begin(db: apsw.Connection, person: int, utc_ms: int) -> str:
    """A new session, and its token."""
    token = new_token()
    db.execute("INSERT INTO sessions VALUES (?, ?, ?, ?)", (_hash(token), person, utc_ms, utc_ms))
    return token


def find(db: apsw.Connection, token: str, utc_ms: int, life: Lifetime) -> Session | None:
    """The living session of a token."""
    row = db.execute(
        "SELECT person, opened_utc_ms, seen_utc_ms FROM sessions WHERE token_hash = ?", (_hash(token),)
    ).fetchone()
    found = Session(*row) if row else None
    return found if found is not None and found.is_alive(utc_ms, life) else None


def needs_touch(session: Session, utc_ms: int) -> bool:
    return abs(utc_ms - session.seen_utc_ms) >= TOUCH_MS


def touch(db: apsw.Connection, token: str, utc_ms: int) -> None:
    """Its person is still there."""
    db.execute("UPDATE sessions SET seen_utc_ms = ? WHERE token_hash = ?", (utc_ms, _hash(token)))


def end(db: apsw.Connection, token: str) -> None:
    db.execute("DELETE FROM sessions WHERE token_hash = ?", (_hash(token),))


def end_all_of(db: apsw.Connection, person: int) -> None:
    """Their roles or password changed, or they may not log in any more."""
    db.execute("DELETE FROM sessions WHERE person = ?", (person,))


def sweep(db: apsw.Connection, utc_ms: int, life: Lifetime) -> None:
    """Remove what has ended by itself."""
    rows = list(db.execute("SELECT token_hash, person, opened_utc_ms, seen_utc_ms FROM sessions"))
    for token_hash, *rest in rows:
        if not Session(*rest).is_alive(utc_ms, life):
            db.execute("DELETE FROM sessions WHERE token_hash = ?", (token_hash,))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
