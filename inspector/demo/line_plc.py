"""The demo's PLC, a process of its own: a simulated line that changes over between two recipes every so many parts.

Prints one JSON object a line: what the PLC read of a part, or what came of a change-over.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass

from plc.registers import Command, CommandResult, Control, Status
from plc.sim import SimConfig, SimPlc, SimResult

CHANGE_S = 20.0  # for each step of a change-over
LOOK_S = 0.01
_ANSWERED = Status.COMMAND_COMPLETED | Status.COMMAND_FAILED


@dataclass(frozen=True, slots=True)
class ChangedOver:
    """What came of a change-over, as the PLC saw it. result: COMMAND_RESULT, 0: no answer came."""

    recipe: int
    ok: bool
    result: int
    seconds: float


async def change_over(plc: SimPlc, recipe: int, command_id: int) -> ChangedOver:
    """Section 6 of the contract, to its end; parts are not brought meanwhile."""
    ctrl, begun = plc.ctrl, time.monotonic()
    ctrl["CONTROL"] = Control(0)
    quiet = await _until(plc, lambda status: not status & (Status.TRIGGER_READY | Status.SYSTEM_BUSY))
    ctrl["COMMAND"], ctrl["COMMAND_ARG"], ctrl["COMMAND_ID"] = Command.PREPARE_RECIPE, recipe, command_id
    ctrl["CONTROL"] = Control.EXECUTE_COMMAND
    answered = quiet and await _until(plc, lambda status: bool(status & _ANSWERED))
    stat = plc.stat()
    ours = answered and stat["COMMAND_ID_ACK"] == command_id
    result = stat["COMMAND_RESULT"] if ours else 0
    ok = result == CommandResult.OK and stat["ACTIVE_RECIPE"] == recipe
    ctrl["CONTROL"] = Control(0)
    await _until(plc, lambda status: not status & _ANSWERED)
    ctrl["RECIPE_EXPECTED"] = recipe  # also where it failed: nothing may pass with the former one
    ctrl["CONTROL"] = Control.TRIGGER_ENABLE
    return ChangedOver(recipe, ok, result, round(time.monotonic() - begun, 3))


async def _until(plc: SimPlc, true: Callable[[Status], bool]) -> bool:
    """Scan until STATUS is so; False: that did not come in time."""
    end = time.monotonic() + CHANGE_S
    while not true(Status(plc.stat()["STATUS"])):
        if time.monotonic() > end:
            return False
        await plc.idle_for(LOOK_S)
    return True


async def play(plc: SimPlc, parts: int, rate: float, change_every: int, stop: asyncio.Event) -> None:
    """Recipe 1 and 2 in turn, `change_every` parts each; parts: 0, until `stop`."""
    recipes, changes = itertools.cycle((2, 1)), 0
    for part_id in range(1, parts + 1) if parts else itertools.count(1):
        if stop.is_set():
            return
        if change_every and part_id > 1 and (part_id - 1) % change_every == 0:
            changes += 1
            changed = await change_over(plc, next(recipes), changes)
            print(json.dumps({"change_over": asdict(changed)}), flush=True)
        await plc.play([part_id], 1 / rate if rate else 0.0)


async def _main(port: int, parts: int, rate: float, change_every: int) -> None:
    """SIGTERM and SIGINT end it after the part in flight."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    def tell(result: SimResult) -> None:
        print(json.dumps(asdict(result)), flush=True)

    plc = SimPlc(SimConfig(), on_result=tell)
    await plc.start(port=port)
    try:
        await play(plc, parts, rate, change_every, stop)
    finally:
        await plc.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--parts", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--change-every", type=int, default=0)
    chosen = parser.parse_args()
    asyncio.run(_main(chosen.port, chosen.parts, chosen.rate, chosen.change_every))
