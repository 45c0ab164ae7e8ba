"""Section 8, tests 1 to 7, 15, 18, 46 and 55: the cycle, and what the PLC may do wrong with its bits."""

from __future__ import annotations

from plc.conformance.bench import Bench, refused
from plc.conformance.case import APPLIANCE
from plc.conformance.checker import RESULT, named
from plc.conformance.fake_plc import ACK, ENABLE, TRIGGER
from plc.images import Image
from plc.registers import Control, Reason, Status, Status2, VisionState

case = APPLIANCE.case
SHAPE = ~(Status.TRIGGER_ACK | Status.INSPECTION_COMPLETED)  # what is left of STATUS when these two are judged apart
ONLINE, EXPOSED = Status.ONLINE, Status.EXPOSURE_COMPLETE
NOMINAL = (  # STATUS without ACK and COMPLETED, in the order of the timing diagram; True: may be coalesced away
    (ONLINE | Status.TRIGGER_READY, True),
    (ONLINE | Status.TRIGGER_READY | EXPOSED, True),  # of the part before
    (ONLINE | Status.ACQUIRING, True),
    (ONLINE | EXPOSED | Status.SYSTEM_BUSY, True),
    (ONLINE | EXPOSED | Status.RESULTS_VALID | Status.PASS, False),
    (ONLINE | EXPOSED, True),
    (ONLINE | EXPOSED | Status.TRIGGER_READY, False),
)


@case("1")
async def a_nominal_cycle_follows_the_timing_diagram_bit_by_bit(bench: Bench) -> None:
    plc, checker, steps = bench.plc, bench.checker, bench.steps
    await bench.passes()
    await bench.ready("after a first part")
    while len(checker.images) > 1:
        checker.images.popleft()  # the one that stands is the diagram's first
    piece = bench.good()
    id_ = plc.raise_trigger(piece)
    await bench.happens(
        f"TRIGGER with id {id_}", "TRIGGER_ACK with that id", lambda: plc.acked(id_) or plc.valid_for(id_)
    )
    await bench.happens("nothing", f"VALID and PASS for id {id_}", lambda: plc.valid_for(id_))
    echoes = plc.stat["PART_ID_ECHO"], plc.stat["ENCODER_ECHO"], plc.stat["RECIPE_USED"]
    steps.equal("PART_ID and ENCODER", (piece.part_id, 1000 + id_, bench.appliance.settings.recipe), echoes)
    plc.set(TRIGGER, False)
    plc.set(ACK)
    await bench.happens(
        "TRIGGER = 0, RESULTS_ACK = 1",
        "VALID, PASS, FAIL and ACK fall",
        lambda: not plc.status & (RESULT | Status.TRIGGER_ACK),
    )
    plc.set(ACK, False)
    await bench.happens("RESULTS_ACK = 0", "READY", plc.is_ready)
    images = [image for _, image in checker.images]
    words = [Status(image["STATUS"]) for image in images]
    steps.note("the whole cycle", "STATUS as in the diagram", " > ".join(f"{int(w):04X}" for w in _runs(words)), True)
    _in_order(bench, [w & SHAPE for w in words])
    _acknowledge_and_toggle(bench, images, id_)


def _in_order(bench: Bench, words: list[Status]) -> None:
    at = 0
    for word in _runs(words):
        begun = at
        while at < len(NOMINAL) and NOMINAL[at][0] != word:
            at += 1
        left_out = [named(w) for w, optional in NOMINAL[begun + 1 : at] if not optional]
        came = (
            f"{named(word)}, left out: {left_out}" if at < len(NOMINAL) else f"{named(word)} is not in the diagram here"
        )
        bench.steps.check(
            f"STATUS {int(word):04X}", "the next one of the diagram", came, at < len(NOMINAL) and not left_out
        )
    bench.steps.check("the cycle's end", "READY", named(words[-1]), at == len(NOMINAL) - 1)


