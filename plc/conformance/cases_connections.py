"""Section 8, tests 31 to 33: how many connections an appliance makes, and when (client direction)."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace

from plc.conformance.bench import Bench
from plc.conformance.case import APPLIANCE
from plc.conformance.cases_link import ended

case = APPLIANCE.case


@case("31", directions=("client",))
async def a_reconnect_storm_leaves_exactly_one_live_connection_at_the_plc(bench: Bench) -> None:
    storms = int(bench.of_profile(15, 100, 1000))
    most = 0
    for number in range(storms):
        bench.proxy.reset() if number % 2 else bench.proxy.cut()
        ended(bench, "reconnect storm")
        end = time.monotonic() + 3
        while not bench.proxy.live and time.monotonic() < end:
            await asyncio.sleep(0.01)
            most = max(most, bench.proxy.live)
    await bench.ready(f"{storms} connections cut or reset, one after another")
    most = max(most, bench.proxy.live)
    bench.steps.equal("connections at the PLC now", 1, bench.proxy.live)
    bench.steps.check("connections at the PLC at one time", "1", most, most <= 1)
    await bench.passes()


@case("32", directions=("client",), needs="start", started=False)
async def where_the_first_connect_fails_it_connects_once_the_plc_is_up(bench: Bench) -> None:
    await bench.appliance.stop()
    bench.proxy.refuse = True
    await bench.appliance.start()
    refused = bench.proxy.counts["refused"]
    end = time.monotonic() + 20
    while bench.proxy.counts["refused"] < refused + 3 and time.monotonic() < end:  # noqa: ASYNC110 - a count
        await asyncio.sleep(0.02)
    tried = bench.proxy.counts["refused"] - refused
    bench.steps.check("no PLC yet", "it tries again and again", f"{tried} times", tried >= 3)
    bench.proxy.refuse = False
    bench.steps.check("the PLC is up", "READY", bench.shown(), await bench.settle(20))
    await bench.passes()


@case("33", directions=("client",))
async def a_plc_that_takes_one_connection_only_gets_the_old_one_released_first(bench: Bench) -> None:
    server = bench.memory.server
    server.access = replace(server.access, max_connections=1)
    await bench.passes()
    for what, fault in (("a reply that never comes", bench.proxy.black_hole), ("RST", bench.proxy.reset)):
        fault()
        ended(bench, what)
        await asyncio.sleep(bench.appliance.settings.request_timeout_s + 0.3)
        bench.proxy.heal()
        bench.steps.check(what, "READY again over the one connection", bench.shown(), await bench.settle(10))
        await bench.passes()
    bench.steps.equal("connections at the PLC", 1, server.connections)
