"""A detector of strange spots for a bundle that judges whole parts alone; all else of it stays, number for number.

The network is not taught, converted or quantised again: the detector is fitted on the features of the bundle's own
INT8 graph and added to it as nodes, so class, confidence and novelty score of every picture are what they were. The new
bundle is unsigned: a person reads its report, and approves it or not.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from edge_deploy.calibrate import default_limits
from edge_deploy.convert import MAPS, show_maps
from edge_deploy.drift import Scores, drift_on
from edge_deploy.errors import DeployError
from edge_deploy.fit import fit_patches, good_of, patch_spec
from edge_deploy.fuse import drop_taps
from edge_deploy.golden import GoldenConfig
from edge_deploy.held_out import HeldOut, load_held_out
from edge_deploy.manifest import built_at, files_of, spot_outputs
from edge_deploy.pack import pack, unpack
from edge_deploy.parity import ParityConfig, golden_views
from edge_deploy.patch_graph import attach_patches
from edge_deploy.patches import PatchConfig, PatchFit
from edge_deploy.pictures import Picture
from edge_deploy.predict import load_for, of_ir, predict_all, save_ir
from edge_deploy.qualify import Qualification, qualify
from edge_deploy.recalibrate import golden_at, kept_metrics, refuse_drift
from edge_deploy.report import write_report
from edge_deploy.report.gather import parity_rows
from edge_deploy.report.recalibrated import recalibrated_report
from edge_deploy.show import read_manifest
from edge_deploy.spot_limit import spot_limits
from edge_deploy.spot_parity import gate
from edge_deploy.steps import SilentSteps, Steps
from edge_deploy.suspects import isolated_of, left_out
from inspector.bundle.checks import check_manifest
from inspector.bundle.golden import limits_of
from inspector.core.manifest import LimitsSpec, Manifest
from inspector.core.types import Prediction
from inspector.model import MODEL_XML, REQUIRED, check_cpu
from inspector.runtime import cpu_model, openvino


@dataclass(frozen=True, slots=True)
class SpotOptions:
    """group_by: rule for pictures that show one part. slack: see spot_limits()."""

    patches: PatchConfig = field(default_factory=PatchConfig)
    golden: GoldenConfig = field(default_factory=GoldenConfig)
    parity: ParityConfig = field(default_factory=ParityConfig)
    group_by: str | None = None
    slack: float = 1.1
    threads: int = 2


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """What every stage works with. learnt: pictures that the detector learns from; held_out: those that set its limit.

    work: scratch; `former` and `bundle` in it are both bundles' files, `int8` the graph with its maps as outputs.
    """

    former: Manifest
    learnt: HeldOut
    held_out: HeldOut
    options: SpotOptions
    steps: Steps
    work: Path

    @property
    def labels(self) -> list[str]:
        return [entry.name for entry in self.former.classes]

    @property
    def good(self) -> tuple[Picture, ...]:
        return good_of(self.learnt.pictures.val, limits_of(self.former).good_labels)


def add_spots(
    bundle: Path, learn: Path, held_out: Path, out: Path, options: SpotOptions, steps: Steps | None = None
) -> Manifest:
    """Write the unsigned bundle `out`, and its report as .html; its manifest.

    learn: folder of classes, of which the good ones are fitted; held_out: as for recalibrate(), none of these.

    Raises DeployError: the bundle looks for spots already or cannot, a picture is in both folders, this machine does
    not give the bundle's expected scores, the graphs do not agree, a golden picture would flip, `out` exists. Raises
    BundleError, DataError.
    """
    if out.exists():
        raise DeployError(f"{out} exists already; bundles are not overwritten")
    former = read_manifest(bundle)
    check_cpu(former.calibration.instruction_sets)
    _refuse_spots(former)
    good_labels = limits_of(former).good_labels
    pictures = [load_held_out(data, good_labels, former.view, options.group_by, None) for data in (learn, held_out)]
    _refuse_shared(*pictures)
    with tempfile.TemporaryDirectory(prefix=".spots-", dir=out.parent) as name:
        ctx = _Work(former, pictures[0], pictures[1], options, steps or SilentSteps(), Path(name))
        for folder in ("former", "bundle"):
            (ctx.work / folder).mkdir()
            unpack(bundle, ctx.work / folder)
        fit = _attach(ctx)
        return _write(ctx, fit, out)


def _attach(ctx: _Work) -> PatchFit:
    """Fit the detector, and write the graph that has it in place of the former one."""
    save_ir(show_maps(_with_taps(ctx)), ctx.work / "int8")
    int8 = load_for(ctx.work / "int8", ctx.learnt.pictures, ctx.options.threads)
    fit = fit_patches(int8, ctx.learnt.pictures, ctx.good, ctx.options.patches, ctx.steps)
    model = drop_taps(attach_patches(_with_taps(ctx), fit.head))
    save_ir(model, ctx.work / "bundle")
    return fit


def _with_taps(ctx: _Work) -> Any:
    """The former graph with the means of the taps as outputs again, as a build has it before its heads are attached.

    Raises DeployError: it has no such tensors.
    """
    model = openvino().Core().read_model(ctx.work / "former" / MODEL_XML)
    try:
        for tap in MAPS:
            model.add_outputs(tap)
    except RuntimeError as exc:
        raise DeployError(f"the bundle's graph has no {tap}: it is not one that inspector-deploy build made") from exc
    return model


def _write(ctx: _Work, fit: PatchFit, out: Path) -> Manifest:
    """Limits, golden pictures, gate, report, bundle."""
    found = _judged(ctx, ctx.held_out.pictures.val, "held-out pictures")
    golden = _judged(ctx, _golden_pictures(ctx), "golden pictures")
    refuse_drift(ctx.former, golden)
    limits = spot_limits(ctx.former.limits, ctx.held_out.pictures.val, found, _good_labels(ctx), ctx.options.slack)
    drift = drift_on(ctx.work / "bundle", golden_views(ctx.work / "bundle", ctx.former), ctx.labels)
    manifest = _manifest(ctx, fit, limits, found, golden, drift)
    check_manifest(manifest)
    ctx.steps.say(f"comparing both graphs on {len(manifest.golden)} golden pictures")
    parity = gate(ctx.work, manifest, fit.head, ctx.options.parity, ctx.options.threads)
    report = recalibrated_report(
        former=ctx.former,
        manifest=manifest,
        directory=ctx.work / "bundle",
        held_out=ctx.held_out,
        found=found,
        golden=golden,
        negatives={},
        notes=left_out(fit),
        target=None,
    )
    report = replace(
        report,
        spots=True,
        parity=parity_rows(parity),
        selection=replace(report.selection, tolerance=manifest.golden_tolerance, drift=drift),
        isolated=isolated_of(fit, ctx.good, ctx.learnt.pictures),
    )
    ctx.steps.say(f"packing {out}")
    pack(ctx.work / "bundle", manifest, out)
    write_report(report, out.with_suffix(".html"))
    return manifest


def _judged(ctx: _Work, which: Sequence[Picture], what: str) -> list[Prediction]:
    """By the new graph. Raises DeployError: the former one gives another class, embedding or novelty score."""
    pictures, threads = ctx.held_out.pictures, ctx.options.threads
    was, now = (load_for(ctx.work / folder, pictures, threads) for folder in ("former", "bundle"))
    found = []
    with ctx.steps.bar(what, len(which)) as tick:
        for picture in which:
            before = was.infer(pictures.view(picture))
            found += predict_all(of_ir(now, ctx.labels), pictures, [picture], tick)
            after = now.infer(pictures.view(picture))
            for name in REQUIRED:
                if not np.array_equal(before[name], after[name]):
                    raise DeployError(
                        f"{picture.file.name} ({picture.truth}): {name} is another one with the detector in the graph: "
                        "OpenVINO computes the network otherwise then. No limit of this bundle holds for that; build "
                        "anew, with --detector patch"
                    )
    return found


def _manifest(
    ctx: _Work,
    fit: PatchFit,
    limits: LimitsSpec,
    found: Sequence[Prediction],
    golden: Sequence[Prediction],
    drift: Scores,
) -> Manifest:
    former, cfg = ctx.former, ctx.options.golden
    allowed = float(np.maximum(cfg.drift_margin * drift[:, 2], cfg.least_anomaly).max())
    tolerance = replace(former.golden_tolerance, anomaly_score=allowed)
    bounds = tuple(share.bound() for share in _qualified(ctx, limits, found).promises)
    return replace(
        former,
        version=former.version + 1,
        created_utc=built_at(),
        parents=(former.bundle_id,),
        files=files_of(ctx.work / "bundle"),
        outputs=(*former.outputs, *spot_outputs(fit.grid)),
        limits=replace(limits, bounds=bounds),
        golden=golden_at(
            replace(former, golden_tolerance=tolerance), golden, default_limits(limits, _good_labels(ctx))
        ),
        golden_tolerance=tolerance,
        calibration=replace(former.calibration, cpu_model=cpu_model(), openvino_version=version("openvino")),
        metrics=kept_metrics(former),
        key_id="",
        detector=patch_spec(fit, ctx.options.patches),
    )


def _qualified(ctx: _Work, limits: LimitsSpec, found: Sequence[Prediction]) -> Qualification:
    which = ctx.held_out.pictures.val
    units = [picture.unit for picture in which]
    at = default_limits(limits, _good_labels(ctx))
    return qualify([p.truth for p in which], {"int8": found}, [], ctx.labels, at, units)


def _golden_pictures(ctx: _Work) -> list[Picture]:
    return [Picture(ctx.work / "bundle" / entry.file, entry.truth) for entry in ctx.former.golden]


def _good_labels(ctx: _Work) -> frozenset[str]:
    return limits_of(ctx.former).good_labels


def _refuse_spots(m: Manifest) -> None:
    if m.limits.max_anomaly_score is not None or any(output.name == "anomaly_map" for output in m.outputs):
        raise DeployError(f"{m.bundle_id} looks for strange spots already; build anew to have them fitted otherwise")


def _refuse_shared(learnt: HeldOut, held_out: HeldOut) -> None:
    """A limit from pictures that the detector has learnt by heart would lie too low for all others."""
    known = {picture.group for picture in learnt.pictures.val}
    shared = [picture for picture in held_out.pictures.val if picture.group in known]
    if shared:
        raise DeployError(
            f"{len(shared)} held-out pictures, {shared[0].file} for one, are of parts that the detector would learn "
            "from: a limit from them would lie too low for all other parts"
        )