def _acknowledge_and_toggle(bench: Bench, images: list[Image], id_: int) -> None:
    steps = bench.steps
    acks = [bool(image["STATUS"] & Status.TRIGGER_ACK) for image in images]
    steps.equal("TRIGGER_ACK over the cycle", [False, True, False], _runs([False, *acks]))
    ids = {image["TRIGGER_ID_ACK"] for image, ack in zip(images, acks, strict=True) if ack}
    steps.equal("TRIGGER_ID_ACK while TRIGGER_ACK", {id_}, ids)
    toggles = _runs([bool(image["STATUS"] & Status.INSPECTION_COMPLETED) for image in images])
    steps.equal("INSPECTION_COMPLETED", "toggles once", "toggles once" if len(toggles) == 2 else toggles)
    states = _runs([image["STATE"] for image in images])
    cycle = [int(VisionState.READY), int(VisionState.SINGLE_EXECUTION), int(VisionState.READY)]
    steps.equal("STATE", cycle, states if states[0] == VisionState.READY else [int(VisionState.READY), *states])


def _runs(values: list) -> list:  # type: ignore[type-arg]
    """Without repetitions."""
    return [value for i, value in enumerate(values) if i == 0 or value != values[i - 1]]


@case("2")
async def parts_pass_at_scan_times_of_1_5_20_and_100_ms(bench: Bench) -> None:
    for scan_ms in (1, 5, 20, 100):
        bench.plc.scan_s = scan_ms / 1000
        for _ in range(int(bench.of_profile(5, 50, 50)) if scan_ms < 100 else 3):
            await bench.passes()


@case("3")
async def a_trigger_held_for_ten_seconds_gives_one_result(bench: Bench) -> None:
    plc, held_s = bench.plc, bench.of_profile(3, 10, 10)
    id_ = plc.raise_trigger(bench.good())
    await bench.happens(f"TRIGGER with id {id_}, held", "a result", lambda: plc.valid_for(id_))
    plc.set(ACK)
    await bench.happens("RESULTS_ACK", "VALID falls", lambda: not plc.has(Status.RESULTS_VALID))
    await bench.stays(
        "TRIGGER held",
        "no further result, no READY",
        lambda: not plc.status & (Status.RESULTS_VALID | Status.TRIGGER_READY),
        held_s,
    )
    await plc.release()
    await bench.passes()


@case("4")
async def a_trigger_dropped_before_its_acknowledge_is_seen_still_gives_one_verdict(bench: Bench) -> None:
    plc = bench.plc
    id_ = plc.raise_trigger(bench.good())
    await until_the_appliance_knows_it(bench)
    plc.set(TRIGGER, False)
    await bench.answers(f"TRIGGER with id {id_}, down again before ACK", id_, (1, 0))
    await bench.passes()


async def until_the_appliance_knows_it(bench: Bench) -> None:
    """The image that shows the trigger has just reached the appliance; the PLC has not seen its answer."""
    seen = len(bench.checker.triggers)
    if bench.direction == "server":
        await bench.plc.scanned(1)
        return
    reads = bench.memory.server.reads_of_ctrl
    await bench.plc.until(lambda: bench.memory.server.reads_of_ctrl > reads + 1, 1.0)
    assert len(bench.checker.triggers) == seen


@case("5")
async def results_ack_set_before_the_result_does_not_jam_the_cycle(bench: Bench) -> None:
    plc = bench.plc
    id_ = plc.raise_trigger(bench.good())
    await bench.happens(f"TRIGGER with id {id_}", "ACK", lambda: plc.acked(id_) or plc.valid_for(id_))
    plc.set(ACK)
    plc.set(TRIGGER, False)
    await bench.happens(
        "RESULTS_ACK = 1 before the result",
        "ACK falls, nothing valid stays",
        lambda: not plc.status & (RESULT | Status.TRIGGER_ACK | Status.SYSTEM_BUSY | Status.ACQUIRING),
    )
    await bench.stays("RESULTS_ACK still 1", "no READY", lambda: not plc.has(Status.TRIGGER_READY), 0.3)
    plc.set(ACK, False)
    await bench.ready("RESULTS_ACK = 0", 3)
    bench.checker.excuse("acknowledged before it was shown: a PLC that scans may never see it")
    await bench.passes()


