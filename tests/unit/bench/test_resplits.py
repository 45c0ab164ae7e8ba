"""Held-out good tiles dealt again and again: the leak shows, and page and figure say so; made-up scores."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from inspector.core.types import Prediction
from tests.bench.resplits import FIGURE, dealt, figure, section, write_figure

GOOD = frozenset({"good"})


def scored(anomaly: float | None, novelty: float) -> Prediction:
    """Of the only class there is."""
    return Prediction("good", 0, 1.0, (1.0,), novelty, anomaly)


def tiles(spread: float, count: int = 52, each: int = 6) -> tuple[list[Prediction], list[str]]:
    """spread: of the anomaly score between tiles; 1 within."""
    rng = np.random.default_rng(4)
    scores = rng.normal(0, spread, count).repeat(each) + rng.normal(size=count * each)
    found = [scored(float(score), 0.5 + 0.01 * float(score)) for score in scores]
    return found, [f"tile {i // each}" for i in range(len(found))]


@pytest.fixture(scope="module")
def leaking() -> dict[str, Any]:
    noted: dict[str, Any] = json.loads(json.dumps(dealt(*tiles(3.0), GOOD)))
    return noted


def test_of_one_class_without_negatives_the_whole_decision_ranks_like_the_anomaly_score(leaking: Any) -> None:
    assert leaking["strain"] == leaking["anomaly"]
    assert (leaking["pictures"], leaking["groups"]) == (312, 52)
    assert {len(look["overkill"]) for look in leaking["strain"].values()} == {100}


def test_the_page_says_what_resplits_can_show_and_that_dealing_by_picture_hides_a_leak(leaking: Any) -> None:
    text = section(leaking)
    assert "not that a line keeps its share tomorrow" in text
    assert "dealing by picture hides that" in text
    assert f"]({FIGURE})" in text and "| picture, counted by picture: the leak |" in text
    assert "very same figures" in text
    without = section(json.loads(json.dumps(dealt(*tiles(0.0), GOOD))))
    assert "these tiles show no leak" in without


def test_limits_that_do_not_hold_are_called_so(leaking: Any) -> None:
    broken = {**leaking["strain"]["groups"], "overkill": [0.9] * 100}
    text = section({**leaking, "strain": {**leaking["strain"], "groups": broken}})
    assert "Limits by tile do NOT keep their share (0 % inside)" in text
    assert "By the anomaly score alone: groups" in text


def test_the_figure_has_a_panel_a_way_to_deal_and_the_same_numbers_give_the_same_bytes(
    leaking: Any, tmp_path: Path
) -> None:
    write_figure(leaking, tmp_path / "results.md")
    text = (tmp_path / FIGURE).read_text(encoding="utf-8")
    assert text == figure(leaking)
    assert text.startswith("<?xml")
    for words in ("dealt by tile, counted by tile", "dealt by picture, counted by picture", "the aim of 5 %"):
        assert words in text
    assert "#b3261e" in text  # resplits outside their band


def test_a_bundle_without_an_anomaly_score_is_refused() -> None:
    found, groups = tiles(1.0)
    with pytest.raises(ValueError, match="no anomaly score"):
        dealt([replace(one, anomaly_score=None) for one in found], groups, GOOD)
