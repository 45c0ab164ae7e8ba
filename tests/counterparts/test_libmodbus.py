"""A PLC in C on libmodbus, in both directions: 200 parts, each with its own result."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.counterparts.line import (
    FIRST_ID,
    FIRST_PART,
    PARTS,
    Direction,
    WordOrder,
    checked,
    foreign_plc,
    played_by,
    station,
)

pytestmark = [pytest.mark.foreign, pytest.mark.system, pytest.mark.slow]

OPTIONS = ("-n", str(PARTS), "-f", str(FIRST_PART), "-i", str(FIRST_ID))


@pytest.mark.parametrize("word_order", ["big", "little"])
async def test_a_plc_in_c_that_the_appliance_polls_gets_every_part_its_own_result(
    c_plc: Path, tmp_path: Path, word_order: WordOrder
):
    async with foreign_plc(c_plc, "server", "-w", word_order, *OPTIONS, log=tmp_path / "plc.log") as foreign:
        async with asyncio.timeout(60):
            port = (await foreign.line())["listening"]
        played = await played_by(foreign, station(tmp_path, "client", port, word_order))
    checked(tmp_path, played)


@pytest.mark.parametrize("word_order", ["big", "little"])
async def test_a_plc_in_c_that_scans_the_appliance_gets_every_part_its_own_result(
    c_plc: Path, tmp_path: Path, free_port: int, word_order: WordOrder
):
    config = station(tmp_path, "server", free_port, word_order)
    options = ("-p", str(free_port), "-w", word_order, *OPTIONS)
    async with foreign_plc(c_plc, "client", *options, log=tmp_path / "plc.log") as foreign:
        played = await played_by(foreign, config)
    checked(tmp_path, played)


@pytest.fixture
def serial_line(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Two ports joined by socat."""
    if shutil.which("socat") is None:
        pytest.skip("socat is not installed")
    ports = str(tmp_path / "plc"), str(tmp_path / "appliance")
    process = subprocess.Popen(["socat", *(f"pty,raw,echo=0,link={port}" for port in ports)])
    try:
        end = time.monotonic() + 60
        while not all(Path(port).exists() for port in ports):
            assert time.monotonic() < end, "socat makes no ports"
            time.sleep(0.01)
        yield ports
    finally:
        process.terminate()
        process.wait(10)


@pytest.mark.parametrize("role", ["server", "client"])
async def test_a_plc_in_c_on_a_serial_line_gets_every_part_its_own_result(
    c_plc: Path, tmp_path: Path, serial_line: tuple[str, str], role: Direction
):
    plc_port, appliance_port = serial_line
    config = station(tmp_path, "client" if role == "server" else "server", appliance_port)
    async with foreign_plc(c_plc, role, "-d", plc_port, *OPTIONS, log=tmp_path / "plc.log") as foreign:
        played = await played_by(foreign, config)
    checked(tmp_path, played)
