"""The only place that chooses parts and wires them: from a configuration to a running station."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial

import structlog

from inspector.board import About, Board
from inspector.cameras.open import open_camera
from inspector.config import AppConfig
from inspector.control import ControlServer
from inspector.core.clock import SystemClock
from inspector.core.types import Inspection, Mode
from inspector.diagnostics import Diagnostics
from inspector.failpoints import Failpoints
from inspector.frames import FrameGate
from inspector.health import Health, Watchdog, watched
from inspector.judging import Judging, open_judging
from inspector.line import Station, inspect_forever
from inspector.link import PlcLink
from inspector.sdnotify import notify
from inspector.store.images import ArchiveSettings, ImageArchive
from inspector.store.results import SqliteResults
from inspector.store.shelf import Bounds
from inspector.threads import DeviceThread
from plc.client import ClientLink, LinkConfig
from plc.handshake import Handshake, HandshakeConfig, HealthInput
from plc.station import Link, StationPlace, StationPort

log = structlog.get_logger(__name__)
HEALTH_PERIOD_S = 0.1
STATUS_PERIOD_S = 0.5
DRIFTING = ("Parts are judged on; soon their pictures will be refused.", "Clean the lens, check lamps and focus.")
FINISH_S = 1.0  # how long a part in flight may still take at an orderly end


@dataclass(slots=True)
class Running:
    """A station, and what tells others about it."""

    station: Station
    link: Link
    client: StationPort
    health: Health
    board: Board
    archive: ImageArchive
    gate: FrameGate


async def run(cfg: AppConfig) -> None:
    """Run the station until SIGTERM or SIGINT; ends with ONLINE=0 in the PLC."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_station(cfg) as running:
        station, client, health = running.station, running.client, running.health
        watchdog = Watchdog(health, hang_after_s=cfg.health.hang_after_s)
        parts = {"camera": station.camera.alive, "store": station.results.alive}
        if station.model is not None:
            parts["model"] = station.model.alive
        async with asyncio.TaskGroup() as tasks:
            turning = [tasks.create_task(running.link.run(), name="plc")]
            turning += [tasks.create_task(watchdog.turn_forever(p, a), name=p) for p, a in parts.items()]
            turning.append(tasks.create_task(_tell_health(health, client, watchdog), name="health"))
            turning.append(tasks.create_task(_tell_status(running), name="status"))
            line = tasks.create_task(inspect_forever(station), name="line")
            notify("READY=1")
            await stop.wait()
            notify("STOPPING=1")
            client.handshake.stop(station.clock.monotonic_s())  # what is in flight becomes 4/110
            await _until_idle(client)
            await running.link.stop()
            for task in (*turning, line):
                task.cancel()


async def _until_idle(client: StationPort) -> None:
    try:
        async with asyncio.timeout(FINISH_S):
            while client.handshake.current is not None:  # noqa: ASYNC110 - a state without an event
                await asyncio.sleep(0.01)
    except TimeoutError:
        log.warning("a part was still in flight at the end; its row is closed at the next start")


async def _tell_health(health: Health, client: StationPort, watchdog: Watchdog) -> None:
    """Health to the PLC ten times a second; systemd is fed only while every thread turns."""
    hs = client.handshake
    errors_cleared = hs.clear_errors
    while True:
        if hs.clear_errors != errors_cleared:
            errors_cleared = hs.clear_errors
            health.acknowledge()
        if hs.wrong_accepts:
            health.wrongly_accepted(hs.wrong_accepts)
        state = health.state()
        client.set_health(HealthInput(state.ready, state.offline_reason, state.error_code))
        if watchdog.all_turned_within(watchdog.hang_after_s):
            notify("WATCHDOG=1")
        await asyncio.sleep(HEALTH_PERIOD_S)


async def _tell_status(running: Running) -> None:
    """Status to the screens; what is wrong with the archive or the PLC is an alarm there."""
    board, health = running.board, running.health
    while True:
        link, archive = board.link(), running.archive.state
        health.warn(
            "plc", None if link.ok else f"PLC: {link.text}", "No part is inspected; the PLC rejects all.",
            "Check the PLC, its program and the network cable; the link comes back by itself.",
        )  # fmt: skip
        health.warn(
            "archive", None if archive.ok else f"pictures are not kept: {archive.text}",
            "Parts are judged and recorded, but without pictures.", "Make room on the disk, or replace it.",
        )  # fmt: skip
        health.warn("light", running.gate.trend.text(), *DRIFTING)
        board.push("status", board.status())
        await asyncio.sleep(STATUS_PERIOD_S)


