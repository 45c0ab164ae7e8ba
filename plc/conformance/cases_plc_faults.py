"""Section 8, tests 47 to 57: a PLC that stops, restarts, forgets, freezes or is another one."""

from __future__ import annotations

import asyncio
import time

from plc.conformance.bench import Bench, refused
from plc.conformance.case import APPLIANCE
from plc.conformance.checker import RESULT, named
from plc.conformance.fake_plc import ENABLE, TRIGGER
from plc.conformance.raw import WRITE
from plc.registers import (
    SIGNATURE,
    SIMULATOR_SIGNATURE,
    STAT,
    TEST_AS_EXPECTED,
    TEST_NOT_AS_EXPECTED,
    Control,
    OfflineReason,
    Reason,
    Status,
    Status2,
)

case = APPLIANCE.case


@case("47")
async def a_plc_in_stop_whose_communication_goes_on_is_not_ready(bench: Bench) -> None:
    plc, limit_s = bench.plc, bench.appliance.settings.heartbeat_timeout_s
    plc.stopped = True
    await bench.happens(
        "PLC_HEARTBEAT stands",
        "READY = 0, OFFLINE_REASON 7",
        lambda: not plc.has(Status.TRIGGER_READY) and plc.stat["OFFLINE_REASON"] == OfflineReason.PLC_HEARTBEAT,
        limit_s + 1,
    )
    id_ = plc.raise_trigger(bench.good(), may_pass=False)
    await bench.never_passes("a trigger of a stopped PLC", id_, 0.5)
    plc.set(TRIGGER, False)
    plc.stopped = False
    await bench.ready("RUN again", 10)
    await bench.settle(5)
    await bench.passes()


@case("48")
async def a_plc_restart_with_ids_from_1_and_retained_memory_reads_no_old_verdict(bench: Bench) -> None:
    plc = bench.plc
    for _ in range(2):
        plc.restart()
        bench.checker.session("the PLC restarted")
        await bench.ready("the PLC's program starts anew: ids from 1, STAT retained", 10)
        for id_ in (1, 2, 3):
            piece = bench.good() if id_ == 2 else bench.bad()
            seen = await plc.inspect(piece, id_)
            right = seen.good == piece.good and seen.part_id_echo == piece.part_id
            bench.steps.check(f"id {id_}, a {'good' if piece.good else 'bad'} part", "its own verdict", seen, right)


@case("48", needs="judge")
async def a_plc_restart_while_a_part_is_in_flight_lets_no_verdict_through(bench: Bench) -> None:
    plc = bench.plc
    bench.here.judge.delay_s = 0.25
    id_ = plc.raise_trigger(bench.good(), may_pass=False)
    await bench.happens(f"TRIGGER with id {id_}", "ACK", lambda: plc.acked(id_))
    bench.here.judge.delay_s = 0.0
    plc.restart()
    bench.checker.excuse("the PLC restarted")
    await bench.never_passes("the PLC restarts in the inspection", id_, 0.6)
    await bench.ready("after that", 10)
    await bench.passes()


@case("49")
async def a_plc_that_zeroes_its_area_gets_no_ready_until_it_is_back(bench: Bench) -> None:
    plc = bench.plc
    await bench.passes()
    kept = list(plc.ctrl.words)
    if bench.direction == "client":
        plc.silent = True
        bench.memory.zero()
        bench.checker.session("the PLC cleared its area")
        written = bench.proxy.counts[f"request_{WRITE}"]
        await plc.until(lambda: False, 0.6)
        more = bench.proxy.counts[f"request_{WRITE}"] - written
        bench.steps.check("the whole area is 0", "at most the write that was under way", f"{more} writes", more <= 1)
        bench.steps.check(
            "the same",
            "no READY, no result in the PLC",
            bench.shown(),
            not plc.status & (RESULT | Status.TRIGGER_READY),
        )
    else:
        plc.stopped = True
        plc.ctrl.words[:] = [0] * len(kept)
        bench.checker.session("the PLC cleared its area")
        await bench.happens("CTRL is 0", "READY = 0", lambda: not plc.has(Status.TRIGGER_READY))
    plc.ctrl.words[:] = kept
    plc.silent = plc.stopped = False
    await bench.ready("the area is written again", 10)
    await bench.passes()


