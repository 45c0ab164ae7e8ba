"""`inspector-plc monitor` on real Modbus: it reads, tells, reconnects, and never writes."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from plc.monitor import Monitor
from plc.observer import Edge
from plc.registers import DEVICE, SIGNATURE, STAT
from plc.server import Memory, RegisterServer
from plc.server_link import ServerConfig, ServerLink
from plc.sim import SimConfig, SimPlc
from plc.sim_client import SimClientPlc
from plc.target import parse_target
from tests.support.judging import judged
from tests.support.links import LONG_S, judging, place
from tests.support.plc_command import plc_command

pytestmark = pytest.mark.system
LONG = SimConfig(ack_timeout_s=20, result_timeout_s=30, heartbeat_timeout_s=20, ready_timeout_s=60)
MONITOR = (sys.executable, "-m", "plc.cli", "monitor")


async def monitor(*arguments: str) -> tuple[int, str, str]:
    return await plc_command("monitor", *arguments)


async def scanning(sim: SimPlc, part_id: int = 2) -> None:
    while True:
        await sim.play([part_id], 0.1)


def names_of(told: list[dict[str, Any]], kind: Any = set) -> Any:
    """Of the edges that were told so far."""
    return kind(edge["name"] for edge in told[1:])


async def scanned_until(sim: SimPlc, true: Callable[[], bool]) -> None:
    """The PLC's program goes on meanwhile."""
    async with asyncio.timeout(LONG_S):
        while not true():
            await sim.idle_for(0.02)


