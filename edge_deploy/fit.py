"""Both heads, fitted in one pass over the training pictures, on the features of the INT8 model itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import Any

import numpy as np

from edge_deploy.convert import CHANNELS, FEATURES
from edge_deploy.errors import DeployError
from edge_deploy.fuse import NoveltyHead, SvmConfig, fit_novelty
from edge_deploy.patches import PatchConfig, PatchFit, PatchHead, PatchSampler
from edge_deploy.pictures import Picture, Pictures
from edge_deploy.predict import Heads, features_of, maps_of
from edge_deploy.steps import Steps, Tick
from edge_deploy.usual import usual_heat
from inspector.core.manifest import DetectorSpec
from inspector.model import CompiledIr


class Detector(StrEnum):
    """What finds the unknown."""

    PATCH = "patch"  # a strange spot fails a part; the whole part is checked as well
    POOLED = "pooled"  # the whole part alone


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The heads, what the manifest says of them, and for `patch` what came of the fit."""

    heads: Heads
    spec: DetectorSpec
    patches: PatchFit | None


def fit_heads(
    int8: CompiledIr,
    pictures: Pictures,
    acceptable: Collection[str],
    detector: Detector,
    svm: SvmConfig,
    patches: PatchConfig,
    steps: Steps,
) -> Fitted:
    """int8: with its raw maps as outputs. Raises DeployError: too few good pictures, copies, or features not finite."""
    by_class: dict[str, list[Any]] = defaultdict(list)
    with steps.bar("features for the SVM of the whole part", len(pictures.train)) as tick:
        for picture in pictures.train:
            by_class[picture.truth].append(features_of(int8.infer(pictures.view(picture))))
            tick()
    steps.say("fitting the SVM of the whole part")
    try:
        stacked = {truth: np.stack(rows) for truth, rows in sorted(by_class.items())}
        novelty = fit_novelty(stacked, acceptable, cfg=svm)
    except ValueError as exc:
        raise DeployError(str(exc)) from exc
    if detector is Detector.POOLED:
        return Fitted(Heads(novelty), _pooled_spec(novelty, svm), None)
    fit = fit_patches(int8, pictures, good_of(pictures.train, acceptable), patches, steps)
    return Fitted(Heads(novelty, fit.head), patch_spec(fit, patches), fit)


def fit_patches(
    int8: CompiledIr, pictures: Pictures, good: Sequence[Picture], cfg: PatchConfig, steps: Steps
) -> PatchFit:
    """The anomaly head on these good pictures. Raises DeployError, as fit_heads()."""
    sampler = PatchSampler(len(good), cfg)
    with steps.bar("patches of good parts", len(good)) as tick:
        for picture in good:
            sampler.take(maps_of(int8.infer(pictures.view(picture))), picture.group or str(picture.file))
            tick()
    try:
        with ExitStack() as stack:

            def bar(total: int) -> Tick:
                return stack.enter_context(steps.bar("patches that stand for good parts", total))

            fit = sampler.fit(CHANNELS, bar)
    except ValueError as exc:
        raise DeployError(str(exc)) from exc
    return replace(fit, head=_with_usual(fit.head, int8, pictures, good, cfg.usual_share, steps))


def good_of(pictures: Sequence[Picture], acceptable: Collection[str]) -> tuple[Picture, ...]:
    return tuple(picture for picture in pictures if picture.truth in acceptable)


def _with_usual(
    head: PatchHead, int8: CompiledIr, pictures: Pictures, good: Sequence[Picture], share: float, steps: Steps
) -> PatchHead:
    """The pictures once more: how strange a cell is can only be told by landmarks that are chosen."""
    if share == 0:
        return head
    heats = []
    with steps.bar("what each cell usually shows", len(good)) as tick:
        for picture in good:
            heats.append(head.anomaly_map(maps_of(int8.infer(pictures.view(picture)))).astype(np.float32))
            tick()
    return replace(head, usual=usual_heat(np.stack(heats), share))


def patch_spec(fit: PatchFit, cfg: PatchConfig) -> DetectorSpec:
    """What the manifest says of a fitted anomaly head."""
    return DetectorSpec(
        detector="patch",
        taps=cfg.taps,
        directions=len(fit.head.offset),
        landmarks=len(fit.head.support),
        kappa=round(fit.head.gamma * fit.head.width, 9),
        nu=cfg.nu,
        pooling="max" if fit.head.top == 1 else f"mean of the {fit.head.top} highest",
        seed=cfg.seed,
        config=_as_text(asdict(cfg)),
    )


def _pooled_spec(head: NoveltyHead, cfg: SvmConfig) -> DetectorSpec:
    return DetectorSpec(
        detector="pooled",
        taps=FEATURES,
        directions=head.projection.shape[1],
        landmarks=len(head.support),
        kappa=head.kappa,
        nu=cfg.nu,
        pooling="mean",
        seed=cfg.seed,
        config=_as_text(asdict(cfg)),
    )


def _as_text(settings: Mapping[str, Any]) -> dict[str, str]:
    return {name: ", ".join(value) if isinstance(value, tuple) else str(value) for name, value in settings.items()}
