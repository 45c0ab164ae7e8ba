"""One self-contained HTML page per bundle, for the person who approves it."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from edge_deploy import plots
from edge_deploy.errors import DeployError
from edge_deploy.golden import Selection
from edge_deploy.pictures import Picture
from edge_deploy.qualify import Qualification
from inspector.core.manifest import Manifest, PromiseSpec
from inspector.core.stats import parts_needed
from inspector.core.types import Image, Prediction
from plc.registers import Reason, Verdict

STYLE = """body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.6rem 0}td,th{border:1px solid #ccc;padding:.25rem .6rem;text-align:left}
td.n{text-align:right;font-variant-numeric:tabular-nums}.note{background:#fff3cd;padding:.4rem .8rem;margin:.4rem 0}
figure{display:inline-block;margin:.4rem;font-size:12px;width:200px}img{max-width:100%}"""


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """What the page shows. sizes: square root of the defect's area per test picture, None where unknown."""

    manifest: Manifest
    qualification: Qualification
    calibration: tuple[Prediction, ...]
    calibration_truths: tuple[str, ...]
    negatives: Mapping[str, Sequence[Prediction]]
    notes: tuple[str, ...]
    selection: Selection
    thumbnails: tuple[Image, ...]
    sizes: tuple[float | None, ...] | None


def write_report(report: Report, path: Path) -> None:
    """Write the page; nothing in it is loaded from elsewhere."""
    m = report.manifest
    title = f"{m.bundle_id}: qualification"
    sections = [
        f"<h1>{escape(title)}</h1>",
        _what(report),
        *_warnings(report),
        "<h2>Promises</h2>" + _promises(report),
        "<h2>PyTorch, FP32 and INT8</h2>" + _stages(report),
        "<h2>Confusion (INT8, test)</h2>"
        + plots.confusion_matrix(report.qualification.stages["int8"].matrix, _labels(m)),
        "<h2>Scores and limits</h2>" + _scores(report),
        *_sizes(report),
        "<h2>Golden pictures</h2>" + _golden(report),
        "<h2>Light and focus</h2>" + _zones(m),
        "<h2>Where it comes from</h2>" + _origin(m),
    ]
    path.write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{escape(title)}</title><style>{STYLE}</style>'
        + "\n".join(sections)
        + "</html>\n",
        encoding="utf-8",
    )


def read_sizes(file: Path, data: Path, pictures: Sequence[Picture]) -> tuple[float | None, ...]:
    """Sizes of the test pictures from a CSV with the columns path and size_px. Raises DeployError."""
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            table = {row["path"]: float(row["size_px"]) for row in csv.DictReader(stream)}
    except (OSError, KeyError, ValueError) as exc:
        raise DeployError(f"--sizes {file} cannot be read ({exc!r}): it needs the columns path and size_px") from exc
    return tuple(table.get(picture.file.relative_to(data).as_posix()) for picture in pictures)


def _what(report: Report) -> str:
    m = report.manifest
    low, high = m.limits.novelty_low, m.limits.novelty_high
    rows = [
        ("product, version", f"{m.product}, {m.version}"),
        ("limits chosen by", m.limits.chosen_by),
        (
            "novelty, lowest allowed to pass",
            f"{low.default:.4g} (a recipe may set {low.allowed[0]:.4g} to {low.allowed[1]:.4g})",
        ),
        ("novelty, highest allowed to pass", f"{high.default:.4g} ({high.allowed[0]:.4g} to {high.allowed[1]:.4g})"),
        ("confidence, lowest allowed to pass", f"{m.limits.min_confidence.default:.4g}"),
        ("runs on CPUs with", " or ".join(m.calibration.instruction_sets)),
    ]
    return _table(("", ""), rows)


def _warnings(report: Report) -> list[str]:
    """What a person must know before approving."""
    notes = list(report.notes)
    if report.manifest.training.no_negatives:
        notes.append("built without negatives: nothing shows that an empty station or a wrong part is refused")
    for share in report.qualification.promises:
        if share.name == "overkill" and share.failures == 0:
            needed = parts_needed(0.01)
            if share.of < needed:
                notes.append(f"{share.of} good test pictures cannot show an overkill of 1 %; that needs {needed}")
    if report.manifest.calibration.groups is None:
        notes.append("pictures are not grouped by lot or part: no promise between lots")
    return [f'<p class="note">{escape(note)}</p>' for note in notes]


def _promises(report: Report) -> str:
    rows = [
        (s.name, f"{s.failures} of {s.of}", *(f"{v:.2%}" for v in (s.interval.low, s.interval.high, s.upper_95)))
        for s in report.qualification.promises
    ]
    head = ("failure", "seen on test", "95 % from", "to", "at most, with 95 % confidence")
    note = "<p>There is no promise for kinds of defect that nobody has shown. Escape: a bad part that would pass.</p>"
    return _table(head, rows) + note + _chosen(report.manifest.limits.promise)


def _chosen(promise: PromiseSpec | None) -> str:
    """What the rule that set the limits promises, on the pictures that it set them on."""
    if promise is None:
        return ""
    rows = [(b.name, f"{b.failures} of {b.of}", f"{b.upper_95:.2%}") for b in promise.bounds]
    told = _table(("failure", f"{promise.unit}s that set the limits", "at most, with 95 % confidence"), rows)
    if promise.lots is not None and promise.left_out is not None:
        told += (
            f"<p>{promise.lots} lots. Limits set without a part's own lot reject {promise.left_out:.2%} of good parts"
        )
        upper = promise.median_lot_upper_95
        told += (
            f"; half of all lots lose at most {upper:.2%}, with 95 % confidence.</p>" if upper is not None else ".</p>"
        )
    return told


def _stages(report: Report) -> str:
    q = report.qualification
    rows = [
        (s.name, f"{s.accuracy:.4f}", f"{s.macro_f1:.4f}", str(sum(o.verdict is Verdict.PASS for o in s.outcomes)))
        for s in q.stages.values()
    ]
    flips = "; ".join(f"{pair.replace('_', ' to ')}: {count}" for pair, count in q.flips.items())
    head = ("stage", "accuracy", "macro-F1", "passed")
    return _table(head, rows) + f"<p>Verdicts that differ, of {len(q.truths)} test pictures: {escape(flips)}</p>"


def _scores(report: Report) -> str:
    m, q = report.manifest, report.qualification
    good = frozenset(entry.name for entry in m.classes if entry.acceptable)
    novelty, confidence = defaultdict(list), defaultdict(list)
    pairs = [
        *(
            (f"{truth} (limits)", p, truth)
            for truth, p in zip(report.calibration_truths, report.calibration, strict=True)
        ),
        *((f"{truth} (test)", p, truth) for truth, p in zip(q.truths, q.stages["int8"].predictions, strict=True)),
        *((f"{kind} (negative)", p, "") for kind, of in report.negatives.items() for p in of),
    ]
    blue = frozenset(name for name, _, truth in pairs if truth in good)
    for name, p, truth in pairs:
        novelty[name].append(p.novelty_score)
        if truth in good:
            confidence[name].append(p.confidence)
    limits = (m.limits.novelty_low.default, m.limits.novelty_high.default)
    return plots.score_histograms(novelty, limits, blue, "novelty score") + plots.score_histograms(
        confidence, (m.limits.min_confidence.default,), blue, "confidence of good parts"
    )


def _sizes(report: Report) -> list[str]:
    if report.sizes is None:
        return []
    q = report.qualification
    by_kind: dict[str, list[tuple[float, bool]]] = defaultdict(list)
    for size, truth, outcome in zip(report.sizes, q.truths, q.stages["int8"].outcomes, strict=True):
        if size is not None and size > 0:
            by_kind[truth].append((size, outcome.verdict is not Verdict.PASS))
    drawn = [f"<h3>{escape(kind)}</h3>" + plots.detection_by_size(of) for kind, of in by_kind.items()]
    return ["<h2>Detection against defect size</h2>", *drawn]


def _golden(report: Report) -> str:
    tolerance = report.manifest.golden_tolerance
    figures = []
    for golden, image in zip(report.manifest.golden, report.thumbnails, strict=True):
        e = golden.expected
        text = (
            f"{golden.role}: {golden.truth}<br>{Verdict(e.verdict).name} / {Reason(e.reason).name}<br>"
            f"{escape(e.label)} {e.confidence:.4f}, novelty {e.novelty_score:.4g}"
        )
        figures.append(f"<figure>{plots.thumbnail(image)}<figcaption>{text}</figcaption></figure>")
    drift = report.selection.drift.max(0)
    return "".join(figures) + (
        f"<p>Largest drift on other instruction sets and roundings: confidence {drift[0]:.2g}, novelty {drift[1]:.2g}; "
        f"allowed: {tolerance.confidence:.2g} and {tolerance.novelty_score:.2g}.</p>"
    )


def _zones(m: Manifest) -> str:
    rows = [
        (z.name, str(z.box), *(f"{low:.4g} to {high:.4g}" for low, high in (z.brightness, z.contrast, z.sharpness)))
        for z in m.zones
    ]
    return _table(("zone", "x, y, width, height", "brightness", "contrast", "sharpness"), rows)


def _origin(m: Manifest) -> str:
    c, t = m.calibration, m.training
    rows = [
        ("created", m.created_utc),
        ("training pictures", f"{t.images}, hash {t.dataset_sha256[:16]}"),
        ("calibration pictures", f"{c.images_good} good, {c.images_bad} bad, {c.images_negative} negatives"),
        ("sources", t.git_commit or "not recorded"),
        ("started from", t.initial_weights),
        ("calibrated on", f"{c.cpu_model}, OpenVINO {c.openvino_version}, NNCF {c.nncf_version}"),
        ("parents", ", ".join(m.parents) or "none"),
        *((f"licence: {licence.what}", f"{licence.licence}, {licence.source}") for licence in m.licences),
    ]
    return _table(("", ""), rows)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><tr>{top}</tr>{body}</table>" if any(head) else f"<table>{body}</table>"


def _labels(m: Manifest) -> list[str]:
    return [entry.name for entry in m.classes]
