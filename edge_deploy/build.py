"""From a training run to an unsigned bundle with its report. Reads top to bottom: each line is one stage.

weights -> FP32 IR -> INT8 IR -> SVMs on its features -> fused IR -> limits -> figures -> golden pictures -> parity gate
-> bundle
"""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from edge_deploy import golden
from edge_deploy.calibrate import Calibrated, default_limits
from edge_deploy.convert import NetworkInput, resnet50_of
from edge_deploy.drift import Scores, drift_on
from edge_deploy.errors import DeployError, NegativesInside
from edge_deploy.fit import good_of
from edge_deploy.forms import Forms, gate
from edge_deploy.held_out import calibrate_on
from edge_deploy.hidden import HiddenTrial, refuse_untriable, try_hidden
from edge_deploy.manifest import describe
from edge_deploy.networks import BUNDLE, BuildContext, Networks, make_networks
from edge_deploy.options import BuildOptions
from edge_deploy.pack import pack
from edge_deploy.pictures import Picture, Pictures, load_pictures, names_of
from edge_deploy.predict import load_for, of_bare_ir, of_ir, of_torch, predict_all
from edge_deploy.qualify import Qualification, qualify
from edge_deploy.quantize import TargetCpu, instruction_sets_of
from edge_deploy.report import HeatMap, ParityRow, Report, Shown, Timing, gather, write_report
from edge_deploy.report.summary import NO_TEST
from edge_deploy.steps import SilentSteps, Steps
from edge_deploy.suspects import isolated_of, left_out
from edge_deploy.zones import qualify_zones
from inspector.core.manifest import Manifest, ZoneLimits
from inspector.core.types import Limits, Prediction
from inspector.runtime import instruction_sets
from training.pages.history import read_history
from training.runs import read_run, read_splits, read_weights


@dataclass(frozen=True, slots=True)
class Built:
    bundle: Path
    report: Path
    manifest: Manifest
    notes: tuple[str, ...]


def build(run_directory: Path, data: Path, out: Path, options: BuildOptions, steps: Steps | None = None) -> Built:
    """Write the unsigned bundle `out`, and its report as .html. Raises DeployError, RunError, DataError: what to do."""
    instruction_sets_for(options.target)  # before any work
    torch.set_num_threads(options.threads)
    run = read_run(run_directory)
    rows = read_splits(run_directory)
    pictures = load_pictures(data, rows, options.roi or run.roi)
    _refuse_without_negatives(pictures, data, options)
    refuse_untriable(options.hide, pictures, run.acceptable, options.detector, options.patches.seed)
    spec = NetworkInput(*run.network_size, run.mean, run.std)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{out.stem}-", dir=out.parent) as scratch:
        ctx = BuildContext(run, pictures, spec, options, steps or SilentSteps(), Path(scratch))
        networks = make_networks(ctx, resnet50_of(read_weights(run_directory)))
        report = replace(
            _judge(ctx, networks, data),
            data=gather.data_rows(rows, run.acceptable),
            history=read_history(run_directory),
        )
        ctx.steps.say(f"packing {out}")
        pack(ctx.work / BUNDLE, report.manifest, out)
        write_report(report, out.with_suffix(".html"))
    return Built(out, out.with_suffix(".html"), report.manifest, _told(report))


