"""One station of a box: built from its section and from what all stations share, and what it tells of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from functools import partial

import structlog

from inspector.board import About, Board
from inspector.cameras.open import open_camera
from inspector.clock_sync import ClockWatch
from inspector.config import AppConfig
from inspector.core.alarm_kinds import Kind
from inspector.core.errors import StoreError
from inspector.core.ports import Camera, Clock
from inspector.core.types import Inspection, Mode
from inspector.diagnostics import Diagnostics
from inspector.failpoints import Failpoints
from inspector.frames import FrameGate
from inspector.health import Health, watched
from inspector.judging import FROM_CONFIG, Judges, Judging, open_judging
from inspector.line import Station
from inspector.link import PlcLink
from inspector.part_check import PartCheck
from inspector.plc_links import handshake_config, place_of
from inspector.sections import StationConfig
from inspector.store.images import ImageArchive, StationArchive, View
from inspector.store.journal import Journal
from inspector.store.offline_book import TakenOffline
from inspector.store.results import SqliteResults
from inspector.threads import DeviceThread
from inspector.upkeep.watch import LostFrames
from inspector.wrong_accepts import WrongAcceptNotes
from plc.commands import CommandRequest
from plc.handshake import Handshake, HealthInput
from plc.station import StationPlace, StationPort

log = structlog.get_logger(__name__)
HEALTH_PERIOD_S = 0.1
PLC, DAEMON = "plc", "inspector"  # the actors of what the PLC does, and of what a start does by itself


@dataclass(slots=True)
class Shared:
    """What the stations of a box have in common."""

    cfg: AppConfig
    clock: Clock
    journal: Journal
    store: DeviceThread
    judges: Judges
    failpoint: Failpoints
    clock_unsynced: Callable[[], bool] = field(default_factory=ClockWatch)


@dataclass(slots=True)
class Begun:
    """A station before it has its link: all that does not need one."""

    section: StationConfig
    shared: Shared
    results: SqliteResults
    health: Health
    judging: Judging
    camera: Camera
    handshake: Handshake
    offline_by: str = ""  # who took it Offline in a former life

    def place(self) -> StationPlace:
        shared = self.shared
        diag = Diagnostics(shared.journal.boot, shared.clock, shared.cfg.paths.state)
        return place_of(self.section, self.handshake, diag)


@dataclass(slots=True)
class Running:
    """A station at work, and what tells others about it."""

    section: StationConfig
    shared: Shared
    station: Station
    port: StationPort
    link: PlcLink
    health: Health
    board: Board
    view: StationArchive
    judging: Judging
    gate: FrameGate
    wrong_accepts: WrongAcceptNotes
    results: SqliteResults
    part_check: PartCheck
    offline_by: str = ""  # who set it Offline on the page; "": nobody
    forced_by: str = ""  # who forced the newest value
    lost: LostFrames = field(default_factory=LostFrames)
    _gaps_seen: int = 0  # lost triggers that a person took note of

    def take(self, judging: Judging) -> None:
        """From the next part on `judging` judges: gate, recipe, limits and record swapped together, between awaits."""
        gate = judging.gate(self.section.mode)
        gate.follow(self.gate)
        self.judging, self.gate, self.station.judge = judging, gate, judging.judge(gate)
        self.link.judged_with(judging.recipe.number, judging.limits, judging.anomaly_median)
        self.view.view = view_of(self.section, judging)
        self.board.about = about_of(self.shared.cfg, self.section, judging, self.station.camera.simulated)

    def tell_health(self) -> None:
        """Health to the PLC; what the PLC says of its own doings to health."""
        hs, health = self.port.handshake, self.health
        health.wrongly_accepted(self.wrong_accepts.to_show(hs.wrong_parts))
        health.warn(Kind.TEST_PART, {} if hs.test_part_expired else None)
        state = health.state()
        self.port.set_health(
            HealthInput(
                state.ready, state.offline_reason, state.error_code,
                storage_warn=not self.view.archive.state.ok, clock_unsynced=self.shared.clock_unsynced(),
            )
        )  # fmt: skip

    @property
    def name(self) -> str:
        return self.section.id

    def figures(self) -> tuple[int, float | None, dict[str, float] | None]:
        """As upkeep.watch.Tended has it."""
        lost = self.lost.within_an_hour(self.shared.clock.monotonic_s())
        light = dict(self.gate.trend.places) if self.gate.watches_light else None
        return lost, self.station.camera.temperature_c, light

    def acknowledged(self) -> None:
        """The PLC said CLEAR_ERROR. A record that cannot be written holds nothing up: it takes READY by itself."""
        journal = self.shared.journal
        journal.note(PLC, "plc.clear_error", self.section.id)
        if self.wrong_accepts or self.health.wrong:
            journal.submit(journal.wrong_accepts.acknowledge, self.section.id, int(self.shared.clock.utc_s() * 1000))
        self.wrong_accepts.forget()
        self._gaps_seen = self.port.handshake.counts["ID_GAPS"]
        self.health.acknowledge()

    def note_reactions(self) -> None:
        """What the PLC did after results goes to their rows; no part waits for that."""
        if reactions := self.port.handshake.reactions:
            self.results.react(list(reactions))
            reactions.clear()

    async def tell_health_forever(self) -> None:
        """Ten times a second."""
        hs = self.port.handshake
        errors_cleared = hs.clear_errors
        while True:
            while hs.obeyed:  # done by the handshake at once, as it must be: HALT waits for no disk
                self.shared.journal.note(PLC, *entry_of(hs.obeyed.popleft(), self.section.id))
            if hs.clear_errors != errors_cleared:
                errors_cleared = hs.clear_errors
                self.acknowledged()
            self.note_reactions()
            self.tell_health()
            self.part_check.look()
            await asyncio.sleep(HEALTH_PERIOD_S)

    def warn(self) -> None:
        """Of what takes READY from nobody by itself, or takes it in the PLC's own part."""
        link, health, hs = self.link.state(), self.health, self.port.handshake
        trend = self.gate.trend.text()
        health.warn(Kind.PLC, None if link.ok else {"detail": link.text})
        health.warn(Kind.CERTIFICATE, {"detail": link.notice} if link.notice else None)
        health.warn(Kind.LIGHT, {"detail": trend} if trend else None)
        health.warn(Kind.PROTOCOL, {} if hs.protocol_error else None)
        health.warn(Kind.DUPLICATE, {} if hs.repeats_ids else None)
        self._gaps_seen = min(self._gaps_seen, hs.counts["ID_GAPS"])  # the PLC may have reset its counters
        gaps = hs.counts["ID_GAPS"] - self._gaps_seen
        health.warn(Kind.GAP, {"count": gaps} if gaps > 0 else None)
        health.warn(Kind.OFFLINE, {"actor": self.offline_by} if self.offline_by else None)
        forced = ", ".join(f"{name} = {value}" for name, value in hs.forcing.values.items())
        health.warn(Kind.FORCED, {"actor": self.forced_by, "values": forced} if forced else None)
        parts = self.part_check.alarm
        health.warn(
            Kind.PARTS_UNTRIGGERED if parts > 0 else Kind.TRIGGERS_UNCOUNTED, {"count": abs(parts)} if parts else None
        )
        bundle = self.judging.bundle
        unproven = bundle is not None and bundle.manifest.training.no_negatives
        health.warn(Kind.NEGATIVES, {} if unproven else None)


