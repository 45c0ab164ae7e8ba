"""What judges parts: a recipe revision, a verified bundle and its model; or the reason why nothing does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import structlog

from inspector.bundle.activate import Activation
from inspector.bundle.golden import check_limits, replay
from inspector.bundle.keys import load_keys
from inspector.bundle.slots import fingerprint
from inspector.bundle.verify import VerifiedBundle
from inspector.config import AppConfig
from inspector.core.errors import BundleError, ConfigError, GoldenError, ModelError, RecipeError, StoreError
from inspector.core.ports import Clock
from inspector.core.types import JudgedBy, Limits, Mode
from inspector.frames import FrameGate
from inspector.health import Health
from inspector.model import OpenVinoModel, load_model
from inspector.recipes import NO_RECIPE, Recipe, Revision, checksum_of, content_of, recipe_of, settings_of
from inspector.sections import CameraConfig
from inspector.store.recipe_book import RecipeBook
from inspector.threads import DeviceThread
from plc.registers import OfflineReason

log = structlog.get_logger(__name__)

FROM_CONFIG = ("config", "the configuration differs from the newest revision")  # actor, reason
_ANSWERS: tuple[tuple[type[Exception], OfflineReason, str, str], ...] = (  # the first that fits
    (RecipeError, OfflineReason.CONFIGURATION, "the recipe cannot be used",
     "Correct [[recipes]] in the configuration, then restart the service."),
    (ConfigError, OfflineReason.CONFIGURATION, "the bundle cannot be checked",
     "Correct [bundle] in the configuration, then restart the service."),
    (StoreError, OfflineReason.STORAGE, "the recipe cannot be read or kept",
     "Check the disk, then restart the service."),
    (GoldenError, OfflineReason.CHECK_DUE, "the bundle failed its golden pictures",
     "Configure a bundle that was built for this box, or the former one, then restart the service."),
    (BundleError, OfflineReason.MODEL, "the bundle cannot be used",
     "Configure a bundle that this box trusts, or put its file back, then restart the service."),
    (ModelError, OfflineReason.MODEL, "the bundle cannot be used",
     "Configure another bundle, then restart the service."),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Judging:
    """What judges parts while the daemon runs. Without a model nothing does: mode collect, or latched not ready."""

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


async def open_judging(
    cfg: AppConfig, book: RecipeBook, threads: Mapping[str, DeviceThread], health: Health, clock: Clock
) -> Judging:
    """Take the recipe, bring the bundle in, load it, replay its golden pictures, make it the active one.

    What fails here latches NOT READY with a text, and the daemon runs on. threads: those named `store` and `model`.
    """
    try:
        return await _open(cfg, book, threads, clock)
    except tuple(kind for kind, *_ in _ANSWERS) as exc:
        reason, what, action = next((r, w, a) for kind, r, w, a in _ANSWERS if isinstance(exc, kind))
        health.latch(reason, f"{what}: {exc}", action)
        health.down("model", "nothing judges", action)
        return Judging(NO_RECIPE, JudgedBy())


async def _open(cfg: AppConfig, book: RecipeBook, threads: Mapping[str, DeviceThread], clock: Clock) -> Judging:
    store, utc_ms = threads["store"], int(clock.utc_s() * 1000)
    content, (actor, reason) = content_of(cfg.recipe, camera_settings(cfg.camera)), FROM_CONFIG
    revision = await store.call(book.take, cfg.recipe_number, content, actor=actor, reason=reason, utc_ms=utc_ms)
    if cfg.bundle is None:
        recipe = recipe_of(revision, None)
        by = JudgedBy(recipe=recipe.number, recipe_revision=recipe.revision)
        return Judging(recipe, by, settings_checksum=checksum_of(settings_of(recipe, "")))
    bundle, recipe, model = await threads["model"].call(_open_bundle, cfg, revision, threads["model"])
    settings = settings_of(recipe, fingerprint(bundle.directory) or "")
    bundle_id = bundle.manifest.bundle_id
    model_rev = await store.call(book.model_rev, bundle_id, recipe, settings, utc_ms)
    by = JudgedBy(bundle_id, recipe.number, recipe.revision, model_rev)
    model.judged_by = by
    log.info("judging", bundle_id=bundle_id, recipe=recipe.number, revision=recipe.revision, model_rev=model_rev)
    return Judging(recipe, by, bundle, model, checksum_of(settings))


def _open_bundle(
    cfg: AppConfig, revision: Revision, thread: DeviceThread
) -> tuple[VerifiedBundle, Recipe, OpenVinoModel]:
    """On the model's thread. A bundle becomes the active one only after everything about it was right."""
    section = cfg.bundle
    if section is None:
        raise ConfigError("no [bundle]")
    activation = Activation(cfg.paths.state / "bundles", load_keys(section.trusted_keys, section.revoked_keys))
    brought = activation.bring_in(section.path, revision.content.product or None)
    bundle = brought.bundle
    recipe = recipe_of(revision, bundle.manifest)
    _, _, width, height = bundle.manifest.view.roi
    by = JudgedBy(bundle.manifest.bundle_id, recipe.number, recipe.revision)
    model = load_model(bundle, (height, width), threads=cfg.model.threads, judged_by=by, thread=thread)
    report = replay(bundle, model.predict_blocking)
    if recipe.limits is not None:
        check_limits(report, recipe.limits)
    if not brought.active:
        activation.switch_to(bundle)
    return bundle, recipe, model


def camera_settings(camera: CameraConfig) -> dict[str, float]:
    """The camera's own settings that the picture depends on, by name; a recipe may set others."""
    found: dict[str, Any] = camera.model_dump(include={"exposure_us", "width", "height", "fps", "settings"})
    return {**{k: float(v) for k, v in found.items() if isinstance(v, int | float)}, **found.get("settings", {})}
