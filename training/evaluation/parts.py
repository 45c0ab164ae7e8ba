"""What an evaluation found."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from inspector.core.types import Image
from training.evaluate import Report
from training.evaluation.advice import Advice
from training.evaluation.curves import ClassCurves, Reliability, Trade
from training.evaluation.measure import Speed, Taught
from training.runs import Split


@dataclass(frozen=True, slots=True, eq=False)
class Worst:
    """One picture of the sheet. heat: (h, w) in 0..1, what speaks for the class that was said."""

    path: str
    view: Image
    heat: NDArray[np.float32]
    truth: str
    said: str
    confidence: float
    kind: str  # escape, overkill, other (another wrong class) or unsure (right, with little confidence)


@dataclass(frozen=True, slots=True, eq=False)
class Evaluation:
    """All that metrics.json and the page are made of. after and temperature: None without a wrong val picture."""

    taught: Taught
    split: Split
    report: Report
    precision: tuple[float, ...]
    f1: tuple[float, ...]
    classes: tuple[ClassCurves | None, ...]
    trade: Trade | None
    temperature: float | None
    before: Reliability
    after: Reliability | None
    speed: Speed
    worst: tuple[Worst, ...]
    advice: tuple[Advice, ...]