async def begin_station(section: StationConfig, shared: Shared, stack: AsyncExitStack) -> Begun:
    """Recipe, bundle, camera and handshake. What fails of the first two is told, and the station runs on, NOT READY."""
    cfg, clock = shared.cfg, shared.clock
    results = SqliteResults(shared.journal, section.id, clock, cfg.counts.starts)
    results.turn()  # before the PLC may trigger
    health = Health(clock, watched(cfg.health.max_age_s, model=cfg.bundle is not None))
    judging = await open_judging(shared.judges, section, health)
    camera_section = cfg.camera_of(section)
    thread = DeviceThread("camera" if section is cfg.station else f"camera-{camera_section.id}")
    stack.callback(thread.close)
    faults = cfg.test.camera_faults if camera_section is cfg.faulty_camera else ()
    camera = await stack.enter_async_context(open_camera(camera_section, judging.recipe.camera, clock, thread, faults))
    recipe, checksum = judging.recipe.number, judging.settings_checksum
    handshake = Handshake(handshake_config(section, cfg.link_of(section), recipe, checksum), results.known)
    handshake.part_count = results.counting.plc
    utc_ms, mode = int(clock.utc_s() * 1000), str(section.mode)
    try:
        noting = shared.journal.audit.note_state
        await shared.store.call(noting, FROM_CONFIG[0], "station.mode", section.id, mode, utc_ms)
        standing = await shared.store.call(shared.journal.wrong_accepts.standing, section.id)
        handshake.recall_wrong_parts(standing, clock.monotonic_s())
        handshake.recall_told(await shared.store.call(shared.journal.told, section.id))
    except StoreError as exc:
        health.down("store", str(exc))
    if (taken := await _taken_offline(section, shared, utc_ms)) is not None:
        handshake.hold_offline(True, clock.monotonic_s())
        log.warning("still offline", station=section.id, actor=taken.actor, since_utc_ms=taken.utc_ms)
    return Begun(section, shared, results, health, judging, camera, handshake, taken.actor if taken else "")


