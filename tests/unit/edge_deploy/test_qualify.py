from __future__ import annotations

import pytest

from edge_deploy.qualify import qualify
from inspector.core.types import Limits, Prediction

LIMITS = Limits(0.9, None, (1.0, 2.0), frozenset({"good"}))
LABELS = ("good", "dent")


def said(label: str, confidence: float = 0.99, novelty: float = 1.5) -> Prediction:
    return Prediction(label, LABELS.index(label), confidence, (0.0, 0.0), novelty)


TRUTHS = ("good", "good", "good", "good", "dent", "dent", "crack")
INT8 = (
    said("good"),
    said("good"),
    said("good", 0.5),
    said("dent"),
    said("dent"),
    said("good"),
    said("good", novelty=3.0),
)
FP32 = (said("good"), said("good"), said("good"), said("dent"), said("dent"), said("good"), said("good", novelty=3.0))


def test_each_way_to_fail_is_counted_once_and_bounded() -> None:
    q = qualify(TRUTHS, {"pytorch": FP32, "fp32": FP32, "int8": INT8}, [said("good", novelty=5.0)], LABELS, LIMITS)
    counted = {share.name: (share.failures, share.of) for share in q.promises}
    assert counted == {
        "overkill": (2, 4),  # one unsure, one called a dent
        "escape": (1, 3),
        "escape:crack": (0, 1),  # never taught, outside novelty's limits
        "escape:dent": (1, 2),
        "negatives": (0, 1),
    }
    overkill = q.promises[0].bound()
    assert overkill.upper_95 == pytest.approx(0.9024, abs=1e-4)  # 2 of 4, one-sided 95 %


def test_flips_between_the_stages_are_counted_by_verdict() -> None:
    q = qualify(TRUTHS, {"pytorch": FP32, "fp32": FP32, "int8": INT8}, [], LABELS, LIMITS)
    assert q.flips == {"pytorch_fp32": 0, "fp32_int8": 1, "pytorch_int8": 1}


def test_accuracy_leaves_out_kinds_that_are_no_class() -> None:
    q = qualify(TRUTHS, {"int8": INT8}, [], LABELS, LIMITS)
    assert q.stages["int8"].accuracy == pytest.approx(4 / 6)
    assert q.metrics()["int8_accuracy"] == pytest.approx(4 / 6)
    assert q.metrics()["escape_dent"] == 0.5


def test_a_negative_that_gets_any_verdict_of_its_own_is_a_failure() -> None:
    q = qualify(TRUTHS, {"int8": INT8}, [said("dent")], LABELS, LIMITS)
    assert {s.name: s.failures for s in q.promises}["negatives"] == 1


def test_pictures_of_one_part_or_lot_count_once_and_fail_with_the_first_that_fails() -> None:
    """300 good parts of 30 lots, one lot bad throughout; bounds from 300 pictures would be ten times too sure."""
    truths = ["good"] * 300 + ["dent"] * 20
    lots = [f"lot{i // 10}" for i in range(320)]
    found = [said("good", 0.5 if i // 10 == 3 else 0.99) for i in range(300)]
    found += [said("good" if i == 4 else "dent") for i in range(20)]
    q = qualify(truths, {"int8": found}, [], LABELS, LIMITS, lots)
    assert {s.name: (s.failures, s.of) for s in q.promises} == {
        "overkill": (1, 30), "escape": (1, 2), "escape:dent": (1, 2),
    }  # fmt: skip
    assert (q.groups, q.metrics()["test_groups"], q.metrics()["test_images"]) == (32, 32.0, 320.0)


def test_groups_of_one_picture_each_are_pictures() -> None:
    alone = qualify(TRUTHS, {"int8": INT8}, [], LABELS, LIMITS, [f"part{i}" for i in range(len(TRUTHS))])
    assert alone.groups is None and "test_groups" not in alone.metrics()
    assert alone.promises == qualify(TRUTHS, {"int8": INT8}, [], LABELS, LIMITS).promises
