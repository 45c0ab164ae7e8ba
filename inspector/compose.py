"""The only place that chooses parts and wires them: from a configuration to a running box."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial

import structlog

from inspector.alarm_keeper import AlarmKeeper, conditions_of
from inspector.backup.places import require_whole
from inspector.board import Message, recent_of, status_of_box
from inspector.changeover import obey_forever
from inspector.config import AppConfig
from inspector.control import ControlServer, Handler
from inspector.controls import Controls, all_offline
from inspector.core.alarm_kinds import Kind
from inspector.core.clock import SystemClock
from inspector.core.errors import StoreError
from inspector.count_commands import count_handlers
from inspector.dry_run import DryRun
from inspector.failpoints import Failpoints
from inspector.health import Watchdog
from inspector.judging import Judges
from inspector.line import inspect_forever
from inspector.looking import look_method
from inspector.plc_links import open_link
from inspector.retention import Retention, RetentionSettings
from inspector.sdnotify import notify
from inspector.stations import Begun, Running, Shared, begin_station, finish_station
from inspector.store.claims import RecordClaims
from inspector.store.filing import Filing
from inspector.store.images import ArchiveSettings, ImageArchive
from inspector.store.journal import Journal
from inspector.store.record_files import RecordFiles
from inspector.store.shelf import Bounds
from inspector.support.daemon import support_view
from inspector.threads import DeviceThread
from inspector.upkeep.trends import FILE as HEALTH_DB
from inspector.upkeep.trends import TrendBook
from inspector.upkeep.watch import Upkeep
from plc.station import Link

log = structlog.get_logger(__name__)
WATCHDOG_PERIOD_S = 0.1
STATUS_PERIOD_S = 0.5
FINISH_S = 1.0  # how long a part in flight may still take at an orderly end


@dataclass(slots=True)
class Box:
    """All that runs in one daemon."""

    shared: Shared
    stations: tuple[Running, ...]
    links: tuple[Link, ...]
    archive: ImageArchive
    filing: Filing
    retention: Retention
    alarms: AlarmKeeper
    upkeep: Upkeep
    control: ControlServer

    def status(self) -> Message:
        """What the page is told; `alarms` is what is wrong now, `alarm_list` what people have to see to."""
        status = status_of_box([running.board for running in self.stations])
        return {**status, "alarm_list": self.alarms.told()}


async def run(cfg: AppConfig) -> None:
    """Run the box until SIGTERM or SIGINT; ends with ONLINE=0 in every PLC."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with open_box(cfg) as box:
        watchdog = Watchdog(box.stations[0].health, hang_after_s=cfg.health.hang_after_s)
        async with asyncio.TaskGroup() as tasks:
            turning = [tasks.create_task(link.run(), name="plc") for link in box.links]
            turning += _watch(cfg, box, watchdog, tasks)
            turning.append(tasks.create_task(_feed_systemd(watchdog), name="watchdog"))
            turning.append(tasks.create_task(_tell_status(box), name="status"))
            turning.append(tasks.create_task(box.filing.run_forever(), name="filing"))
            turning.append(tasks.create_task(box.retention.run_forever(), name="retention"))
            turning.append(tasks.create_task(box.alarms.look_forever(), name="alarms"))
            turning.append(tasks.create_task(box.upkeep.run_forever(), name="upkeep"))
            for running in box.stations:
                turning.append(tasks.create_task(running.tell_health_forever(), name="health"))
                turning.append(tasks.create_task(obey_forever(running), name="commands"))
                turning.append(tasks.create_task(inspect_forever(running.station), name="line"))
            notify("READY=1")
            await stop.wait()
            notify("STOPPING=1")
            for running in box.stations:  # what is in flight becomes 4/110
                running.port.handshake.stop(box.shared.clock.monotonic_s())
            await _until_idle(box.stations)
            await asyncio.gather(*(link.stop() for link in box.links))
            for running in box.stations:
                running.note_reactions()
            for task in turning:
                task.cancel()


