"""Several stations on one connection to a PLC, on loopback; and what happens where their addresses are wrong."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
from collections.abc import AsyncIterator, Callable, Sequence

import pytest
from pymodbus.pdu import ModbusPDU

from plc.client import ClientLink, LinkConfig
from plc.images import Image
from plc.pdu import Peer
from plc.registers import IDENT, SIGNATURE, STAT, OfflineReason, Status
from plc.sim import SimConfig, SimPlc
from plc.station import SPAN, StationPlace
from plc.wire import READ, WRITE
from tests.support.links import LONG_S, PATIENT, UNHURRIED_S, Judge, handshake, judging

pytestmark = pytest.mark.system
QUICK = {**PATIENT, "ready_timeout_s": 0.7}  # a line whose parts shall go by uninspected


def place(number: int, *, ctrl_of: int = 0, stat_of: int = 0) -> StationPlace:
    """A station at its own place, or with the CTRL or STAT of another."""
    ctrl, stat, own = (((n or number) - 1) * SPAN for n in (ctrl_of, stat_of, number))
    return StationPlace(handshake(number), ctrl, stat + STAT.base, own + 100, own + IDENT.base)


@contextlib.asynccontextmanager
async def plc_with(places: Sequence[StationPlace], **sim: float) -> AsyncIterator[tuple[list[SimPlc], list[Judge]]]:
    """One PLC that runs a function block for each station, and one link to it."""
    numbers = [one.handshake.cfg.number for one in places]
    first = SimPlc(SimConfig(number=numbers[0], **(PATIENT | sim)), base=(numbers[0] - 1) * SPAN)
    plcs = [first] + [
        SimPlc(SimConfig(number=n, **(PATIENT | sim)), beside=first, base=(n - 1) * SPAN) for n in numbers[1:]
    ]
    await first.start()
    try:
        async with judging(client(first.port, places)) as judges:
            yield plcs, judges
    finally:
        await first.close()


def client(port: int, places: Sequence[StationPlace]) -> ClientLink:
    return ClientLink(LinkConfig(port=port, request_timeout_s=UNHURRIED_S), places)


async def scanned(plcs: Sequence[SimPlc], true: Callable[[], object]) -> None:
    """The PLC's programs scan on until it is so. Raises TimeoutError."""
    async with asyncio.timeout(LONG_S):
        while not true():
            await asyncio.gather(*(plc.idle_for(0.005) for plc in plcs))


async def play_all(plcs: Sequence[SimPlc], parts: int) -> list[list[str]]:
    results = await asyncio.gather(*(plc.play(range(100, 100 + parts)) for plc in plcs))
    return [[r.verdict for r in one] for one in results]


async def test_eight_stations_share_one_connection_and_each_gets_its_own_verdicts():
    async with plc_with([place(n) for n in range(1, 9)]) as (plcs, judges):
        verdicts = await play_all(plcs, 10)
        assert plcs[0].server.connections == 1
    assert verdicts == [["good", "reject"] * 5] * 8
    assert all(told.state == "confirmed" for judge in judges for told in judge.told.values())
    assert [len(judge.told) for judge in judges] == [10] * 8