@case("6")
async def a_result_that_is_never_acknowledged_ends_in_ack_timeout(bench: Bench) -> None:
    plc, limit_s = bench.plc, bench.appliance.settings.ack_timeout_s
    id_ = plc.raise_trigger(bench.good())
    await bench.happens(f"TRIGGER with id {id_}", "a result", lambda: plc.valid_for(id_))
    plc.set(TRIGGER, False)
    await bench.stays("no RESULTS_ACK", "the result stands", lambda: plc.valid_for(id_), 0.7 * limit_s)
    await bench.happens(
        "no RESULTS_ACK",
        "VALID falls, ACK_TIMEOUT",
        lambda: not plc.status & RESULT and bool(plc.stat["STATUS2"] & Status2.ACK_TIMEOUT),
        limit_s + 1,
    )
    await plc.pulse(Control.CLEAR_ERROR)
    await bench.happens("CLEAR_ERROR", "ACK_TIMEOUT falls", lambda: not plc.stat["STATUS2"] & Status2.ACK_TIMEOUT)
    await bench.passes()


@case("7")
async def trigger_enable_0_ends_whatever_the_cycle_is_at(bench: Bench) -> None:
    plc = bench.plc
    ended = (
        RESULT
        | Status.INSPECTION_COMPLETED
        | EXPOSED
        | Status.MISSED_TRIGGER
        | Status.RESULTS_BUFFER_OVERRUN
        | Status.TRIGGER_READY
    )

    async def disable(at: str) -> None:
        plc.ctrl["CONTROL"] = Control(0)
        await bench.happens(f"TRIGGER_ENABLE = 0 {at}", "all of the cycle falls", lambda: not plc.status & ended)
        await bench.stays(f"TRIGGER_ENABLE = 0 {at}", "no result", lambda: not plc.status & RESULT, 0.6)
        plc.ctrl["CONTROL"] = ENABLE
        await bench.passes()

    await disable("while idle")
    if bench.can("judge"):
        bench.here.judge.delay_s = 0.25
        id_ = plc.raise_trigger(bench.good())
        await bench.happens(f"TRIGGER with id {id_}", "ACK", lambda: plc.acked(id_))
        bench.here.judge.delay_s = 0.0
        await disable("while it inspects")
        rows = [told.record for part, told in bench.here.told if part.trigger_id == id_]
        bench.steps.equal(
            f"the row of id {id_}", refused(Reason.OFFLINE), (rows[-1].code, rows[-1].reason) if rows else None
        )
    id_ = plc.raise_trigger(bench.good())
    await bench.happens(f"TRIGGER with id {id_}", "a result", lambda: plc.valid_for(id_))
    await disable("while the result stands")
    id_ = plc.raise_trigger(bench.good())
    await bench.happens(f"TRIGGER with id {id_}", "a result", lambda: plc.valid_for(id_))
    plc.set(ACK)
    await bench.happens("RESULTS_ACK, TRIGGER held", "VALID falls", lambda: not plc.has(Status.RESULTS_VALID))
    await disable("while TRIGGER still stands")


