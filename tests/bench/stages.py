"""Where a cycle's time goes: the record's own stamps, and what the simulated PLC's server saw on the wire.

    edge | poll wait | hand-over | grab | frame checks | crop | infer | decide | second commit | record | flags | scan

add up to the cycle. The first commit runs beside grab and inference.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import apsw
from pymodbus.pdu import ModbusPDU

from plc.registers import CTRL, STAT
from plc.server import RegisterServer
from plc.sim import SimPlc, SimResult

READ, WRITE = 3, 16
SCANS_LEFT_OUT = 10  # in a row at most
OF_THE_RECORD = {  # stage -> the stamps that it lies between, milliseconds since accept
    "first commit, beside the rest": ("accepted", "opened"),
    "hand-over": ("trigger", "opening"),  # lot and serial are read from the PLC
    "grab": ("opening", "grabbed"),
    "frame checks": ("grabbed", "checked"),
    "crop": ("checked", "cropped"),
    "infer": ("cropped", "predicted"),
    "decide": ("predicted", "judged"),
    "second commit": ("judged", "decided"),
    "publish: record": ("decided", "publishing"),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """One part as the PLC saw it, in monotonic seconds."""

    trigger_id: int
    edge_s: float
    polled_s: float  # the first poll that could show the trigger was answered
    flags_s: float  # the flags arrived
    valid_s: float  # the program read them

    @property
    def cycle_s(self) -> float:
        return self.valid_s - self.edge_s


class WatchedServer(RegisterServer):
    """Notes when it answered which request."""

    log: list[tuple[float, int, int]]  # seconds, function, address
    written: asyncio.Event

    def answer(self, body: bytes) -> ModbusPDU:
        reply = super().answer(body)
        self.log.append((time.monotonic(), body[0], int.from_bytes(body[1:3], "big")))
        if body[0] == WRITE:
            self.written.set()
        return reply


@dataclass
class WatchedPlc(SimPlc):
    """The simulated PLC, which also says when its server was asked what.

    Of its scans, one each `scan_s`, those that can change nothing are left out: none was written to it since the last.
    A real PLC has a processor of its own; this one would take a tenth of one of the model's cores.
    """

    watched: WatchedServer = field(init=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.server = self.watched = WatchedServer(self.memory)
        self.watched.log, self.watched.written = [], asyncio.Event()

    async def _pause(self) -> None:
        """To the next scan in time after a write, or to the one that sees to heartbeat and timeouts."""
        loop, scan_s, written = asyncio.get_running_loop(), self.cfg.scan_s, self.watched.written
        look_s = (loop.time() // scan_s + SCANS_LEFT_OUT) * scan_s
        look = loop.call_at(look_s, written.set)  # a timer in place of a timeout: no exception, no second wait
        await written.wait()
        look.cancel()
        written.clear()
        if loop.time() < look_s:
            await asyncio.sleep(scan_s - loop.time() % scan_s)

    async def inspect(self, part_id: int) -> SimResult:
        self.watched.log.clear()
        return await super().inspect(part_id)

    def seen(self, result: SimResult) -> Seen:
        """Of the newest part. Raises RuntimeError: it had no result."""
        if result.valid_s is None:
            raise RuntimeError(f"part {result.part_id} had no result: {result.why}")
        edge_s, valid_s, log = result.edge_s, result.valid_s, self.watched.log
        polls = [at for at, function, address in log if (function, address) == (READ, CTRL.base) and at >= edge_s]
        writes = [at for at, function, address in log if (function, address) == (WRITE, STAT.base) and at <= valid_s]
        return Seen(result.trigger_id, edge_s, polls[0], writes[-1], valid_s)


def stages_s(seen: list[Seen], database: Path) -> dict[str, list[float]]:
    """Seconds of each stage, one value a part, in the order of a cycle."""
    stamps = _stamps_ms(database)
    rows = [(one, stamps[one.trigger_id]) for one in seen]
    on_the_wire: dict[str, Callable[[Seen, Mapping[str, float]], float]] = {
        "publish: flags": lambda one, row: one.flags_s - one.polled_s - row["publishing"] / 1000,
        "publish: PLC's scan": lambda one, _: one.valid_s - one.flags_s,
    }
    found = {"poll wait": [one.polled_s - one.edge_s for one in seen]}
    for name, (begin, end) in OF_THE_RECORD.items():
        found[name] = [(row[end] - row[begin]) / 1000 for _, row in rows]
    return found | {name: [span(*row) for row in rows] for name, span in on_the_wire.items()}


def _stamps_ms(database: Path) -> dict[int, dict[str, float]]:
    """Of the newest life of the daemon: trigger id -> stage -> milliseconds since accept."""
    db = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    rows = list(
        db.execute(
            "SELECT trigger_id, stages FROM inspections"
            " WHERE kind = 'accepted' AND boot = (SELECT max(boot) FROM boots) AND stages IS NOT NULL"
        )
    )
    db.close()
    return {trigger_id: json.loads(text) for trigger_id, text in rows}
