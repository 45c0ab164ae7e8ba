"""A PLC in Node-RED, on its own Modbus stacks, in both directions: 200 parts, each with its own result."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.counterparts.line import checked, played_by, station
from tests.counterparts.node_red import INSTALL_S, installed, node_red

pytestmark = [pytest.mark.foreign, pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(INSTALL_S + 120)]


@pytest.fixture(scope="module", autouse=True)
def _installed() -> None:
    installed()


async def test_a_flow_whose_memory_the_appliance_polls_gets_every_part_its_own_result(tmp_path: Path, free_port: int):
    async with node_red(tmp_path, "server", free_port) as plc:
        played = await played_by(plc, station(tmp_path, "client", free_port))
    checked(tmp_path, played)


async def test_a_flow_that_scans_the_appliance_gets_every_part_its_own_result(tmp_path: Path, free_port: int):
    config = station(tmp_path, "server", free_port)
    async with node_red(tmp_path, "client", free_port) as plc:
        played = await played_by(plc, config)
    checked(tmp_path, played)
