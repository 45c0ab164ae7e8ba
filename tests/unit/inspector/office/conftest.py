from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.office import Clock, OfficeInTest, make_hashes_cheap


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(autouse=True)
def cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    make_hashes_cheap(monkeypatch)


@pytest.fixture
async def office(tmp_path: Path, clock: Clock) -> AsyncIterator[OfficeInTest]:
    made = OfficeInTest(tmp_path / "office.db", clock)
    yield made
    made.close()
