from __future__ import annotations

import pytest

from inspector.office.settling import Box, Label, Settled, State, check_label, settle
from tests.support.reviewing import said


def history(*given: tuple[str, str], undone: tuple[int, ...] = ()) -> list[Label]:
    """(person, label) as they came; undone: positions that were taken back."""
    return [
        Label(n, said(1, label, person), 0, person if n in undone else None)
        for n, (person, label) in enumerate(given)
    ]  # fmt: skip


def test_one_person_settles_a_picture_and_the_newest_label_counts() -> None:
    assert settle([], False) == Settled(State.OPEN)
    assert settle(history(("anna", "dent")), False) == Settled(State.SETTLED, "dent", False)
    assert settle(history(("anna", "dent"), ("anna", "good")), False) == Settled(State.SETTLED, "good", True)
    assert settle(history(("anna", "good"), ("ben", "unsure")), False).state is State.UNSURE


def test_what_is_taken_back_does_not_count_and_what_stood_before_it_does() -> None:
    assert settle(history(("anna", "dent"), ("anna", "good"), undone=(1,)), False).label == "dent"
    assert settle(history(("anna", "dent"), undone=(0,)), False) == Settled(State.OPEN)


@pytest.mark.parametrize(
    ("given", "state", "label"),
    [
        ([("anna", "dent")], State.OPEN, "dent"),
        ([("anna", "dent"), ("anna", "dent")], State.OPEN, "dent"),  # one person is not two
        ([("anna", "dent"), ("ben", "dent")], State.SETTLED, "dent"),
        ([("anna", "dent"), ("ben", "good")], State.DISPUTED, "good"),
        ([("anna", "dent"), ("ben", "good"), ("cem", "dent")], State.SETTLED, "dent"),
        ([("anna", "dent"), ("ben", "good"), ("cem", "stain")], State.DISPUTED, "stain"),
        ([("anna", "dent"), ("ben", "good"), ("cem", "dent"), ("eve", "good")], State.DISPUTED, "good"),
        ([("anna", "dent"), ("ben", "good"), ("ben", "dent")], State.SETTLED, "dent"),  # ben was convinced
        ([("anna", "unsure"), ("ben", "good")], State.OPEN, "good"),
        ([("anna", "unsure"), ("ben", "good"), ("cem", "good")], State.SETTLED, "good"),
        ([("anna", "unsure"), ("ben", "unsure")], State.UNSURE, "unsure"),
    ],
)
def test_two_people_who_agree_settle_it_and_two_who_do_not_want_a_third(
    given: list[tuple[str, str]], state: State, label: str
) -> None:
    found = settle(history(*given), True)
    assert (found.state, found.label) == (state, label)
    assert settle(list(reversed(history(*given))), True) == found


@pytest.mark.parametrize(
    "name", ["", "a/b", "..", ".hidden", "a\\b", "a\nb", "train", "Negatives", "=1+1", "x" * 65, "a,b", "end.", "end "]
)
def test_a_class_that_could_be_no_folder_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="cannot be the name of a class"):
        check_label(name)


def test_classes_in_any_writing_are_fine() -> None:
    for name in ("dent", "missing_hole", "划痕", "Kratzer groß", "3D-x"):
        check_label(name)


def test_a_box_is_in_the_picture_and_a_label_is_of_somebody() -> None:
    for sides in ((-1, 0, 1, 1), (0, 0, 0, 1), (0, 0, 1, 100_000)):
        with pytest.raises(ValueError, match="a box is"):
            Box(*sides)
    with pytest.raises(ValueError, match="needs a person"):
        said(1, person="")
    with pytest.raises(ValueError, match="cannot be acceptable"):
        type(said(1))(1, "st1", "good", False, said(1).queue, "anna", "t")
