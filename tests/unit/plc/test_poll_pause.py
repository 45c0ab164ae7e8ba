"""How long the client waits between two polls of an armed PLC."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plc.client_station import pause_s


@pytest.mark.parametrize(
    ("interval_ms", "took_ms", "pause_ms"),
    [
        (5, 0.4, 4),  # from request to request, and never longer than asked for after epoll's rounding
        (5, 2.0, 3),
        (2, 0.4, 1),
        (2, 9.0, 1),  # a PLC that answers late is given time to do something else
    ],
)
def test_the_interval_is_counted_from_request_to_request(interval_ms: float, took_ms: float, pause_ms: float) -> None:
    assert pause_s(interval_ms / 1000, took_ms / 1000) == pytest.approx(pause_ms / 1000)


@given(st.floats(0.001, 0.1), st.floats(0, 1))
def test_a_poll_is_never_without_a_pause_nor_later_than_configured(interval_s: float, took_s: float) -> None:
    assert interval_s / 2 <= pause_s(interval_s, took_s) <= interval_s