@case("50")
async def a_frozen_area_is_not_ready_and_what_follows_it_is_a_reference(bench: Bench) -> None:
    """Hold-last: nothing of the PLC's moves for longer than any timeout; then the first new image shows a trigger."""
    plc, settings = bench.plc, bench.appliance.settings
    await bench.passes()
    plc.silent = True
    limit_s = max(settings.heartbeat_timeout_s, settings.comm_timeout_s) + 0.5
    await plc.until(lambda: False, limit_s)
    bench.steps.check(
        f"CTRL stands still for {limit_s:g} s", "READY = 0", bench.shown(), not plc.has(Status.TRIGGER_READY)
    )
    id_ = plc.raise_trigger(bench.good(), may_pass=False)
    plc.silent = False
    await bench.answers(
        "the first image that moves shows TRIGGER",
        id_,
        refused(Reason.STALE_TRIGGER),
        refused(Reason.LINK_LOST),
        refused(Reason.PLC_HEARTBEAT),
    )
    await bench.settle(10)
    await bench.passes()


@case("51", needs="judge")
async def a_new_plc_session_in_flight_turns_the_verdict_into_link_lost(bench: Bench) -> None:
    plc = bench.plc
    bench.here.judge.delay_s = 0.25
    id_ = plc.raise_trigger(bench.good(), may_pass=False)
    await bench.happens(f"TRIGGER with id {id_}", "ACK", lambda: plc.acked(id_))
    plc.ctrl["PLC_SESSION"] += 1
    await bench.answers("PLC_SESSION changes in the inspection", id_, refused(Reason.LINK_LOST))
    bench.here.judge.delay_s = 0.0
    await bench.settle(10)
    await bench.passes()


@case("52", directions=("client",))
async def a_plc_without_the_signature_is_never_written_to(bench: Bench) -> None:
    await _unsigned(bench, 0x1234, "SIGNATURE 0x1234")


@case("53b")
async def the_area_of_another_station_is_never_taken_for_ours(bench: Bench) -> None:
    """Swapped base addresses: the block shows the signature of the neighbour."""
    other = bench.plan.plc.number % 8 + 1
    if bench.direction == "client":
        await _unsigned(bench, SIMULATOR_SIGNATURE + other, f"the signature of station {other}")
        return
    await _unsigned_owner(bench, SIMULATOR_SIGNATURE + other, f"the signature of station {other}")


@case("52", directions=("server",))
async def an_owner_without_the_signature_is_never_ready(bench: Bench) -> None:
    await _unsigned_owner(bench, 0x1234, "SIGNATURE 0x1234")


async def _unsigned(bench: Bench, signature: int, what: str) -> None:
    plc, proxy = bench.plc, bench.proxy
    right, plc.ctrl["SIGNATURE"] = plc.ctrl["SIGNATURE"], signature
    await plc.scanned(2)
    sessions = proxy.counts["accepted"]
    proxy.reset()
    bench.checker.session("another PLC answers here")
    await plc.until(lambda: proxy.counts["accepted"] > sessions, 5)
    written, reads = proxy.counts[f"request_{WRITE}"], bench.memory.server.reads_of_ctrl
    await plc.until(lambda: False, 1.5)
    reads = bench.memory.server.reads_of_ctrl - reads
    bench.steps.check(what, "it is read", f"{reads} reads", reads > 0)
    bench.steps.equal("the same: write requests on the wire", 0, proxy.counts[f"request_{WRITE}"] - written)
    plc.ctrl["SIGNATURE"] = right
    plc.distrust()
    await bench.ready("the right signature", 10)
    await bench.passes()


async def _unsigned_owner(bench: Bench, signature: int, what: str) -> None:
    plc = bench.plc
    right, plc.ctrl["SIGNATURE"] = plc.ctrl["SIGNATURE"], signature
    await bench.happens(what, "READY = 0", lambda: not plc.has(Status.TRIGGER_READY))
    await bench.stays(what, "no READY", lambda: not plc.has(Status.TRIGGER_READY), 1.0)
    id_ = plc.raise_trigger(bench.good(), may_pass=False)
    await bench.never_passes("the same, a trigger", id_, 0.5)
    plc.set(TRIGGER, False)
    plc.ctrl["SIGNATURE"] = right
    await bench.ready("the right signature", 10)
    await bench.settle(5)
    await bench.passes()


