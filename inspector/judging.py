"""What judges parts: a recipe revision, a verified bundle and its model; or the reason why nothing does."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass

import structlog

from inspector.bundle.activate import Activation
from inspector.bundle.checks import require_fit
from inspector.bundle.golden import check_limits, replay
from inspector.bundle.keys import TrustedKey, load_keys
from inspector.bundle.slots import fingerprint
from inspector.bundle.verify import VerifiedBundle, reopen
from inspector.config import AppConfig
from inspector.config_rules import camera_settings
from inspector.core.alarm_kinds import Kind, Problem
from inspector.core.checksum import checksum_of
from inspector.core.errors import (
    BundleError,
    CameraError,
    ConfigError,
    GoldenError,
    HashMismatch,
    InspectorError,
    ModelError,
    RecipeError,
    StoreError,
    UnknownRecipe,
)
from inspector.core.ports import Clock
from inspector.core.types import Image, JudgedBy, Limits, Mode, Prediction
from inspector.frames import FrameGate
from inspector.health import Health
from inspector.line import Judge
from inspector.model import OpenVinoModel, load_model
from inspector.recipes import NO_RECIPE, Recipe, Revision, content_of, recipe_of, settings_of
from inspector.sections import StationConfig
from inspector.store.recipe_book import RecipeBook
from inspector.threads import DeviceThread
from plc.registers import CommandResult, OfflineReason

log = structlog.get_logger(__name__)

FROM_CONFIG = ("config", "the configuration differs from the newest revision")  # actor, reason
_ANSWERS: tuple[tuple[type[InspectorError], OfflineReason, CommandResult, Kind], ...] = (  # the first that fits
    (UnknownRecipe, OfflineReason.NO_RECIPE, CommandResult.UNKNOWN_RECIPE, Kind.RECIPE_UNKNOWN),
    (RecipeError, OfflineReason.CONFIGURATION, CommandResult.LOAD_FAILED, Kind.RECIPE_UNUSABLE),
    (ConfigError, OfflineReason.CONFIGURATION, CommandResult.LOAD_FAILED, Kind.BUNDLE_UNCHECKED),
    (StoreError, OfflineReason.STORAGE, CommandResult.LOAD_FAILED, Kind.RECIPE_UNREAD),
    (GoldenError, OfflineReason.CHECK_DUE, CommandResult.LOAD_FAILED, Kind.GOLDEN_FAILED),
    (HashMismatch, OfflineReason.MODEL, CommandResult.HASH_MISMATCH, Kind.BUNDLE_DAMAGED),
    (BundleError, OfflineReason.MODEL, CommandResult.LOAD_FAILED, Kind.BUNDLE_UNUSABLE),
    (ModelError, OfflineReason.MODEL, CommandResult.LOAD_FAILED, Kind.MODEL_UNUSABLE),
    (CameraError, OfflineReason.CAMERA, CommandResult.LOAD_FAILED, Kind.RECIPE_CAMERA),
)
NO_RECIPE_ACTIVE = OfflineReason.NO_RECIPE, Kind.RECIPE_TAKEN.of()
FAILURES = tuple(kind for kind, *_ in _ANSWERS)


@dataclass(frozen=True, slots=True)
class Judging:
    """What judges parts while the daemon runs. Without a model nothing does: mode collect, or not ready."""

    recipe: Recipe
    judged_by: JudgedBy
    bundle: VerifiedBundle | None = None
    model: OpenVinoModel | None = None
    settings_checksum: int = 0  # as the PLC is told

    @property
    def limits(self) -> Limits | None:
        return self.recipe.limits

    @property
    def anomaly_median(self) -> float | None:
        return self.bundle.manifest.limits.anomaly_median if self.bundle else None

    def gate(self, mode: Mode) -> FrameGate:
        """The frame checks that belong to this recipe."""
        size = None
        if self.bundle is not None:
            size = (self.bundle.manifest.view.camera_height, self.bundle.manifest.view.camera_width)
        return FrameGate(size, self.recipe.roi or (0, 0, 1 << 16, 1 << 16), self.recipe.zones, mode)

    def judge(self, gate: FrameGate) -> Judge:
        """For the line: all that one part is judged with, swapped as one."""
        return Judge(gate, self.recipe, self.model, self.limits, self.judged_by)


NOBODY = Judging(NO_RECIPE, JudgedBy())


@dataclass(frozen=True, slots=True)
class Failure:
    """Why nothing judges, for the PLC and for people."""

    reason: OfflineReason
    result: CommandResult
    why: Problem

    @classmethod
    def of(cls, exc: InspectorError, doing: str = "") -> Failure:
        """exc: one of FAILURES. doing: what was being done; "": a start."""
        reason, result, kind = next((r, c, k) for error, r, c, k in _ANSWERS if isinstance(exc, error))
        return cls(reason, result, kind.of(detail=f"{doing}: {exc}" if doing else str(exc)))


class Judges:
    """Makes what judges, for all stations of a box: one bundle, one compiled model on its thread.

    The bundle is checked, and its golden pictures are replayed, on a thread of their own: a station that changes over
    must not hold up the parts of another. threads: those named `store`, `model` and `loader`.
    """

    def __init__(self, cfg: AppConfig, book: RecipeBook, threads: Mapping[str, DeviceThread], clock: Clock) -> None:
        self._cfg, self._book, self._clock = cfg, book, clock
        self._store, self._thread, self._loader = threads["store"], threads["model"], threads["loader"]
        self._one_at_a_time = asyncio.Lock()
        self._bundle: VerifiedBundle | None = None
        self._fingerprint: str | None = None
        self._model: OpenVinoModel | None = None

    async def prepare(self, station: StationConfig, number: int, actor: str, reason: str) -> Judging:
        """Take the recipe, verify the bundle, load it or take the model that is there, replay its golden pictures.

        Activates nothing. Raises one of FAILURES: what judges is not changed by that.
        """
        async with self._one_at_a_time:
            return await self._prepare(station, number, actor, reason)

    async def self_test(self, judging: Judging) -> None:
        """The bundle's bytes and golden pictures once more. Raises one of FAILURES."""
        async with self._one_at_a_time:
            if judging.bundle is not None:
                await self._loader.call(self._check_again, judging.bundle, judging.recipe)

    async def first_number(self, station: StationConfig) -> int:
        """The recipe to start with: the one last made active; 0: none, on purpose. Raises StoreError.

        Where there is no choice, or nothing on record, the first of the configuration.
        """
        numbers = list(self._cfg.recipes_of(station))
        last = await self._store.call(self._book.last_active, station.id)
        return numbers[0] if last is None or (len(numbers) == 1 and last[0]) else last[0]

    async def record(
        self, station: StationConfig, number: int, revision: int, result: CommandResult, actor: str, reason: str
    ) -> None:
        """Keep what came of a change-over, and who wanted it; what is active already needs no entry. Raises StoreError.

        number: with result OK the active recipe from now on, also after a restart; 0: none.
        """
        utc_ms = int(self._clock.utc_s() * 1000)
        await self._store.call(self._record, station.id, number, revision, result, actor, reason, utc_ms)

    def _record(
        self, station: str, number: int, revision: int, result: CommandResult, actor: str, reason: str, utc_ms: int
    ) -> None:
        if actor == FROM_CONFIG[0] and self._book.last_active(station) == (number, revision):
            return
        self._book.changed_over(
            station, number, revision, int(result), actor=actor, reason=reason, utc_ms=utc_ms
        )  # fmt: skip

    async def alive(self) -> None:
        """A full turn through the model's thread. Raises ModelError: there is no model."""
        if self._model is None:
            raise ModelError("nothing judges")
        await self._model.alive()

    async def _prepare(self, station: StationConfig, number: int, actor: str, reason: str) -> Judging:
        section = self._cfg.recipes_of(station).get(number)
        if section is None:
            raise UnknownRecipe(f"station {station.id} has no recipe {number}")
        utc_ms = int(self._clock.utc_s() * 1000)
        content = content_of(section, camera_settings(self._cfg.camera_of(station)))
        revision = await self._store.call(self._book.take, number, content, actor=actor, reason=reason, utc_ms=utc_ms)
        if self._cfg.bundle is None:
            recipe = recipe_of(revision, None)
            by = JudgedBy(recipe=recipe.number, recipe_revision=recipe.revision)
            return Judging(recipe, by, settings_checksum=checksum_of(settings_of(recipe, "")))
        bundle, recipe, model = await self._loader.call(self._open_bundle, revision)
        settings = settings_of(recipe, fingerprint(bundle.directory) or "")
        bundle_id = bundle.manifest.bundle_id
        model_rev = await self._store.call(self._book.model_rev, bundle_id, recipe, settings, utc_ms)
        by = JudgedBy(bundle_id, recipe.number, recipe.revision, model_rev)
        model.judged_by = by
        log.info("prepared", station=station.id, bundle_id=bundle_id, recipe=number, revision=recipe.revision)
        return Judging(recipe, by, bundle, model, checksum_of(settings))

    # -- on the loader's thread ----------------------------------------------------------------------------------------

    def _open_bundle(self, revision: Revision) -> tuple[VerifiedBundle, Recipe, OpenVinoModel]:
        """A bundle becomes the active one only after everything about it was right."""
        if self._bundle is not None and self._model is not None:
            recipe = self._fitting(revision, self._bundle)
            self._check_again(self._bundle, recipe)
            return self._bundle, recipe, self._model
        section = self._cfg.bundle
        if section is None:
            raise ConfigError("no [bundle]")
        activation = Activation(self._cfg.paths.state / "bundles", self._keys())
        brought = activation.bring_in(section.path, revision.content.product or None)
        bundle = brought.bundle
        recipe = recipe_of(revision, bundle.manifest)
        model = self._load(bundle, JudgedBy(bundle.manifest.bundle_id, recipe.number, recipe.revision))
        self._replay(bundle, recipe, model)
        if not brought.active:
            self._note_switch(bundle)
            activation.switch_to(bundle)
        self._bundle, self._model, self._fingerprint = bundle, model, fingerprint(bundle.directory)
        return bundle, recipe, model

    def _note_switch(self, bundle: VerifiedBundle) -> None:
        utc_ms, bundle_id = int(self._clock.utc_s() * 1000), bundle.manifest.bundle_id
        self._store.submit(self._book.bundle_chosen, bundle_id, actor=FROM_CONFIG[0], utc_ms=utc_ms).result()

    def _fitting(self, revision: Revision, bundle: VerifiedBundle) -> Recipe:
        require_fit(bundle.manifest, product=revision.content.product or None)
        return recipe_of(revision, bundle.manifest)

    def _check_again(self, bundle: VerifiedBundle, recipe: Recipe) -> None:
        """Every byte of the slot as it was signed, and the golden answers with this recipe's limits."""
        try:
            reopen(bundle.directory, self._keys())
            same = fingerprint(bundle.directory) == self._fingerprint
        except BundleError as exc:
            raise HashMismatch(str(exc)) from exc
        if not same:
            raise HashMismatch(f"{bundle.directory} holds another bundle than {bundle.manifest.bundle_id}")
        if self._model is None:
            raise ModelError("nothing judges")
        self._replay(bundle, recipe, self._model)

    def _replay(self, bundle: VerifiedBundle, recipe: Recipe, model: OpenVinoModel) -> None:
        """Golden pass and golden fail must both come out right: as signed, and with the recipe's limits.

        Picture by picture, so that the parts of other stations come in between.
        """

        def predict(view: Image) -> Prediction:
            return self._thread.submit(model.predict_blocking, view).result()

        report = replay(bundle, predict)
        if recipe.limits is not None:
            check_limits(report, recipe.limits)

    def _load(self, bundle: VerifiedBundle, by: JudgedBy) -> OpenVinoModel:
        _, _, width, height = bundle.manifest.view.roi
        threads, thread = self._cfg.model.threads, self._thread
        return thread.submit(
            lambda: load_model(bundle, (height, width), threads=threads, judged_by=by, thread=thread)
        ).result()

    def _keys(self) -> list[TrustedKey]:
        section = self._cfg.bundle
        return list(load_keys(section.trusted_keys, section.revoked_keys)) if section is not None else []


async def open_judging(judges: Judges, station: StationConfig, health: Health) -> Judging:
    """At a start: the recipe that was last active judges again, with the content that the configuration gives it now.

    What fails here is NOT READY with a text, and the daemon runs on.
    """
    actor, reason = FROM_CONFIG
    try:
        number = await judges.first_number(station)
        if number == 0:
            health.recipe_fails(*NO_RECIPE_ACTIVE)
            return NOBODY
        judging = await judges.prepare(station, number, actor, reason)
        await judges.record(station, number, judging.recipe.revision, CommandResult.OK, actor, "start")
        return judging
    except FAILURES as exc:
        failure = Failure.of(exc)
        health.recipe_fails(failure.reason, failure.why)
        health.down("model", "nothing judges", Kind.NOTHING_JUDGES)
        return NOBODY