@contextlib.asynccontextmanager
async def told_by_monitor(told: list[dict[str, Any]], *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A monitor that goes on; its lines come to `told`. It ends as by Ctrl-C."""
    process = await asyncio.create_subprocess_exec(
        *MONITOR, *arguments, stdout=asyncio.subprocess.PIPE, limit=2**20,
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a shell's background job ignores it
    )  # fmt: skip
    out = process.stdout
    assert out is not None

    async def hear() -> None:
        async for line in out:
            told.append(json.loads(line))

    hearing = asyncio.create_task(hear(), name="monitor's lines")
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.wait()
        await hearing
    assert process.returncode == 0


async def test_once_as_json_holds_both_images_by_name_and_only_ever_read():
    async with judged(SimPlc(replace(LONG, lot="L1"))) as (sim, appliance):
        assert await sim.wait_ready(LONG_S)
        await sim.play([2])
        await appliance.link.stop()  # from now on nobody but the monitor asks
        sim.server.requests, sim.server.writes, functions = 0, 0, []
        answer = sim.server.answer
        sim.server.answer = lambda body: (functions.append(body[0]), answer(body))[1]  # type: ignore[method-assign]
        beating = asyncio.create_task(sim.idle_for(600))
        code, out, _ = await monitor(f"127.0.0.1:{sim.port}", "--once", "--json")
        beating.cancel()
        await asyncio.gather(beating, return_exceptions=True)
    found = json.loads(out)
    assert code == 0
    assert found["is"] == "a simulated PLC's memory (client direction)" and found["problem"] == ""
    assert (found["stat"]["RES_TRIGGER_ID"], found["stat"]["RESULT_CODE"]) == (1, 1)
    assert found["ctrl"]["CONTROL"] == ["TRIGGER_ENABLE"] and found["ctrl"]["PART_ID"] == 2
    assert found["plc_heartbeat_moves"] is True and found["appliance_heartbeat_moves"] is False
    assert found["alarms"] == ["appliance is not ONLINE", "not READY: 2 set offline"]
    assert found["rtt_ms"]["p99"] > 0
    assert sim.server.writes == 0 and set(functions) == {3}, "it reads, with function 3, and nothing else"


async def test_the_screen_printed_once_names_what_is_there():
    async with judged() as (sim, _):
        assert await sim.wait_ready(LONG_S)
        playing = asyncio.create_task(scanning(sim))
        code, out, _ = await monitor(f"127.0.0.1:{sim.port}", "--once")
        playing.cancel()
        await asyncio.gather(playing, return_exceptions=True)
    assert code == 0
    for word in ("TRIGGER_ENABLE", "STAT_SIGNATURE", "0xA101", "round trip p50", "heartbeats: PLC", "RES_SEQ"):
        assert word in out, word


async def test_edges_are_told_one_a_line_as_json_with_the_images_first():
    """Each part waits until the record of the one before was told: one that is held up misses none."""
    wanted = {"LINK", "TRIGGER_ID", "STATUS.TRIGGER_ACK", "RES_SEQ", "PLC_VERDICT_ID", "CONTROL.RESULTS_ACK"}
    told: list[dict[str, Any]] = []
    async with judged(SimPlc(replace(LONG, scan_s=0.05))) as (sim, _):  # so long stands each bit of the handshake
        assert await sim.wait_ready(LONG_S)
        async with told_by_monitor(told, f"127.0.0.1:{sim.port}", "--json", "--interval-ms", "2") as process:
            await scanned_until(sim, lambda: "LINK" in names_of(told))
            while not wanted <= names_of(told) or names_of(told, list).count("RES_SEQ") < 5:
                before = names_of(told, list).count("RES_SEQ")
                await sim.play([2], 0.1)
                await scanned_until(sim, lambda before=before: names_of(told, list).count("RES_SEQ") > before)
            assert process.returncode is None, "it goes on until it is ended"
    first, *edges = told
    assert first["kind"] == "images"
    records = [edge["after"] for edge in edges if edge["name"] == "RES_SEQ"]
    assert records == list(range(records[0], records[0] + len(records))), "one after another, none twice"
    assert [edge["at"] for edge in edges] == sorted(edge["at"] for edge in edges)


async def test_nobody_there_and_no_signature_are_said_in_words_with_status_1(free_port):
    code, out, err = await monitor(f"127.0.0.1:{free_port}", "--once")
    assert (code, out) == (1, "") and f"nothing to see at 127.0.0.1:{free_port}" in err
    server = RegisterServer(Memory())
    await server.start()
    try:
        code, out, _ = await monitor(f"127.0.0.1:{server.port}", "--once")
        assert code == 1 and "no signature of station 1: SIGNATURE at 15 is 0x0000" in " ".join(out.split())
        code, out, err = await monitor(f"127.0.0.1:{server.port}", "--seconds", "0.5")
        assert code == 1 and "no signature of station 1" in err
        code, _, err = await monitor(f"127.0.0.1:{server.port}", "--once", "--ctrl-base", "3000")
        assert code == 1 and "exception 2" in err
    finally:
        await server.close()


def test_a_wrong_address_is_a_usage_error():
    done = subprocess.run([*MONITOR, "nowhere:port", "--once"], capture_output=True, text=True, timeout=240)
    assert done.returncode == 2 and "is no HOST:PORT" in done.stderr


async def test_an_appliance_that_serves_is_called_one_and_blocks_may_lie_anywhere():
    memory = Memory()
    memory.words[DEVICE.base], memory.words[DEVICE.base + 4 : DEVICE.base + 6] = SIGNATURE, [0x1234, 0x5678]
    memory.words[1015], memory.words[1100 + STAT["STAT_SIGNATURE"].offset] = 0x51A3, SIGNATURE + 3
    server = RegisterServer(memory)
    await server.start()
    try:
        target = f"127.0.0.1:{server.port}", "--station", "3", "--ctrl-base", "1000", "--stat-base", "1100"
        code, out, _ = await monitor(*target, "--once", "--json")
    finally:
        await server.close()
    found = json.loads(out)
    assert (code, found["problem"]) == (0, "")
    assert found["is"] == "an appliance that serves (server direction)"


async def test_the_server_direction_is_watched_beside_the_plc_and_never_in_its_way():
    patient = {"deadline_s": 20.0, "max_trigger_age_s": 20.0, "heartbeat_timeout_s": 20.0}
    link = ServerLink(ServerConfig(port=0, comm_timeout_s=20), [place(**patient)])
    async with judging(link):
        await link.listening.wait()
        plc = SimClientPlc(LONG)
        await plc.start(port=link.server.port)
        assert await plc.wait_ready(LONG_S)
        watching = asyncio.create_task(monitor(f"127.0.0.1:{link.server.port}", "--once", "--json"))
        await plc.play([100, 101], 0.1)
        while not watching.done():  # its start takes seconds where others use the cores
            await plc.play([100, 101], 0.1)
        code, out, _ = await watching
        await plc.close()
    found = json.loads(out)
    assert (code, found["problem"], found["is"]) == (0, "", "an appliance that serves (server direction)")
    assert found["plc_heartbeat_moves"] and found["appliance_heartbeat_moves"]
    assert [r.verdict for r in plc.results] == ["good", "reject"] * (len(plc.results) // 2)
    assert plc.refused == 0


async def test_it_connects_again_by_itself_and_says_when_the_link_was_gone():
    sim = SimPlc()
    await sim.start()
    watch = Monitor(parse_target(f"127.0.0.1:{sim.port}", 1, None, None, None, 1, "big"), 0.005)
    edges: list[Edge] = []
    looking = asyncio.create_task(watch.look_forever(edges.append))
    try:
        await until(lambda: watch.connected)
        await sim.server.drop_connections()
        await until(lambda: watch.view().trouble.startswith("NOT CONNECTED: these are the last values, read at "))
        await sim.play([])
        await until(lambda: watch.connected)
    finally:
        watch.stopping.set()
        await looking
        await sim.close()
    links = [(edge.before, edge.after) for edge in edges if edge.name == "LINK"]
    assert links == [(0, 1), (1, 0), (0, 1)]
    assert watch.observer.newest is not None


async def until(true, within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not true():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
