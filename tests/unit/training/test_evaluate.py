"""Figures of a report, on predictions counted by hand."""

from __future__ import annotations

import numpy as np
import pytest

from inspector.core.manifest import ClassEntry
from training.evaluate import report

CLASSES = (ClassEntry(0, "good", True), ClassEntry(1, "light_mark", True), ClassEntry(2, "scratch", False))


def test_escape_and_overkill_ask_whether_a_part_would_pass_not_which_class_it_is() -> None:
    truth = np.array([0, 0, 1, 1, 2, 2, 2, 2])
    said = np.array([0, 1, 0, 2, 2, 2, 0, 2])
    seen = report(np.eye(3, dtype=np.float32)[said], truth, CLASSES)
    assert (seen.overkill.failures, seen.overkill.of) == (1, 4)  # good as light_mark still passes
    assert (seen.escape.failures, seen.escape.of) == (1, 4)
    assert seen.accuracy == 0.5
    assert seen.confusion.tolist() == [[1, 1, 0], [1, 0, 1], [1, 0, 3]]
    assert seen.metrics("test")["test_escape"] == 0.25
    assert seen.escape.interval.low == pytest.approx(0.0063, abs=1e-4)  # Clopper-Pearson, 1 of 4
    assert seen.escape.interval.high == pytest.approx(0.8059, abs=1e-4)


def test_without_defects_nothing_is_promised_about_escapes() -> None:
    seen = report(np.eye(3, dtype=np.float32)[[0, 0]], np.array([0, 0]), CLASSES)
    assert seen.escape.upper == 1.0
    assert "test_recall_scratch" not in seen.metrics("test")


def test_a_probability_that_is_not_finite_is_refused() -> None:
    with pytest.raises(ValueError, match="not finite"):
        report(np.full((1, 3), np.nan, np.float32), np.array([0]), CLASSES)