async def _taken_offline(section: StationConfig, shared: Shared, utc_ms: int) -> TakenOffline | None:
    """By a person in a former life. What cannot be read may say so: then it is kept Offline, to be on the safe side."""
    try:
        return await shared.store.call(shared.journal.offline.recall, section.id, DAEMON, utc_ms)
    except StoreError:
        return TakenOffline("?", utc_ms)


def finish_station(begun: Begun, port: StationPort, archive: ImageArchive) -> Running:
    """Wire the station to its link."""
    section, shared, judging = begun.section, begun.shared, begun.judging
    port.loaded = partial(shared.failpoint, "loaded")
    link = PlcLink(port, begun.camera.simulated)
    link.judged_with(judging.recipe.number, judging.limits, judging.anomaly_median)
    board = Board(
        about_of(shared.cfg, section, judging, begun.camera.simulated), shared.clock, begun.health,
        lambda: begun.results.tallies, link.state, lambda: archive.state, shared.cfg.paths.state,
    )  # fmt: skip
    health = begun.health

    def watch(done: Inspection, error: BaseException | None) -> None:
        health.saw(done, error)
        running.lost.saw(error, shared.clock.monotonic_s())
        board.saw(done, error)
        running.tell_health()  # at once: a part that drops READY must not be followed by another trigger

    view, gate = StationArchive(archive, view_of(section, judging)), judging.gate(section.mode)
    station = Station(
        mode=section.mode, clock=shared.clock, plc=link, camera=begun.camera,
        judge=judging.judge(gate), results=begun.results, archive=view,
        failpoint=shared.failpoint, watch=watch,
    )  # fmt: skip
    notes = WrongAcceptNotes(shared.clock, partial(note_wrong_accept, shared, section.id), port.handshake.wrong_parts)
    check = PartCheck(begun.results, port.handshake, shared.clock, lambda: health.part_is_down)
    board.part_difference = lambda: check.parts
    running = Running(
        section, shared, station, port, link, health, board, view, judging, gate, notes, begun.results, check,
        offline_by=begun.offline_by,
    )  # fmt: skip
    return running


def entry_of(request: CommandRequest, station: str) -> tuple[str, str]:
    """Action and what of a command of the PLC, for the audit."""
    return f"plc.{request.command.name.lower()}", f"{station}: command {request.id}, argument {request.arg}"


def note_wrong_accept(shared: Shared, station: str, part: tuple[int, int]) -> Future[None]:
    """Begin to commit that the PLC took this (trigger id, part id) as good and must not have."""
    return shared.journal.submit(shared.journal.wrong_accepts.note, station, *part, int(shared.clock.utc_s() * 1000))


def view_of(section: StationConfig, judging: Judging) -> View:
    collects = section.mode is Mode.COLLECT
    return View(judging.limits, judging.recipe.roi, collects, judging.anomaly_median, section.id)


def about_of(cfg: AppConfig, section: StationConfig, judging: Judging, simulated: bool) -> About:
    by, recipe = judging.judged_by, judging.recipe
    first = next(iter(cfg.recipes_of(section).values()))
    return About(
        station=section.id, number=section.number, mode=str(section.mode), product=recipe.product or first.product,
        bundle_id=by.bundle_id, recipe=recipe.name or first.name, recipe_revision=by.recipe_revision,
        simulated=simulated, camera=cfg.camera_of(section).kind, limits=judging.limits, recipe_number=by.recipe,
    )  # fmt: skip
