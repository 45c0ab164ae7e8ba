"""The tests of section 8 that judge a PLC's program by the wire and PLC_VERDICT alone: the suite is the appliance."""

from __future__ import annotations

import asyncio
from itertools import pairwise

from plc.conformance.case import PLC
from plc.conformance.fake_appliance import GOOD, Answer, Lie, ProgramBench
from plc.images import Image, seal_record
from plc.registers import SIGNATURE, Control, Status, Verdict

case = PLC.case
MORE_S = 0.3  # beyond a timeout of the PLC's
NO_BIT = Status(0)


@case("1")
async def a_right_pass_is_good_and_every_other_verdict_is_not(bench: ProgramBench) -> None:
    await bench.accepts()
    for code, reason in ((Verdict.FAIL, 10), (Verdict.UNCERTAIN, 20), (Verdict.NOT_INSPECTED, 101)):
        await bench.rejects(f"{int(code)}/{reason}", Answer(int(code), reason))
    await bench.accepts()


@case("7")
async def without_ready_nothing_is_triggered(bench: ProgramBench) -> None:
    appliance = bench.appliance
    await bench.accepts()
    appliance.idle()
    await asyncio.sleep(0.3)  # a part that was on its way
    triggered = await appliance.until(lambda: appliance.commanded(Control.TRIGGER), 2.0)
    bench.steps.check("READY = 0 for 2 s", "no TRIGGER", "TRIGGER" if triggered else "none", not triggered)
    await bench.accepts()


@case("9")
async def every_part_has_an_id_of_its_own_and_none_is_0(bench: ProgramBench) -> None:
    parts = int({"quick": 10, "full": 50, "soak": 1000}[bench.profile])
    ids = [(await bench.part()).id for _ in range(parts)]
    steps_up = all(b == a % 0xFFFF + 1 for a, b in pairwise(ids))
    bench.steps.check(f"{parts} parts", "ids that count up, 1..65535 then 1", ids, steps_up and 0 not in ids)


@case("18")
async def a_pass_after_the_plcs_own_time_limit_is_a_reject_and_jams_nothing(bench: ProgramBench) -> None:
    late_s = bench.program.result_timeout_s + MORE_S
    heard = await bench.rejects(f"PASS after {late_s:g} s", Answer(after_s=late_s))
    bench.steps.check("the same", "the late result is acknowledged (discarded)", heard.acknowledged, heard.acknowledged)
    await bench.accepts()


@case("21")
async def an_appliance_that_dies_in_its_inspection_is_a_reject(bench: ProgramBench) -> None:
    await bench.rejects("ACK, then nothing more, the heartbeat stands", Answer(silent=True, shows=False))
    await bench.accepts()


@case("25")
async def a_pass_that_stands_before_the_trigger_is_discarded(bench: ProgramBench) -> None:
    appliance = bench.appliance
    await bench.accepts()
    old = appliance.ids[-1]
    appliance.idle()
    appliance.stat["RES_TRIGGER_ID"], appliance.stat["RESULT_CODE"] = old, 1
    seal_record(appliance.stat, 9)
    appliance.show(Status.ONLINE | Status.RESULTS_VALID | Status.PASS | Status.TRIGGER_READY)
    acknowledged = await appliance.until(lambda: appliance.commanded(Control.RESULTS_ACK), bench.program.part_s)
    bench.steps.check("VALID and PASS of an old id", "RESULTS_ACK, else both wait for ever", acknowledged, acknowledged)
    triggered = appliance.commanded(Control.TRIGGER)
    bench.steps.check("the same", "no TRIGGER while VALID stands", "TRIGGER" if triggered else "none", not triggered)
    await bench.accepts()


@case("26")
async def a_link_that_is_cut_in_the_inspection_is_a_reject(bench: ProgramBench) -> None:
    appliance = bench.appliance
    part = asyncio.create_task(bench.part(Answer(after_s=bench.program.heartbeat_timeout_s + MORE_S, silent=True)))
    try:
        seen = len(appliance.ids)
        await appliance.until(lambda: len(appliance.ids) > seen, bench.program.part_s)
        await appliance.side.cut()
        heard = await part
    finally:
        part.cancel()
    bench.steps.check(
        "the connection ends after TRIGGER", "PLC_VERDICT, and not good", heard, heard.verdict not in (0, GOOD)
    )
    await bench.accepts()


