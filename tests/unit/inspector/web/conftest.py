"""The page's collaborators in a folder of their own, for tests that ask the application without a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from inspector.web.site import Site
from tests.support.office import make_hashes_cheap
from tests.support.page import site_in


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    make_hashes_cheap(monkeypatch)
    made = site_in(tmp_path)
    yield made
    made.close()
