"""The same where the daemon listens and the PLC is its client: a part of the faults and points. Rows 14 to 20."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio

from plc.free_port import free_port as a_free_port
from tests.support.traffic import Traffic, traffic
from tests.support.traffic_cases import BEFORE_IT_WAS_TOLD, PASSED, Outcome, assert_goes_on, assert_true, outcome

pytestmark = [pytest.mark.fault, pytest.mark.slow]

FAULTS = ("cut", "black hole", "half-open")
POINTS = ("acknowledged", "judged", "flags", "result ack")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traffic]:
    async with traffic(tmp_path_factory.mktemp("server"), server_port=a_free_port()) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=FAULTS)
async def broken(request: pytest.FixtureRequest, server: Traffic) -> tuple[str, Mapping[str, Outcome]]:
    return request.param, {point: await outcome(server, request.param, point, held) for point in POINTS}


@pytest.mark.parametrize("point", POINTS)
def test_a_plc_whose_connection_breaks_takes_no_part_as_good_that_was_not_told_before(
    broken: tuple[str, Mapping[str, Outcome]], point: str
):
    """Half-open: its owner's lock stands until it was silent for too long, and a result in time is still its own."""
    held(broken[1][point], broken[0], point)


def held(found: Outcome, fault: str, point: str) -> None:
    assert_true(found)
    assert found.hit.broken
    if fault != "half-open":
        assert PASSED not in found.hit.told_anew, "no PASS crosses a session"
        if point in BEFORE_IT_WAS_TOLD:
            assert found.hit.result.verdict == "reject"
    assert_goes_on(found)
