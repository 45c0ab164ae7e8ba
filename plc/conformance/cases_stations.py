"""Section 8, test 62: eight stations share one connection, or one address, while their PLC is slow."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from plc.client import ClientLink, LinkConfig
from plc.conformance.appliance import ApplianceSettings
from plc.conformance.bench import Bench
from plc.conformance.case import APPLIANCE
from plc.fault_proxy import FaultProxy
from plc.handshake import Handshake
from plc.parts import HandshakeConfig, HealthInput, Record
from plc.registers import IDENT, STAT, OfflineReason, Reason, Verdict
from plc.server import ModbusServer
from plc.server_link import ServerConfig, ServerLink
from plc.sim import SimConfig, SimPlc
from plc.sim_client import SimClientPlc
from plc.station import SPAN, Link, StationPlace, StationPort

LOCAL, STATIONS, RATE_HZ = "127.0.0.1", 8, 20.0
SCAN_S, ANSWER_S = 0.02, 0.002  # a slow program, and a slow communication processor
BEAT_S = 1.5  # a heartbeat every 100 ms; these cores are others' too, so this is no bar of time (make bench has it)
LOOK_S = 0.005
MIN_GOOD = 0.5  # of the good parts: one that rejects all is no inspection either


@APPLIANCE.case("62", needs="judge", started=False)
async def eight_stations_on_a_slow_plc_keep_their_heartbeats_and_each_has_its_own_verdicts(bench: Bench) -> None:
    seconds = bench.of_profile(6, 30, 600)
    async with _eight(bench) as plcs:
        beats = _Beats(plcs)
        for plc in plcs:
            came = await plc.wait_ready(15)
            bench.steps.check(f"station {plc.cfg.number}", "READY", f"OFFLINE_REASON {_why(plc)}", came)
        watching = asyncio.create_task(beats.watch(), name="heartbeats")
        stopping = asyncio.get_running_loop().call_later(seconds, _stop, plcs)
        try:
            await asyncio.gather(*(plc.play(itertools.count(100), 1 / RATE_HZ) for plc in plcs))
        finally:
            stopping.cancel()
            watching.cancel()
            await asyncio.gather(watching, return_exceptions=True)
    for plc in plcs:
        _judge(bench, plc)
    bench.steps.check(
        f"{STATIONS} stations for {seconds:g} s, a scan of {1000 * SCAN_S:g} ms",
        f"no heartbeat stands for {BEAT_S:g} s", f"the longest {beats.longest_s:.2f} s", beats.longest_s < BEAT_S,
    )  # fmt: skip


def _judge(bench: Bench, plc: SimPlc) -> None:
    """Raises CaseFailed."""
    results = [result for result in plc.results if result.edge_s]
    good = [r for r in results if r.part_id % 2 == 0]
    wrong = [r.part_id for r in results if r.verdict == "good" and r.part_id % 2]
    passed = sum(r.verdict == "good" for r in good)
    told = f"{len(results)} parts, {passed} of {len(good)} good ones passed, wrongly accepted {wrong}"
    what = f"parts at station {plc.cfg.number}"
    bench.steps.check(what, "none wrongly accepted", told, bool(results) and not wrong)
    bench.steps.check(what, f"at least {MIN_GOOD:.0%} of the good ones pass", told, passed >= MIN_GOOD * len(good))


def _stop(plcs: Sequence[SimPlc]) -> None:
    for plc in plcs:
        plc.stopping = True


def _why(plc: SimPlc) -> int:
    return plc.stat()["OFFLINE_REASON"]


class _Beats:
    """How long a heartbeat stood still, as the PLC sees it."""

    def __init__(self, plcs: Sequence[SimPlc]) -> None:
        self._plcs, self.longest_s = plcs, 0.0

    async def watch(self) -> None:
        seen = {plc.cfg.number: (-1, time.monotonic()) for plc in self._plcs}
        while True:
            now = time.monotonic()
            for plc in self._plcs:
                beat, since_s = seen[plc.cfg.number]
                self.longest_s = max(self.longest_s, now - since_s)
                if (newest := plc.stat()["HEARTBEAT"]) != beat:
                    seen[plc.cfg.number] = newest, now
            await asyncio.sleep(LOOK_S)


@asynccontextmanager
async def _eight(bench: Bench) -> AsyncIterator[list[SimPlc]]:
    """A slow PLC with eight programs, and our link with a null judge for each: even parts pass."""
    settings, numbers = bench.here.settings, range(1, STATIONS + 1)
    places = [_place(number, settings) for number in numbers]
    if bench.direction == "client":
        first = SimPlc(_slow(1))
        plcs = [first, *(SimPlc(_slow(n), beside=first, base=(n - 1) * SPAN) for n in numbers[1:])]
        await first.start()
        proxy = FaultProxy((LOCAL, first.port))
        await proxy.start()
        proxy.replies.delay_s = ANSWER_S
        link: Link = ClientLink(LinkConfig(host=LOCAL, port=proxy.port, request_timeout_s=1.0), places)
        try:
            async with _judged(link):
                yield plcs
        finally:
            await proxy.close()
            await first.close()
        return
    serving = ServerLink(ServerConfig(LOCAL, 0, (LOCAL,), max_connections=STATIONS, comm_timeout_s=BEAT_S), places)
    scanning: list[SimPlc] = [SimClientPlc(_slow(n)) for n in numbers]
    async with _judged(serving):
        await serving.listening.wait()
        port = serving.server.port if isinstance(serving.server, ModbusServer) else 0
        for plc in scanning:
            await plc.start(LOCAL, port)
        try:
            yield scanning
        finally:
            for plc in scanning:
                await plc.close()


def _slow(number: int) -> SimConfig:
    return SimConfig(
        number, scan_s=SCAN_S, ack_timeout_s=1.0, result_timeout_s=2.0, heartbeat_timeout_s=BEAT_S, ready_timeout_s=2.0
    )


def _place(number: int, settings: ApplianceSettings) -> StationPlace:
    cfg = HandshakeConfig(
        number, settings.max_trigger_age_s, settings.deadline_s, settings.ack_timeout_s, BEAT_S, settings.recipe
    )
    first = (number - 1) * SPAN
    handshake = Handshake(cfg, lambda id_: False)
    return StationPlace(handshake, first, first + STAT.base, first + 100, first + IDENT.base)


@asynccontextmanager
async def _judged(link: Link) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(link.run(), name="link")]
    tasks += [asyncio.create_task(_inspect_forever(port), name="line") for port in link.stations]
    try:
        yield
    finally:
        await link.stop()
        for task in tasks:
            task.cancel()
        for error in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(error, Exception):
                raise error


async def _inspect_forever(port: StationPort) -> None:
    port.set_health(HealthInput(True, OfflineReason.NONE))
    while True:
        part = await port.next()
        if part.refused is not None:
            record = Record(int(Verdict.NOT_INSPECTED), part.refused)
        elif part.part_id % 2 == 0:
            record = Record(int(Verdict.PASS), Reason.NONE, recipe_used=1)
        else:
            record = Record(int(Verdict.FAIL), Reason.CLASS, recipe_used=1)
        await port.publish(part, record)
