"""The only place that chooses parts and wires them: from a configuration to a running station."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

import structlog

from inspector.board import About, Board
from inspector.bundle.golden import limits_of, replay
from inspector.bundle.keys import load_key
from inspector.bundle.verify import VerifiedBundle, verify
from inspector.cameras.rendered import RenderedCamera
from inspector.config import AppConfig
from inspector.control import ControlServer
from inspector.core.clock import SystemClock
from inspector.core.errors import BundleError, ConfigError, ModelError
from inspector.core.types import Image, Inspection, JudgedBy, Limits, Mode
from inspector.failpoints import Failpoints
from inspector.frames import FrameGate
from inspector.health import WATCHED, Health, Watchdog
from inspector.line import Station, inspect_forever
from inspector.link import PlcLink
from inspector.model import OpenVinoModel, load_model
from inspector.sdnotify import notify
from inspector.sections import RenderedConfig
from inspector.store.images import ArchiveSettings, ImageArchive
from inspector.store.results import SqliteResults
from inspector.threads import DeviceThread
from plc.client import LinkConfig, PlcClient
from plc.handshake import Handshake, HandshakeConfig, HealthInput
from plc.registers import OfflineReason

log = structlog.get_logger(__name__)
HEALTH_PERIOD_S = 0.1
STATUS_PERIOD_S = 0.5
FINISH_S = 1.0  # how long a part in flight may still take at an orderly end


class Roi:
    """The region of the camera picture that is judged."""

    def __init__(self, x: int, y: int, width: int, height: int) -> None:
        self._rows, self._columns = slice(y, y + height), slice(x, x + width)

    def view(self, image: Image) -> Image:
        return image[self._rows, self._columns].copy()


@dataclass(slots=True)
class Running:
    """A station, and what tells others about it."""

    station: Station
    client: PlcClient
    health: Health
    board: Board
    archive: ImageArchive


async def run(cfg: AppConfig) -> None:
    """Run the station until SIGTERM or SIGINT; ends with ONLINE=0 in the PLC."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_station(cfg) as running:
        station, client, health = running.station, running.client, running.health
        watchdog = Watchdog(health)
        parts = {"camera": station.camera.alive, "store": station.results.alive}
        if station.model is not None:
            parts["model"] = station.model.alive
        async with asyncio.TaskGroup() as tasks:
            turning = [tasks.create_task(client.run(), name="plc")]
            turning += [tasks.create_task(watchdog.turn_forever(p, a), name=p) for p, a in parts.items()]
            turning.append(tasks.create_task(_tell_health(health, client, watchdog), name="health"))
            turning.append(tasks.create_task(_tell_status(running), name="status"))
            line = tasks.create_task(inspect_forever(station), name="line")
            notify("READY=1")
            await stop.wait()
            notify("STOPPING=1")
            client.handshake.stop(station.clock.monotonic_s())  # what is in flight becomes 4/110
            await _until_idle(client)
            await client.stop()
            for task in (*turning, line):
                task.cancel()


async def _until_idle(client: PlcClient) -> None:
    try:
        async with asyncio.timeout(FINISH_S):
            while client.handshake.current is not None:  # noqa: ASYNC110 - a state without an event
                await asyncio.sleep(0.01)
    except TimeoutError:
        log.warning("a part was still in flight at the end; its row is closed at the next start")


