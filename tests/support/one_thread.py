"""One thread of torch for each test, and the same numbers drawn, whatever ran before. Two threads that wait for each
other by spinning cost twenty times the processor on a busy machine, and small networks gain nothing by them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """For a conftest to import: torch goes back to what it had, whatever the test set."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    yield
    torch.set_num_threads(before)
