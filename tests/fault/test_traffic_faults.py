"""The traffic between the daemon and its PLC broken at each point of a part's cycle. Rows 14 to 20, 30."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping

import pytest
import pytest_asyncio

from tests.support.traffic import Traffic, traffic
from tests.support.traffic_cases import (
    BEFORE_IT_WAS_TOLD,
    FAULTS,
    PASSED,
    POINTS,
    Outcome,
    assert_goes_on,
    assert_true,
    outcome,
)

pytestmark = [pytest.mark.fault, pytest.mark.slow]

Request = pytest.FixtureRequest
Outcomes = Mapping[str, Outcome]
SEVERING = [name for name, fault in FAULTS.items() if fault.severs]
DISTURBING = [name for name, fault in FAULTS.items() if not fault.severs]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Traffic]:
    """The appliance polls the PLC. One life for all cases."""
    async with traffic(tmp_path_factory.mktemp("client")) as found:
        yield found


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=SEVERING)
async def severed(request: Request, client: Traffic) -> Outcomes:
    return {point: await outcome(client, request.param, point, held_when_severed) for point in POINTS}


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=DISTURBING)
async def disturbed(request: Request, client: Traffic) -> tuple[str, Outcomes]:
    return request.param, {point: await outcome(client, request.param, point, held_when_disturbed) for point in POINTS}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def counted(client: Traffic) -> tuple[int, int]:
    """(DIAG.TRIGGERS, rows) of this life."""
    return (await client.line.counted())["TRIGGERS"], len(client.line.checked())


@pytest.mark.parametrize("point", POINTS)
def test_a_connection_that_breaks_passes_no_part_that_was_not_told_before(severed: Outcomes, point: str):
    held_when_severed(severed[point], "", point)


def held_when_severed(found: Outcome, _: str, point: str) -> None:
    assert_true(found)
    assert found.hit.broken and PASSED not in found.hit.told_anew, "no PASS crosses a session"
    if point in BEFORE_IT_WAS_TOLD:
        assert found.hit.result.verdict == "reject"
    elif found.good:
        assert found.hit.told_before == [PASSED] and found.hit.result.verdict == "good", "told in time, and read"
    assert_goes_on(found)


@pytest.mark.parametrize("point", POINTS)
def test_traffic_that_comes_twice_or_late_gives_each_part_its_own_verdict_or_a_reject(
    disturbed: tuple[str, Outcomes], point: str
):
    held_when_disturbed(disturbed[1][point], disturbed[0], point)


def held_when_disturbed(found: Outcome, fault: str, point: str) -> None:
    assert_true(found)
    if fault == "duplicated":
        assert found.hit.broken and found.hit.result.code != 0
        assert (found.hit.result.verdict == "good") == found.good
    if fault == "delayed" and point == "edge":
        assert found.hit.result.verdict == "reject", "the deadline is over before the flags can be written"
    assert_goes_on(found)


def test_after_all_that_each_trigger_that_was_answered_has_its_row(counted: tuple[int, int]):
    """I2: rows = DIAG.TRIGGERS, in one life of the daemon."""
    assert counted[0] == counted[1]
