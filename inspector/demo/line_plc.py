"""The demo's PLC, a process of its own: a simulated line that changes over between two recipes every so many parts.

Prints one JSON object a line: what the PLC read of a part, what came of a change-over, or the error that it
acknowledged: on a busy machine three parts in a row come too late, and nobody stands at this PLC with a key.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import signal
import time
from dataclasses import asdict

from plc.registers import OfflineReason
from plc.sim import SimConfig, SimPlc, SimResult

PATIENCE_S = 3.0  # a busy machine is late, and its answer, a reject, is still read
LOOKED_AT_S = 5.0  # an error stands so long that a person sees on the page what it is like
PRESSED_S = 0.2
LOOK_S = 0.1


async def play(plc: SimPlc, parts: int, rate: float, change_every: int) -> None:
    """Recipe 1 and 2 in turn, `change_every` parts each; parts: 0, until it is told to stop."""
    recipes = itertools.cycle((2, 1))
    for part_id in range(1, parts + 1) if parts else itertools.count(1):
        if plc.stopping:
            return
        if change_every and part_id > 1 and (part_id - 1) % change_every == 0:
            changed = await plc.change_over(next(recipes))
            print(json.dumps({"change_over": asdict(plc.program.changed_over[-1])}), flush=True)
            if not changed:  # no recipe is active: no part would be inspected
                return
        await plc.play([part_id], 1 / rate if rate else 0.0)


async def acknowledge(plc: SimPlc, after_s: float = LOOKED_AT_S) -> None:
    """Do for ever what a person at a real PLC does with a key once the cause is found: CLEAR_ERROR."""
    since_s: float | None = None
    while True:
        await asyncio.sleep(LOOK_S)
        stat = plc.stat()
        if stat["OFFLINE_REASON"] != OfflineReason.LATCHED_ERROR:
            since_s = None
        elif since_s is None:
            since_s = time.monotonic()
        elif time.monotonic() - since_s >= after_s:
            since_s = None
            plc.program.habits.clear_error = True
            await asyncio.sleep(PRESSED_S)
            plc.program.habits.clear_error = False
            print(json.dumps({"acknowledged": stat["ERROR_CODE"]}), flush=True)


async def _main(port: int, parts: int, rate: float, change_every: int) -> None:
    """SIGTERM and SIGINT end it after the part in flight."""

    def tell(result: SimResult) -> None:
        print(json.dumps(asdict(result)), flush=True)

    def stop() -> None:
        plc.stopping = True

    patient = SimConfig(ack_timeout_s=PATIENCE_S, result_timeout_s=PATIENCE_S, heartbeat_timeout_s=PATIENCE_S)
    plc = SimPlc(patient, on_result=tell)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    await plc.start(port=port)
    acknowledging = asyncio.create_task(acknowledge(plc), name="acknowledge")
    try:
        await play(plc, parts, rate, change_every)
    finally:
        acknowledging.cancel()
        await plc.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--parts", type=int, default=0)
    parser.add_argument("--rate", type=float, default=0.0)
    parser.add_argument("--change-every", type=int, default=0)
    chosen = parser.parse_args()
    asyncio.run(_main(chosen.port, chosen.parts, chosen.rate, chosen.change_every))
