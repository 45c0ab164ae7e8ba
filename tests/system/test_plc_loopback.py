"""Real Modbus on loopback: our client direction against the simulated PLC."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from plc.client import ClientLink, LinkConfig
from plc.handshake import Handshake, HandshakeConfig, HealthInput, Record
from plc.registers import STAT, Control, OfflineReason, Reason, Verdict
from plc.sim import SimConfig, SimPlc
from plc.station import StationPlace
from tests.support.links import LONG_S, PATIENT, UNHURRIED, UNHURRIED_S, until

READY = HealthInput(True, OfflineReason.NONE)
PASS = Record(int(Verdict.PASS), Reason.NONE, inspection_no=7, recipe_used=1)


class Appliance:
    """A client whose judge says PASS to even parts and FAIL to odd ones, once it may tell. timed: of the handshake."""

    def __init__(self, port: int, **timed: float) -> None:
        config = HandshakeConfig(active_recipe=1, **{**UNHURRIED, **timed})
        self.handshake = Handshake(config, known=lambda id_: False)
        self.link = ClientLink(LinkConfig(port=port, request_timeout_s=UNHURRIED_S), [StationPlace(self.handshake)])
        (self.client,) = self.link.stations
        self.client.set_health(READY)
        self.told = {}
        self.may_tell = asyncio.Event()
        self.may_tell.set()

    async def judge_forever(self):
        while True:
            part = await self.client.next()
            await self.may_tell.wait()
            record = PASS if part.part_id % 2 == 0 else Record(int(Verdict.FAIL), Reason.CLASS, recipe_used=1)
            if part.refused is not None:
                record = Record(int(Verdict.NOT_INSPECTED), part.refused, recipe_used=1)
            self.told[part.trigger_id, part.part_id] = await self.client.publish(part, record)


@contextlib.asynccontextmanager
async def line(sim_config=None, **timed):
    sim = SimPlc(sim_config or SimConfig(**PATIENT))
    await sim.start()
    appliance = Appliance(sim.port, **timed)
    tasks = [asyncio.create_task(appliance.link.run()), asyncio.create_task(appliance.judge_forever())]
    try:
        yield sim, appliance
    finally:
        await appliance.link.stop()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await sim.close()


async def scanned(sim, true):
    """The PLC scans on until it is so."""
    async with asyncio.timeout(LONG_S):
        while not true():
            await sim.idle_for(0.005)


async def test_fifty_parts_give_fifty_results_and_each_is_its_own():
    async with line() as (sim, appliance):
        results = await sim.play(range(100, 150))
    assert [r.verdict for r in results] == ["good", "reject"] * 25
    assert all(appliance.told[r.trigger_id, r.part_id].record.code == r.code for r in results)
    assert all(told.state == "confirmed" for told in appliance.told.values())
    assert appliance.handshake.counts["TRIGGERS"] == 50


async def test_a_plc_without_the_signature_is_never_written_to():
    async with line() as (sim, appliance):
        sim.ctrl["SIGNATURE"] = 0x1234
        await scanned(sim, lambda: "no signature" in appliance.client.status.text)
        sim.server.writes = 0
        assert not await sim.wait_ready(0.5)
        assert sim.server.writes == 0


@pytest.mark.parametrize("delay_s", [0.0, 0.05])
async def test_a_cut_cable_rejects_its_part_and_the_next_one_is_fine(delay_s):
    async with line() as (sim, appliance):
        await sim.play([100])
        sim.cfg.result_timeout_s = 2.0  # no result of this part is read
        appliance.may_tell.clear()
        cut = asyncio.create_task(sim.play([102]))
        await until(lambda: appliance.handshake.current is not None)
        await asyncio.sleep(delay_s)
        await sim.server.drop_connections()
        appliance.may_tell.set()
        (result,) = await cut
        sim.cfg.result_timeout_s = UNHURRIED_S
        (after,) = await sim.play([104])
    assert result.verdict == "reject"
    assert after.verdict == "good"


async def test_a_verdict_after_the_deadline_is_a_reject():
    async with line(deadline_s=0.3) as (sim, appliance):
        appliance.may_tell.clear()
        playing = asyncio.create_task(sim.play([100]))
        await until(lambda: appliance.handshake.current is not None)
        await asyncio.sleep(0.35)
        appliance.may_tell.set()
        (result,) = await playing
    assert (result.code, result.reason, result.verdict) == (Verdict.NOT_INSPECTED, Reason.DEADLINE, "reject")


async def test_a_plc_in_stop_whose_server_still_answers_is_not_ready():
    async with line(heartbeat_timeout_s=2.0) as (sim, _):
        assert await sim.wait_ready(LONG_S)
        sim.frozen = True
        async with asyncio.timeout(60):
            while sim.stat()["OFFLINE_REASON"] != OfflineReason.PLC_HEARTBEAT:
                await sim.idle_for(0.05)


async def test_a_dirty_result_left_in_the_plc_is_cleared_before_ready():
    sim = SimPlc()
    sim.memory.words[STAT.base] = 0x8180  # ONLINE, VALID, PASS of a former life
    await sim.start()
    appliance = Appliance(sim.port)
    task = asyncio.create_task(appliance.link.run())
    async with asyncio.timeout(60):
        while (status := sim.stat()["STATUS"]) & 0x0380:
            assert not status & 0x0001, "READY beside a result of a former life"
            await sim.idle_for(0.02)
    await appliance.link.stop()
    await task
    await sim.close()


async def test_an_orderly_stop_leaves_online_0_in_the_plc(monkeypatch):
    monkeypatch.setattr("plc.client.STOP_S", LONG_S)  # for the last write, also where the machine holds it up
    async with line() as (sim, appliance):
        assert await sim.wait_ready(LONG_S)
        await appliance.link.stop()
        assert sim.stat()["STATUS"] & 0x8001 == 0


async def test_a_plc_that_takes_a_rejected_part_as_good_stops_the_station_until_a_person_acknowledges():
    async with line(SimConfig(claims_good=True, **PATIENT)) as (sim, appliance):
        (rejected,) = await sim.play([101])
        await scanned(sim, lambda: sim.stat()["OFFLINE_REASON"] == OfflineReason.LATCHED_ERROR)
        assert list(appliance.handshake.wrong_accepts) == [rejected.trigger_id]
        sim.cfg.ready_timeout_s = 0.5
        (refused,) = await sim.play([102])
        assert refused.verdict == "reject", "good part, but the station is stopped"
        await scanned(sim, lambda: refused.trigger_id in appliance.handshake.wrong_accepts)  # it claims that one, too
        sim.cfg.ready_timeout_s = LONG_S
        sim.ctrl["CONTROL"] |= Control.CLEAR_ERROR
        await scanned(sim, lambda: appliance.handshake.clear_errors)
        sim.ctrl["CONTROL"] &= ~Control.CLEAR_ERROR
        (passed,) = await sim.play([104])
        assert passed.verdict == "good"