def _watch(cfg: AppConfig, box: Box, watchdog: Watchdog, tasks: asyncio.TaskGroup) -> list[asyncio.Task[None]]:
    """Store and model are everybody's; a camera is its station's alone."""
    healths = [running.health for running in box.stations]
    turns = [watchdog.turn_forever("store", box.shared.journal.alive, healths)]
    if cfg.bundle is not None:
        turns.append(watchdog.turn_forever("model", box.shared.judges.alive, healths))
    for running in box.stations:
        camera, key = running.station.camera, f"camera of {running.section.id}"
        turns.append(watchdog.turn_forever("camera", camera.alive, [running.health], key))
    return [tasks.create_task(turn, name="turn") for turn in turns]


async def _until_idle(stations: Sequence[Running]) -> None:
    try:
        async with asyncio.timeout(FINISH_S):
            while any(s.port.handshake.current is not None for s in stations):  # noqa: ASYNC110 - a state
                await asyncio.sleep(0.01)
    except TimeoutError:
        log.warning("a part was still in flight at the end; its row is closed at the next start")


async def _feed_systemd(watchdog: Watchdog) -> None:
    """Only while every thread turns."""
    while True:
        if watchdog.all_turned_within(watchdog.hang_after_s):
            notify("WATCHDOG=1")
        await asyncio.sleep(WATCHDOG_PERIOD_S)


async def _tell_status(box: Box) -> None:
    """Status to the screens; what is wrong with the archive or the PLC is an alarm there."""
    first = box.stations[0]
    while True:
        archive = box.archive.state
        first.health.warn(Kind.ARCHIVE, None if archive.ok else {"detail": archive.text})
        broken = ", ".join(box.shared.journal.broken)
        _tell_broken(box, broken)
        first.health.warn(Kind.FILING, None if box.filing.fault is None else {"detail": str(box.filing.fault)})
        box.retention.warn(first.health)
        for running in box.stations:
            running.warn()
        first.board.push("status", box.status())
        for running in box.stations:  # what the PLC counted goes to the store, which takes a moment: after it was told
            running.results.turn()
        await asyncio.sleep(STATUS_PERIOD_S)


def _tell_broken(box: Box, files: str) -> None:
    """A record that broke lies there still: which, and how much of it came back."""
    health, regained = box.stations[0].health, box.filing.regained
    if files and regained is not None:
        until = f"{datetime.fromtimestamp(regained.copied_utc_ms / 1000, UTC):%Y-%m-%d %H:%M} UTC"
        health.warn(Kind.BROKEN_RECORD_REGAINED, {"files": files, "count": regained.rows, "until": until})
    else:
        health.warn(Kind.BROKEN_RECORD, {"files": files} if files else None)


