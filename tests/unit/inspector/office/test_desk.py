"""Which picture comes next for whom, and what the labels say about the line."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from inspector.core.estimates import Basis
from inspector.demo.parts import Kind
from inspector.office.desk import Desk, NotForReview, Wanted, figures_of
from inspector.office.settling import Label, NewTruth, Queue, Source
from inspector.store import shelf
from tests.support.labels import undo_last
from tests.support.reviewing import NEAR, REJECT, SAMPLE, TEST, Part, desk_in, said, write_parts

ALWAYS = (0, 2**53)
MIX = [
    Part(Kind.SCRATCH, REJECT), Part(Kind.GOOD), Part(Kind.GOOD, SAMPLE), Part(Kind.DENT, REJECT, confidence=0.6),
    Part(Kind.GOOD, NEAR), Part(Kind.SCRATCH, TEST, test_part=True), Part(Kind.GOOD, SAMPLE), Part(Kind.STAIN, REJECT),
]  # fmt: skip


def wanted(*queues: Queue, suspects: bool = False) -> Wanted:
    return Wanted(frozenset(queues), *ALWAYS, suspects=suspects)


async def give(desk: Desk, no: int, label: str, person: str = "anna") -> None:
    acceptable = None if label == "unsure" else label == "good"
    await desk.say(no, label, acceptable, person, f"{no}{label}{person}{time.monotonic_ns()}", "", None)


async def numbers(desk: Desk, person: str, *queues: Queue, suspects: bool = False) -> list[int]:
    found = await desk.waiting(person, wanted(*queues, suspects=suspects), 50)
    return [row["no"] for row in found.rows]


async def test_each_queue_holds_its_pictures_and_no_test_part(tmp_path: Path) -> None:
    collected = shelf.Kind.COLLECT  # where a station keeps all it sees, test parts too
    await write_parts(tmp_path, [*MIX, Part(Kind.GOOD, collected), Part(Kind.SCRATCH, collected, test_part=True)])
    with desk_in(tmp_path) as desk:
        assert await numbers(desk, "anna", Queue.REJECT) == [8, 4, 1]
        assert await numbers(desk, "anna", Queue.NEAR) == [5]
        assert await numbers(desk, "anna", Queue.COLLECT) == [9]
        with pytest.raises(NotForReview):
            await give(desk, 10, "good")
        assert sorted(await numbers(desk, "anna", Queue.SAMPLE)) == [3, 7]
        with pytest.raises(NotForReview):
            await give(desk, 6, "good")
        with pytest.raises(NotForReview):
            await give(desk, 2, "good")
        with pytest.raises(NotForReview):
            await give(desk, 99, "good")


async def test_a_labelled_picture_is_done_and_comes_back_when_it_is_taken_back(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    with desk_in(tmp_path) as desk:
        await give(desk, 4, "dent")
        found = await desk.waiting("anna", wanted(Queue.REJECT), 50)
        assert ([row["no"] for row in found.rows], found.done, found.total) == ([8, 1], 1, 3)
        assert await numbers(desk, "ben", Queue.REJECT) == [8, 1]
        await undo_last(desk.labels, "anna")
        assert await numbers(desk, "anna", Queue.REJECT) == [8, 4, 1]


async def test_with_two_people_a_picture_waits_for_the_second_and_a_dispute_for_a_third(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    with desk_in(tmp_path, two_people=True) as desk:
        await give(desk, 4, "dent")
        assert await numbers(desk, "anna", Queue.REJECT) == [8, 1], "nobody is their own second person"
        assert await numbers(desk, "ben", Queue.REJECT) == [8, 4, 1]
        await give(desk, 4, "good", "ben")
        assert (await desk.figures(*ALWAYS)).disputed == 1
        assert await numbers(desk, "cem", Queue.REJECT) == [8, 4, 1]
        await give(desk, 4, "dent", "cem")
        assert await numbers(desk, "eve", Queue.REJECT) == [8, 1]


async def test_doubtful_pictures_come_first_where_that_is_wanted(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    with desk_in(tmp_path) as desk:
        assert await numbers(desk, "anna", Queue.REJECT, suspects=True) == [4, 8, 1], "the model was least sure of 4"
        await give(desk, 8, "good", "ben")  # the line rejected it
        await give(desk, 1, "scratch", "ben")  # as the model said
        assert await numbers(desk, "anna", Queue.REJECT, suspects=True) == [8, 4], "a second look at 8"
        assert await numbers(desk, "ben", Queue.REJECT, suspects=True) == [4]


async def test_the_sample_comes_in_an_order_of_chance_even_where_doubtful_ones_are_wanted_first(tmp_path: Path) -> None:
    await write_parts(tmp_path, [Part(Kind.GOOD, SAMPLE, confidence=0.5 + n / 100, seed=1) for n in range(30)])
    with desk_in(tmp_path) as desk:
        found = await numbers(desk, "anna", Queue.SAMPLE)
        assert sorted(found) == list(range(1, 31)) and found not in (sorted(found), sorted(found, reverse=True))
        assert await numbers(desk, "anna", Queue.SAMPLE, suspects=True) == found


async def test_the_figures_are_those_of_the_labels(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    with desk_in(tmp_path) as desk:
        for no, label in ((1, "scratch"), (4, "good"), (8, "unsure"), (3, "good"), (7, "dent"), (5, "dent")):
            await give(desk, no, label)
        found = await desk.figures(*ALWAYS)
    assert (found.rejected, found.passed) == (3, 4)
    assert found.false_rejects.share == 0.5 and found.false_rejects.unsure == 1
    assert found.escapes.share == 0.5 and found.escapes.reviewed == 2, "the near-miss is no estimate"
    assert found.overkill.share == pytest.approx(3 * 0.5 / (3 * 0.5 + 4 * 0.5))
    assert found.escapes.basis is Basis.IMAGE


async def test_rejects_never_enter_the_escape_estimate(tmp_path: Path) -> None:
    await write_parts(tmp_path, [Part(Kind.SCRATCH, REJECT, seed=1) for _ in range(5)])
    with desk_in(tmp_path) as desk:
        for no in range(1, 6):
            await give(desk, no, "good")
        found = await desk.figures(*ALWAYS)
    assert found.escapes.reviewed == 0 and found.escapes.upper == 1.0
    assert found.false_rejects.share == 1.0


async def test_what_a_serial_is_known_to_have_been_goes_before_what_its_picture_looks_like(tmp_path: Path) -> None:
    await write_parts(
        tmp_path, [Part(Kind.GOOD, SAMPLE, serial="S1"), Part(Kind.GOOD, SAMPLE, serial="S2"), Part(serial="S3")]
    )
    with desk_in(tmp_path) as desk:
        await give(desk, 1, "good")
        assert (await desk.figures(*ALWAYS)).escapes.share == 0.0
        await desk.labels.add_truth(NewTruth("S1", Source.COMPLAINT, False, "anna"))
        await desk.labels.add_truth(NewTruth("S3", Source.COMPLAINT, False, "anna"))
        found = await desk.figures(*ALWAYS)
        assert found.escapes.share == 1.0 and found.escapes.reviewed == 1, "a complaint is no sample"
        assert found.escapes.basis is Basis.TRUTH and found.known_escapes == 2


async def test_the_figures_are_what_they_were_once_a_truth_is_taken_back(tmp_path: Path) -> None:
    parts = [Part(Kind.GOOD, SAMPLE, serial="S1"), Part(serial="S2"), Part(Kind.SCRATCH, REJECT, serial="S3")]
    await write_parts(tmp_path, parts)
    with desk_in(tmp_path) as desk:
        await give(desk, 1, "good")
        await give(desk, 3, "scratch")
        before = await desk.figures(*ALWAYS)
        wrong = [
            await desk.labels.add_truth(NewTruth(serial, Source.COMPLAINT, serial == "S3", "anna"))
            for serial in ("S1", "S2", "S3", "S22")
        ]
        after = await desk.figures(*ALWAYS)
        assert (after.escapes.share, after.false_rejects.share, after.known_escapes) == (1.0, 1.0, 2)
        assert await desk.unknown(["S1", "S22"]) == {"S22"}
        for truth in wrong:
            await desk.labels.undo_truth("ben", truth.n)
        assert await desk.figures(*ALWAYS) == before


async def test_an_empty_record_has_nothing_to_review(tmp_path: Path) -> None:
    await write_parts(tmp_path, [])
    with desk_in(tmp_path) as desk:
        assert await numbers(desk, "anna", *Queue) == []
        assert (await desk.figures(*ALWAYS)).overkill.share is None


async def test_the_classes_are_those_that_models_and_people_gave(tmp_path: Path) -> None:
    await write_parts(tmp_path, MIX)
    with desk_in(tmp_path) as desk:
        for label in ("stain", "rust", "chip", "rust", "unsure", "good"):
            await give(desk, 1, label)
        assert await desk.classes() == ("dent", "scratch", "stain", "rust", "chip"), "new ones take no key of another"


def test_a_test_part_is_in_no_figure_whoever_labelled_it() -> None:
    row = {"no": 1, "code": 2, "reason": 3, "serial": "", "test_part": 1}
    labels = {1: (Label(1, said(1), 0),)}
    found, product = (figures_of([{**row, "test_part": n}], labels, {}, False, 5, 5, 0) for n in (1, 0))
    assert found == figures_of([], {}, {}, False, 5, 5, 0) != product
