"""Passwords and their hashes (argon2id). A hash takes some 75 ms and 19 MiB, so at most two run at once."""

from __future__ import annotations

import asyncio
import secrets
import unicodedata
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from argon2 import PasswordHasher, Type
from argon2.exceptions import InvalidHashError, VerificationError

from inspector.office.refused import Refused
from inspector.threads import DeviceThread

MIN_LENGTH, MAX_LENGTH = 12, 256  # characters
AT_ONCE = 2
MOST_WAITING = 16
CODE_LETTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"  # none that is read as another
CODE_GROUPS, CODE_GROUP = 4, 4  # 80 bits
P = ParamSpec("P")
R = TypeVar("R")

# OWASP's second choice: 19 MiB, 2 passes, 1 lane. More would take the line's memory and time.
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1, hash_len=32, salt_len=16, type=Type.ID)


def require_strong(password: str, name: str) -> None:
    """Length is what counts (NIST SP 800-63B); the name in it does not. Raises Refused."""
    own = normal(password)
    if len(own) > MAX_LENGTH:
        raise Refused("password.long", most=MAX_LENGTH)
    if len(own) < MIN_LENGTH:
        raise Refused("password.short", least=MIN_LENGTH)
    if len(own.casefold().replace(normal(name).casefold(), "")) < MIN_LENGTH:
        raise Refused("password.name", least=MIN_LENGTH)


def normal(text: str) -> str:
    """The same characters, whatever keyboard they came from."""
    return unicodedata.normalize("NFKC", text)


def hash_password(password: str) -> str:
    """Blocking, 75 ms."""
    return _HASHER.hash(normal(password))


def is_password(password: str, hashed: str) -> bool:
    """Blocking, as long for a wrong one."""
    if len(password) > 4 * MAX_LENGTH:
        return False
    try:
        return _HASHER.verify(hashed, normal(password))
    except (VerificationError, InvalidHashError):
        return False


def new_code() -> str:
    """A one-time code that a person can type: ABCD-EFGH-JKLM-NPQR."""
    letters = "".join(secrets.choice(CODE_LETTERS) for _ in range(CODE_GROUPS * CODE_GROUP))
    return "-".join(letters[i : i + CODE_GROUP] for i in range(0, len(letters), CODE_GROUP))


def code_of(typed: str) -> str:
    """A code as it was made, however it was typed."""
    letters = "".join(c for c in normal(typed).upper() if c.isalnum())
    return "-".join(letters[i : i + CODE_GROUP] for i in range(0, len(letters), CODE_GROUP))


def looks_like_code(typed: str) -> bool:
    """True for what has the form of a one-time code, of anybody or of nobody."""
    letters = code_of(typed).replace("-", "")
    return len(letters) == CODE_GROUPS * CODE_GROUP and set(letters) <= set(CODE_LETTERS)


class Hashing:
    """Runs hashes on two threads of its own; who comes when many wait is told so. Belongs to one event loop."""

    def __init__(self) -> None:
        self._threads = [DeviceThread(f"hash-{n}") for n in range(1, AT_ONCE + 1)]
        self._free = list(self._threads)
        self._places = asyncio.Semaphore(AT_ONCE)
        self._inside = 0

    async def call(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Raises Refused: busy."""
        if self._inside >= AT_ONCE + MOST_WAITING:
            raise Refused("login.busy")
        self._inside += 1
        try:
            async with self._places:
                thread = self._free.pop()
                try:
                    return await thread.call(fn, *args, **kwargs)
                finally:
                    self._free.append(thread)  # a cancelled call may still run: the next on this thread waits for it
        finally:
            self._inside -= 1

    def close(self) -> None:
        for thread in self._threads:
            thread.close()