async def _tell_health(health: Health, client: PlcClient, watchdog: Watchdog) -> None:
    """Health to the PLC ten times a second; systemd is fed only while every thread turns."""
    errors_cleared = client.handshake.clear_errors
    while True:
        if client.handshake.clear_errors != errors_cleared:
            errors_cleared = client.handshake.clear_errors
            health.acknowledge()
        state = health.state()
        client.set_health(HealthInput(state.ready, state.offline_reason, state.error_code))
        if watchdog.all_turned_within(2.0):
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
        results = SqliteResults(cfg.paths.state / "results.db", cfg.station.id, clock, threads["store"])
        recovered = await results.start()
        stack.push_async_callback(results.close)
        log.info("store open", boot=recovered.boot, undecided=recovered.undecided, unstamped=recovered.unstamped)
        health = Health(clock, {p: w for p, w in WATCHED.items() if p != "model" or cfg.bundle is not None})
        bundle, model = await _open_model(cfg, threads["model"], health)
        if not isinstance(cfg.camera, RenderedConfig):
            raise ConfigError(f"camera kind {cfg.camera.kind} is not wired yet")
        camera = RenderedCamera(
            clock, threads["camera"], cfg.camera.exposure_us, grab_timeout_s=cfg.camera.grab_timeout_ms / 1000
        )
        limits = limits_of(bundle.manifest) if bundle else None
        client = PlcClient(_link_config(cfg), Handshake(_handshake_config(cfg), results.known))
        link = PlcLink(client, camera.simulated, cfg.recipe_number, limits=limits)
        archive = ImageArchive(_archive_settings(cfg, bundle), limits, noted=results.note_image)
        stack.callback(archive.close)
        judged_by = model.judged_by if model else JudgedBy(recipe=cfg.recipe_number)
        board = Board(
            _about(cfg, bundle, judged_by, limits, camera.simulated), clock, health, lambda: results.counts, link.state,
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

        station = Station(
            mode=cfg.station.mode, clock=clock, plc=link, camera=camera, gate=_gate(cfg, bundle), recipe=_roi(bundle),
            model=model, limits=limits, judged_by=judged_by,
            results=results, archive=archive, failpoint=Failpoints(cfg.test.failpoints), watch=watch,
        )  # fmt: skip
        yield Running(station, client, health, board, archive)


def _about(
    cfg: AppConfig, bundle: VerifiedBundle | None, by: JudgedBy, limits: Limits | None, simulated: bool
) -> About:
    return About(
        station=cfg.station.id, number=cfg.station.number, mode=str(cfg.station.mode),
        product=bundle.manifest.product if bundle else cfg.recipe.product, bundle_id=by.bundle_id,
        recipe=cfg.recipe.name, recipe_revision=by.recipe_revision, simulated=simulated, camera=cfg.camera.kind,
        limits=limits,
    )  # fmt: skip


async def _open_model(
    cfg: AppConfig, thread: DeviceThread, health: Health
) -> tuple[VerifiedBundle | None, OpenVinoModel | None]:
    """Verify, load, replay the golden pictures. What fails here latches NOT READY with a text; the daemon runs on."""
    if cfg.bundle is None:
        return None, None
    try:
        return await thread.call(_open_bundle, cfg, thread)
    except (BundleError, ConfigError, ModelError) as exc:
        health.latch(OfflineReason.MODEL, f"the bundle cannot be used: {exc}", "Install a bundle that this box trusts.")
        return None, None


def _open_bundle(cfg: AppConfig, thread: DeviceThread) -> tuple[VerifiedBundle, OpenVinoModel]:
    section = cfg.bundle
    if section is None:
        raise ConfigError("no [bundle]")
    keys = [load_key(text) for text in section.trusted_keys]
    target = cfg.paths.state / "bundles" / "active"
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)  # unpacked anew at every start, from the signed file
    bundle = verify(section.path, keys, target)
    _, _, width, height = bundle.manifest.view.roi
    judged_by = JudgedBy(bundle.manifest.bundle_id, cfg.recipe_number, 1, bundle.manifest.version)
    model = load_model(bundle, (height, width), threads=cfg.model.threads, judged_by=judged_by, thread=thread)
    replay(bundle, model.predict_blocking)
    return bundle, model


def _roi(bundle: VerifiedBundle | None) -> Roi:
    return Roi(*bundle.manifest.view.roi) if bundle else Roi(0, 0, 1 << 16, 1 << 16)


def _gate(cfg: AppConfig, bundle: VerifiedBundle | None) -> FrameGate:
    if bundle is None:
        return FrameGate(None, (0, 0, 0, 0), (), Mode.COLLECT)
    view = bundle.manifest.view
    size = (view.camera_height, view.camera_width)
    return FrameGate(size, view.roi, bundle.manifest.zones, cfg.station.mode)


def _archive_settings(cfg: AppConfig, bundle: VerifiedBundle | None) -> ArchiveSettings:
    return ArchiveSettings(
        pictures=cfg.paths.state / "pictures",
        previews=cfg.paths.run / "previews",
        keep_all=cfg.station.mode is Mode.COLLECT,
        roi=bundle.manifest.view.roi if bundle else None,
    )


def _link_config(cfg: AppConfig) -> LinkConfig:
    link, st = cfg.link, cfg.station
    return LinkConfig(
        host=link.host, port=link.port, unit_id=link.unit_id, word_order=link.word_order, ctrl_base=st.ctrl_base,
        stat_base=st.stat_base, diag_base=st.diag_base, ident_base=st.ident_base, poll_s=link.poll_ms / 1000,
        armed_poll_s=link.armed_poll_ms / 1000, request_timeout_s=link.request_timeout_ms / 1000,
        reconnect_min_s=link.reconnect_min_ms / 1000, reconnect_max_s=link.reconnect_max_ms / 1000,
        heartbeat_s=link.heartbeat_ms / 1000, two_phase=link.publish == "two_phase",
    )  # fmt: skip


def _handshake_config(cfg: AppConfig) -> HandshakeConfig:
    st = cfg.station
    return HandshakeConfig(
        st.number, st.max_trigger_age_ms / 1000, st.deadline_ms / 1000, st.ack_timeout_ms / 1000,
        cfg.link.heartbeat_timeout_ms / 1000, cfg.recipe_number, cfg.link.word_order,
    )  # fmt: skip
