"""How long the page waits for a request's headers."""

from __future__ import annotations

from inspector.web.server import HANDSHAKE_S, HEADERS_LEAST_S, HEADERS_S, headers_limit_s


def test_no_two_connections_have_one_moment_in_which_their_headers_are_late() -> None:
    limits = [headers_limit_s() for _ in range(500)]
    assert all(HEADERS_LEAST_S <= limit <= HEADERS_S for limit in limits) and HANDSHAKE_S + HEADERS_S < 10
    busiest = max(sum(begin <= limit < begin + 0.1 for limit in limits) for begin in limits)
    assert busiest < 100, "of 500 that came at once a fifth would go in a tenth of a second"
