"""Accounts as tests make them, on a clock of their own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pytest
from argon2 import PasswordHasher

from inspector.office import passwords
from inspector.office.office import Office
from inspector.office.person import Role

PASSWORD = "correct horse battery"


@dataclass
class Clock:
    """Wall clock and monotonic clock of an office, side by side."""

    utc_ms: int = 1_790_000_000_000
    mono_s: float = 0.0

    def pass_s(self, seconds: float) -> None:
        self.utc_ms += int(seconds * 1000)
        self.mono_s += seconds


class OfficeInTest(Office):
    def __init__(self, path: Path, clock: Clock) -> None:
        super().__init__(path, utc_ms=lambda: clock.utc_ms, monotonic_s=lambda: clock.mono_s)


def make_hashes_cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes of a thousandth of the cost; what the real ones cost has a test of its own."""
    monkeypatch.setattr(passwords, "_HASHER", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))


async def first_admin(office: Office, name: str = "Anna") -> str:
    """The token of the first admin's session."""
    return await office.begin_first(await office.first_code() or "", name, PASSWORD, "10.0.0.9")


async def someone(office: Office, name: str, roles: Iterable[Role]) -> tuple[int, str]:
    """A person with PASSWORD: their number, and the token of their session."""
    no, code = await office.add("Anna", name, roles)
    return no, await office.choose_password(name, code, PASSWORD, f"of {name}")