def _judge(ctx: BuildContext, networks: Networks, data: Path) -> Report:
    """Limits from val, figures from test, golden pictures; the manifest and all that the report shows."""
    pictures, run, options = ctx.pictures, ctx.run, ctx.options
    negatives = _predict_by_truth(ctx, networks, pictures.negatives)
    held_out = _predict(ctx, networks, pictures.val, "limits")
    calibrated = _calibrate(ctx, held_out, negatives)
    limits = default_limits(calibrated.limits, run.acceptable)
    figures = _qualify(ctx, networks, negatives, limits)
    selection = _select_golden(ctx, networks, figures, negatives, limits)
    manifest = describe(
        run=run,
        options=options,
        pictures=pictures,
        golden=golden.write(selection.chosen, pictures, limits, ctx.work / BUNDLE),
        directory=ctx.work / BUNDLE,
        limits=replace(calibrated.limits, bounds=tuple(share.bound() for share in figures.promises)),
        zones=_zones(ctx),
        detector=networks.fitted.spec,
        grid=networks.fitted.patches.grid if networks.fitted.patches else None,
        tolerance=selection.tolerance,
        instruction_sets=instruction_sets_for(options.target),
        metrics=figures.metrics() | {f"training_{name}": value for name, value in run.metrics.items()},
    )
    return Report(
        manifest=manifest,
        parity=_parity(ctx, networks, manifest),
        qualification=figures,
        calibration=tuple(held_out),
        calibration_truths=tuple(p.truth for p in pictures.val),
        negatives=negatives,
        notes=(
            *networks.notes,
            *calibrated.notes,
            *selection.notes,
            *(left_out(networks.fitted.patches) if networks.fitted.patches else ()),
        ),
        independent=bool(pictures.test),
        selection=selection,
        thumbnails=tuple(pictures.camera_picture(c.picture) for c in selection.chosen),
        sizes=gather.read_sizes(options.sizes, data, _test_pictures(ctx)) if options.sizes else None,
        targets=gather.targets_of(options.calibration.target),
        heat_maps=_heat_maps(ctx, figures),
        isolated=_isolated(ctx, networks),
        highest=gather.highest_of(pictures, held_out, run.acceptable),
        timings=_timings(ctx, networks),
        hidden=_hidden(ctx),
    )


def _hidden(ctx: BuildContext) -> tuple[HiddenTrial, ...]:
    if not ctx.options.hide:
        return ()
    int8 = load_for(ctx.work / "int8", ctx.pictures, ctx.options.threads)
    good, cfg = ctx.run.acceptable, ctx.options.patches
    return tuple(t for kind in ctx.options.hide for t in try_hidden(int8, ctx.pictures, good, kind, cfg, ctx.steps))


def _heat_maps(ctx: BuildContext, figures: Qualification) -> tuple[HeatMap, ...]:
    final = figures.stages["int8"]
    return gather.heat_maps(ctx.pictures, _test_pictures(ctx), final.predictions, final.outcomes, ctx.run.acceptable)


def _timings(ctx: BuildContext, networks: Networks) -> tuple[Timing, ...]:
    """The model alone, on this machine, as the line runs it: one picture after another."""
    views = [ctx.pictures.view(picture) for picture in _test_pictures(ctx)[: gather.TIMED]]
    stages = {"OpenVINO FP32": networks.fp32, "OpenVINO INT8 (the bundle)": networks.fused}
    return tuple(gather.timing_of(name, ir.infer, views) for name, ir in stages.items())


def _told(report: Report) -> tuple[str, ...]:
    """What the command prints of the report's open points."""
    findings = report.findings if report.independent else (NO_TEST, *report.findings)
    return (*report.notes, *(f"{finding.title} {finding.text}" for finding in findings))


def instruction_sets_for(target: TargetCpu) -> tuple[str, ...]:
    """What a bundle built here for `target` is qualified for. Raises DeployError: this CPU cannot build it."""
    try:
        return instruction_sets_of(target, instruction_sets())
    except ValueError as exc:
        raise DeployError(str(exc)) from exc


def _refuse_without_negatives(pictures: Pictures, data: Path, options: BuildOptions) -> None:
    if not pictures.negatives and not options.no_negatives:
        raise DeployError(
            f"{data}/negatives holds no pictures. Without them nothing shows that an empty station, half a part or a "
            f"wrong part is refused. Put 10 or more of each into {data}/negatives/empty, half_part and wrong_part, or "
            "build with --no-negatives, which the report and the page will show"
        )


def _predict(ctx: BuildContext, networks: Networks, which: Sequence[Picture], what: str) -> list[Prediction]:
    with ctx.steps.bar(what, len(which)) as tick:
        return predict_all(of_ir(networks.fused, ctx.run.labels), ctx.pictures, which, tick)


def _predict_by_truth(ctx: BuildContext, networks: Networks, which: Sequence[Picture]) -> dict[str, list[Prediction]]:
    by_truth: dict[str, list[Prediction]] = defaultdict(list)
    for picture, prediction in zip(which, _predict(ctx, networks, which, "negatives"), strict=True):
        by_truth[picture.truth].append(prediction)
    return dict(by_truth)