@asynccontextmanager
async def open_box(cfg: AppConfig) -> AsyncIterator[Box]:
    """Build everything in order; closes in reverse, even when half-built."""
    clock = SystemClock()
    require_whole(cfg.paths.state)
    async with AsyncExitStack() as stack:
        threads = {name: DeviceThread(name) for name in ("store", "model", "loader", "filing", "look", "retention")}
        for thread in threads.values():
            stack.callback(thread.close)
        cfg.paths.run.mkdir(parents=True, exist_ok=True)
        journal = Journal(
            cfg.paths.state / "results.db", clock, threads["store"],
            min_free_bytes=round(cfg.store.min_free_mb * 2**20),
        )  # fmt: skip
        recovered = await journal.start()
        stack.push_async_callback(_close, journal)
        log.info("store open", boot=recovered.boot, undecided=recovered.undecided, unstamped=recovered.unstamped)
        filing = Filing(journal, clock, threads["filing"])
        stack.callback(filing.close)
        judges = Judges(cfg, journal.recipes, threads, clock)
        shared = Shared(cfg, clock, journal, threads["store"], judges, Failpoints(cfg.test.failpoints))
        begun = [await begin_station(section, shared, stack) for section in cfg.stations]
        claims = RecordFiles(journal.path)
        stack.callback(claims.forget)
        note = begun[0].results.note_image
        archive = ImageArchive(_archive_settings(cfg), noted=note, claims=RecordClaims(claims, journal.holds))
        stack.callback(archive.close)
        retention = Retention(
            _retention_settings(cfg), journal, begun[0].results, archive, filing, clock, threads["retention"]
        )
        stack.callback(retention.close)
        links, stations = _linked(cfg, begun, archive)
        alarms = AlarmKeeper(clock, journal, conditions_of({s.section.id: s.health for s in stations}))
        await alarms.recall()
        trends = TrendBook(cfg.paths.state / HEALTH_DB)
        upkeep = Upkeep(
            cfg, clock, stations, trends, DeviceThread("upkeep"), DeviceThread("backups"), lambda: retention.damaged
        )  # fmt: skip
        stack.callback(upkeep.close)
        boards = [running.board for running in stations]
        dry_run = DryRun(cfg, partial(all_offline, stations))
        stack.push_async_callback(dry_run.close)
        control = ControlServer(
            cfg.paths.run / "control.sock",
            _all_of(
                {
                    "status": lambda *_: box.status(),
                    "recent": lambda params, _: recent_of(boards, str(params.get("station", ""))),
                    "look": look_method(stations, threads["look"]), "support": lambda *_: support_view(stations),
                },
                alarms.handlers(), retention.handlers(), Controls(stations, dry_run).handlers(),
                count_handlers(stations),
            ),
            journal.command,
        )  # fmt: skip
        box = Box(shared, stations, links, archive, filing, retention, alarms, upkeep, control)
        await control.start()
        stack.push_async_callback(control.close)
        for board in boards:
            board.push = control.push
        yield box


def _all_of(*parts: Mapping[str, Handler]) -> dict[str, Handler]:
    """One table of commands; of two that bear one name one would be done in place of the other."""
    found: dict[str, Handler] = {}
    for part in parts:
        if twice := found.keys() & part.keys():
            raise ValueError(f"two commands are called {', '.join(sorted(twice))}")
        found |= part
    return found


def _linked(
    cfg: AppConfig, begun: Sequence[Begun], archive: ImageArchive
) -> tuple[tuple[Link, ...], tuple[Running, ...]]:
    """Each link with its stations; the stations in the order of the configuration."""
    links: list[Link] = []
    running: dict[str, Running] = {}
    for section in cfg.plc.links:
        here = [station for station in begun if cfg.link_of(station.section) is section]
        link = open_link(section, [station.place() for station in here])
        links.append(link)
        for station, port in zip(here, link.stations, strict=True):
            running[station.section.id] = finish_station(station, port, archive)
    return tuple(links), tuple(running[section.id] for section in cfg.stations)


async def _close(journal: Journal) -> None:
    """Bounded; what cannot be done in time is settled at the next start."""
    try:
        await journal.close()
    except (StoreError, TimeoutError) as exc:
        log.error("record not closed in order", error=str(exc))


def _archive_settings(cfg: AppConfig) -> ArchiveSettings:
    return ArchiveSettings(
        pictures=cfg.paths.state / "pictures",
        previews=cfg.paths.run / "previews",
        bounds=bounds_of(cfg),
        pass_share=cfg.archive.pass_share,
    )


def bounds_of(cfg: AppConfig) -> Bounds:
    """How much room pictures may take, and when they give way."""
    section = cfg.archive
    marks = (section.begin_free_gb, section.stop_free_gb)
    return Bounds(
        *(round(gb * 1e9) for gb in (section.max_gb, section.min_free_gb, section.sample_gb)),
        *(None if gb is None else round(gb * 1e9) for gb in marks),
    )


def _retention_settings(cfg: AppConfig) -> RetentionSettings:
    return RetentionSettings(
        cfg.paths.state / "pictures", cfg.paths.state / "set-aside", bounds_of(cfg), cfg.archive.set_aside_days,
        round(cfg.store.min_free_mb * 2**20),
    )  # fmt: skip
