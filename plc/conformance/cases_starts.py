"""Section 8, tests 21 to 25: an appliance that starts and ends."""

from __future__ import annotations

import asyncio
import time

from plc.conformance.bench import Bench, refused
from plc.conformance.case import APPLIANCE
from plc.conformance.checker import RESULT, named
from plc.conformance.fake_plc import TRIGGER
from plc.images import Image
from plc.registers import (
    SIGNATURE,
    STAT,
    Reason,
    Status,
)

case = APPLIANCE.case
RESTARTED = refused(Reason.RESTARTED), refused(Reason.STALE_TRIGGER)


@case("21", needs="kill judge")
async def an_appliance_killed_in_its_inspection_answers_the_standing_id_restarted(bench: Bench) -> None:
    plc = bench.plc
    bench.here.judge.delay_s = 0.3
    id_ = plc.raise_trigger(bench.good(), may_pass=False)
    await bench.happens(f"TRIGGER with id {id_}", "ACK", lambda: plc.acked(id_))
    await bench.appliance.kill()
    bench.checker.session("the appliance was killed")
    plc.distrust()
    bench.here.judge.delay_s = 0.0
    await plc.until(lambda: False, 0.3)
    await bench.appliance.start()
    await bench.answers("killed in the inspection, started again, TRIGGER stands", id_, *RESTARTED, within_s=10)
    await bench.settle(10)
    await bench.passes()


@case("23", needs="pause")
async def a_trigger_that_came_while_the_process_was_stopped_is_stale(bench: Bench) -> None:
    plc, age_s = bench.plc, bench.appliance.settings.max_trigger_age_s
    for _ in range(3):
        await bench.settle(10)
        bench.process.pause()
        try:
            id_ = plc.raise_trigger(bench.good(), may_pass=False)
            await plc.until(lambda: False, max(0.2, 1.5 * age_s))
        finally:
            bench.process.resume()
        await bench.answers(
            f"SIGSTOP for {max(0.2, 1.5 * age_s):g} s across the trigger",
            id_,
            refused(Reason.STALE_TRIGGER),
            refused(Reason.LINK_LOST),
            within_s=8,
        )
    await bench.settle(10)
    await bench.passes()


@case("24", needs="start")
async def an_orderly_end_shows_online_0_in_time(bench: Bench) -> None:
    """Also 4/110 for the part in flight, where the judge can be held up."""
    plc, id_ = bench.plc, 0
    limit_s = bench.of_profile(0.5, 0.2, 0.2)  # quick runs beside other work on two cores
    if bench.can("judge"):
        bench.here.judge.delay_s = 0.1
        id_ = plc.raise_trigger(bench.good(), may_pass=False)
        await bench.happens(f"TRIGGER with id {id_}", "ACK", lambda: plc.acked(id_))
    begun = time.monotonic()
    ending = asyncio.create_task(bench.appliance.stop())
    try:
        gone = await plc.until(lambda: not plc.status & (Status.ONLINE | Status.TRIGGER_READY), 5)
        took_s = time.monotonic() - begun
        bench.steps.check(
            "an orderly end",
            f"ONLINE = 0 within {limit_s:g} s",
            f"{bench.shown()} after {took_s:.2f} s",
            gone and took_s <= limit_s,
        )
        if id_:
            came = await plc.answered(id_, 1.0)
            bench.steps.check(f"id {id_}, in flight", "4/110", came or bench.shown(), came == refused(Reason.OFFLINE))
    finally:
        await ending
    bench.steps.equal("STATE", 2, plc.stat["STATE"])
    bench.checker.session("the appliance ended")
    bench.plc.distrust()
    plc.set(TRIGGER, False)
    await bench.appliance.start()
    bench.steps.check("started again", "READY", bench.shown(), await bench.settle(40))
    await bench.passes()


@case("25", directions=("client",), needs="start", started=False)
async def a_result_left_in_the_plc_is_cleared_before_ready(bench: Bench) -> None:
    await bench.appliance.stop()
    left = Image(STAT)
    left["STATUS"] = Status.TRIGGER_READY | Status.RESULTS_VALID | Status.PASS | Status.ONLINE
    left["RES_SEQ"] = left["RES_SEQ_TAIL"] = 7
    left["RES_TRIGGER_ID"], left["RESULT_CODE"] = 77, 1
    left["STAT_SIGNATURE"] = SIGNATURE + bench.plan.plc.number
    bench.memory.memory.words[STAT.base : STAT.base + STAT.size] = left.words
    await bench.appliance.start()
    bench.steps.check(
        "VALID = PASS = READY = 1 of a former life", "READY after the start", bench.shown(), await bench.settle(40)
    )
    first = Status(bench.checker.images[0][1]["STATUS"])
    bench.steps.check(
        "the first image written", "no result, no READY", named(first), not first & (RESULT | Status.TRIGGER_READY)
    )
    await bench.passes()