@case("15")
async def a_trigger_while_busy_is_an_overrun_and_later_results_are_not_shifted(bench: Bench) -> None:
    plc, steps = bench.plc, bench.steps
    before = (await plc.diag())["MISSED"]
    if bench.can("judge"):
        bench.here.judge.delay_s = 0.3
    first = plc.raise_trigger(bench.good())
    await bench.happens(
        f"TRIGGER with id {first}", "ACK or its result", lambda: plc.acked(first) or plc.valid_for(first)
    )
    plc.set(TRIGGER, False)
    await until_the_appliance_knows_it(bench)
    await plc.scanned(3)
    second = plc.raise_trigger(bench.good(), may_pass=False)
    await bench.happens(
        f"TRIGGER with id {second} while id {first} is not released",
        "MISSED_TRIGGER",
        lambda: plc.has(Status.MISSED_TRIGGER),
    )
    came = await plc.answered(first)
    steps.equal(f"the result of id {first}", (1, 0), came)
    await _acknowledge_only(bench)
    await bench.answers(f"the result of id {second}", second, refused(Reason.OVERRUN))
    if bench.can("judge"):
        bench.here.judge.delay_s = 0.0
    steps.equal("DIAG.MISSED", 1, (await plc.diag())["MISSED"] - before)
    await _own_results(bench, 3)


async def _acknowledge_only(bench: Bench) -> None:
    """RESULTS_ACK up and down, then TRIGGER = 0: only with that a result is over."""
    plc = bench.plc
    plc.set(ACK)
    await bench.happens("RESULTS_ACK", "VALID falls", lambda: not plc.has(Status.RESULTS_VALID))
    plc.set(ACK, False)
    plc.set(TRIGGER, False)
    await plc.scanned(2)


async def _own_results(bench: Bench, parts: int) -> None:
    """Good and bad parts in turn, each with its own result and its own PART_ID."""
    for number in range(parts):
        piece = bench.bad() if number % 2 else bench.good()
        seen = await bench.plc.inspect(piece)
        right = seen.good == piece.good and seen.part_id_echo == piece.part_id
        bench.steps.check(
            f"a {'good' if piece.good else 'bad'} part, PART_ID {piece.part_id}",
            "its own result",
            f"{seen}, PART_ID_ECHO {seen.part_id_echo}",
            right,
        )


@case("18", needs="judge")
async def a_verdict_after_the_deadline_is_4_100_and_its_pass_is_never_seen(bench: Bench) -> None:
    bench.here.judge.delay_s = bench.appliance.settings.deadline_s + 0.2
    id_ = bench.plc.raise_trigger(bench.good(), may_pass=False)
    await bench.answers("a judge that needs longer than the deadline", id_, refused(Reason.DEADLINE))
    bench.here.judge.delay_s = 0.0
    await bench.never_passes("the late verdict", id_)
    await bench.passes()


@case("46")
async def a_second_sensor_edge_in_a_part_never_shifts_pictures(bench: Bench) -> None:
    plc = bench.plc
    for _ in range(3):
        await bench.ready("before a part with two edges")
        piece = bench.good()
        first = plc.raise_trigger(piece)
        await bench.taken(first)
        plc.set(TRIGGER, False)
        await plc.scanned(2)
        await until_the_appliance_knows_it(bench)
        second = plc.raise_trigger(piece, may_pass=False)
        bench.steps.equal(f"the result of id {first}", (1, 0), await plc.answered(first))
        await _acknowledge_only(bench)
        await bench.answers(f"the second edge, id {second}", second, refused(Reason.OVERRUN))
        await _own_results(bench, 2)


@case("55")
async def a_recipe_that_the_plc_does_not_expect_is_4_106(bench: Bench) -> None:
    plc = bench.plc
    plc.ctrl["RECIPE_EXPECTED"] = bench.appliance.settings.recipe + 1
    await bench.ready("RECIPE_EXPECTED = another recipe")
    id_ = plc.raise_trigger(bench.good(), may_pass=False)
    await bench.answers("the same, a good part", id_, refused(Reason.RECIPE_MISMATCH))
    plc.ctrl["RECIPE_EXPECTED"] = bench.appliance.settings.recipe
    await bench.passes()
    plc.ctrl["RECIPE_EXPECTED"] = 0
    await bench.passes()
