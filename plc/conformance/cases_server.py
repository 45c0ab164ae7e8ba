"""Section 8, tests 36 to 38 and 41 to 45: what an appliance that serves does with frames, peers and writers."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import struct
from itertools import pairwise

from plc.conformance.bench import Bench
from plc.conformance.case import APPLIANCE, Direction
from plc.conformance.raw import Lost, RawModbus, Refused, frame, read_pdu, words_of, write_pdu
from plc.registers import CTRL, DEVICE, DIAG, STAT

case = APPLIANCE.case
SERVER: tuple[Direction, ...] = ("server",)
UNKNOWN_FUNCTION, BAD_ADDRESS, BAD_COUNT = 1, 2, 3
CLOSED_S = 2.0  # faults.md 27


@case("36", directions=SERVER)
async def requests_that_share_a_tcp_segment_are_all_answered_in_order(bench: Bench) -> None:
    raw = await bench.directly()
    try:
        for count in (2, 3, 8):
            transactions = range(100, 100 + count)
            pdus = [read_pdu(STAT.base + i, 1 + i) for i in range(count)]
            await raw.send(b"".join(frame(t, pdu) for t, pdu in zip(transactions, pdus, strict=True)))
            came = [await raw.receive() for _ in range(count)]
            bench.steps.equal(
                f"{count} requests in one segment: transactions", list(transactions), [t for t, _, _ in came]
            )
            bench.steps.equal(
                "the same: registers in each", [1 + i for i in range(count)], [len(words_of(pdu)) for _, _, pdu in came]
            )
    finally:
        await raw.close()
    await bench.passes()


@case("37", directions=SERVER)
async def a_request_split_over_segments_is_answered(bench: Bench) -> None:
    raw = await bench.directly()
    try:
        for cuts in ((1,), (6,), (7,), (8,), tuple(range(1, 12))):
            request = frame(7, read_pdu(STAT.base, STAT.size))
            bounds = (0, *cuts, len(request))
            for begin, end in pairwise(bounds):
                await raw.send(request[begin:end])
                await asyncio.sleep(0.01)
            transaction, _, reply = await raw.receive()
            bench.steps.equal(
                f"a request in {len(cuts) + 1} segments", (7, STAT.size), (transaction, len(words_of(reply)))
            )
    finally:
        await raw.close()
    await bench.passes()


@case("38", directions=SERVER)
async def garbage_ends_its_own_connection_and_disturbs_nobody(bench: Bench) -> None:
    dice = random.Random(38)
    ended = _malformed(dice)
    playing = asyncio.create_task(_play(bench))
    try:
        for what, data in ended.items():
            raw = await bench.directly()
            try:
                await raw.send(data)
                closed = await raw.closed(CLOSED_S + 0.5)
                bench.steps.check(what, f"closed within {CLOSED_S:g} s", "closed" if closed else "still open", closed)
            finally:
                raw.reset()
        await _answered(bench)
        rounds = int(bench.of_profile(200, 2000, 20_000))
        for _ in range(rounds):
            with contextlib.suppress(Lost):  # closed before it spoke: the cap
                raw = await bench.directly()
                try:
                    await raw.send(os.urandom(dice.randrange(1, 64)))
                finally:
                    raw.reset()
        bench.steps.note(f"{rounds} connections of random bytes", "nobody else notices", "see the parts below", True)
    finally:
        playing.cancel()
        results = await asyncio.gather(playing, return_exceptions=True)
    for error in results:
        if isinstance(error, Exception):
            raise error
    bad = [str(seen) for seen in bench.plc.seen if not seen.good]
    bench.steps.check(
        f"{len(bench.plc.seen)} good parts meanwhile", "all pass", bad or "all pass", not bad and bool(bench.plc.seen)
    )
    await bench.plc.release()
    await bench.passes()


def _malformed(dice: random.Random) -> dict[str, bytes]:
    """After each of these nobody can find the next frame's start."""
    return {
        "protocol id 1": frame(1, read_pdu(0, 1), protocol=1),
        "length 0": struct.pack(">HHH", 1, 0, 0) + b"\1\3\0\0\0\1",
        "length 1": struct.pack(">HHHB", 1, 0, 1, 1) + bytes(8),
        "length 300": struct.pack(">HHH", 1, 0, 300) + bytes(300),
        "half a frame": frame(1, read_pdu(0, 1))[:9],
        "random bytes": b"\xff\xff" + dice.randbytes(400),
    }


async def _play(bench: Bench) -> None:
    while True:
        await bench.passes()


async def _answered(bench: Bench) -> None:
    """Requests that are whole but wrong: an exception, and the connection goes on."""
    raw = await bench.directly()
    wrong = {
        "function 99": (bytes((99, 0, 0)), UNKNOWN_FUNCTION),
        "function 5": (struct.pack(">BHH", 5, 0, 0xFF00), UNKNOWN_FUNCTION),
        "no registers": (read_pdu(STAT.base, 0), BAD_COUNT),
        "126 registers": (read_pdu(STAT.base, 126), BAD_COUNT),
        "registers that are not there": (read_pdu(65_000, 10), BAD_ADDRESS),
        "a write whose byte count is wrong": (struct.pack(">BHHBH", 16, 0, 1, 4, 0), BAD_COUNT),
    }
    try:
        for what, (pdu, code) in wrong.items():
            bench.steps.equal(what, f"exception {code}", await _exception(raw, pdu))
    finally:
        await raw.close()


