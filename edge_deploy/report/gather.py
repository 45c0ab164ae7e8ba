"""From what a build has in hand to the parts of its report."""

from __future__ import annotations

import csv
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

from edge_deploy.choose import Rule, Target
from edge_deploy.errors import DeployError
from edge_deploy.parity import Parity
from edge_deploy.pictures import Picture, Pictures
from edge_deploy.report.parts import DataRow, HeatMap, Kind, ParityRow, Shown, Timing
from inspector.core.types import Image, Outcome, Prediction
from plc.registers import Verdict
from training.pages.page import number
from training.runs import SplitRow

MOST_OF_A_KIND = 12  # pictures in a gallery
PASSES = 4  # to compare with: what a heat map of nothing looks like
MOST_TO_CONFIRM = 30  # highest calibration pictures (model.md: shown to a person before approval)
TIMED = 60  # pictures


def data_rows(rows: Iterable[SplitRow], acceptable: frozenset[str]) -> tuple[DataRow, ...]:
    """Pictures and groups of each label and split; labels that may pass come first."""
    pictures: dict[str, Counter[str]] = defaultdict(Counter)
    groups: dict[tuple[str, str], set[str]] = defaultdict(set)
    for row in rows:
        pictures[row.label][row.split] += 1
        groups[row.label, row.split].add(row.group)
    order = sorted(pictures, key=lambda label: (label not in acceptable, label))
    return tuple(
        DataRow(label, label in acceptable, dict(pictures[label]),
                {split: len(groups[label, split]) for split in pictures[label]})
        for label in order
    )  # fmt: skip


def targets_of(target: Target | None) -> dict[str, float]:
    """What the test pictures are held against, by name of the promise. A cost and an aim promise no share."""
    promises = (Rule.OVERKILL, Rule.ESCAPE)
    return {} if target is None or target.rule not in promises else {str(target.rule): target.value}


def heat_maps(
    pictures: Pictures,
    which: Sequence[Picture],
    predictions: Sequence[Prediction],
    outcomes: Sequence[Outcome],
    acceptable: frozenset[str],
) -> tuple[HeatMap, ...]:
    """Test pictures for the gallery: misses, false alarms, and hits of every kind in turn, at most twelve of each; then
    passes, spread over their scores."""
    chosen: dict[Kind, list[int]] = {"miss": [], "false alarm": [], "hit": [], "pass": []}
    for i, (shown, outcome) in enumerate(zip(which, outcomes, strict=True)):
        chosen[_kind(outcome.verdict is Verdict.PASS, shown.truth in acceptable)].append(i)
    seen: Counter[str] = Counter()
    turn = {}
    for i in chosen["hit"]:  # the first of each kind, then the second of each ...
        turn[i] = seen[which[i].truth]
        seen[which[i].truth] += 1
    chosen["hit"].sort(key=lambda i: turn[i])
    passes = sorted(chosen["pass"], key=lambda i: _score(predictions[i]))
    places = np.linspace(0, len(passes) - 1, min(PASSES, len(passes))).round().astype(int)
    chosen["pass"] = [passes[place] for place in places]
    return tuple(
        _heat_map(pictures.view(which[i]), kind, which[i], predictions[i], outcomes[i])
        for kind, indices in chosen.items()
        for i in indices[:MOST_OF_A_KIND]
    )


def _kind(passed: bool, good: bool) -> Kind:
    if passed == good:
        return "pass" if passed else "hit"
    return "miss" if passed else "false alarm"


def _heat_map(view: Image, kind: Kind, shown: Picture, p: Prediction, o: Outcome) -> HeatMap:
    said = f"{o.verdict.name} / {o.reason.name}, {p.label} {p.confidence:.3f}".lower().replace("_", " ")
    file = f"{shown.file.parent.name}/{shown.file.name}"
    return HeatMap(view, p.anomaly_map, kind, _score(p), shown.truth, said, file)


def _score(p: Prediction) -> float:
    return p.novelty_score if p.anomaly_score is None else p.anomaly_score


def highest_of(
    pictures: Pictures, held_out: Sequence[Prediction], acceptable: frozenset[str], most: int = MOST_TO_CONFIRM
) -> tuple[Shown, ...]:
    """The good calibration pictures with the highest scores, the strangest first: is one of them a defect?"""
    good = [(p, found) for p, found in zip(pictures.val, held_out, strict=True) if p.truth in acceptable]
    ranked = sorted(good, key=lambda pair: -_score(pair[1]))[:most]
    return tuple(Shown(pictures.view(p), f"{p.file.name}, {number(_score(found))}") for p, found in ranked)


def timing_of(
    stage: str,
    predict: Callable[[Image], object],
    views: Iterable[Image],
    clock: Callable[[], float] = time.perf_counter,
) -> Timing:
    """Median and 99th percentile of one picture after another, after a warm-up call. Raises ValueError: no view."""
    took = []
    for place, view in enumerate(views):
        if place == 0:
            predict(view)
        begun_s = clock()
        predict(view)
        took.append(1000 * (clock() - begun_s))
    if not took:
        raise ValueError("no picture to time")
    return Timing(stage, float(np.median(took)), float(np.quantile(took, 0.99)), len(took))


def read_sizes(file: Path, data: Path, pictures: Sequence[Picture]) -> tuple[float | None, ...]:
    """Sizes of the test pictures from a CSV with the columns path and size_px. Raises DeployError."""
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            table = {row["path"]: float(row["size_px"]) for row in csv.DictReader(stream)}
    except (OSError, KeyError, ValueError) as exc:
        raise DeployError(f"--sizes {file} cannot be read ({exc!r}): it needs the columns path and size_px") from exc
    return tuple(table.get(picture.file.relative_to(data).as_posix()) for picture in pictures)


def parity_rows(parity: Parity) -> tuple[ParityRow, ...]:
    """Verdicts and scores of every form on the golden pictures, then the worst picture of every tap."""
    rows = []
    for v in parity.verdicts:
        flips = f"{v.form}: verdicts that flip, of {v.pictures} golden pictures outside the guard band ({parity.band})"
        rows.append(ParityRow(flips, len(v.flips), 0, not v.flips))
        scores = {"confidence": v.confidence, "novelty": v.novelty, "anomaly": v.anomaly}
        kind = "drift" if v.step == "rounding" else "drift (confidence absolute, others as a share)"
        rows += [
            ParityRow(f"{v.form}: {name} {kind}", *pair, pair[0] <= pair[1]) for name, pair in scores.items() if pair
        ]
    for t in parity.taps:
        name = f"{t.form} against {t.reference}, {t.output}"
        rows.append(ParityRow(f"{name}: cosine", f"{t.cosine:.5f}", f"at least {t.limit.cosine:g}", t.ok))
        most = f"at most {t.limit.difference:.0%}"
        rows.append(ParityRow(f"{name}: largest difference", f"{t.difference:.2%}", most, t.ok))
    return tuple(rows)
