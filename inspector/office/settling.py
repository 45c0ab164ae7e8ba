"""What people said about one picture, and what follows from it. Pure.

Labels are a history: a person who labels a picture again, or takes a label back, changes what stands and deletes
nothing. Of each person the newest label that stands counts.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

GOOD, UNSURE = "good", "unsure"
MAX_CLASS, MAX_NOTE = 64, 500  # characters
_NO_CLASS = re.compile(r"[\x00-\x1f\x7f/\\,\"]|^[.=+@-]|[. ]$")  # not a folder's name, or a formula in a table
_FOLDERS = {"negatives", "ground_truth", "train", "training", "val", "valid", "validation", "test", UNSURE}


class Queue(StrEnum):
    """Why the picture was shown to a person; as its picture is kept for."""

    REJECT = "reject"
    NEAR = "near"  # a pass close to a limit
    SAMPLE = "sample"  # a pass chosen at random: the only ones that an escape estimate is made of
    COLLECT = "collect"  # kept without a judgement


class State(StrEnum):
    OPEN = "open"  # a person is wanted
    SETTLED = "settled"
    DISPUTED = "disputed"  # two people disagree: a third is wanted
    UNSURE = "unsure"  # the picture does not show it


@dataclass(frozen=True, slots=True)
class Box:
    """Where it is, in pixels of the kept picture."""

    x: int
    y: int
    w: int
    h: int

    def __post_init__(self) -> None:
        """Raises ValueError."""
        if not (0 <= self.x < 100_000 and 0 <= self.y < 100_000 and 0 < self.w < 100_000 and 0 < self.h < 100_000):
            raise ValueError("a box is x and y from 0 and a width and height from 1, in pixels")


@dataclass(frozen=True, slots=True)
class NewLabel:
    """What a person says about a picture. Raises ValueError: no label that could be used."""

    no: int  # of the inspection
    station: str
    label: str  # good, the name of a class, or unsure
    acceptable: bool | None  # such a part may pass; None where unsure. Kept, for class maps change
    queue: Queue
    person: str
    ticket: str  # of the browser's own making: the same label sent twice is kept once
    note: str = ""
    box: Box | None = None

    def __post_init__(self) -> None:
        check_label(self.label)
        if (self.label == UNSURE) != (self.acceptable is None) or (self.label == GOOD and not self.acceptable):
            raise ValueError(f"{self.label} cannot be acceptable = {self.acceptable}")
        if not (self.person and self.ticket) or len(self.ticket) > 64 or len(self.note) > MAX_NOTE:
            raise ValueError(f"a label needs a person and a ticket, and a note of at most {MAX_NOTE} characters")


@dataclass(frozen=True, slots=True)
class Label:
    """A label as it is kept."""

    n: int
    said: NewLabel
    utc_ms: int
    undone_by: str | None = None  # the person who took it back; None: it stands


@dataclass(frozen=True, slots=True)
class Settled:
    """What stands about one picture."""

    state: State
    label: str | None = None  # the one that people agree on, or the newest while it is open or disputed; None: none
    acceptable: bool | None = None


def check_label(name: str) -> None:
    """Raises ValueError: `name` is no label, or could not be the name of a class folder."""
    if name in (GOOD, UNSURE):
        return
    if not name or len(name) > MAX_CLASS or _NO_CLASS.search(name) or name.lower() in _FOLDERS:
        raise ValueError(f"{name[:MAX_CLASS]!r} cannot be the name of a class")


def standing(labels: Sequence[Label]) -> dict[str, Label]:
    """Of each person the newest label that was not taken back, in the order in which they came."""
    newest: dict[str, Label] = {}
    for label in sorted(labels, key=lambda label: label.n):
        if label.undone_by is None:
            newest.pop(label.said.person, None)
            newest[label.said.person] = label
    return newest


def settle(labels: Sequence[Label], two_people: bool) -> Settled:
    """labels: all of one picture, in any order. two_people: it takes two who agree.

    One person: the newest label that stands. Two: the label that two or more gave, and more than any other; those who
    are unsure do not vote against anyone, and two of them with nobody sure make it unsure.
    """
    stand = [label.said for label in standing(labels).values()]
    if not stand:
        return Settled(State.OPEN)
    newest = stand[-1]
    if not two_people:
        state = State.UNSURE if newest.label == UNSURE else State.SETTLED
        return Settled(state, newest.label, newest.acceptable)
    votes = Counter(said.label for said in stand if said.label != UNSURE).most_common()
    if votes and votes[0][1] >= 2 and (len(votes) == 1 or votes[1][1] < votes[0][1]):
        agreed = next(said for said in reversed(stand) if said.label == votes[0][0])
        return Settled(State.SETTLED, agreed.label, agreed.acceptable)
    if len(votes) > 1:
        return Settled(State.DISPUTED, newest.label, newest.acceptable)
    if not votes and len(stand) >= 2:
        return Settled(State.UNSURE, UNSURE)
    return Settled(State.OPEN, newest.label, newest.acceptable)


class Source(StrEnum):
    """Where a truth came from that no picture of ours told."""

    REINSPECTION = "reinspection"  # a person with the part in the hand
    LATER_TEST = "later_test"
    COMPLAINT = "complaint"


@dataclass(frozen=True, slots=True)
class NewTruth:
    """What a part really was, by serial. Raises ValueError."""

    serial: str
    source: Source
    good: bool
    person: str
    note: str = ""

    def __post_init__(self) -> None:
        if not self.serial or len(self.serial) > 64 or not self.person or len(self.note) > MAX_NOTE:
            raise ValueError(f"a truth needs a serial, a person, and a note of at most {MAX_NOTE} characters")


@dataclass(frozen=True, slots=True)
class Truth:
    """A truth as it is kept; of one serial the newest that stands counts, and all remain."""

    n: int
    said: NewTruth
    utc_ms: int
    undone_by: str | None = None  # the person who took it back; None: it stands


def known(truths: Sequence[Truth]) -> Truth | None:
    """What counts of all that was ever said of one serial, in any order; None: nothing that stands."""
    return max((truth for truth in truths if truth.undone_by is None), key=lambda truth: truth.n, default=None)
