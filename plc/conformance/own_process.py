"""The suite's own appliance as a process: `python -m plc.conformance.own_process DIRECTION PORT SETTINGS`.

For tests that stop a process (SIGSTOP). Even PART_IDs pass; SETTINGS is ApplianceSettings as JSON; SIGTERM ends it.
"""

from __future__ import annotations

import asyncio
import json
import shlex
import signal
import sys
from dataclasses import asdict
from pathlib import Path

from plc.conformance.appliance import ApplianceSettings, Here, Started
from plc.parts import Part, Record
from plc.station import StationPort


def as_process(direction: str, port: int, settings: ApplianceSettings, log: Path) -> Started:
    """The same link and judge as in this process, to be started by the suite."""
    words = (sys.executable, "-m", __name__, direction, str(port), json.dumps(asdict(settings)))
    return Started(shlex.join(words), log, settings, simulated=True)


class ByPartId(Here):
    """Knows of no part in view but what the PLC says of it."""

    async def _judge(self, station: StationPort, part: Part) -> Record:
        self.judge.in_view = lambda: part.part_id % 2 == 0
        return await Here._judge(self, station, part)


async def _main(direction: str, port: int, settings: ApplianceSettings) -> None:
    from plc.conformance.suite import make_link  # the suite imports us

    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    appliance = ByPartId(make_link(direction, ("127.0.0.1", port), settings), settings)
    await appliance.start()
    await stop.wait()
    await appliance.stop()


if __name__ == "__main__":
    asyncio.run(_main(sys.argv[1], int(sys.argv[2]), ApplianceSettings(**json.loads(sys.argv[3]))))
