"""A line whose PLC is not ours: the real daemon as a process, a foreign PLC as another, and what came of every part."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pytest

from inspector.demo.parts import Kind, kind_of
from inspector.demo.processes import daemon, last_words
from plc.registers import Reason, Status, Verdict
from tests.support.invariants import Row, check
from tests.support.live_line import DEMO

PARTS = 200
FIRST_PART = 65_537
FIRST_ID = 65_400  # the ids go round 65535 to 1 within the 200 parts
PLAYED_WITHIN_S = 240.0
END_S = 5.0
Direction = Literal["client", "server"]  # the appliance's
WordOrder = Literal["big", "little"]
STATION = """
[paths]
state = "{folder}/state"
run = "{folder}/run"

[[plc.links]]
mode = "{direction}"
word_order = "{word_order}"
heartbeat_timeout_ms = 10_000
{times}
{where}

[[stations]]
id = "st1"
deadline_ms = 9000
max_trigger_age_ms = 2000

[camera]
kind = "rendered"
grab_timeout_ms = 4000

{bundle}
"""
TIMES = {"client": "request_timeout_ms = 5000", "server": "comm_timeout_ms = 20_000"}  # two busy cores
TCP = 'host = "127.0.0.1"\nport = {}'
RTU = """transport = "rtu"
unit_id = 1
[plc.links.serial]
device = "{}"
baud = 115_200
parity = "none"
quiet_ms = 5000
"""


@dataclass
class Played:
    """What the foreign PLC said: a line for each part, as it read its result, and the totals at its end."""

    results: list[dict[str, Any]] = field(default_factory=list)
    totals: dict[str, Any] = field(default_factory=dict)


class ForeignPlc:
    """A process that prints JSON lines. What else it prints goes to `log`, as its stderr does."""

    def __init__(self, process: asyncio.subprocess.Process, log: Path) -> None:
        self.process, self.log = process, log

    async def line(self) -> dict[str, Any]:
        """The next JSON line. Raises EOFError, with its last words, when it ends without one."""
        assert self.process.stdout is not None
        async for text in self.process.stdout:
            if text.startswith(b"{"):
                return dict(json.loads(text))
            with self.log.open("ab") as log:
                log.write(text)
        raise EOFError(f"the PLC ended: {last_words(self.log)}")

    async def played(self) -> Played:
        """Wait for all its parts and its totals."""
        played = Played()
        while not played.totals:
            line = await self.line()
            if "trigger_id" in line:
                played.results.append(line)
            elif "parts" in line:
                played.totals = line
        return played


@asynccontextmanager
async def foreign_plc(
    *command: str | Path, log: Path, environment: Mapping[str, str] | None = None
) -> AsyncIterator[ForeignPlc]:
    """Start it, and end it with the block. It holds a pipe to us on its stdin, which closes when we die."""
    with log.open("ab") as err:
        process = await asyncio.create_subprocess_exec(
            *map(str, command), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=err,
            env=environment, limit=2**20,
        )  # fmt: skip
    try:
        yield ForeignPlc(process, log)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(END_S):
                await process.communicate()
        except TimeoutError:
            process.kill()
            await process.communicate()


def station(folder: Path, direction: Direction, place: int | str, word_order: WordOrder = "big") -> Path:
    """The configuration of an appliance with the demo's bundle and rendered parts.

    place: a TCP port, or the device of a serial line.
    """
    config = folder / "station.toml"
    where = (TCP if isinstance(place, int) else RTU).format(place)
    text = partial(STATION.format, folder=folder, direction=direction, where=where, word_order=word_order, bundle=DEMO)
    config.write_text(text(times=TIMES[direction]))
    return config


async def played_by(plc: ForeignPlc, config: Path) -> Played:
    """Run the daemon until the PLC has played all its parts, and end it in order."""
    begun = time.monotonic()
    async with daemon(config) as process:
        playing, ended = asyncio.create_task(plc.played()), asyncio.create_task(process.wait())
        await asyncio.wait([playing, ended], timeout=PLAYED_WITHIN_S, return_when=asyncio.FIRST_COMPLETED)
        done = playing.done()
        for task in (playing, ended):
            task.cancel()
        await asyncio.gather(playing, ended, return_exceptions=True)
    if not done:
        pytest.fail(f"not played: {last_words(plc.log)}\n{last_words(config.parent / 'daemon.log')}")
    played = playing.result()
    print(f"{len(played.results)} parts in {time.monotonic() - begun:.1f} s with the daemon's start: {played.totals}")
    return played


def checked(folder: Path, played: Played, parts: int = PARTS, first_id: int = FIRST_ID) -> list[Row]:
    """200 triggers are 200 rows are 200 results, each with its own; and no bad part went on as good."""
    results = played.results
    rows = check(folder / "state" / "results.db", results)
    ids = [(first_id - 1 + n) % 65_535 + 1 for n in range(parts)]
    expected = [(id_, FIRST_PART + n) for n, id_ in enumerate(ids)]
    assert [(r["trigger_id"], r["part_id"]) for r in rows] == expected
    assert [(r["trigger_id"], r["part_id"]) for r in results] == expected
    for row, result in zip(rows, results, strict=True):
        _check_pair(row, result)
    _check_truth(results)
    _check_totals(rows, played.totals)
    return rows


def _check_pair(row: Row, result: Mapping[str, Any]) -> None:
    where = f"{dict(row)} against {dict(result)}"
    assert row["kind"] == "accepted" and row["delivery"] == "confirmed", where
    assert (row["published_code"], row["published_reason"]) == (result["code"], result["reason"]), where
    assert (row["part_id"], row["encoder"]) == (result["part_echo"], result["encoder_echo"]), where
    assert row["encoder"] == result["encoder"], where
    # A part that passed is still a reject where the station is in error or goes offline as the PLC reads: on cores that
    # others use as well it may, for as long as a thread of the daemon waits for one.
    well = bool(result["status"] & Status.ONLINE) and not result["status"] & Status.ERROR
    assert (result["verdict"] == "good") == (result["code"] == Verdict.PASS and well), where


def _check_truth(results: Sequence[Mapping[str, Any]]) -> None:
    escapes = [r for r in results if r["verdict"] == "good" and kind_of(r["part_id"]) is not Kind.GOOD]
    assert not escapes
    good = [r for r in results if kind_of(r["part_id"]) is Kind.GOOD]
    passed = sum(r["verdict"] == "good" for r in good)
    assert passed >= 0.9 * len(good), f"only {passed} of {len(good)} good parts came out as good: a line that idles"


def _check_totals(rows: Sequence[Row], totals: Mapping[str, Any]) -> None:
    assert not totals.get("stray_writes"), "the appliance wrote outside STAT and DIAG"
    codes = Counter(row["published_code"] for row in rows)
    told = {verdict.name: codes[verdict] for verdict in Verdict}
    assert {name: totals[name] for name in told} == told, "DIAG counts otherwise than the rows"
    assert totals["TRIGGERS"] == totals["parts"] == len(rows)
    assert totals["LINK_SESSIONS"] == 1 and not totals.get("link_faults"), "the link did not hold"


def deadline_missed(rows: Sequence[Row]) -> int:
    """How many parts the machine was too slow for."""
    return sum(row["published_reason"] == Reason.DEADLINE for row in rows)
