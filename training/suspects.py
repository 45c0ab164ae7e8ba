"""Labels worth a second look: the network, which never learned from pictures of val and test, calls them otherwise.

The rule is that of confident learning (Northcutt et al., 2021, section 3.1): label i is doubted where the network says
j with at least the mean confidence that it has in pictures that are labelled j.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from training.runs import SplitRow
from training.sheets import sheet, write_sheet
from training.views import Roi, cut, read_image

SUSPECTS, SHEET = "label-suspects.csv", "label-suspects.png"
ON_SHEET = 40


@dataclass(frozen=True, slots=True)
class Suspect:
    """One picture whose label the network doubts."""

    path: str
    split: str
    label: str
    called: str  # what the network says
    confidence: float  # in what it says, 0..1
    confidence_in_label: float


def find_suspects(
    rows: Sequence[SplitRow],
    probabilities: NDArray[np.floating[Any]],
    truth: NDArray[np.integer[Any]],
    labels: Sequence[str],
) -> list[Suspect]:
    """probabilities: (N, K) for the rows, truth: (N,) class ids; the most doubtful first."""
    called = probabilities.argmax(1)
    found = []
    for i in map(int, np.flatnonzero(called != truth)):
        of_class = probabilities[truth == called[i], called[i]]
        if not len(of_class) or probabilities[i, called[i]] >= of_class.mean():
            said, given = float(probabilities[i, called[i]]), float(probabilities[i, truth[i]])
            found.append(Suspect(rows[i].path, rows[i].split, rows[i].label, labels[called[i]], said, given))
    return sorted(found, key=lambda s: s.confidence_in_label - s.confidence)


def write_suspects(out: Path, root: Path, suspects: Sequence[Suspect], roi: Roi | None) -> Path | None:
    """Write the table, and a sheet of the most doubtful. Returns the sheet's file, None where nothing is doubted."""
    with (out / SUSPECTS).open("w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream)
        writer.writerow(["path", "split", "label", "called", "confidence", "confidence_in_label"])
        for s in suspects:
            writer.writerow([s.path, s.split, s.label, s.called, f"{s.confidence:.4f}", f"{s.confidence_in_label:.4f}"])
    if not suspects:
        return None
    tiles = [
        (cut(read_image(root / s.path), roi, s.path), (s.path, f"label {s.label}", f"{s.called} {s.confidence:.2f}"))
        for s in suspects[:ON_SHEET]
    ]
    write_sheet(out / SHEET, sheet(tiles, columns=min(5, len(tiles))))
    return out / SHEET