async def test_nothing_of_a_station_comes_between_its_record_and_its_flags():
    bodies: list[bytes] = []
    async with plc_with([place(n) for n in range(1, 5)]) as (plcs, _):
        asked(plcs[0], bodies)
        await play_all(plcs, 10)
    flagged = 0
    for station in range(4):
        images = [_stat(body, station) for body in bodies if int.from_bytes(body[1:3], "big") // SPAN == station]
        valid = False
        for before, image in itertools.pairwise(images):
            if image is None:
                continue
            was, valid = valid, bool(Status(image["STATUS"]) & Status.RESULTS_VALID)
            if valid and not was:
                flagged += 1
                assert before is not None, "something else than the record came before the flags"
                assert before["RES_SEQ"] == before["RES_SEQ_TAIL"] == image["RES_SEQ"]
                assert not Status(before["STATUS"]) & Status.RESULTS_VALID
    assert flagged == 40


def _stat(body: bytes, station: int) -> Image | None:
    """The image, if `body` writes the whole STAT of this station."""
    if body[0] != WRITE or int.from_bytes(body[1:3], "big") != station * SPAN + STAT.base:
        return None
    return Image(STAT, struct.unpack(f">{STAT.size}H", body[6:]))


def asked(plc: SimPlc, bodies: list[bytes] | None = None) -> list[tuple[int, int]]:
    """Function and address of every request that comes to the PLC's socket from now on, whatever it answers."""
    seen: list[tuple[int, int]] = []
    answer = plc.server.respond

    def watched(body: bytes, peer: Peer) -> ModbusPDU:
        seen.append((body[0], int.from_bytes(body[1:3], "big")))
        if bodies is not None:
            bodies.append(body)
        return answer(body, peer)

    plc.server.respond = watched
    return seen


async def test_a_station_without_its_signature_is_never_written_to_and_the_others_go_on():
    async with plc_with([place(1), place(2)]) as (plcs, judges):
        plcs[1].ctrl["SIGNATURE"] = SIGNATURE + 7
        plcs[1]._write()
        await scanned(plcs, lambda: "signature of station 2" in judges[1].port.status.text)
        seen = asked(plcs[0])
        ready_2 = await plcs[1].wait_ready(0.3)
        verdicts = await play_all(plcs[:1], 4)
        text = judges[1].port.status.text
    assert not ready_2
    assert verdicts == [["good", "reject"] * 2]
    assert {address // SPAN for function, address in seen if function != READ} == {0}
    assert {address // SPAN for _, address in seen} == {0, 1}
    assert "signature of station 2" in text


async def test_not_one_write_reaches_a_plc_that_never_shows_a_signature():
    first = SimPlc(SimConfig())
    second = SimPlc(SimConfig(number=2), beside=first, base=SPAN)
    for plc in (first, second):
        plc.ctrl["SIGNATURE"] = 0x1234
        plc._write()
    seen = asked(first)
    await first.start()
    async with judging(client(first.port, [place(1), place(2)])):
        await scanned((first, second), lambda: len(seen) > 40)
    await first.close()
    assert {function for function, _ in seen} == {READ}


async def test_another_signature_in_our_result_area_stops_the_writing_to_it():
    async with plc_with([place(1), place(2)], **QUICK) as (plcs, judges):
        assert await plcs[0].wait_ready(LONG_S)
        async with asyncio.timeout(LONG_S):
            while not judges[0].port.handshake.owner_doubted:
                plcs[0].memory.words[STAT.base + STAT["STAT_SIGNATURE"].offset] = SIGNATURE + 2
                await asyncio.sleep(0.001)
        assert [judge.port.handshake.owner_doubted for judge in judges] == [True, False]
        seen = asked(plcs[0])
        await plcs[0].idle_for(0.3)
        assert {address // SPAN for function, address in seen if function != READ} == {1}


async def test_a_station_whose_registers_the_plc_refuses_does_not_stop_the_others():
    beyond = StationPlace(handshake(2), 4000, 4020, 4100, 4140)
    async with plc_with([place(1), beyond]) as (plcs, judges):
        assert await play_all(plcs[:1], 4) == [["good", "reject"] * 2]
        assert "exception 2" in judges[1].port.status.text
        assert judges[0].port.status.faults == 0


@pytest.mark.parametrize("swapped", ["ctrl", "stat", "both"])
async def test_two_stations_with_swapped_addresses_both_refuse(swapped: str):
    crossed = {
        "ctrl": [place(1, ctrl_of=2), place(2, ctrl_of=1)],
        "stat": [place(1, stat_of=2), place(2, stat_of=1)],
        "both": [place(1, ctrl_of=2, stat_of=2), place(2, ctrl_of=1, stat_of=1)],
    }[swapped]
    async with plc_with(crossed, **QUICK) as (plcs, judges):
        await scanned(plcs, lambda: all(judge.port.handshake.stat["OFFLINE_REASON"] for judge in judges))
        ready = await asyncio.gather(*(plc.wait_ready(0.7) for plc in plcs))
        verdicts = await play_all(plcs, 2)
        offline = [judge.port.handshake.stat["OFFLINE_REASON"] for judge in judges]
    assert ready == [False, False]
    assert verdicts == [["reject"] * 2] * 2
    assert OfflineReason.NONE not in offline
    assert [judge.told for judge in judges] == [{}, {}]


async def test_a_result_area_that_shows_another_station_is_not_written():
    """The PLC kept what a former configuration wrote there."""
    written: list[int] = []
    both = [place(1, stat_of=2), place(2, stat_of=1)]
    async with plc_with([place(1), place(2)]) as (plcs, _):
        await play_all(plcs, 1)
        retained = list(plcs[0].memory.words)
    first = SimPlc(SimConfig(**QUICK))
    second = SimPlc(SimConfig(number=2, **QUICK), beside=first, base=SPAN)
    first.memory.words[:] = retained
    first.server._on_write = lambda address, words: written.append(address)
    await first.start()
    async with judging(client(first.port, both)) as judges:
        await scanned((first, second), lambda: all("shows the result" in j.port.status.text for j in judges))
        ready = await asyncio.gather(first.wait_ready(0.5), second.wait_ready(0.5))
        texts = [judge.port.status.text for judge in judges]
    await first.close()
    assert ready == [False, False]
    assert written == []
    assert "shows the result of station 2" in texts[0] and "shows the result of station 1" in texts[1]


async def test_a_station_that_is_configured_onto_the_result_area_of_another_refuses():
    same = [place(1), place(2, stat_of=1)]
    async with plc_with(same) as (plcs, judges):
        assert await play_all(plcs[:1], 2) == [["good", "reject"]]
        assert await plcs[1].wait_ready(0.2) is False
        await scanned(plcs, lambda: judges[1].port.status.text)
        assert "shows the result of station 1" in judges[1].port.status.text


async def test_of_two_appliances_on_one_area_one_at_least_stops_writing():
    async with plc_with([place(1)], **QUICK) as (plcs, (first,)):
        assert await plcs[0].wait_ready(LONG_S)
        async with judging(client(plcs[0].port, [place(1)])) as (second,):
            await scanned(plcs, lambda: any(judge.port.handshake.owner_doubted for judge in (first, second)))


def test_stations_of_one_link_have_different_numbers_and_are_at_most_eight():
    for places in ([place(1), place(1)], [], [place(n) for n in range(1, 10)]):
        with pytest.raises(ValueError, match="station"):
            ClientLink(LinkConfig(), places)


async def test_the_ident_of_each_station_is_its_own():
    async with plc_with([place(1), place(2)]) as (plcs, judges):
        for n, plc in enumerate(plcs):
            at = n * SPAN + IDENT.base
            plc.memory.words[at] = plc.memory.words[at + IDENT.size - 1] = 1
            plc.memory.words[at + 1] = int.from_bytes(f"L{n}".encode(), "big")
        await play_all(plcs, 1)
    assert [judge.lots[100][0] for judge in judges] == ["L0", "L1"]


async def test_a_plc_without_the_ident_block_is_inspected_without_lot_and_serial():
    async with plc_with([place(1)]) as (plcs, (judge,)):
        plcs[0].memory.size = IDENT.base  # reads beyond are refused with exception 2
        assert await play_all(plcs, 3) == [["good", "reject", "good"]]
        assert judge.lots[100] == ("", "")
        assert judge.port.handshake.counts["LINK_SESSIONS"] == 1
        assert judge.port.status.exceptions == 3
