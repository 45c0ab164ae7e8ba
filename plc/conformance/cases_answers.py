"""Section 8, tests 39 and 40: a PLC whose Modbus server answers with exceptions, or wrongly (client direction)."""

from __future__ import annotations

from plc.conformance.bench import Bench
from plc.conformance.case import APPLIANCE
from plc.conformance.ports import Wrong

case = APPLIANCE.case
EXCEPTIONS = (1, 2, 3, 4, 6)


@case("39", directions=("client",))
async def exception_replies_are_never_data_and_many_are_a_link_fault(bench: Bench) -> None:
    server, plc = bench.memory.server, bench.plc
    for code in EXCEPTIONS:
        for replies in (1, 12):
            server.refuse.extend([code] * replies)
            id_ = plc.raise_trigger(bench.good()) if plc.is_ready() else 0
            bench.checker.session("the PLC refused requests")
            await plc.until(lambda: not server.refuse, 5)
            came = await plc.answered(id_, 1.0) if id_ else None
            bench.steps.note(f"exception {code}, {replies} times, a trigger", "its own verdict or a reject", came, True)
            await plc.release()
            plc.distrust()
            bench.steps.check("answers are right again", "READY", bench.shown(), await bench.settle(10))
            await bench.passes()


@case("40", directions=("client",))
async def short_wrong_and_foreign_replies_are_never_data(bench: Bench) -> None:
    server, plc = bench.memory.server, bench.plc
    for wrong in Wrong:
        sessions = bench.proxy.counts["accepted"]
        server.wrong.append(wrong)
        bench.checker.session("the PLC answered wrongly")
        await plc.until(lambda: not server.wrong, 3)
        await _connects_anew(bench, sessions)
        anew = bench.proxy.counts["accepted"] - sessions
        bench.steps.check(
            f"a reply that is {wrong.name.lower()}", "the connection is given up", f"{anew} new", anew >= 1
        )
        plc.distrust()
        bench.steps.check("answers are right again", "READY", bench.shown(), await bench.settle(10))
        await bench.passes()
    for wrong in Wrong:
        id_ = plc.raise_trigger(bench.good())
        server.wrong.extend([wrong] * 3)
        bench.checker.session("the PLC answered wrongly")
        came = await plc.answered(id_, 1.0)
        bench.steps.note(f"replies that are {wrong.name.lower()}, a trigger", "its own verdict or a reject", came, True)
        await plc.until(lambda: not server.wrong, 5)
        await plc.release()
        plc.distrust()
        bench.steps.check("answers are right again", "READY", bench.shown(), await bench.settle(10))
    await bench.passes()


async def _connects_anew(bench: Bench, sessions: int) -> None:
    await bench.plc.until(lambda: bench.proxy.counts["accepted"] > sessions, 3)
