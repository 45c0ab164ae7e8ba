"""The real daemon over TLS and over a serial line: its configuration is all that differs from TCP."""

from __future__ import annotations

import asyncio
import sys
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from plc.rtu import RtuServer
from plc.serial_port import SerialConfig
from plc.sim import SimPlc
from plc.tls import ServerTls
from tests.support.certificates import make_test_ca
from tests.support.serial_line import needs_socat, socat_pair
from tests.support.station import PATIENT, PATIENT_LINK, START_S
from tests.support.tiny_bundle import make_bundle
from tests.system.test_configured_station import GOOD, KEY, configured

pytestmark = [pytest.mark.system, pytest.mark.slow]


@asynccontextmanager
async def daemon(folder: Path, link: str):
    """The daemon with `link` in place of the TCP link's keys."""
    make_bundle(folder / "tiny.bundle", KEY)
    config = folder / "station.toml"
    config.write_text(configured(folder, None, f"{PATIENT_LINK}\n{link}"))
    with (folder / "daemon.log").open("ab") as log:
        command = [sys.executable, "-m", "inspector", "run", str(config)]
        process = await asyncio.create_subprocess_exec(*command, stdout=log, stderr=log)
    try:
        yield
    finally:
        process.terminate()
        async with asyncio.timeout(START_S):
            await process.wait()
    assert process.returncode == 0, (folder / "daemon.log").read_text()[-2000:]


async def test_the_daemon_inspects_over_tls_and_leaves_online_0(tmp_path):
    ca = make_test_ca(tmp_path / "ca")
    ours, plc = ca.issue("inspector"), SimPlc(PATIENT)
    await plc.server.start(tls=ServerTls(ca.issue("plc")))
    tls = f'tls = {{ ca = "{ours.ca}", certificate = "{ours.certificate}", key = "{ours.key}" }}'
    try:
        async with daemon(tmp_path, f'host = "127.0.0.1"\nport = {plc.port}\ntransport = "tls"\n{tls}\n'):
            results = await plc.play(GOOD[:3])
        assert not plc.stat()["STATUS"] & 0x8000
    finally:
        await plc.close()
    assert [r.verdict for r in results] == ["good"] * 3


@needs_socat
async def test_the_daemon_inspects_over_a_serial_line_and_leaves_online_0(tmp_path):
    plc = SimPlc(PATIENT)
    with socat_pair(tmp_path) as pair:
        line = SerialConfig(pair.ports[0], 115_200, "none")
        server = RtuServer(line, 3, lambda body, peer: plc.server.answer(body))
        await server.start()
        serial = f'serial = {{ device = "{pair.ports[1]}", parity = "none", quiet_ms = 4000 }}'
        try:
            async with daemon(tmp_path, f'transport = "rtu"\nunit_id = 3\n{serial}\n'):
                results = await plc.play(GOOD[:3])
            assert not plc.stat()["STATUS"] & 0x8000
        finally:
            await server.close()
    assert [r.verdict for r in results] == ["good"] * 3
