"""What a controls engineer does over the daemon's socket: a real daemon, a simulated PLC, real Modbus on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from itertools import pairwise
from pathlib import Path

import apsw
import pytest

from inspector.control import ControlClient, ControlError, connect_control
from inspector.web.control_views import changes_of, edges_of, state_view
from plc.images import Image
from plc.registers import STAT, OfflineReason, Status, Verdict
from tests.support.live_line import START_S, LiveLine, live_line

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
WORKING = Status.RESULTS_VALID | Status.PASS | Status.ONLINE


@asynccontextmanager
async def asked(line: LiveLine) -> AsyncIterator[ControlClient]:
    async with connect_control(line.folder / "run" / "control.sock", "Ida") as control:
        yield control


async def offline(line: LiveLine, control: ControlClient) -> None:
    await control.call("offline")
    assert await line.until(lambda: line.sim.stat()["OFFLINE_REASON"] == OfflineReason.SET_OFFLINE, START_S)


async def all_edges(control: ControlClient, name: str = "") -> list[tuple[str, str, str]]:
    found = await control.call("changes", {})
    return [(e.name, e.before, e.after) for e in edges_of(*changes_of(found), name)]


async def test_offline_force_and_online_again_as_plc_and_person_see_it(tmp_path: Path) -> None:
    writes: list[list[int]] = []
    async with live_line(tmp_path) as line:
        wrote = line.sim.server._on_write

        def note(address: int, words: list[int]) -> None:
            wrote(address, words)
            if address == STAT.base and len(words) == STAT.size:
                writes.append(list(words))

        line.sim.server._on_write = note
        line.configure()
        await line.start()
        await line.ready()
        async with asked(line) as control:
            await line.good()
            with pytest.raises(ControlError, match="not Offline"):
                await control.call("force", {"name": "STATUS.ERROR", "value": "1"})
            with pytest.raises(ControlError, match="not every station is Offline"):
                await control.call("dry_run_start", {"parts": 5})
            assert not line.sim.stat()["STATUS"] & Status.ERROR

            await offline(line, control)
            assert not line.sim.stat()["STATUS"] & (Status.ONLINE | Status.TRIGGER_READY)
            for name, value in (("STATUS.ERROR", "1"), ("PART_ID_ECHO", "0x12345678"), ("RESULT_CODE", "2")):
                await control.call("force", {"name": name, "value": value})
            assert await line.until(lambda: line.sim.stat()["RESULT_CODE"] == 2, START_S)
            assert line.sim.stat()["STATUS"] & Status.ERROR and line.sim.stat()["PART_ID_ECHO"] == 0x12345678
            for name in ("STATUS.PASS", "STATUS.RESULTS_VALID", "STATUS.ONLINE", "RES_TRIGGER_ID", "STAT_SIGNATURE"):
                with pytest.raises(ControlError, match="never forced"):
                    await control.call("force", {"name": name, "value": "1"})
            with pytest.raises(ControlError, match="never forced to PASS"):
                await control.call("force", {"name": "RESULT_CODE", "value": "1"})
            seen = await control.call("registers", {})
            assert Image(STAT, seen["stat"]).words[2:] == line.sim.stat().words[2:]
            assert (seen["forced_by"], seen["held_by"], seen["offline"]) == ("Ida", "Ida", True)
            view = state_view(seen)
            assert view["state"] == "offline" and "ERROR" in view["stat"]["STATUS"]["bits"]
            for alarm in ("offline", "forced"):
                await line.listed(alarm, START_S)

            refused = line.raise_trigger(line.next_good())
            assert (await line.answer(refused))[0] == Verdict.NOT_INSPECTED, "and what was forced has ended"
            assert (await control.call("registers", {}))["forced"] == {}

            await control.call("force", {"name": "STATUS2.DEGRADED", "value": "1"})
            await control.call("online")
            assert (await control.call("registers", {}))["forced"] == {}
            await line.ready()
            assert await line.until(lambda: not line.sim.stat()["STATUS"] & Status.ERROR, START_S)
            assert (await line.good()).verdict == "good"

            async with asyncio.timeout(START_S):  # the last words of a part are written after its result
                while [e for e in await all_edges(control) if e[0].startswith("STAT.")] != _edges(writes):
                    await line.sim.idle_for(0.05)  # the history is what was written, no more and no less
        forced = [Image(STAT, words) for words in writes if Image(STAT, words)["PART_ID_ECHO"] == 0x12345678]
        assert forced and not any(stat["STATUS"] & WORKING for stat in forced)
        line.checked()


async def killed_and_started(line: LiveLine) -> None:
    assert line.process is not None
    line.process.kill()
    await line.process.wait()
    beat = line.sim.stat()["HEARTBEAT"]
    await line.start()
    assert await line.until(lambda: line.sim.stat()["HEARTBEAT"] != beat, START_S), line.words()


async def stays_offline(line: LiveLine) -> bool:
    """False: the PLC read ONLINE or TRIGGER_READY before it read SET_OFFLINE, or in the second after that."""
    seen = set()

    def told() -> bool:
        seen.add(line.sim.stat()["STATUS"] & (Status.ONLINE | Status.TRIGGER_READY))
        return line.sim.stat()["OFFLINE_REASON"] == OfflineReason.SET_OFFLINE

    assert await line.until(told, START_S), line.words()
    await line.until(lambda: not told(), 1)
    return seen == {0} and told()


async def test_what_a_person_took_offline_is_so_after_kill_9_and_what_was_forced_is_not(tmp_path: Path) -> None:
    """Somebody's hands may be in it: no restart brings a station back that a person took away."""
    async with live_line(tmp_path) as line:
        line.configure()
        await line.start()
        await line.ready()
        await line.good()
        async with asked(line) as control:
            await offline(line, control)
            await control.call("force", {"name": "STATUS.ERROR", "value": "1"})
        assert await line.until(lambda: bool(line.sim.stat()["STATUS"] & Status.ERROR), START_S)
        await killed_and_started(line)
        assert await stays_offline(line)
        assert (await line.listed("offline", START_S))["params"]["actor"] == "Ida"
        assert not line.sim.stat()["STATUS"] & Status.ERROR
        await killed_and_started(line)
        assert await stays_offline(line)
        refused = line.raise_trigger(line.next_good())
        assert (await line.answer(refused))[0] == Verdict.NOT_INSPECTED
        async with asked(line) as control:
            seen = await control.call("registers", {})
            assert (seen["forced"], seen["held_by"]) == ({}, "Ida")
            await control.call("online")
        await line.ready()
        await killed_and_started(line)
        await line.ready()
        await line.good()
        with closing(apsw.Connection(str(line.db), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            found = list(db.execute("SELECT actor, action FROM audit WHERE action GLOB 'o[fn]*line*' ORDER BY number"))
        kept = ("inspector", "offline.kept")
        assert found == [("Ida", "offline"), kept, kept, ("Ida", "online")]
        line.checked()


def _edges(writes: list[list[int]]) -> list[tuple[str, str, str]]:
    """What changed from one write on the wire to the next, by a plain comparison of words, and in the words' order."""
    from plc.changes import Change, edges

    def packed(words: list[int]) -> bytes:
        return b"".join(word.to_bytes(2, "big") for word in words)

    found = []
    for old, new in pairwise(writes):
        found += [(e.name, e.before, e.after) for e in edges(Change(1, 0, "STAT", packed(old), packed(new)))]
    return found
