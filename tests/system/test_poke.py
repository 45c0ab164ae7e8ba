"""`inspector-plc poke` on real Modbus: what it writes, and when it refuses to."""

from __future__ import annotations

import asyncio

import pytest

from plc.registers import CTRL, DEVICE, IDENT, SIGNATURE, STAT, Status
from plc.server import Memory, RegisterServer
from plc.server_link import ServerConfig, ServerLink
from plc.sim import SimConfig, SimPlc
from plc.sim_client import SimClientPlc
from tests.support.judging import judged
from tests.support.links import LONG_S, PATIENT, judging, place
from tests.support.plc_command import plc_command

pytestmark = pytest.mark.system


async def poke(port: int, *arguments: str) -> tuple[int, str]:
    """Exit status, and what it said."""
    code, out, err = await plc_command("poke", f"127.0.0.1:{port}", *arguments)
    return code, out + err


@pytest.fixture
async def appliance():
    """The registers of an appliance that serves: CTRL and IDENT may be written, DEVICE says what it is."""
    memory = Memory(writable=lambda a: a < CTRL.size or IDENT.base <= a < IDENT.base + IDENT.size)
    memory.words[DEVICE.base], memory.words[DEVICE.base + 4 : DEVICE.base + 6] = SIGNATURE, [0x1234, 0x5678]
    memory.words[STAT.base + STAT["STAT_SIGNATURE"].offset] = SIGNATURE + 1
    server = RegisterServer(memory)
    await server.start()
    yield server
    await server.close()


async def test_registers_bits_and_texts_are_written_and_shown_before_and_after(appliance):
    appliance.memory.words[0] = 0x0001
    code, said = await poke(
        appliance.port, "TRIGGER_ID=17", "PART_ID=0x12345", "CONTROL.TRIGGER=1", "LOT=A7", "CONTROL.TEST_PART=1"
    )
    assert code == 0, said
    words = appliance.memory.words
    assert (words[1], words[8:10], words[0], words[141]) == (17, [1, 0x2345], 0x0403, 0x4137)
    assert "writing CTRL.TRIGGER_ID at 1: 0 -> 17" in said
    assert "writing CTRL.CONTROL at 0: TRIGGER_ENABLE -> TRIGGER_ENABLE TRIGGER TEST_PART" in said
    assert 'writing IDENT.LOT at 141: "" -> A7' in said and "written and read back" in said
    assert appliance.writes == 4, "two bits of one register are one write"


async def test_a_dry_run_says_all_of_it_and_writes_nothing(appliance):
    code, said = await poke(appliance.port, "TRIGGER_ID=17", "--dry-run")
    assert code == 0 and "would write CTRL.TRIGGER_ID at 1: 0 -> 17" in said
    assert appliance.writes == 0 and appliance.memory.words[1] == 0


@pytest.mark.parametrize("word_order", ["big", "little"])
async def test_32_bit_values_follow_the_word_order(appliance, word_order):
    code, _ = await poke(appliance.port, "PART_ID=0x12345", "--word-order", word_order)
    assert code == 0
    assert appliance.memory.words[8:10] == ([1, 0x2345] if word_order == "big" else [0x2345, 1])


async def test_it_is_refused_while_the_appliance_is_online(appliance):
    async with judged() as (sim, _):
        assert await sim.wait_ready(LONG_S)
        scanning = asyncio.create_task(sim.idle_for(60))
        before = sim.ctrl.words[1]
        code, said = await poke(sim.port, "STAT.RESULT_CODE=1")
        scanning.cancel()
        await asyncio.gather(scanning, return_exceptions=True)
    assert code == 1 and "refused, nothing was written: the appliance is Online; set it offline" in said
    assert sim.ctrl.words[1] == before
    appliance.memory.words[STAT.base] = Status.ONLINE
    code, said = await poke(appliance.port, "TRIGGER_ID=17")
    assert code == 1 and "its heartbeat stands still" in said and appliance.writes == 0


