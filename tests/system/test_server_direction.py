"""The server direction on loopback: the appliance listens, a PLC that is a Modbus client plays the line."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import pytest

from plc.reactions import Acknowledged, Reported
from plc.registers import IDENT, STAT, Control, OfflineReason, Reason, Status, Verdict
from plc.server_link import ServerConfig, ServerLink
from plc.sim import SimConfig
from plc.sim_client import SimClientPlc
from plc.station import SPAN
from plc.wire import ExceptionReply, Wire
from tests.support.links import LONG_S, PATIENT, UNHURRIED_S, Judge, judging, place, until

pytestmark = pytest.mark.system
SHORT_S = 2.0  # a silence that a test waits for, and yet does not see where the machine holds the PLC up for a moment


@contextlib.asynccontextmanager
async def listening(
    numbers: Sequence[int] = (1,), timed: Mapping[str, float] | None = None, **server: object
) -> AsyncIterator[tuple[ServerLink, list[Judge]]]:
    """timed: limits of the handshakes, where a test is about one."""
    config = ServerConfig(**{"port": 0, "comm_timeout_s": UNHURRIED_S, **server})
    link = ServerLink(config, [place(n, **timed or {}) for n in numbers])
    async with judging(link) as judges:
        await link.listening.wait()
        yield link, judges


@contextlib.asynccontextmanager
async def scanned_by_a_plc(
    numbers: Sequence[int] = (1,),
    server: dict[str, object] | None = None,
    timed: Mapping[str, float] | None = None,
    **sim: float,
) -> AsyncIterator[tuple[ServerLink, list[Judge], list[SimClientPlc]]]:
    async with listening(numbers, timed, **(server or {})) as (link, judges):
        plcs = [SimClientPlc(SimConfig(number=n, **(PATIENT | sim)), request_timeout_s=UNHURRIED_S) for n in numbers]
        for plc in plcs:
            await plc.start(port=link.server.port)
        try:
            yield link, judges, plcs
        finally:
            for plc in plcs:
                await plc.close()


async def connect(link: ServerLink, unit_id: int = 1) -> Wire:
    return await Wire.connect("127.0.0.1", link.server.port, unit_id, LONG_S, time.monotonic, deque())


async def scanned(plc: SimClientPlc, true: Callable[[], object]) -> None:
    """The PLC scans on until it is so. Raises TimeoutError."""
    async with asyncio.timeout(LONG_S):
        while not true():
            await plc.idle_for(0.005)


async def test_fifty_parts_give_fifty_results_and_each_is_its_own():
    async with scanned_by_a_plc() as (link, (judge,), (plc,)):
        results = await plc.play(range(100, 150))
        await scanned(plc, lambda: len(judge.told) == 50)
        assert judge.port.status.connected
    assert [r.verdict for r in results] == ["good", "reject"] * 25
    assert all(judge.told[r.trigger_id, r.part_id].record.code == r.code for r in results)
    assert [told.state for told in judge.told.values()] == ["confirmed"] * 50
    assert judge.port.handshake.counts["TRIGGERS"] == 50
    assert link.server.malformed == plc.refused == 0


async def test_each_acknowledge_and_each_verdict_of_the_plcs_own_is_known_by_its_part():
    async with scanned_by_a_plc() as (_, (judge,), (plc,)):
        began_s, reactions = time.monotonic(), judge.port.handshake.reactions
        await plc.play(range(100, 110))
        await scanned(plc, lambda: any(isinstance(one, Reported) and one.inspection_no == 109 for one in reactions))
        took_s = time.monotonic() - began_s
    acks = [one for one in reactions if isinstance(one, Acknowledged)]
    assert [one.inspection_no for one in acks] == list(range(100, 110))
    assert all(one.by_plc and one.after_s > 0 for one in acks) and sum(one.after_s for one in acks) < took_s
    last = [one for one in reactions if isinstance(one, Reported)][-1]
    assert (last.inspection_no, last.verdict) == (109, 2), "it stands until another part is decided"
    assert last.after_s is not None and 0 < last.after_s < took_s


async def test_eight_stations_at_one_address_each_have_their_own_verdicts():
    async with scanned_by_a_plc(range(1, 9), {"max_connections": 8}, scan_s=0.01) as (_, judges, plcs):
        results = await asyncio.gather(*(plc.play(range(100, 106)) for plc in plcs))
    assert [[r.verdict for r in one] for one in results] == [["good", "reject"] * 3] * 8
    assert [len(judge.told) for judge in judges] == [6] * 8


async def test_the_heartbeat_of_every_station_goes_on_while_nobody_writes():
    async with listening(range(1, 9)) as (link, judges):
        begun_s, before = time.monotonic(), [judge.port.handshake.stat["HEARTBEAT"] for judge in judges]
        for _ in range(20):  # of these seconds the machine gives the whole of one to the heartbeats
            second_s, earlier = time.monotonic(), [judge.port.handshake.stat["HEARTBEAT"] for judge in judges]
            await asyncio.sleep(1.0)
            after = [judge.port.handshake.stat["HEARTBEAT"] for judge in judges]
            moved = [b - a for a, b in zip(earlier, after, strict=True)]
            if min(moved) >= 7 * (time.monotonic() - second_s):
                break
        took_s = time.monotonic() - begun_s
        assert all(judge.port.handshake.stat["OFFLINE_REASON"] for judge in judges)
        assert link.server.requests == 0
    assert min(moved) >= 7, moved
    assert all(b - a <= 10 * took_s + 2 for a, b in zip(before, after, strict=True))


async def test_lot_and_serial_are_those_of_the_part():
    async with scanned_by_a_plc() as (_, (judge,), (plc,)):
        for part, head, tail in ((100, 1, 1), (101, 2, 1), (102, 9, 9)):
            ident = plc.memory.words
            ident[IDENT.base], ident[IDENT.base + IDENT.size - 1] = head, tail
            ident[IDENT.base + 1] = int.from_bytes(b"L7", "big")
            await plc.play([part])
    assert [judge.lots[part][0] for part in (100, 101, 102)] == ["L7", "", ""]


# -- the owner ---------------------------------------------------------------------------------------------------------


async def test_a_second_writer_is_refused_and_may_read_and_the_first_goes_on():
    async with scanned_by_a_plc() as (link, _, (plc,)):
        assert await plc.wait_ready(LONG_S)
        other = await connect(link)
        playing = asyncio.create_task(plc.play(range(100, 110)))
        for _ in range(20):
            with pytest.raises(ExceptionReply, match="exception 2"):
                await other.write(0, [0] * 20)
            assert (await other.read(STAT.base + 41, 1))[0] == 0xA101
        results = await playing
        other.abort()
    assert [r.verdict for r in results] == ["good", "reject"] * 5
    assert plc.refused == 0
    assert link.log.lines <= 2


async def test_a_silent_owner_loses_the_lock_its_part_is_4_107_and_another_may_write():
    async with scanned_by_a_plc(server={"comm_timeout_s": SHORT_S}) as (link, (judge,), (plc,)):
        await plc.play([100])
        judge.may_tell.clear()
        other = await connect(link)
        inspecting = asyncio.create_task(plc.inspect(102))
        await until(lambda: judge.port.handshake.current is not None)
        with pytest.raises(ExceptionReply):
            await other.write(0, [0] * 20)
        inspecting.cancel()  # the program stands still in mid-inspection, its connection stays
        await asyncio.gather(inspecting, return_exceptions=True)
        async with asyncio.timeout(LONG_S):
            while await other.read(0, 20) != [0] * 20:  # noqa: ASYNC110 - until CTRL is cleared
                await asyncio.sleep(0.01)
        await other.write(0, [0] * 20)
        judge.may_tell.set()
        await until(lambda: (2, 102) in judge.told)
        other.abort()
    told = judge.told[2, 102]
    assert (told.record.code, told.record.reason, told.state) == (Verdict.NOT_INSPECTED, Reason.LINK_LOST, "none")


async def test_on_return_of_a_silent_owner_the_standing_trigger_is_answered_and_not_inspected():
    async with scanned_by_a_plc(server={"comm_timeout_s": SHORT_S}) as (_, (judge,), (plc,)):
        await plc.play([100])
        await asyncio.sleep(SHORT_S + 0.2)
        plc.ctrl["TRIGGER_ID"], plc.ctrl["TRIGGER_ID_INV"] = plc.next_id, plc.next_id ^ 0xFFFF
        plc.ctrl["CONTROL"] |= Control.TRIGGER
        plc._write()
        await scanned(plc, lambda: plc.stat()["RES_TRIGGER_ID"] == 2)
        stat = plc.stat()
        assert (stat["RESULT_CODE"], stat["REASON"]) == (4, Reason.STALE_TRIGGER)
        plc.next_id += 1
        plc.ctrl["CONTROL"] = Control.TRIGGER_ENABLE
        await plc.idle_for(0.1)
        (after,) = await plc.play([104])
    assert after.verdict == "good"
    assert judge.port.handshake.counts["LINK_SESSIONS"] == 2


@pytest.mark.parametrize("after_s", [0.0, 0.05])
async def test_a_cut_cable_rejects_its_part_and_the_next_one_is_fine(after_s: float):
    async with scanned_by_a_plc() as (_, (judge,), (plc,)):
        await plc.play([100])
        plc.cfg.result_timeout_s = SHORT_S  # no result of this part is read
        judge.may_tell.clear()
        cut = asyncio.create_task(plc.play([102]))
        await until(lambda: judge.port.handshake.current is not None)
        await asyncio.sleep(after_s)
        plc.wired = False
        await until(lambda: not plc.connected)
        judge.may_tell.set()
        await asyncio.sleep(0.2)
        plc.wired = True
        (result,) = await cut
        plc.cfg.result_timeout_s = UNHURRIED_S
        (after,) = await plc.play([104])
    assert result.verdict == "reject"
    assert after.verdict == "good"


@pytest.mark.parametrize("acknowledges", ["never", "before the result", "after the result"])
async def test_a_result_that_the_owner_never_reads_is_confirmed_by_its_acknowledgement_or_unknown(acknowledges: str):
    async with scanned_by_a_plc() as (_, (judge,), (plc,)):
        await plc.play([100])
        assert await plc.wait_ready(LONG_S)
        plc._pull = lambda wire: asyncio.sleep(0)  # from now on it reads nothing, or on another connection
        judge.may_tell.clear()
        plc.ctrl["TRIGGER_ID"], plc.ctrl["TRIGGER_ID_INV"], plc.ctrl["PART_ID"] = 2, 2 ^ 0xFFFF, 102
        plc.ctrl["CONTROL"] |= Control.TRIGGER
        await scanned(plc, lambda: judge.port.handshake.current is not None)
        plc._set(Control.RESULTS_ACK, acknowledges == "before the result")
        await scanned(plc, lambda: judge.port.ctrl["CONTROL"] == plc.ctrl["CONTROL"])
        judge.may_tell.set()
        await scanned(plc, lambda: judge.port.handshake.stat["RES_TRIGGER_ID"] == 2)
        plc._set(Control.RESULTS_ACK, acknowledges != "never")
        await scanned(plc, lambda: judge.port.ctrl["CONTROL"] == plc.ctrl["CONTROL"])
        plc.cut()
        await until(lambda: (2, 102) in judge.told)
    told = judge.told[2, 102]
    assert told.record.code == Verdict.PASS
    assert told.state == ("confirmed" if acknowledges == "after the result" else "unknown")


async def test_an_orderly_stop_shows_online_0_before_the_connection_ends(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("plc.server_link.STOP_S", 600.0)  # it ends because the PLC has read it, not by that time
    async with scanned_by_a_plc() as (link, _, (plc,)):
        assert await plc.wait_ready(LONG_S)
        stopping = asyncio.create_task(link.stop())
        await scanned(plc, stopping.done)
    assert not plc.stat()["STATUS"] & (Status.ONLINE | Status.TRIGGER_READY)
    assert plc.stat()["OFFLINE_REASON"] == OfflineReason.SET_OFFLINE


async def test_a_plc_without_the_signature_is_never_ready_and_the_page_says_why():
    async with scanned_by_a_plc() as (_, (judge,), (plc,)):
        plc.ctrl["SIGNATURE"] = 0x1234
        assert not await plc.wait_ready(0.5)
        await scanned(plc, lambda: "no signature of station 1" in judge.port.status.text)
        assert judge.port.handshake.stat["OFFLINE_REASON"] == OfflineReason.NO_LINK_BASELINE


# -- the age of a trigger ----------------------------------------------------------------------------------------------


async def test_frames_that_lay_queued_while_the_appliance_stood_still_are_a_baseline():
    """TRIGGER=0 and then TRIGGER=1, both sent while our process slept: nobody knows how old the edge is."""
    async with scanned_by_a_plc(timed={"max_trigger_age_s": SHORT_S}) as (_, (judge,), (plc,)):
        await plc.play([100])
        assert await plc.wait_ready(LONG_S)
        sock = plc._wire._writer
        sock.write(fc16(0, plc.ctrl.words))
        plc.ctrl["TRIGGER_ID"], plc.ctrl["TRIGGER_ID_INV"], plc.ctrl["PART_ID"] = 2, 2 ^ 0xFFFF, 102
        plc.ctrl["CONTROL"] |= Control.TRIGGER
        sock.write(fc16(0, plc.ctrl.words))
        time.sleep(0.7 * SHORT_S)  # noqa: ASYNC251 - that is the fault: more than half of its age, less than all of it
        await until(lambda: (2, 102) in judge.told or judge.port.handshake.stat["RES_TRIGGER_ID"] == 2)
        plc.next_id = 3
        plc.ctrl["CONTROL"] = Control.TRIGGER_ENABLE
        plc.cut()
        (after,) = await plc.play([104])
    told = judge.told[2, 102]
    assert (told.record.code, told.record.reason) == (Verdict.NOT_INSPECTED, Reason.STALE_TRIGGER)
    assert after.verdict == "good"


async def test_a_trigger_is_as_old_as_the_answer_before_the_owners_last_frame_without_it():
    """Both writes were on the way for long: the cable was slow, or the PLC's stack sent them late."""
    async with scanned_by_a_plc(timed={"max_trigger_age_s": 0.3}) as (_, (judge,), (plc,)):
        await plc.play([100])
        assert await plc.wait_ready(LONG_S)
        sock = plc._wire._writer
        for _ in range(7):  # 0.35 s without an answer: frames that trickle in, none of which is whole
            await asyncio.sleep(0.05)
            judge.port._written_s = time.monotonic()  # the owner is not called silent for it
        sock.write(fc16(0, plc.ctrl.words))
        plc.ctrl["TRIGGER_ID"], plc.ctrl["TRIGGER_ID_INV"], plc.ctrl["PART_ID"] = 2, 2 ^ 0xFFFF, 102
        plc.ctrl["CONTROL"] |= Control.TRIGGER
        sock.write(fc16(0, plc.ctrl.words))
        await until(lambda: judge.port.handshake.current is not None or (2, 102) in judge.told)
        plc.cut()
        await until(lambda: (2, 102) in judge.told)
    told = judge.told[2, 102]
    assert (told.record.code, told.record.reason) == (Verdict.NOT_INSPECTED, Reason.STALE_TRIGGER)