@case("53", directions=("client",))
async def two_appliances_on_one_area_end_with_this_one_silent(bench: Bench) -> None:
    plc, memory, proxy = bench.plc, bench.memory.memory, bench.proxy
    foreign = asyncio.create_task(_foreign_writer(memory.words))
    try:
        end, quiet = time.monotonic() + 5, False
        while time.monotonic() < end and not quiet:
            written = proxy.counts[f"request_{WRITE}"]
            await plc.until(lambda: False, 0.5)
            quiet = proxy.counts[f"request_{WRITE}"] == written
        bench.steps.check(
            "somebody else writes STAT.HEARTBEAT",
            "it stops writing within 5 s",
            "silent" if quiet else "it writes on",
            quiet,
        )
    finally:
        foreign.cancel()
        await asyncio.gather(foreign, return_exceptions=True)
    bench.checker.session("another appliance wrote there")
    plc.distrust()
    await plc.pulse(Control.CLEAR_ERROR)
    bench.steps.check("the other one is gone, CLEAR_ERROR", "READY", bench.shown(), await bench.settle(10))
    await bench.passes()


async def _foreign_writer(words: list[int]) -> None:
    beat = 40_000
    while True:
        beat += 1
        words[STAT.base + STAT["HEARTBEAT"].offset] = beat & 0xFFFF
        await asyncio.sleep(0.002)


@case("53c")
async def a_challenge_part_never_passes_however_long_test_part_stands(bench: Bench) -> None:
    plc = bench.plc
    plc.ctrl["CONTROL"] = ENABLE | Control.TEST_PART
    shown = [(bench.bad(), TEST_AS_EXPECTED)] * 3
    if bench.can("settled"):  # a challenge part that is missed latches NOT READY until a person acts
        shown.append((bench.good(), TEST_NOT_AS_EXPECTED))
    for piece, code in shown:
        if piece.good != (code == TEST_NOT_AS_EXPECTED):
            bench.steps.note("TEST_PART, a bad part", "not tried: the line has none to show", "not tried", True)
            continue
        seen = await plc.inspect(piece)
        right = seen.code == code and not seen.good
        sent = f"TEST_PART, a {'good' if piece.good else 'bad'} part"
        bench.steps.check(sent, f"RESULT_CODE {code}, taken as reject", seen, right)
    limit = bench.appliance.settings.test_part_parts
    if limit is not None:
        for _ in range(limit - len(plc.seen)):
            await plc.inspect(bench.bad())
        expired = Status.ERROR, Status.TRIGGER_READY
        sent = f"TEST_PART stands for {limit} parts"
        await bench.happens(sent, "ERROR, READY = 0", lambda: plc.has(expired[0]) and not plc.has(expired[1]))
    plc.ctrl["CONTROL"] = ENABLE
    await bench.settle(5)
    await bench.passes()


@case("53d", needs="simulated")
async def a_simulated_camera_before_a_production_plc_is_4_117(bench: Bench) -> None:
    plc = bench.plc
    right, plc.ctrl["SIGNATURE"] = plc.ctrl["SIGNATURE"], SIGNATURE + bench.plan.plc.number
    await plc.scanned(5)
    await bench.ready("a production signature", 10)
    id_ = plc.raise_trigger(bench.good(), may_pass=False)
    await bench.answers("the same, a good part of a simulated camera", id_, refused(Reason.SIMULATED))
    plc.ctrl["SIGNATURE"] = right
    await plc.scanned(5)
    await bench.settle(10)
    await bench.passes()


@case("57")
async def u32_registers_come_back_word_by_word(bench: Bench) -> None:
    plc = bench.plc
    piece = bench.good()
    id_ = plc.raise_trigger(piece)
    plc.ctrl["ENCODER"] = 0x12345678
    await bench.happens(f"ENCODER 0x12345678 with id {id_}", "a result", lambda: plc.valid_for(id_))
    bench.steps.equal("the same", "0x12345678", f"0x{plc.stat['ENCODER_ECHO']:08X}")
    await plc.release()
    if bench.direction == "server":
        async with plc.between_scans():
            if bench.wire.raw is not None:
                words = await bench.wire.raw.read(2004, 2)
                bench.steps.equal("FC03 at DEVICE+4", "1234 5678 (big)", f"{words[0]:04X} {words[1]:04X} (big)")
    shown = named(Status2(plc.stat["STATUS2"]))
    bench.steps.note("STATUS2", "as it stands", shown, True)
