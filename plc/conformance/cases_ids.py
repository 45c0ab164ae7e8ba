"""Section 8, tests 8 to 14: ids, as a PLC may give them."""

from __future__ import annotations

from plc.conformance.bench import Bench, refused
from plc.conformance.case import APPLIANCE
from plc.conformance.cases_cycle import until_the_appliance_knows_it
from plc.conformance.checker import RESULT, named
from plc.conformance.fake_plc import TRIGGER, Seen
from plc.registers import Control, Reason, Status, Status2

case = APPLIANCE.case


@case("8")
async def id_0_is_refused_without_acknowledge(bench: Bench) -> None:
    plc = bench.plc
    acked = plc.stat["TRIGGER_ID_ACK"]
    plc.ctrl["TRIGGER_ID"], plc.ctrl["TRIGGER_ID_INV"] = 0, 0
    plc.set(TRIGGER)
    await bench.happens(
        "TRIGGER with id 0", "ERROR, READY = 0", lambda: plc.has(Status.ERROR) and not plc.has(Status.TRIGGER_READY)
    )
    await bench.stays(
        "TRIGGER with id 0", "no ACK, no result", lambda: not plc.status & (RESULT | Status.TRIGGER_ACK), 0.5
    )
    bench.steps.equal("TRIGGER_ID_ACK", acked, plc.stat["TRIGGER_ID_ACK"])
    plc.set(TRIGGER, False)
    bench.steps.check("TRIGGER = 0, CLEAR_ERROR", "READY without ERROR", bench.shown(), await bench.settle(5))
    await bench.passes()


@case("9")
async def ids_wrap_from_65535_to_1_without_a_gap(bench: Bench) -> None:
    plc, steps = bench.plc, bench.steps
    await plc.inspect(bench.good(), 65534)
    await plc.pulse(Control.CLEAR_ERROR)
    await plc.scanned(3)
    steps.check(
        "CLEAR_ERROR", "ID_GAP = 0", named(Status2(plc.stat["STATUS2"])), not plc.stat["STATUS2"] & Status2.ID_GAP
    )
    for id_ in (65535, 1, 2):
        seen = await plc.inspect(bench.good(), id_)
        gap = plc.stat["STATUS2"] & Status2.ID_GAP
        steps.check(f"id {id_}", "1/0, no ID_GAP", f"{seen}, ID_GAP {int(bool(gap))}", seen.good and not gap)


@case("10")
async def an_id_gap_is_counted_and_its_part_is_inspected(bench: Bench) -> None:
    plc, steps = bench.plc, bench.steps
    await bench.passes()
    before = (await plc.diag())["ID_GAPS"]
    for _ in range(4):
        plc.next_id()
    await bench.passes()
    shown = Status2(plc.stat["STATUS2"])
    steps.check("an id 5 further", "ID_GAP", named(shown), bool(shown & Status2.ID_GAP))
    steps.equal("the same, in DIAG.ID_GAPS", 4, (await plc.diag())["ID_GAPS"] - before)


@case("11")
async def the_same_id_twice_is_answered_duplicate_and_never_with_the_first_verdict(bench: Bench) -> None:
    plc = bench.plc
    seen = await bench.passes()
    await bench.ready("before the same id again")
    id_ = plc.raise_trigger(bench.good(), seen.id, may_pass=False)
    await bench.answers(f"TRIGGER with id {id_} again", id_, refused(Reason.DUPLICATE_ID))
    shown = Status2(plc.stat["STATUS2"])
    bench.steps.check("the same", "DUPLICATE_ID", named(shown), bool(shown & Status2.DUPLICATE_ID))
    await bench.settle(5)
    await bench.passes()


@case("12")
async def of_a_hundred_parts_with_one_id_none_passes_but_the_first(bench: Bench) -> None:
    plc = bench.plc
    parts = int(bench.of_profile(30, 100, 100))
    first = await bench.passes()
    again: list[Seen] = []
    for _ in range(parts - 1):
        await bench.settle(5)
        again.append(await plc.inspect(bench.good(), first.id, may_pass=False))
    wrong = [str(seen) for seen in again if (seen.code, seen.reason) != refused(Reason.DUPLICATE_ID) or seen.good]
    bench.steps.check(
        f"id {first.id} for {parts} parts", "4/104 for each but the first", wrong or "4/104 for each", not wrong
    )


@case("13")
async def an_id_that_changes_while_trigger_stands_is_no_trigger(bench: Bench) -> None:
    plc = bench.plc
    first = plc.raise_trigger(bench.good())
    await bench.happens(f"TRIGGER with id {first}", "a result", lambda: plc.valid_for(first))
    other = plc.next_id()
    plc.ctrl["TRIGGER_ID"], plc.ctrl["TRIGGER_ID_INV"] = other, other ^ 0xFFFF
    await bench.happens(f"id {other} while TRIGGER stands", "ERROR", lambda: plc.has(Status.ERROR))
    await bench.stays("the same", f"no ACK for {other}", lambda: plc.stat["TRIGGER_ID_ACK"] != other, 0.3)
    await plc.release()
    bench.steps.check("TRIGGER = 0, CLEAR_ERROR", "READY", bench.shown(), await bench.settle(5))
    await bench.passes()


@case("14")
async def an_id_that_arrives_one_image_after_trigger_is_accepted_once(bench: Bench) -> None:
    plc = bench.plc
    before = await bench.passes()
    await bench.ready("before")
    id_, piece = plc.next_id(), bench.good()
    plc.checker.trigger(id_, good=True)
    plc.in_view = piece
    plc.ctrl["PART_ID"], plc.ctrl["TRIGGER_ID"], plc.ctrl["TRIGGER_ID_INV"] = piece.part_id, before.id, 0
    plc.set(TRIGGER)
    await until_the_appliance_knows_it(bench) if bench.direction == "server" else await _one_read(bench)
    plc.ctrl["TRIGGER_ID"] = id_
    await bench.answers(f"TRIGGER with the old id {before.id}, {id_} one image later", id_, (1, 0))
    await bench.passes()


async def _one_read(bench: Bench) -> None:
    """The image of now is read once, as fast as can be seen."""
    port, done = bench.memory, list[bool]()
    served = port.server.served
    await port.write_ctrl(list(bench.plc.ctrl.words))
    bench.plc.silent = True

    def once(words: list[int]) -> None:
        served(words)
        done.append(_next_image(bench, words))

    port.server.served = once
    await bench.plc.until(lambda: bool(done), 1.0)
    port.server.served = served
    bench.plc.silent = False


def _next_image(bench: Bench, words: list[int]) -> bool:
    """From the next read on the id is the new one: written here, before anybody can read again."""
    area = bench.memory.memory.words
    newest = bench.checker.triggers[-1].id
    if area[1] != newest:
        area[1] = newest
    return words[1] != newest
