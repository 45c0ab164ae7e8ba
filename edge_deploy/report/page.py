"""One self-contained HTML page per bundle, for the person who approves it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from edge_deploy.report import figures
from edge_deploy.report.parts import DataRow, HeatMap, Kind, Report, Shown
from edge_deploy.report.summary import summarise
from inspector.core.heat import HeatScale
from inspector.core.manifest import Manifest
from plc.registers import Reason, Verdict
from training.listing import SPLITS
from training.pages.confusion import matrix_rows
from training.pages.heat import overlay, ramp
from training.pages.history import history_charts
from training.pages.page import count, number, percent, picture, write_page

TEMPLATES = Path(__file__).parent / "templates"
WIDTH = 300  # pixels of a picture in a gallery
RAMP = 400, 14  # width and height of the legend, pixels
KINDS: tuple[tuple[Kind, str, str], ...] = (
    ("miss", "Misses (escapes)", "bad parts that would pass"),
    ("false alarm", "False alarms (overkill)", "good parts that would not pass"),
    ("hit", "Hits", "bad parts that are rejected"),
    ("pass", "Passes", "good parts that pass, from the least to the most strange"),
)
Cells = list[tuple[Any, ...]]


def write_report(report: Report, path: Path) -> None:
    """Write the page; nothing in it is loaded from elsewhere."""
    m, q = report.manifest, report.qualification
    labels = [entry.name for entry in m.classes]
    scale = _scale(report)
    write_page(
        path,
        "report.html",
        TEMPLATES,
        r=report,
        m=m,
        q=q,
        s=summarise(report),
        data=_data(report.data),
        splits=SPLITS,
        training=history_charts(report.history, m.metrics.get("training_best_epoch")),
        matrix_rows=matrix_rows(q.stages["int8"].matrix, labels, [entry.acceptable for entry in m.classes]),
        labels=labels,
        scores=figures.score_charts(report),
        limits=_limits(m),
        chosen=m.limits.promise,
        sizes=figures.size_charts(report),
        galleries=_galleries(report, scale),
        legend=_legend(scale),
        isolated=_shown(report.isolated),
        highest=_shown(report.highest),
        golden=_golden(report),
        stages=_stages(report),
        parity=[(row, number(row.value), number(row.limit)) for row in report.parity],
        timings=[(t.stage, f"{t.p50_ms:.1f}", f"{t.p99_ms:.1f}", count(t.pictures)) for t in report.timings],
        drift=[float(d) for d in report.selection.drift.max(0)],
        zones=_zones(m),
        origin=_origin(m),
    )


def _data(rows: Sequence[DataRow]) -> list[dict[str, Any]]:
    """One line a class: pictures and, where they differ, parts or lots of each split; the sum last."""
    if not rows:
        return []

    def cell(of: Sequence[DataRow], split: str) -> str:
        pictures, groups = sum(r.pictures.get(split, 0) for r in of), sum(r.groups.get(split, 0) for r in of)
        return count(pictures) if groups in (0, pictures) else f"{count(pictures)} of {count(groups)} parts"

    lines = [
        {"name": row.label, "role": "may pass" if row.acceptable else "reject", "sum": False,
         "cells": [cell([row], split) for split in SPLITS]}
        for row in rows
    ]  # fmt: skip
    total = {"name": "all", "role": "", "sum": True, "cells": [cell(rows, split) for split in SPLITS]}
    return [*lines, total]


def _limits(m: Manifest) -> Cells:
    named = [
        ("novelty, at least", m.limits.novelty_low),
        ("novelty, at most", m.limits.novelty_high),
        ("confidence, at least", m.limits.min_confidence),
        ("anomaly score, at most", m.limits.max_anomaly_score),
    ]
    return [
        (name, number(spec.default), f"{number(spec.allowed[0])} to {number(spec.allowed[1])}")
        for name, spec in named
        if spec is not None
    ]


def _galleries(report: Report, scale: HeatScale | None) -> list[dict[str, Any]]:
    galleries = []
    for kind, title, meaning in KINDS:
        of_kind = [_heat(h, scale) for h in report.heat_maps if h.kind == kind]
        galleries.append({"title": title, "meaning": meaning, "pictures": of_kind, "kind": kind})
    return galleries


def _heat(h: HeatMap, scale: HeatScale | None) -> dict[str, Any]:
    """The picture, and beside it where its score comes from."""
    heat: Markup | None = None
    if h.anomaly_map is not None and scale is not None:
        heat = picture(overlay(h.view, h.anomaly_map, scale), WIDTH, f"heat map, {h.truth}")
    return {
        "image": picture(h.view, WIDTH, h.truth),
        "heat": heat,
        "text": f"{h.truth}, score {number(h.score)}",
        "said": h.said,
        "file": h.file,
    }


def _scale(report: Report) -> HeatScale | None:
    """One for all pictures, by the signed limit. None: this bundle judges no spots."""
    limits = report.manifest.limits
    limit = limits.max_anomaly_score
    return None if limit is None else HeatScale.of(limit.default, limits.anomaly_median)


def _legend(scale: HeatScale | None) -> dict[str, Any] | None:
    if scale is None:
        return None
    scores = {"quiet": scale.quiet, "limit": scale.limit, "full": scale.full}
    return {"ramp": picture(ramp(*RAMP), RAMP[0], "colours of the heat maps")} | {
        name: number(score) for name, score in scores.items()
    }


def _shown(pictures: Sequence[Shown]) -> list[tuple[Markup, str]]:
    return [(picture(shown.picture, WIDTH // 2, shown.caption), shown.caption) for shown in pictures]


def _golden(report: Report) -> list[dict[str, Any]]:
    shown = []
    for golden, image in zip(report.manifest.golden, report.thumbnails, strict=True):
        e = golden.expected
        scores = [f"{e.label} {e.confidence:.3f}", f"novelty {number(e.novelty_score)}"]
        scores += [] if e.anomaly_score is None else [f"anomaly {number(e.anomaly_score)}"]
        verdict = f"{Verdict(e.verdict).name}, {Reason(e.reason).name}".lower().replace("_", " ")
        title = f"{golden.role}: {golden.truth}" if golden.role != golden.truth else golden.truth
        text = {"title": title, "verdict": verdict, "scores": ", ".join(scores)}
        shown.append({"image": picture(image, WIDTH, f"{golden.role} {golden.truth}"), **text})
    return shown


def _stages(report: Report) -> Cells:
    q = report.qualification
    names = {"pytorch": "PyTorch", "fp32": "OpenVINO FP32", "int8": "OpenVINO INT8 (the bundle)"}
    return [
        (
            names.get(s.name, s.name),
            percent(s.accuracy),
            percent(s.macro_f1),
            count(sum(o.verdict is Verdict.PASS for o in s.outcomes)),
        )
        for s in q.stages.values()
    ]


def _zones(m: Manifest) -> Cells:
    return [
        (z.name.replace("_", " "), ", ".join(map(str, z.box)),
         *(f"{number(low)} to {number(high)}" for low, high in (z.brightness, z.contrast, z.sharpness)))
        for z in m.zones
    ]  # fmt: skip


def _origin(m: Manifest) -> Cells:
    c, t = m.calibration, m.training
    held_out = f"{count(c.images_good)} good, {count(c.images_bad)} bad, {count(c.images_negative)} negatives"
    groups = "" if c.groups is None else f", in {c.groups} groups"
    return [
        ("created", m.created_utc),
        ("training pictures", f"{count(t.images)}, hash {t.dataset_sha256[:16]}"),
        ("calibration pictures", held_out + groups),
        ("sources", t.git_commit or "not recorded"),
        ("started from", t.initial_weights),
        ("calibrated on", f"{c.cpu_model}, OpenVINO {c.openvino_version}, NNCF {c.nncf_version}"),
        ("runs on CPUs with", " or ".join(c.instruction_sets)),
        ("parents", ", ".join(m.parents) or "none"),
        *((f"licence: {licence.what}", f"{licence.licence}, {licence.source}") for licence in m.licences),
    ]