async def _exception(raw: RawModbus, pdu: bytes, unit: int = 1) -> str:
    try:
        reply = await raw.request(pdu, unit)
    except Refused as exc:
        return f"exception {exc.code}"
    return f"an answer: {reply.hex()}"


@case("41", directions=SERVER)
async def any_unit_id_is_answered(bench: Bench) -> None:
    raw = await bench.directly()
    try:
        for unit in (0, 1, 2, 255):
            words = await raw.read(STAT.base, STAT.size, unit=unit)
            bench.steps.equal(
                f"FC03 to unit {unit}: STAT_SIGNATURE",
                f"0x{bench.plc.stat['STAT_SIGNATURE']:04X}",
                f"0x{words[41]:04X}",
            )
        inputs = await raw.read(STAT.base + 41, 1, function=4)
        bench.steps.equal("FC04 shows the same", bench.plc.stat["STAT_SIGNATURE"], inputs[0])
    finally:
        await raw.close()
    await bench.passes()


@case("42", directions=SERVER)
async def a_second_writer_is_refused_until_the_owner_is_gone(bench: Bench) -> None:
    plc, proxy = bench.plc, bench.proxy
    await bench.passes()
    image = write_pdu(CTRL.base, list(plc.ctrl.words))
    second = await bench.directly()
    try:
        bench.steps.equal("CTRL of a second writer", f"exception {BAD_ADDRESS}", await _exception(second, image))
        bench.steps.equal("the same, reading", STAT.size, len(await second.read(STAT.base, STAT.size)))
        await bench.passes()
        proxy.refuse = True
        proxy.cut()
        await plc.until(lambda: not plc.linked, 3)
        taken = await _retried(second, image, bench.appliance.settings.comm_timeout_s + 1)
        bench.steps.check(
            "the owner's connection ends", "the second may write", "it may" if taken else "refused", taken
        )
        proxy.refuse = False
        await plc.until(lambda: False, 0.3)
        bench.steps.check(
            "the first one is back", "its writes are refused", "refused" if not plc.linked else "taken", not plc.linked
        )
    finally:
        await second.close()
    plc.distrust()
    await bench.ready("the second is gone", 10)
    await bench.passes()


async def _retried(raw: RawModbus, pdu: bytes, within_s: float) -> bool:
    for _ in range(round(within_s / 0.05)):
        if (await _exception(raw, pdu)).startswith("an answer"):
            return True
        await asyncio.sleep(0.05)
    return False


@case("42", directions=SERVER)
async def a_silent_owner_loses_its_write_lock(bench: Bench) -> None:
    """Fault table 20: after comm_timeout CTRL counts as 0, and what comes then is a reference."""
    plc, settings = bench.plc, bench.appliance.settings
    await bench.passes()
    second = await bench.directly()
    try:
        async with plc.between_scans():
            await asyncio.sleep(settings.comm_timeout_s + 0.3)
            taken = await _retried(second, write_pdu(CTRL.base, list(plc.ctrl.words)), 1.0)
            bench.steps.check(
                f"the owner says nothing for {settings.comm_timeout_s + 0.3:g} s",
                "another may write",
                "it may" if taken else "refused",
                taken,
            )
    finally:
        await second.close()
    bench.checker.session("the owner was silent")
    plc.distrust()
    await bench.ready("it speaks again", 10)
    await bench.passes()


@case("43", directions=SERVER)
async def connections_beyond_the_cap_are_closed_and_the_owner_keeps_its_service(bench: Bench) -> None:
    await bench.passes()
    tried, others = int(bench.of_profile(40, 200, 200)), list[RawModbus]()
    try:
        for _ in range(tried):
            with contextlib.suppress(Lost):  # closed at once
                others.append(await bench.directly())
        await asyncio.sleep(0.2)
        served = 0
        for raw in others:
            served += not await raw.closed(0.001)
        most = bench.appliance.settings.max_connections - 1
        bench.steps.check(f"{tried} connections beside the owner", f"at most {most} stay", served, served <= most)
        await bench.passes()
    finally:
        for raw in others:
            raw.reset()
    await bench.passes()


@case("44", directions=SERVER)
async def writes_to_what_is_not_the_plcs_are_refused_with_2(bench: Bench) -> None:
    plc = bench.plc
    await bench.passes()
    for what, address, count in (
        ("STATUS", STAT.base, 1), ("the last register of STAT", STAT.base + STAT.size - 1, 1),
        ("all of STAT", STAT.base, STAT.size), ("CTRL and one more", CTRL.base, CTRL.size + 1),
        ("DIAG", DIAG.base, 2), ("DEVICE", DEVICE.base, 1), ("an address beyond the map", 60_000, 1),
    ):  # fmt: skip
        async with plc.between_scans():  # the owner itself writes
            assert bench.wire.raw is not None
            came = await _exception(bench.wire.raw, write_pdu(address, [0x5555] * count))
        bench.steps.equal(f"the owner writes {what}", f"exception {BAD_ADDRESS}", came)
    await bench.passes()


@case("45", directions=SERVER)
async def read_modify_write_functions_are_refused(bench: Bench) -> None:
    plc = bench.plc
    await bench.passes()
    for what, pdu in (
        ("FC22", struct.pack(">BHHH", 22, 0, 0xFFFF, 1)),
        ("FC23", struct.pack(">BHHHHBH", 23, STAT.base, 1, CTRL.base, 1, 2, 1)),
    ):
        async with plc.between_scans():
            assert bench.wire.raw is not None
            bench.steps.equal(
                f"the owner sends {what}", f"exception {UNKNOWN_FUNCTION}", await _exception(bench.wire.raw, pdu)
            )
    await bench.passes()
