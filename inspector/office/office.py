"""The page's own database, office.db, and all that is done in it about people. The page is its only writer."""

from __future__ import annotations

import hmac
import math
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import apsw
import structlog

from inspector.core.errors import StoreBroken, StoreError
from inspector.office import people, sessions
from inspector.office.mending import mend
from inspector.office.passwords import Hashing, code_of, hash_password, is_password, new_code, require_strong
from inspector.office.people import Account
from inspector.office.person import Person, Role
from inspector.office.refused import Refused
from inspector.office.schema import STEPS
from inspector.office.sessions import Lifetime
from inspector.office.throttle import Throttle, account_key, address_key
from inspector.store import audit
from inspector.store.database import Database
from inspector.store.rescue import BROKEN
from inspector.threads import DeviceThread

log = structlog.get_logger(__name__)
P = ParamSpec("P")
R = TypeVar("R")
# Checked where there is no such person, so that a name that exists takes no other time than one that does not.
NOBODY = "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"
END_S = 2.0
FIRST = "first"  # the throttle's account of the first start
OUTSIDE = "page"  # the actor where nobody is logged in yet


def now_utc_ms() -> int:
    return time.time_ns() // 1_000_000


class Office:
    """Accounts, sessions and audit. Opens its database when first asked, and tries again where that failed.

    Everything that is done is one transaction with its entry in the audit. Methods raise Refused, for the person who
    asked, and StoreError. `read` and `write` are for other subjects that keep their tables here.
    """

    def __init__(
        self,
        path: Path,
        life: Lifetime | None = None,
        *,
        spare: Path | None = None,  # its newest copy, for a file that breaks
        utc_ms: Callable[[], int] = now_utc_ms,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self.path, self.life, self._spare = path, life or Lifetime(), spare
        self._utc_ms, self._monotonic_s = utc_ms, monotonic_s
        self.thread, self._hashing, self._throttle = DeviceThread("office"), Hashing(), Throttle()
        self._db: Database | None = None
        self._first_code: str | None = None

    # --- for every subject -----------------------------------------------------------------------------------------

    async def read(self, fn: Callable[Concatenate[apsw.Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """`fn(connection, ...)` on the database's thread, for short questions."""
        return await self.thread.call(self._read, partial(_on_connection, fn, args, kwargs))

    async def write(self, fn: Callable[Concatenate[apsw.Connection, P], R], *args: P.args, **kwargs: P.kwargs) -> R:
        """The same in a transaction, which is on the disk when this returns; what `fn` raises undoes it."""
        return await self.thread.call(self._write, partial(_on_connection, fn, args, kwargs))

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """As Database.reading, for whoever works on `thread` themselves."""
        with self._letting_go(), self._open().reading() as db:
            yield db

    @contextmanager
    def transaction(self) -> Iterator[apsw.Connection]:
        """As Database.transaction, on `thread`."""
        with self._letting_go():
            database = self._open()
            with database.transaction() as db:
                yield db
            database.checkpoint()

    def close(self) -> None:
        """End the threads; the database is closed behind what waits for it."""
        with suppress(TimeoutError):  # a disk that hangs must not hold up the end; the WAL keeps what was committed
            self.thread.submit(self._close).result(END_S)
        self.thread.close()
        self._hashing.close()

    # --- coming and going ------------------------------------------------------------------------------------------

    async def first_code(self) -> str | None:
        """The one-time code that makes the first admin; None: there are people already. The same until one is made."""
        if not await self.read(people.is_empty):
            return None
        self._first_code = self._first_code or new_code()
        return self._first_code

    async def begin_first(self, code: str, name: str, password: str, address: str) -> str:
        """Make the first admin and log them in; the token of their session."""
        made = await self.first_code()
        if made is None:
            raise Refused("first.over")
        keys = self._begin_try(FIRST, address)
        if not hmac.compare_digest(code_of(code).encode(), made.encode()):
            log.warning("first start: wrong code", address=address)
            raise Refused("first.badcode")
        self._throttle.passed(*keys)
        require_strong(password, name)
        hashed = await self._hashing.call(hash_password, password)
        return await self.write(self._make_first, name, hashed)

    async def log_in(self, name: str, password: str, address: str) -> str:
        """The token of a new session."""
        keys = self._begin_try(people.folded(name), address)
        account = await self.read(people.by_name, name)
        hashed = account.password_hash if account is not None else None
        right = await self._hashing.call(is_password, password, hashed or NOBODY)
        if account is None or hashed is None or not right or account.disabled:
            await self._note_failure(account, address)
            raise Refused("login.wrong")
        self._throttle.passed(*keys)
        return await self.write(self._enter, account, "login", address)

    async def choose_password(self, name: str, code: str, password: str, address: str) -> str:
        """A new password with a one-time code, which is used up; the token of a new session."""
        keys = self._begin_try(people.folded(name), address)
        account = await self.read(people.by_name, name)
        hashed = account.code_hash if account is not None and account.has_code(self._utc_ms()) else None
        right = await self._hashing.call(is_password, code_of(code), hashed or NOBODY)
        if account is None or hashed is None or not right or account.disabled:
            await self._note_failure(account, address)
            raise Refused("login.badcode")
        self._throttle.passed(*keys)
        require_strong(password, account.person.name)
        chosen = await self._hashing.call(hash_password, password)
        return await self.write(self._renew, account, chosen)

    async def visitor(self, token: str, *, touch: bool = True) -> Person | None:
        """Who holds this token now; touch: they do something, so their session's idle time begins anew."""
        now = self._utc_ms()
        session = await self.read(sessions.find, token, now, self.life)
        if session is None:
            return None
        account = await self.read(people.by_no, session.person)
        if account is None or account.disabled:
            return None
        if touch and sessions.needs_touch(session, now):
            try:
                await self.write(sessions.touch, token, now)
            except StoreError as exc:  # e.g. a full disk, which they came to make room on
                log.error("the use of a session cannot be written down", error=str(exc))
        return account.person

    async def log_out(self, token: str, actor: str) -> None:
        """actor "": who has just logged in anew stays, and the entry of that says so."""
        await self.write(self._leave, token, actor)

    async def change_password(self, person: Person, old: str, new: str, address: str) -> str:
        """All their sessions end; the token of a new one."""
        keys = self._begin_try(people.folded(person.name), address)
        account = await self.read(people.require, person.no)
        if not await self._hashing.call(is_password, old, account.password_hash or NOBODY):
            await self._note_failure(account, address)  # somebody may sit at another's open page
            raise Refused("password.wrong")
        self._throttle.passed(*keys)
        require_strong(new, person.name)
        chosen = await self._hashing.call(hash_password, new)
        return await self.write(self._renew, account, chosen)

    async def set_language(self, person: Person, language: str) -> None:
        await self.write(people.set_language, person.no, language)

    # --- what an admin does ----------------------------------------------------------------------------------------

    async def add(self, actor: str, name: str, roles: Iterable[Role]) -> tuple[int, str]:
        """A new person: their number, and the one-time code to hand over."""
        code = new_code()
        hashed = await self._hashing.call(hash_password, code)
        return await self.write(self._add, actor, name, frozenset(roles), hashed), code

    async def set_roles(self, actor: str, no: int, roles: Iterable[Role]) -> None:
        """Their sessions end: what they may do is another thing now."""
        await self.write(self._set_roles, actor, no, frozenset(roles))

    async def set_disabled(self, actor: str, no: int, disabled: bool) -> None:
        await self.write(self._set_disabled, actor, no, disabled)

    async def reset_password(self, actor: str, no: int) -> str:
        """Their password is gone and their sessions end; the one-time code to hand over."""
        code = new_code()
        hashed = await self._hashing.call(hash_password, code)
        await self.write(self._reset, actor, no, hashed)
        return code

    # --- transactions ----------------------------------------------------------------------------------------------

    def _make_first(self, db: apsw.Connection, name: str, hashed: str) -> str:
        if not people.is_empty(db):
            raise Refused("first.over")
        now = self._utc_ms()
        no = people.add(db, name, [Role.ADMIN], now)
        people.set_password(db, no, hashed)
        audit.append(db, now, OUTSIDE, "person.first", f"{people.require(db, no).person.name}: admin")
        return sessions.begin(db, no, now)

    def _enter(self, db: apsw.Connection, seen: Account, action: str, address: str) -> str:
        now, no = self._utc_ms(), seen.person.no
        account = people.require(db, no)
        if account.disabled or account.password_hash != seen.password_hash:  # changed while we hashed
            raise Refused("login.wrong")
        sessions.sweep(db, now, self.life)
        audit.append(db, now, account.person.name, action, address)
        return sessions.begin(db, no, now)

    def _renew(self, db: apsw.Connection, seen: Account, hashed: str) -> str:
        now, no = self._utc_ms(), seen.person.no
        account = people.require(db, no)
        if account.disabled or (account.password_hash, account.code_hash) != (seen.password_hash, seen.code_hash):
            raise Refused("login.wrong")
        people.set_password(db, no, hashed)
        sessions.end_all_of(db, no)
        audit.append(db, now, account.person.name, "password.chosen", account.person.name)
        return sessions.begin(db, no, now)

    def _leave(self, db: apsw.Connection, token: str, actor: str) -> None:
        sessions.end(db, token)
        if actor:
            audit.append(db, self._utc_ms(), actor, "logout", "")

    def _add(self, db: apsw.Connection, actor: str, name: str, roles: frozenset[Role], hashed: str) -> int:
        now = self._utc_ms()
        no = people.add(db, name, roles, now)
        people.set_code(db, no, hashed, now)
        audit.append(db, now, actor, "person.added", _told(people.require(db, no), roles))
        return no

    def _set_roles(self, db: apsw.Connection, actor: str, no: int, roles: frozenset[Role]) -> None:
        before = people.require(db, no)
        if roles == before.person.roles:
            return
        people.set_roles(db, no, roles)
        sessions.end_all_of(db, no)
        audit.append(db, self._utc_ms(), actor, "person.roles", f"{_told(before)} -> {_listed(roles)}")

    def _set_disabled(self, db: apsw.Connection, actor: str, no: int, disabled: bool) -> None:
        account = people.require(db, no)
        people.set_disabled(db, no, disabled)
        sessions.end_all_of(db, no)
        action = "person.disabled" if disabled else "person.enabled"
        audit.append(db, self._utc_ms(), actor, action, account.person.name)

    def _reset(self, db: apsw.Connection, actor: str, no: int, hashed: str) -> None:
        now, account = self._utc_ms(), people.require(db, no)
        people.set_code(db, no, hashed, now)
        sessions.end_all_of(db, no)
        audit.append(db, now, actor, "password.reset", account.person.name)

    # --- how -------------------------------------------------------------------------------------------------------

    def _begin_try(self, account: str, address: str) -> tuple[str, str]:
        keys = account_key(account), address_key(address)
        wait_s = self._throttle.begin(self._monotonic_s(), keys)
        if wait_s > 0:
            raise Refused("login.wait", seconds=math.ceil(wait_s))
        return keys

    async def _note_failure(self, account: Account | None, address: str) -> None:
        """On record, also for a name that there is not, which is not kept: the write to the disk takes as long for
        both, and nobody learns from it who has an account."""
        log.warning("log-in failed", known=account is not None, address=address)
        actor = account.person.name if account is not None else OUTSIDE
        await self.write(audit.append, self._utc_ms(), actor, "login.failed", address)

    def _open(self) -> Database:
        if self._db is None:
            with suppress(OSError):  # else the database says why it cannot be opened
                self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            mend(self.path, self._spare, self._utc_ms())
            db = Database(self.path, steps=STEPS)
            db.open()
            self._db = db
        return self._db

    @contextmanager
    def _letting_go(self) -> Iterator[None]:
        """A file that turns out broken is closed: whoever asks next has it mended."""
        try:
            yield
        except StoreBroken as exc:
            if isinstance(exc.__cause__, BROKEN):
                self._close()
            raise

    def _close(self) -> None:
        db, self._db = self._db, None
        if db is not None:
            db.close()

    def _read(self, fn: Callable[[apsw.Connection], R]) -> R:
        with self.reading() as db:
            return fn(db)

    def _write(self, fn: Callable[[apsw.Connection], R]) -> R:
        with self.transaction() as db:
            return fn(db)


def _on_connection(fn: Callable[..., R], args: tuple[object, ...], kwargs: dict[str, object], db: apsw.Connection) -> R:
    return fn(db, *args, **kwargs)


def _told(account: Account, roles: Iterable[Role] | None = None) -> str:
    return f"{account.person.name}: {_listed(account.person.roles if roles is None else roles)}"


def _listed(roles: Iterable[Role]) -> str:
    return ", ".join(sorted(roles)) or "-"
