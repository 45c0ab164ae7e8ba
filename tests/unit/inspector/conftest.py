from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.patience import patient


@pytest.fixture(autouse=True)
def patience() -> Iterator[None]:
    """Of the product, with patches of its own: a test may undo those of the shared monkeypatch."""
    with patient():
        yield
