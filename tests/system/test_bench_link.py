"""The benchmark of the link still runs: a few parts, no bar."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bench.exchange import client

pytestmark = [pytest.mark.system, pytest.mark.slow]


@pytest.mark.parametrize("store", [False, True])
async def test_the_null_line_and_the_ideal_plc_understand_each_other(tmp_path: Path, store: bool) -> None:
    more = ("--state", str(tmp_path)) if store else ()
    async with client("tests.bench.null_line", 2, "2", "2", *more) as two:
        await two.block(4)
    place = two.place
    assert (len(place.cycles_s), place.wrong, place.overkills) == (4, 0, 0)


async def test_the_bare_socket_does_the_same_exchange() -> None:
    async with client("tests.bench.raw_client", 1, "2") as raw:
        await raw.block(4)
    assert (len(raw.place.cycles_s), raw.place.wrong, raw.place.overkills) == (4, 0, 0)