@case("34")
async def a_pass_for_another_id_is_discarded_and_never_taken(bench: ProgramBench) -> None:
    def foreign(stat: Image) -> None:
        stat["RES_TRIGGER_ID"] = stat["RES_TRIGGER_ID"] % 0xFFFF + 1
        seal_record(stat, stat["RES_SEQ"])

    heard = await bench.rejects("PASS for the next id", Answer(lie=foreign))
    bench.steps.check("the same", "RESULTS_ACK: a foreign result is discarded", heard.acknowledged, heard.acknowledged)
    await bench.accepts()


@case("47")
async def a_pass_under_a_heartbeat_that_stands_is_a_reject(bench: ProgramBench) -> None:
    await bench.rejects(
        "PASS, long after the last heartbeat", Answer(after_s=bench.program.heartbeat_timeout_s + MORE_S, silent=True)
    )
    await bench.accepts()


@case("49")
async def an_area_of_zeros_is_no_result(bench: ProgramBench) -> None:
    def zeros(stat: Image) -> None:
        stat.words[:] = [0] * len(stat.words)

    await bench.rejects("all of STAT is 0", Answer(lie=zeros, silent=True))
    await bench.accepts()


@case("4")
async def a_pass_that_was_never_acknowledged_or_too_late_is_a_reject(bench: ProgramBench) -> None:
    await bench.rejects("PASS without TRIGGER_ACK", Answer(acks=False))
    late_s = bench.program.ack_timeout_s + MORE_S
    if late_s + 0.1 < bench.program.result_timeout_s:
        await bench.rejects(f"TRIGGER_ACK after {late_s:g} s, then PASS", Answer(ack_s=late_s))
    else:
        late_s = (bench.program.ack_timeout_s + bench.program.result_timeout_s) / 2
        await bench.rejects(f"TRIGGER_ACK after {late_s:g} s, then PASS", Answer(ack_s=late_s))
    await bench.accepts()


@case("58")
async def a_torn_record_is_never_taken(bench: ProgramBench) -> None:
    def torn(stat: Image) -> None:
        stat["RES_SEQ_TAIL"] = stat["RES_SEQ_TAIL"] - 1

    def damaged(stat: Image) -> None:
        stat["CONFIDENCE"] ^= 1

    await bench.rejects("RES_SEQ is not RES_SEQ_TAIL", Answer(lie=torn))
    await bench.rejects("RES_XOR is wrong", Answer(lie=damaged))
    await bench.accepts()


def _flags(*, set_: Status = NO_BIT, clear: Status = NO_BIT) -> Lie:
    def lie(stat: Image) -> None:
        stat["STATUS"] = (Status(stat["STATUS"]) | set_) & ~clear

    return lie


def _record(name: str, value: int) -> Lie:
    def lie(stat: Image) -> None:
        stat[name] = value
        seal_record(stat, stat["RES_SEQ"])

    return lie


def _signature(stat: Image) -> None:
    stat["STAT_SIGNATURE"] = SIGNATURE + 8 if stat["STAT_SIGNATURE"] != SIGNATURE + 8 else SIGNATURE + 1


@case("1")
async def each_single_term_of_p2_that_does_not_hold_is_a_reject(bench: ProgramBench) -> None:
    lies: dict[str, Lie] = {
        "PASS and FAIL": _flags(set_=Status.FAIL),
        "PASS = 0 with RESULT_CODE 1": _flags(clear=Status.PASS),
        "PASS = 1 with RESULT_CODE 2": _record("RESULT_CODE", 2),
        "PASS = 1 with RESULT_CODE 0": _record("RESULT_CODE", 0),
        "ONLINE = 0": _flags(clear=Status.ONLINE),
        "ERROR = 1": _flags(set_=Status.ERROR),
        "RESULT_FLAGS b0 (test part)": _record("RESULT_FLAGS", 1),
        "RESULT_FLAGS b1 (simulated picture)": _record("RESULT_FLAGS", 2),
        "the signature of another station": _signature,
    }
    expected = bench.appliance.ctrl["RECIPE_EXPECTED"]
    if expected:
        lies["RECIPE_USED of another recipe"] = _record("RECIPE_USED", expected + 1)
    else:
        bench.steps.note("RECIPE_USED of another recipe", "not tried: RECIPE_EXPECTED is 0", "not tried", True)
    for what, lie in lies.items():
        await bench.rejects(what, Answer(lie=lie))
    await bench.accepts()


@case("48")
async def after_a_restart_of_the_appliance_parts_are_taken_again(bench: ProgramBench) -> None:
    await bench.accepts()
    appliance = bench.appliance
    appliance.stat["HEARTBEAT"], appliance.seq = 0, 0
    await bench.accepts()
    await bench.accepts()