@asynccontextmanager
async def open_station(cfg: AppConfig) -> AsyncIterator[Running]:
    """Build everything in order; closes in reverse, even when half-built."""
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        threads = {name: DeviceThread(name) for name in ("store", "camera", "model")}
        for thread in threads.values():
            stack.callback(thread.close)
        cfg.paths.run.mkdir(parents=True, exist_ok=True)
        results = SqliteResults(
            cfg.paths.state / "results.db", cfg.station.id, clock, threads["store"],
            min_free_bytes=round(cfg.store.min_free_mb * 2**20),
        )  # fmt: skip
        recovered = await results.start()
        stack.push_async_callback(results.close)
        log.info("store open", boot=recovered.boot, undecided=recovered.undecided, unstamped=recovered.unstamped)
        health = Health(clock, watched(cfg.health.max_age_s, model=cfg.bundle is not None))
        judging = await open_judging(cfg, results.recipes, threads, health, clock)
        camera = await stack.enter_async_context(
            open_camera(cfg.camera, judging.recipe.camera, clock, threads["camera"], cfg.test.camera_faults)
        )
        place = StationPlace(
            Handshake(_handshake_config(cfg, judging), results.known), cfg.station.ctrl_base, cfg.station.stat_base,
            cfg.station.diag_base, cfg.station.ident_base, Diagnostics(recovered.boot, clock, cfg.paths.state),
        )  # fmt: skip
        connection = ClientLink(_link_config(cfg), [place])
        (client,) = connection.stations
        link = PlcLink(
            client, camera.simulated, judging.recipe.number, limits=judging.limits,
            anomaly_median=judging.anomaly_median,
        )  # fmt: skip
        failpoint = Failpoints(cfg.test.failpoints)
        client.loaded = partial(failpoint, "loaded")
        archive = ImageArchive(_archive_settings(cfg, judging), judging.limits, noted=results.note_image)
        stack.callback(archive.close)
        board = Board(
            _about(cfg, judging, camera.simulated), clock, health, lambda: results.counts, link.state,
            lambda: archive.state, cfg.paths.state,
        )  # fmt: skip
        control = ControlServer(
            cfg.paths.run / "control.sock", {"status": lambda *_: board.status(), "recent": lambda *_: board.recent()}
        )
        await control.start()
        stack.push_async_callback(control.close)
        board.push = control.push

        def watch(done: Inspection, error: BaseException | None) -> None:
            health.saw(done, error)
            board.saw(done)

        gate = judging.gate(cfg.station.mode)
        station = Station(
            mode=cfg.station.mode, clock=clock, plc=link, camera=camera, gate=gate,
            recipe=judging.recipe, model=judging.model, limits=judging.limits, judged_by=judging.judged_by,
            results=results, archive=archive, failpoint=failpoint, watch=watch,
        )  # fmt: skip
        yield Running(station, connection, client, health, board, archive, gate)


def _about(cfg: AppConfig, judging: Judging, simulated: bool) -> About:
    by, recipe = judging.judged_by, judging.recipe
    return About(
        station=cfg.station.id, number=cfg.station.number, mode=str(cfg.station.mode),
        product=recipe.product or cfg.recipe.product, bundle_id=by.bundle_id, recipe=recipe.name or cfg.recipe.name,
        recipe_revision=by.recipe_revision, simulated=simulated, camera=cfg.camera.kind, limits=judging.limits,
        recipe_number=by.recipe,
    )  # fmt: skip


def _archive_settings(cfg: AppConfig, judging: Judging) -> ArchiveSettings:
    section = cfg.archive
    return ArchiveSettings(
        pictures=cfg.paths.state / "pictures",
        previews=cfg.paths.run / "previews",
        bounds=Bounds(*(round(gb * 1e9) for gb in (section.max_gb, section.min_free_gb, section.sample_gb))),
        pass_share=section.pass_share,
        keep_all=cfg.station.mode is Mode.COLLECT,
        roi=judging.recipe.roi,
    )


def _link_config(cfg: AppConfig) -> LinkConfig:
    link = cfg.link
    return LinkConfig(
        host=link.host, port=link.port, unit_id=link.unit_id, word_order=link.word_order,
        poll_s=link.poll_ms / 1000, armed_poll_s=link.armed_poll_ms / 1000,
        request_timeout_s=link.request_timeout_ms / 1000,
        reconnect_min_s=link.reconnect_min_ms / 1000, reconnect_max_s=link.reconnect_max_ms / 1000,
        heartbeat_s=link.heartbeat_ms / 1000, two_phase=link.publish == "two_phase", transport=link.carrier,
    )  # fmt: skip


def _handshake_config(cfg: AppConfig, judging: Judging) -> HandshakeConfig:
    st = cfg.station
    return HandshakeConfig(
        st.number, st.max_trigger_age_ms / 1000, st.deadline_ms / 1000, st.ack_timeout_ms / 1000,
        cfg.link.heartbeat_timeout_ms / 1000, judging.recipe.number, cfg.link.word_order,
        settings_checksum=judging.settings_checksum,
    )  # fmt: skip