async def test_a_plc_that_scans_every_100_ms_is_served_with_a_trigger_age_of_200_ms():
    link = ServerLink(ServerConfig(port=0), [place(max_trigger_age_s=0.2)])
    async with judging(link):
        await link.listening.wait()
        plc = SimClientPlc(SimConfig(scan_s=0.1, **PATIENT))
        await plc.start(port=link.server.port)
        for _ in range(8):  # of these the machine leaves one its times; what is served late by rule is so each time
            results = await plc.play(range(100, 104))
            if (verdicts := [r.verdict for r in results]) == ["good", "reject"] * 2:
                break
        await plc.close()
    assert verdicts == ["good", "reject"] * 2, results


def fc16(address: int, words: Sequence[int]) -> bytes:
    body = b"\x10" + address.to_bytes(2, "big") + len(words).to_bytes(2, "big") + bytes([2 * len(words)])
    body += b"".join(word.to_bytes(2, "big") for word in words)
    return b"\0\1\0\0" + (len(body) + 1).to_bytes(2, "big") + b"\1" + body


# -- the registers -----------------------------------------------------------------------------------------------------


async def test_a_bug_in_a_request_ends_the_link_so_that_the_heartbeat_stops():
    link = ServerLink(ServerConfig(port=0), [place()])
    run = asyncio.create_task(link.run())
    await link.listening.wait()
    link.stations[0].handshake.sample = lambda *_: 1 / 0
    wire = await connect(link)
    with pytest.raises(ExceptionReply, match="exception 4"):
        await wire.write(0, [0] * 20)
    with pytest.raises(ZeroDivisionError):
        await run
    wire.abort()


def test_every_station_has_its_place_200_registers_apart():
    link = ServerLink(ServerConfig(), [place(1), place(3)])
    assert [station.base for station in link.stations] == [0, 2 * SPAN]