def _calibrate(
    ctx: BuildContext, held_out: Sequence[Prediction], negatives: Mapping[str, Sequence[Prediction]]
) -> Calibrated:
    try:
        return calibrate_on(
            ctx.pictures.val,
            held_out,
            {} if ctx.options.no_negatives else negatives,
            ctx.run.acceptable,
            ctx.options.calibration,
            grouped=ctx.pictures.groups is not None,
        )
    except NegativesInside as exc:
        raise DeployError(f"{exc}\nthese are: {names_of(ctx.pictures.negatives, exc.inside)}") from exc


def _isolated(ctx: BuildContext, networks: Networks) -> tuple[Shown, ...]:
    fit = networks.fitted.patches
    return () if fit is None else isolated_of(fit, good_of(ctx.pictures.train, ctx.run.acceptable), ctx.pictures)


def _zones(ctx: BuildContext) -> tuple[ZoneLimits, ...]:
    with ctx.steps.bar("light and focus", len(ctx.pictures.val)) as tick:

        def views() -> Any:
            for picture in ctx.pictures.val:
                yield ctx.pictures.view(picture)
                tick()

        return qualify_zones(views(), ctx.options.zones)


def _qualify(
    ctx: BuildContext, networks: Networks, negatives: Mapping[str, Sequence[Prediction]], limits: Limits
) -> Qualification:
    """All three stages on the test split; where there is none, on val, and the report says so."""
    which, labels = _test_pictures(ctx), ctx.run.labels
    stages = {
        "pytorch": of_torch(networks.torch, ctx.spec, labels, networks.fitted.heads),
        "fp32": of_bare_ir(networks.fp32, labels, networks.fitted.heads),
        "int8": of_ir(networks.fused, labels),
    }
    found = {}
    for name, predict in stages.items():
        with ctx.steps.bar(f"test, {name}", len(which)) as tick:
            found[name] = predict_all(predict, ctx.pictures, which, tick)
    unused = negatives.values() if ctx.options.no_negatives else ()  # else they set the limits: no bound is from them
    flat = [prediction for of_kind in unused for prediction in of_kind]
    return qualify([p.truth for p in which], found, flat, labels, limits, [p.unit for p in which])


def _parity(ctx: BuildContext, networks: Networks, manifest: Manifest) -> tuple[ParityRow, ...]:
    """The golden pictures through every form of the model. Raises DeployError, with a table: they do not agree."""
    ctx.steps.say(f"comparing PyTorch, FP32 and INT8 on {len(manifest.golden)} golden pictures")
    forms = Forms(
        networks.torch,
        ctx.spec,
        networks.fitted.heads,
        ctx.run.labels,
        fp32=ctx.work / "fp32",
        int8=ctx.work / "int8",
        bundle=ctx.work / BUNDLE,
        threads=ctx.options.threads,
        avx2=ctx.options.target is TargetCpu.AVX2,
    )
    return gather.parity_rows(gate(forms, manifest, ctx.options.parity))


def _test_pictures(ctx: BuildContext) -> tuple[Picture, ...]:
    return ctx.pictures.test or ctx.pictures.val


def _select_golden(
    ctx: BuildContext,
    networks: Networks,
    figures: Qualification,
    negatives: Mapping[str, Sequence[Prediction]],
    limits: Limits,
) -> golden.Selection:
    """From the test pictures and the negatives, never from pictures that the network was trained on."""
    candidates = []
    for picture, prediction in zip(_test_pictures(ctx), figures.stages["int8"].predictions, strict=True):
        role: golden.Role = "good" if picture.truth in ctx.run.acceptable else "defect"
        candidates.append(golden.Candidate(picture, role, prediction))
    remaining = {kind: iter(found) for kind, found in negatives.items()}
    if not ctx.options.no_negatives:
        candidates += [golden.Candidate(p, "negative", next(remaining[p.truth])) for p in ctx.pictures.negatives]

    def drift_of(pool: Sequence[golden.Candidate]) -> Scores:
        ctx.steps.say(f"drift of {len(pool)} golden candidates on other instruction sets")
        views = [ctx.pictures.view(candidate.picture) for candidate in pool]
        return drift_on(ctx.work / BUNDLE, views, ctx.run.labels)

    return golden.select(candidates, limits, drift_of, ctx.options.golden)
