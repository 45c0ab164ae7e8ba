"""The appliance as a unit on a serial line (section 8, test 61, the other direction), and a client that is not ours."""

from __future__ import annotations

import asyncio
import contextlib
import random
import shutil
import subprocess
from collections.abc import AsyncIterator

import pytest

from plc.server import Memory, RegisterServer
from plc.server_link import ServerConfig, ServerLink
from plc.sim import SimConfig
from plc.sim_client import SimClientPlc
from tests.support import serial_line as line_faults
from tests.support.links import PATIENT, UNHURRIED_S, Judge, judging, place, until
from tests.support.rtu import FAULTS, UNIT, ports, serving, wrong_accepts
from tests.support.serial_line import FaultyLine, needs_socat, socat_pair

pytestmark = pytest.mark.system


@needs_socat
@pytest.mark.skipif(shutil.which("mbpoll") is None, reason="needs mbpoll (Debian package mbpoll)")
async def test_a_modbus_client_that_is_not_ours_reads_and_writes_our_rtu_server(tmp_path):
    registers = RegisterServer(Memory(100, words=list(range(100))))
    with socat_pair(tmp_path) as pair:
        cfg, _ = ports(*pair.ports)
        async with serving(cfg, registers):
            settings = ["mbpoll", "-m", "rtu", "-a", str(UNIT), "-b", "115200", "-P", "none", "-0", "-1", "-o", "1"]
            read = [*settings, "-r", "40", "-c", "3", pair.ports[1]]
            found = await asyncio.to_thread(subprocess.run, read, capture_output=True, text=True, timeout=240)
            assert found.returncode == 0 and "[40]: \t40" in found.stdout and "[42]: \t42" in found.stdout
            write = [*settings, "-r", "50", pair.ports[1], "4711", "4712"]
            found = await asyncio.to_thread(subprocess.run, write, capture_output=True, text=True, timeout=240)
            assert found.returncode == 0, found.stdout + found.stderr
            assert registers.memory.words[49:53] == [49, 4711, 4712, 52]
            foreign = [word if word != str(UNIT) else "8" for word in read]
            found = await asyncio.to_thread(subprocess.run, foreign, capture_output=True, text=True, timeout=240)
            assert "timed out" in found.stdout + found.stderr  # silence, as another unit's traffic demands


# -- the appliance as the unit that the PLC asks -----------------------------------------------------------------------


@contextlib.asynccontextmanager
async def asked(
    our_port: str, plc_port: str, request_timeout_s: float = UNHURRIED_S
) -> AsyncIterator[tuple[SimClientPlc, Judge]]:
    """The appliance listens on one end, a PLC that is a master scans it from the other."""
    ours, transport = ports(our_port, plc_port)
    config = ServerConfig(serial=ours, unit_id=UNIT, comm_timeout_s=UNHURRIED_S)
    link = ServerLink(config, [place()])
    plc = SimClientPlc(SimConfig(**PATIENT), transport=transport, request_timeout_s=request_timeout_s)
    async with judging(link) as (judge,):
        try:
            yield plc, judge
        finally:
            await plc.close()


@needs_socat
async def test_a_plc_that_is_the_master_gets_a_result_for_each_part_and_an_unplugged_port_rejects_its_part(tmp_path):
    with socat_pair(tmp_path) as pair:
        async with asked(*pair.ports) as (plc, judge):
            results = await plc.play(range(100, 108))
            assert judge.port.status.connected
            judge.may_tell.clear()
            cut = asyncio.create_task(plc.play([110]))
            await until(lambda: judge.port.handshake.current is not None)
            pair.unplug()
            await until(lambda: not judge.port.status.connected)
            judge.may_tell.set()
            pair.plug()
            (during,) = await cut
            (after,) = await plc.play([112])
    assert [r.verdict for r in results] == ["good", "reject"] * 4
    assert (during.verdict, after.verdict) == ("reject", "good")


@pytest.mark.slow
async def test_a_master_on_a_line_with_every_kind_of_fault_passes_no_part_that_was_judged_bad():
    dice = random.Random(62)
    with FaultyLine() as line:
        async with asked(line.server_port, line.client_port, 0.5) as (plc, _):
            await plc.play([100])
            for _ in range(6):
                line.faults.extend([line_faults.none] * dice.randrange(30, 90))
                line.faults.append(dice.choice([*FAULTS, line_faults.surplus_byte, line_faults.late(0.55)]))
            while line.faults:
                await plc.play([plc.next_id])
            assert plc.faults >= 4
            await plc.play([200])
            for _ in range(5):  # an answer may be late because the machine is
                (after,) = await plc.play([202])
                if after.verdict == "good":
                    break
    assert after.verdict == "good"
    assert wrong_accepts(plc) == []


async def test_a_port_that_comes_later_is_opened_then(tmp_path):
    ours, _ = ports(str(tmp_path / "later"), "unused")
    link = ServerLink(ServerConfig(serial=ours, unit_id=UNIT), [place()])
    async with judging(link) as (judge,):
        await until(lambda: "cannot be opened" in judge.port.status.text)
