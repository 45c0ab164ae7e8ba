"""From trained weights to the fused graph: FP32 IR -> INT8 IR -> SVMs on its features -> fused IR."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edge_deploy.convert import NetworkInput, embed_preprocessing, show_maps, to_ir
from edge_deploy.fit import Fitted, fit_heads
from edge_deploy.fuse import attach
from edge_deploy.options import BuildOptions
from edge_deploy.patch_graph import attach_patches
from edge_deploy.pictures import Picture, Pictures
from edge_deploy.precision import Labelled, to_int8
from edge_deploy.predict import load_for, save_ir
from edge_deploy.ranges import CHECK_PICTURES
from edge_deploy.steps import Steps
from inspector.model import CompiledIr
from training.runs import Run

BUNDLE = "bundle"


@dataclass(frozen=True, slots=True, eq=False)
class BuildContext:
    """What every stage of a build works with."""

    run: Run
    pictures: Pictures
    spec: NetworkInput
    options: BuildOptions
    steps: Steps
    work: Path  # scratch; work/BUNDLE is what is packed


@dataclass(frozen=True, slots=True, eq=False)
class Networks:
    """The three stages of one network; `fused` is what the bundle holds."""

    torch: Any
    fp32: CompiledIr
    fused: CompiledIr
    fitted: Fitted
    notes: tuple[str, ...]  # on how it came to 8 bits


def make_networks(ctx: BuildContext, net: Any) -> Networks:
    """FP32 IR, INT8 IR, and the INT8 IR with the heads fitted on its own features."""
    ctx.steps.say("converting to OpenVINO")
    bare = to_ir(net, ctx.spec)
    ctx.steps.say(f"quantising to INT8 for {ctx.options.target}")
    train = _labelled(ctx, _quantisation_pictures(ctx))
    held_out = _labelled(ctx, ctx.pictures.val if ctx.options.precision.measures else ())
    options = ctx.options
    made = to_int8(
        net, bare, ctx.spec, train, held_out, options.target, options.precision, ctx.steps.say,
        checks=[ctx.pictures.view(picture) for picture in _check_pictures(ctx)], parity=options.parity,
    )  # fmt: skip
    save_ir(show_maps(embed_preprocessing(made.bare, ctx.spec)), ctx.work / "fp32")
    int8 = embed_preprocessing(made.model, ctx.spec)
    save_ir(show_maps(int8.clone()), ctx.work / "int8")
    fitted = _fit(ctx, load_for(ctx.work / "int8", ctx.pictures, options.threads))
    if fitted.heads.patches is not None:
        attach_patches(int8, fitted.heads.patches)
    save_ir(attach(int8, fitted.heads.novelty), ctx.work / BUNDLE)
    load = [load_for(ctx.work / name, ctx.pictures, options.threads) for name in ("fp32", BUNDLE)]
    return Networks(made.net, load[0], load[1], fitted, made.notes)


def _labelled(ctx: BuildContext, which: Sequence[Picture]) -> Labelled:
    labels = ctx.run.labels
    classes = [labels.index(picture.truth) if picture.truth in labels else -1 for picture in which]
    return Labelled([ctx.pictures.view(picture) for picture in which], classes)


def _quantisation_pictures(ctx: BuildContext) -> list[Picture]:
    """An even share of each class from the training pictures: what the line brings, defects included."""
    return _even_share(ctx, ctx.pictures.train, ctx.options.quantisation_images)


def _check_pictures(ctx: BuildContext) -> list[Picture]:
    """What 8 bits must not cut off: of each class and kind of negative, none that ranges are taken of."""
    return _even_share(ctx, (*ctx.pictures.val, *ctx.pictures.negatives), CHECK_PICTURES)


def _even_share(ctx: BuildContext, pictures: Sequence[Picture], of_all: int) -> list[Picture]:
    by_truth: dict[str, list[Picture]] = defaultdict(list)
    for picture in pictures:
        by_truth[picture.truth].append(picture)
    each = max(1, of_all // len(by_truth))
    rng = np.random.default_rng(ctx.options.svm.seed)
    return [of[i] for of in by_truth.values() for i in rng.permutation(len(of))[:each]]


def _fit(ctx: BuildContext, int8: CompiledIr) -> Fitted:
    options = ctx.options
    return fit_heads(int8, ctx.pictures, ctx.run.acceptable, options.detector, options.svm, options.patches, ctx.steps)
