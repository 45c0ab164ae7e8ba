"""One thread of torch for each test. Two that wait for each other by spinning cost twenty times the processor on a busy
machine, and small networks gain nothing by them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For a conftest to import: torch goes back to what it had, whatever the test set."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
