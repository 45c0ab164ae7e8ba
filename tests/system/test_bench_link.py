"""The benchmark of the link still runs: a few parts, no bar."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.exchange import Client, client

pytestmark = [pytest.mark.system, pytest.mark.slow]
TRIES = 5


@pytest.mark.parametrize("store", [False, True])
async def test_the_null_line_and_the_ideal_plc_understand_each_other(tmp_path: Path, store: bool) -> None:
    more = ("--state", str(tmp_path)) if store else ()
    async with client("tests.bench.null_line", 2, "2", "2", *more) as two:
        assert await understood(two)


async def test_the_bare_socket_does_the_same_exchange() -> None:
    async with client("tests.bench.raw_client", 1, "2") as raw:
        assert await understood(raw)


async def understood(one: Client) -> bool:
    """Four parts, each judged as it is. Where the machine holds one up beyond its limits, four others."""
    place = one.place
    for tried in range(1, TRIES + 1):
        rejected = place.overkills
        await one.block(4)
        assert (len(place.cycles_s), place.wrong) == (4 * tried, 0)
        if place.overkills == rejected:
            return True
    return False
