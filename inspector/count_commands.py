"""What a person does to the counts, by the control socket: begin a new period."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from inspector.control import ControlError, Handler, Params
from inspector.stations import Running

QUIET_S = 0.5  # a reset waits so long for the part that is under way
MAX_WHY = 200


def count_handlers(stations: Sequence[Running]) -> dict[str, Handler]:
    """`reset_counts` {station, why}: the station counts anew from its next part on; what was counted is kept."""
    by_name = {running.section.id: running for running in stations}

    async def reset_counts(params: Params, actor: str) -> Mapping[str, Any]:
        station, why = params.get("station"), params.get("why")
        if set(params) != {"station", "why"} or not isinstance(station, str) or station not in by_name:
            raise ControlError(f"needs station, one of {', '.join(by_name)}, and why")
        if not isinstance(why, str) or len(why) > MAX_WHY or not (why == "" or why.isprintable()):
            raise ControlError(f"why is at most {MAX_WHY} printable characters")
        running = by_name[station]
        await _until_quiet(running)
        await running.results.begin_period(actor, why)
        return {"since_utc_ms": running.results.counts.since_utc_ms}

    return {"reset_counts": reset_counts}


async def _until_quiet(running: Running) -> None:
    """So that a part which the PLC has counted and not triggered yet is not cut in two."""
    handshake = running.port.handshake
    try:
        async with asyncio.timeout(QUIET_S):
            while not handshake.quiet:  # noqa: ASYNC110 - a state
                await asyncio.sleep(0.005)
    except TimeoutError:
        return  # a line that never rests; the part is counted where its row is
