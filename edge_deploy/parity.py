"""The gate before a bundle: does the built graph compute, on the golden pictures, what was trained?

The same pictures at the camera's size go through every form of one model: PyTorch, FP32 IR, INT8 IR, the bundle's graph
with its head, each of these also without low-precision transformations, and on a CPU that has AVX2 alone. Every tap and
output is compared, not the classes alone: OpenVINO 2026.4.1 computes a 3x3 average pooling on a quantised residual sum
wrongly while the classes stay right. Verdicts and scores are compared by the box's own code (inspector/bundle/golden).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from edge_deploy.errors import DeployError
from inspector.bundle.golden import GoldenReport, GoldenRow, compare, golden_view, limits_of
from inspector.core.manifest import GoldenTolerance, Manifest
from inspector.core.types import Image, Limits, Prediction
from inspector.model import Outputs
from plc.registers import Verdict

Step = Literal["conversion", "quantisation", "rounding"]
Predict = Callable[[Image], Prediction]
SMALLEST = 1e-6  # of a score that a drift is a share of

WHAT_TO_DO: dict[Step, str] = {
    "conversion": "PyTorch and the converted graph must agree to rounding: look for another mean, scale, resize or "
    "channel order in the graph's preprocessing than the run was trained with, or a layer that was converted wrongly",
    "quantisation": "8 bits lose too much: quantise with more of the training pictures (--quantisation-images); give "
    "strange ones in val or negatives, as ranges and clipping are chosen on these; where classes change, build with "
    "--qat-if-loss or --accuracy-control (where one was given: with the other, or with neither)",
    "rounding": "one graph gives different numbers on different CPUs or roundings: OpenVINO computes one of its layers "
    "wrongly (known: an average pooling directly on a quantised sum; put a convolution between), or 8-bit sums "
    "saturate without VNNI (--target-cpu avx2)",
}


@dataclass(frozen=True, slots=True)
class TapLimit:
    """Of one tap, on every picture. cosine: at least. difference: at most, as a share of the largest value."""

    cosine: float
    difference: float


@dataclass(frozen=True, slots=True)
class ParityConfig:
    """How far two forms of one model may lie apart; docs/decisions/0040 gives the measured values behind the limits.

    quantised_*: scores of FP32 and PyTorch against the bundle's; novelty and anomaly as a share of the expected score.
    They are the guard band of these forms too: nearer to a limit a verdict may flip, for the heads are fitted on INT8
    features, from which FP32's differ everywhere. Between CPUs and roundings the bundle's own golden tolerance counts,
    as on the box. *_maps: of taps with a height and a width; the others are means over the picture, in which rounding
    cancels, and what is left shows more. *_classes: of the probabilities, which a softmax over few classes spreads.
    *_embedding: behind twice as many layers as the other taps, so more rounding has come together.
    """

    conversion: TapLimit = TapLimit(0.9999, 0.01)
    quantisation: TapLimit = TapLimit(0.998, 0.2)
    quantisation_classes: TapLimit = TapLimit(0.995, 0.2)
    quantisation_embedding: TapLimit = TapLimit(0.99, 0.3)
    quantisation_maps: TapLimit = TapLimit(0.99, 0.4)
    rounding: TapLimit = TapLimit(0.999, 0.1)
    rounding_maps: TapLimit = TapLimit(0.997, 0.15)
    quantised_confidence: float = 0.1
    quantised_novelty: float = 0.15
    quantised_anomaly: float = 0.2

    def of(self, step: Step, name: str, tap: NDArray[np.float32]) -> TapLimit:
        is_map = tap.ndim > 2 or (tap.ndim == 2 and tap.shape[0] > 1)
        if step == "conversion":
            return self.conversion
        if step == "quantisation":
            named = {"probabilities": self.quantisation_classes, "embedding": self.quantisation_embedding}
            if name in named:
                return named[name]
            return self.quantisation_maps if is_map else self.quantisation
        return self.rounding_maps if is_map else self.rounding


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """One form of the model, with what it gave for each golden picture, in order.

    reference: the form that its taps are compared with, and what lies between the two. predict: its verdicts are
    compared too; None: taps only. score_step: how its scores are held against the bundle's.
    """

    name: str
    outputs: Sequence[Outputs]
    reference: tuple[Form, Step] | None = None
    predict: Predict | None = None
    score_step: Step = "rounding"


@dataclass(frozen=True, slots=True)
class TapRow:
    """The worst picture of one tap. difference: largest, as a share of the largest value of the reference."""

    form: str
    reference: str
    step: Step
    output: str
    cosine: float
    difference: float
    limit: TapLimit

    @property
    def ok(self) -> bool:
        return self.cosine >= self.limit.cosine and self.difference <= self.limit.difference  # NaN is not


@dataclass(frozen=True, slots=True)
class VerdictRow:
    """One form against the bundle's expected answers. flips: file names. Drifts are the largest, as seen and allowed.

    Confidence counts where the part was inspected: what a network says of an empty belt is no answer.
    """

    form: str
    step: Step
    pictures: int
    flips: tuple[str, ...]
    confidence: tuple[float, float]
    novelty: tuple[float, float]
    anomaly: tuple[float, float] | None

    @property
    def ok(self) -> bool:
        pairs = [self.confidence, self.novelty, *([self.anomaly] if self.anomaly else [])]
        return not self.flips and all(seen <= allowed for seen, allowed in pairs)


@dataclass(frozen=True, slots=True)
class Parity:
    """What was compared. band: in numbers, the band around the limits in which no golden picture lies."""

    taps: tuple[TapRow, ...]
    verdicts: tuple[VerdictRow, ...]
    band: str

    @property
    def guard(self) -> str:
        """What the band means, in words."""
        return (
            f"Golden pictures lie outside the guard band of every limit ({self.band}: what a score may drift on the "
            "box), so no verdict of theirs may flip; of PyTorch and FP32 none that is further from a limit than the "
            "drift allowed to it."
        )

    @property
    def wrong(self) -> tuple[TapRow | VerdictRow, ...]:
        rows: tuple[TapRow | VerdictRow, ...] = (*self.taps, *self.verdicts)
        return tuple(row for row in rows if not row.ok)

    def tap_cells(self) -> list[tuple[str, ...]]:
        """Rows for a table with the heads TAP_HEAD."""
        return [
            (
                r.form, r.reference, r.output, f"{r.cosine:.5f}", f"{r.limit.cosine:g}", f"{r.difference:.2%}",
                f"{r.limit.difference:.0%}", _ok(r.ok),
            )
            for r in self.taps
        ]  # fmt: skip

    def verdict_cells(self) -> list[tuple[str, ...]]:
        """Rows for a table with the heads VERDICT_HEAD."""
        return [
            (
                r.form, f"{len(r.flips)} of {r.pictures}{': ' if r.flips else ''}{', '.join(r.flips)}",
                *(_pair(p) for p in (r.confidence, r.novelty, r.anomaly)), _ok(r.ok),
            )
            for r in self.verdicts
        ]  # fmt: skip

    def table(self) -> str:
        """Both tables as text, wrong rows marked."""
        return "\n\n".join(
            (text_table(TAP_HEAD, self.tap_cells()), text_table(VERDICT_HEAD, self.verdict_cells()), self.guard)
        )


TAP_HEAD = ("computed by", "against", "output", "cosine", "at least", "largest difference", "at most", "")
VERDICT_HEAD = ("computed by", "verdict flips", "confidence drift", "novelty drift", "anomaly drift", "")


def measure(directory: Path, manifest: Manifest, forms: Sequence[Form], cfg: ParityConfig = ParityConfig()) -> Parity:
    """Compare `forms` on the golden pictures in `directory`; nothing is refused: see check()."""
    taps = [row for form in forms if form.reference for row in tap_rows(form, cfg)]
    verdicts = []
    for form in forms:
        if form.predict is not None:
            found = compare(directory, manifest, form.predict, limits_of(manifest))
            verdicts.append(_verdict_row(form, found, manifest, cfg))
    return Parity(tuple(taps), tuple(verdicts), _band(manifest.golden_tolerance))


def check(parity: Parity) -> None:
    """Raises DeployError, with the table and what to do: a flip, or a tap, output or score beyond its limit."""
    if parity.wrong:
        steps: list[Step] = list(dict.fromkeys(row.step for row in parity.wrong))
        raise DeployError(
            "no bundle is written: its graph does not compute on the golden pictures what was trained "
            f"({len(parity.wrong)} rows are wrong)\n\n{parity.table()}\n\n"
            + "\n".join(f"- {step}: {WHAT_TO_DO[step]}" for step in steps)
        )


def golden_views(directory: Path, manifest: Manifest) -> list[Image]:
    """What the model sees of each golden picture, in order."""
    return [golden_view(directory, manifest, golden) for golden in manifest.golden]


def replayed(predictions: Sequence[Prediction]) -> Predict:
    """A Predict that gives these, one after another: for a form that ran elsewhere."""
    left: Iterator[Prediction] = iter(predictions)
    return lambda _: next(left)


def tap_rows(form: Form, cfg: ParityConfig = ParityConfig()) -> list[TapRow]:
    """One row for each output that `form` and its reference share. Single numbers have no direction: see the scores.

    Raises ValueError: no reference, or nothing shared.
    """
    if form.reference is None:
        raise ValueError(f"{form.name} has no reference")
    reference, step = form.reference
    shared = [n for n in form.outputs[0] if n in reference.outputs[0] and form.outputs[0][n].size > 1]
    if not shared:
        raise ValueError(f"{form.name} and {reference.name} share no output")
    rows = []
    for name in shared:
        both = zip(form.outputs, reference.outputs, strict=True)
        pairs = [apart(found[name], wanted[name]) for found, wanted in both]
        cosine, difference = min(c for c, _ in pairs), max(d for _, d in pairs)
        if not np.isfinite(pairs).all():
            cosine = difference = float("nan")
        limit = cfg.of(step, name, reference.outputs[0][name])
        rows.append(TapRow(form.name, reference.name, step, name, cosine, difference, limit))
    return rows


def apart(found: NDArray[np.float32], wanted: NDArray[np.float32]) -> tuple[float, float]:
    """Cosine and largest difference as a share of the largest value; two arrays of zeros are alike."""
    a, b = np.asarray(found, np.float64).ravel(), np.asarray(wanted, np.float64).ravel()
    if a.shape != b.shape:
        return float("nan"), float("nan")
    scale = float(np.abs(b).max())
    length = float(np.linalg.norm(a) * np.linalg.norm(b))
    if scale == 0.0 and not a.any():
        return 1.0, 0.0
    return float(a @ b) / length if length else 0.0, float(np.abs(a - b).max()) / scale if scale else float("inf")


def _verdict_row(form: Form, found: GoldenReport, manifest: Manifest, cfg: ParityConfig) -> VerdictRow:
    rows, relative, tolerance = found.rows, form.score_step != "rounding", manifest.golden_tolerance
    allowed = (tolerance.confidence, tolerance.novelty_score, tolerance.anomaly_score or 0.0)
    if relative:
        allowed = (cfg.quantised_confidence, cfg.quantised_novelty, cfg.quantised_anomaly)

    def share(drift: float, expected: float) -> float:
        return drift / max(abs(expected), SMALLEST) if relative else drift

    inspected = [row.drift.confidence for row in rows if row.expected.verdict != Verdict.NOT_INSPECTED]
    novelty = [share(row.drift.novelty_score, row.expected.novelty_score) for row in rows]
    anomaly = [
        share(row.drift.anomaly_score, row.expected.anomaly_score)
        for row in rows
        if row.drift.anomaly_score is not None and row.expected.anomaly_score is not None
    ]
    return VerdictRow(
        form=form.name,
        step=form.score_step,
        pictures=len(rows),
        flips=tuple(
            row.file
            for row in rows
            if int(row.outcome.verdict) != row.expected.verdict
            and not (relative and _near_a_limit(row, limits_of(manifest), cfg))
        ),
        confidence=(_largest(inspected), allowed[0]),
        novelty=(_largest(novelty), allowed[1]),
        anomaly=(_largest(anomaly), allowed[2]) if anomaly else None,
    )


def _near_a_limit(row: GoldenRow, limits: Limits, cfg: ParityConfig) -> bool:
    """The class stands, and the drift allowed to quantisation could carry a score over its limit."""
    e = row.expected
    pairs = [(e.novelty_score, limit, cfg.quantised_novelty * abs(e.novelty_score)) for limit in limits.novelty_range]
    pairs.append((e.confidence, limits.min_confidence, cfg.quantised_confidence))
    if e.anomaly_score is not None and limits.max_anomaly_score is not None:
        pairs.append((e.anomaly_score, limits.max_anomaly_score, cfg.quantised_anomaly * abs(e.anomaly_score)))
    return row.got.label == e.label and any(abs(score - limit) <= drift for score, limit, drift in pairs)


def _largest(values: Sequence[float]) -> float:
    """NaN, if one is."""
    return float(np.max(values)) if values else 0.0


def _band(tolerance: GoldenTolerance) -> str:
    anomaly = "" if tolerance.anomaly_score is None else f", anomaly {tolerance.anomaly_score:.3g}"
    return f"confidence {tolerance.confidence:.3g}, novelty {tolerance.novelty_score:.3g}{anomaly}"


def _ok(ok: bool) -> str:
    return "ok" if ok else "WRONG"


def _pair(pair: tuple[float, float] | None) -> str:
    return "none" if pair is None else f"{pair[0]:.3g} of {pair[1]:.3g}"


def text_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns as wide as they must be, for a terminal."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip() for row in (head, *rows)
    )
