"""Section 8, test 63: faults at random while parts pass, with the checker on all of it."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable

from plc.conformance.bench import Bench
from plc.conformance.case import APPLIANCE
from plc.conformance.fake_plc import ACK, TRIGGER
from plc.fault_proxy import Side

DAY_S = 24 * 3600.0
JUDGED_S = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.02, 0.2, 0.4  # some parts are in flight longer than a reconnect takes
PAUSE_S = 0.2, 1.5  # between two faults
MIN_ACCEPTED = 0.3  # of the good parts: an appliance that rejects all is no inspection either


@APPLIANCE.case("63")
async def under_random_faults_no_part_passes_that_must_not(bench: Bench) -> None:
    seconds = bench.of_profile(60, 600, DAY_S)
    dice = random.Random(f"parts {bench.plan.seed}")  # of its own: a seed is the same faults, however long a part takes
    breaking = asyncio.create_task(break_at_random(bench, random.Random(bench.plan.seed)), name="faults at random")
    judged: Counter[str] = Counter()
    try:
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end and not breaking.done():
            piece = bench.good() if dice.random() < 0.8 else bench.bad()
            if not await bench.plc.ready(2.0):
                judged["never READY"] += 1
                continue
            if bench.can("judge"):
                bench.here.judge.delay_s = dice.choice(JUDGED_S)
            seen = await bench.plc.inspect(piece)
            judged["good taken as good" if seen.good else f"{'good' if piece.good else 'bad'} rejected"] += 1
            judged["good parts"] += piece.good
    finally:
        breaking.cancel()
        ended = await asyncio.gather(breaking, return_exceptions=True)
    for error in ended:
        if isinstance(error, Exception):
            raise error
    await _mend(bench)
    told = ", ".join(f"{what}: {count}" for what, count in sorted(judged.items()))
    bench.steps.check(
        f"faults at random for {seconds:.0f} s, seed {bench.plan.seed}",
        "no rule broken",
        f"{told}; {len(bench.checker.violations)} rules broken",
        not bench.checker.violations,
    )
    share = judged["good taken as good"] / max(1, judged["good parts"])
    bench.steps.check(
        "the same", f"at least {MIN_ACCEPTED:.0%} of the good parts pass", f"{share:.0%}", share >= MIN_ACCEPTED
    )
    bench.steps.check("all faults over", "READY", bench.shown(), await bench.settle(15))
    await bench.passes()


async def break_at_random(bench: Bench, dice: random.Random) -> None:
    """One fault after another; each is over before the next begins. Which, and how, comes from `dice` alone."""
    while True:
        await asyncio.sleep(dice.uniform(*PAUSE_S))
        fault = dice.choice(FAULTS)
        bench.tape.begin(getattr(fault, "__name__", "a fault").strip("_").replace("_", " "))
        await fault(bench, dice)
        await _mend(bench)
        bench.tape.over()


async def _mend(bench: Bench) -> None:
    bench.proxy.heal()
    bench.plc.silent = bench.plc.stopped = False


def _session(bench: Bench) -> None:
    bench.tape.happened("the test declares the session over")
    bench.checker.session("a fault at random")
    bench.plc.distrust()


async def _cut(bench: Bench, dice: random.Random) -> None:
    bench.proxy.refuse = True
    bench.proxy.cut()
    _session(bench)
    await asyncio.sleep(dice.choice((0.02, 0.2, 0.8)))


async def _reset(bench: Bench, dice: random.Random) -> None:
    bench.proxy.reset()
    _session(bench)


async def _black_hole(bench: Bench, dice: random.Random) -> None:
    bench.proxy.black_hole()
    await asyncio.sleep(dice.uniform(0.1, 1.5))
    bench.proxy.black_hole(False)
    bench.proxy.reset()
    _session(bench)


async def _slow(bench: Bench, dice: random.Random) -> None:
    """Slower than an appliance waits, at times: a connection may end for it, and then what is in flight is lost."""
    lane, connections = dice.choice((bench.proxy.requests, bench.proxy.replies)), _connections(bench)
    lane.delay_s, lane.jitter_s = dice.choice((0.01, 0.05, 0.15)), 0.02
    await asyncio.sleep(1.0)
    bench.proxy.heal()
    await asyncio.sleep(0.3)
    if _connections(bench) != connections:
        _session(bench)


def _connections(bench: Bench) -> int:
    return bench.proxy.counts["accepted"] + bench.proxy.counts["refused"]


async def _twice(bench: Bench, dice: random.Random) -> None:
    bench.proxy.requests.duplicate = dice.randrange(1, 50)
    await asyncio.sleep(0.3)


async def _plc_restart(bench: Bench, dice: random.Random) -> None:
    """The PLC's program starts anew; its ids go on (tests 48 and 12 have the others)."""
    plc = bench.plc
    plc.set(TRIGGER | ACK, False)
    plc.ctrl["PLC_HEARTBEAT"], plc.ctrl["PLC_SESSION"] = 0, (plc.ctrl["PLC_SESSION"] + 1) & 0xFFFF
    bench.checker.excuse("the PLC restarted")
    plc.distrust()


async def _frozen(bench: Bench, dice: random.Random) -> None:
    bench.plc.silent = True
    await asyncio.sleep(dice.uniform(0.1, 2.0))
    bench.plc.silent = False
    _session(bench)


async def _old_bytes(bench: Bench, dice: random.Random) -> None:
    proxy = bench.proxy
    proxy.requests.hold = True
    await asyncio.sleep(dice.uniform(0.02, 0.2))
    proxy.orphan()
    proxy.requests.hold = False
    _session(bench)
    await asyncio.sleep(dice.uniform(0.1, 0.5))
    await proxy.deliver_held()
    await asyncio.sleep(0.3)
    proxy.bury()
    _session(bench)


async def _half_open(bench: Bench, dice: random.Random) -> None:
    bench.proxy.half_open(dice.choice((Side.CLIENT, Side.SERVER)))
    await asyncio.sleep(0.5)
    bench.proxy.reset()
    _session(bench)


FAULTS: tuple[Callable[[Bench, random.Random], Awaitable[None]], ...] = (
    _cut, _reset, _black_hole, _slow, _twice, _plc_restart, _frozen, _old_bytes, _half_open,
)  # fmt: skip
