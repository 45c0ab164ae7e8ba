"""Targets and regions: the newest holds, and what is counted is what people agreed on."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import apsw
import pytest

from inspector.office import collecting
from inspector.office.collecting import Target, add_target, counted, named, regions, set_region, settled_labels, targets
from inspector.office.refused import Refused
from inspector.office.settling import Label
from tests.support.reviewing import said


@pytest.fixture
def db(tmp_path: Path) -> Iterator[apsw.Connection]:
    made = apsw.Connection(str(tmp_path / "office.db"))
    made.execute(collecting.STEP)
    yield made
    made.close()


def want(db: apsw.Connection, label: str, wanted: int, lot: str = "") -> None:
    add_target(db, Target(label, lot, wanted), "anna", 0)


def test_the_newest_number_of_a_class_and_lot_holds_and_0_takes_it_away(db: apsw.Connection) -> None:
    for label, wanted, lot in (("good", 50, ""), ("scratch", 20, ""), ("scratch", 5, "L7"), ("good", 80, "")):
        want(db, label, wanted, lot)
    assert targets(db) == [Target("good", "", 80), Target("scratch", "", 20), Target("scratch", "L7", 5)]
    want(db, "scratch", 0)
    assert targets(db) == [Target("good", "", 80), Target("scratch", "L7", 5)]
    assert named(db) == ["good", "scratch"], "a class keeps its key though nobody wants more of it"


@pytest.mark.parametrize(
    ("label", "lot", "wanted"),
    [
        ("", "", 5), ("a/b", "", 5), ("unsure", "", 5), ("dent", "", -1), ("dent", "", 100_001), ("dent", "L" * 65, 5),
        ("dent", "\n", 5),
    ],
)  # fmt: skip
def test_what_nobody_can_collect_is_no_target(label: str, lot: str, wanted: int) -> None:
    with pytest.raises(ValueError):
        Target(label, lot, wanted)


def test_targets_are_bounded_and_those_that_are_there_can_still_change(
    db: apsw.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "MOST_TARGETS", 2)
    want(db, "good", 1)
    want(db, "dent", 1)
    with pytest.raises(Refused):
        want(db, "rust", 1)
    want(db, "dent", 9)
    assert targets(db)[1].wanted == 9


def test_the_newest_region_of_a_station_holds_and_none_is_the_whole_picture(db: apsw.Connection) -> None:
    set_region(db, "st1", (1, 2, 30, 40), "anna", 0)
    set_region(db, "st2", (0, 0, 5, 5), "anna", 0)
    set_region(db, "st1", (4, 4, 8, 8), "ben", 0)
    assert regions(db) == {"st1": (4, 4, 8, 8), "st2": (0, 0, 5, 5)}
    set_region(db, "st2", None, "ben", 0)
    assert regions(db) == {"st1": (4, 4, 8, 8)}
    for bad in ((-1, 0, 5, 5), (0, 0, 0, 5), (0, 0, 200_000, 5)):
        with pytest.raises(ValueError):
            set_region(db, "st1", bad, "ben", 0)


def test_only_what_is_settled_counts_towards_a_target_by_class_and_lot() -> None:
    given = [said(1), said(2, "dent"), said(3, "unsure"), said(4, "dent"), said(5, "dent"), said(5, "good", "ben")]
    labels: dict[int, list[Label]] = {}
    for n, one in enumerate(given, 1):
        labels.setdefault(one.no, []).append(Label(n, one, 0))
    settled = settled_labels(labels, two_people=False)
    assert settled == {1: "good", 2: "dent", 4: "dent", 5: "good"}
    assert settled_labels(labels, two_people=True) == {}, "nobody agreed with anybody yet"
    done, by_lot = counted(
        [Target("dent", "", 4), Target("dent", "L1", 1), Target("good", "L2", 2)], settled, {1: "L1", 2: "L1", 5: "L2"}
    )
    assert [(one.done, one.share) for one in done] == [(2, 0.5), (1, 1.0), (1, 0.5)]
    assert by_lot == {("good", "L1"): 1, ("dent", "L1"): 1, ("dent", ""): 1, ("good", "L2"): 1}