async def test_registers_without_a_signature_are_never_written(free_port):
    server = RegisterServer(Memory())
    await server.start()
    try:
        code, said = await poke(server.port, "SIGNATURE=0xA101")
        assert code == 1 and "no signature of station 1" in said
        server.memory.words[15] = 0xA101
        code, said = await poke(server.port, "TRIGGER_ID=1", "--station", "2")
        assert code == 1 and "no signature of station 2" in said
    finally:
        await server.close()
    assert server.writes == 0
    code, said = await poke(free_port, "TRIGGER_ID=1")
    assert code == 1 and "no PLC answers" in said


@pytest.mark.parametrize("name", ["STAT.STATUS=1", "RES_SEQ=4", "DIAG.UPTIME=3"])
async def test_what_an_appliance_writes_itself_is_left_to_it(appliance, name):
    code, said = await poke(appliance.port, "TRIGGER_ID=1", name)
    assert code == 1 and "an appliance writes this block itself" in said
    assert appliance.writes == 0, "not even the register that it could have written"


async def test_a_plc_s_result_area_may_be_written_while_no_appliance_is_there_and_its_own_may_refuse():
    sim = SimPlc()
    await sim.start()
    try:
        code, said = await poke(sim.port, "STAT.OFFLINE_REASON=3", "STATUS.TRIGGER_READY=1")
        assert code == 0, said
        assert sim.stat()["OFFLINE_REASON"] == 3
        code, said = await poke(sim.port, "CTRL.TRIGGER_ID=9")
        assert code == 1 and "exception 2" in said and "keeps to itself" in said
    finally:
        await sim.close()


async def test_each_block_of_a_plc_must_look_like_itself_or_be_empty():
    """The signature of CTRL says nothing of where the others lie: a wrong base must not change a PLC's memory."""
    server = RegisterServer(Memory())
    words = server.memory.words
    words[15], words[500] = 0xA101, 77  # somebody else's register
    await server.start()
    try:
        for arguments in (
            ("STATUS.TRIGGER_READY=1", "--stat-base", "480"), ("LOT=A7", "--ident-base", "500"), ("DIAG.UPTIME=1",),
            ("TRIGGER_ID=1", "STAT.REASON=3", "--stat-base", "480"),
        ):  # fmt: skip
            code, said = await poke(server.port, *arguments)
            assert code == 1 and "refused, nothing was written" in said, said
        assert server.writes == 0
        words[15], words[20 + 41] = 0, 0xA101
        code, said = await poke(server.port, "TRIGGER_ID=1")
        assert code == 1 and "CTRL at 0: it does not show its signature" in said
        assert server.writes == 0
    finally:
        await server.close()


async def test_a_value_that_somebody_else_overwrites_is_told_with_status_1(appliance):
    appliance._on_write = lambda address, words: appliance.memory.words.__setitem__(1, 5)
    code, said = await poke(appliance.port, "TRIGGER_ID=17")
    assert code == 1 and "CTRL.TRIGGER_ID reads 5 again: somebody else writes it too" in said


async def test_the_registers_of_a_real_serving_appliance_may_be_poked_until_its_plc_is_there():
    link = ServerLink(ServerConfig(port=0, comm_timeout_s=LONG_S), [place()])
    async with judging(link):
        await link.listening.wait()
        code, said = await poke(link.server.port, "CTRL.RECIPE_EXPECTED=1")
        assert code == 0 and "an appliance that serves" in said, said
        plc = SimClientPlc(SimConfig(**PATIENT), request_timeout_s=LONG_S)
        await plc.start(port=link.server.port)
        assert await plc.wait_ready(LONG_S)
        poking = asyncio.create_task(poke(link.server.port, "CTRL.RECIPE_EXPECTED=9"))
        while not poking.done():  # a request of the PLC is never cut short
            await plc.idle_for(0.05)
        code, said = await poking
        assert code == 1 and "the appliance is Online" in said
        assert plc.refused == 0
        await plc.close()


async def test_unknown_names_and_values_are_usage_errors_with_a_hint(appliance):
    code, said = await poke(appliance.port, "TRIGER_ID=17")
    assert code == 2 and "did you mean TRIGGER_ID" in said
    code, said = await poke(appliance.port, "TRIGGER_ID=70000")
    assert code == 2 and "takes 0 to 65535" in said
    assert appliance.requests == 0
