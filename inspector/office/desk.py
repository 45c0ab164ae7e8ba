"""The review desk: which picture comes next for whom, and what the labels say about the line."""

from __future__ import annotations

import math
import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeVar

from inspector.core.errors import InspectorError
from inspector.core.estimates import Estimate, Reviewed, escapes, false_rejects, overkill
from inspector.office.labels import Labels
from inspector.office.settling import (
    GOOD,
    UNSURE,
    Box,
    Label,
    NewLabel,
    Queue,
    Settled,
    State,
    Truth,
    known,
    settle,
    standing,
)
from inspector.store.review_queue import Files, Row, WholeRecord
from inspector.store.shelf import Kind
from plc.registers import Reason, Verdict

R = TypeVar("R")
KINDS = {Queue.REJECT: Kind.REJECT, Queue.NEAR: Kind.NEAR, Queue.SAMPLE: Kind.PASS, Queue.COLLECT: Kind.COLLECT}
QUEUES = {str(kind): queue for queue, kind in KINDS.items()}
_MIX = 2_654_435_761  # Knuth's: spreads consecutive numbers over 32 bits


class NotForReview(InspectorError):
    """No such part, no picture of it, or a test part."""


class Ask(Protocol):
    """A question to the record; raises inspector.web.records.Unreadable."""

    def __call__(self, question: Callable[[Files], R], /) -> Awaitable[R]: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a person wants to see."""

    queues: frozenset[Queue]
    from_utc_ms: int
    to_utc_ms: int
    suspects: bool = False  # first where a label and the model disagree, then where the model was least sure


@dataclass(frozen=True, slots=True)
class Waiting:
    """What is left to do, and the first of it."""

    rows: tuple[Row, ...]
    done: int  # of `total`: labelled by this person, or settled
    total: int


@dataclass(frozen=True, slots=True)
class Figures:
    """What review says about a stretch of time."""

    false_rejects: Estimate
    overkill: Estimate
    escapes: Estimate
    rejected: int  # all parts that were, reviewed or not
    passed: int
    disputed: int  # pictures about which people disagree
    known_escapes: int  # parts that passed and were not good, by a truth of their serial; no share of anything


@dataclass(frozen=True, slots=True)
class Said:
    """What came of a label."""

    label: Label
    row: Row
    settled: Settled


async def _nobody() -> Sequence[str]:
    return ()


@dataclass(frozen=True, slots=True)
class Desk:
    """two_people: a picture is settled once two of them agree. named: classes that people want to collect."""

    labels: Labels
    ask: Ask
    two_people: bool = False
    utc_s: Callable[[], float] = time.time
    named: Callable[[], Awaitable[Sequence[str]]] = _nobody

    async def waiting(self, person: str, wanted: Wanted, limit: int) -> Waiting:
        """The next pictures for `person`. Raises Unreadable, StoreError."""
        rows, labels = await self._reviewable(wanted)
        due = [row for row in rows if self._is_due(labels.get(row["no"], ()), person)]
        done = len(rows) - len(due)
        if wanted.suspects:
            due += [row for row in rows if self._is_suspect(row, labels.get(row["no"], ()), person)]
        due.sort(key=lambda row: self._order(row, labels.get(row["no"], ()), wanted))
        return Waiting(tuple(due[:limit]), done, len(rows))

    async def say(
        self, no: int, label: str, acceptable: bool | None, person: str, ticket: str, note: str, box: Box | None
    ) -> Said:
        """Keep a label; what queue it is of, the kept picture says. Raises NotForReview, ValueError, StoreError."""
        rows = await self.ask(lambda files: WholeRecord(files).by_number((no,)))
        queue = queue_of(rows[0]) if rows and not rows[0]["test_part"] else None
        if queue is None:
            raise NotForReview(f"inspection {no} has no picture to review")
        said = NewLabel(no, rows[0]["station"], label, acceptable, queue, person, ticket, note, box)
        kept = await self.labels.add(said)
        return Said(kept, rows[0], settle(await self.labels.of(no), self.two_people))

    async def classes(self) -> tuple[str, ...]:
        """Names that a picture may be given, without good and unsure: of models, of what is collected, then others.

        In an order that changes little, for each has its key and people learn it.
        """
        named = await self.ask(lambda files: WholeRecord(files).class_names())
        names = (*named, *await self.named(), *await self.labels.classes())
        return tuple(name for name in dict.fromkeys(names) if name not in (GOOD, UNSURE))

    async def unknown(self, serials: Collection[str]) -> frozenset[str]:
        """Those of which no part is on record; none where the record cannot be read now: what was said is kept."""
        try:
            found = await self.ask(lambda files: WholeRecord(files).known_serials(serials))
        except InspectorError:
            return frozenset()
        return frozenset(serials) - found

    async def figures(self, from_utc_ms: int, to_utc_ms: int) -> Figures:
        """Of the parts opened in that time, by the labels that stand now. Raises Unreadable, StoreError."""
        span = await self.ask(lambda files: WholeRecord(files).numbers_between(from_utc_ms, to_utc_ms))
        if span is None:
            return figures_of((), {}, {}, self.two_people, 0, 0, 0)
        labels = await self.labels.between(*span)
        bad = await self.labels.bad_serials()
        rows = await self.ask(lambda files: WholeRecord(files).by_number(labels))
        rejected, passed = await self.ask(lambda files: WholeRecord(files).outcomes(*span))
        escaped = await self.ask(lambda files: WholeRecord(files).passed_of(*span, bad)) if bad else 0
        truths = await self.labels.truths(row["serial"] for row in rows)
        return figures_of(rows, labels, truths, self.two_people, rejected, passed, escaped)

    async def _reviewable(self, wanted: Wanted) -> tuple[list[Row], Mapping[int, tuple[Label, ...]]]:
        span = await self.ask(lambda files: WholeRecord(files).numbers_between(wanted.from_utc_ms, wanted.to_utc_ms))
        if span is None:
            return [], {}
        kinds = [KINDS[queue] for queue in wanted.queues]
        rows = await self.ask(lambda files: WholeRecord(files).kept(*span, kinds))
        return rows, await self.labels.between(*span)

    def _is_due(self, labels: Sequence[Label], person: str) -> bool:
        return person not in standing(labels) and settle(labels, self.two_people).state in (State.OPEN, State.DISPUTED)

    def _is_suspect(self, row: Row, labels: Sequence[Label], person: str) -> bool:
        """Labelled by others against the model: worth a second look, though it is settled."""
        if self._is_due(labels, person) or person in standing(labels) or queue_of(row) is Queue.SAMPLE:
            return False
        return disagrees(row, settle(labels, self.two_people))

    def _order(self, row: Row, labels: Sequence[Label], wanted: Wanted) -> tuple[float, ...]:
        """The sample always comes in an order of chance, so that however much of it is done is a random sample too.

        So does a mixture, or its order would tell which are which.
        """
        chance = float(row["no"] * _MIX % 2**32)
        if queue_of(row) is Queue.SAMPLE:
            return (1.0 if wanted.suspects else 0.0, 0.0, chance)
        if wanted.suspects:
            agree = not disagrees(row, settle(labels, self.two_people))
            return (0.0, float(agree), math.inf if row["confidence"] is None else row["confidence"], -row["no"])
        return (0.0, 0.0, chance if len(wanted.queues) > 1 else -float(row["no"]))


def queue_of(row: Row) -> Queue | None:
    """By the folder of its picture; None: none that is reviewed."""
    return QUEUES.get((row["image"] or "").partition("/")[0])


def disagrees(row: Row, settled: Settled) -> bool:
    """True where people say other than the PLC was told, or name another defect than the model."""
    if settled.acceptable is None:
        return False
    if settled.acceptable is not (row["code"] == Verdict.PASS):
        return True
    return bool(row["code"] == Verdict.FAIL and row["reason"] == Reason.CLASS and settled.label != row["label"])


def figures_of(
    rows: Iterable[Row], labels: Mapping[int, tuple[Label, ...]], truths: Mapping[str, tuple[Truth, ...]],
    two_people: bool, rejected: int, passed: int, known_escapes: int,
) -> Figures:  # fmt: skip
    """rows: of the labelled parts; labels by number; truths by serial. Near-misses are in no figure."""
    rejects, sample, disputed = Reviewed(), Reviewed(), 0
    for row in rows:
        said = labels.get(row["no"], ())
        settled = settle(said, two_people)
        disputed += settled.state is State.DISPUTED
        queues = {label.said.queue for label in standing(said).values()}
        if settled.state is State.OPEN or row["test_part"] or row["reason"] == Reason.COLLECTING:
            continue
        if row["code"] == Verdict.PASS and Queue.SAMPLE in queues:
            sample = _count(sample, settled, truths.get(row["serial"], ()))
        elif row["code"] != Verdict.PASS and Queue.REJECT in queues:
            rejects = _count(rejects, settled, truths.get(row["serial"], ()))
    return Figures(
        false_rejects(rejects), overkill(rejects, sample, rejected, passed), escapes(sample),
        rejected, passed, disputed, known_escapes,
    )  # fmt: skip


def _count(counted: Reviewed, settled: Settled, truths: Sequence[Truth]) -> Reviewed:
    """One part more. What its serial is known to have been goes before what its picture looks like."""
    good: Any = settled.acceptable if settled.state is State.SETTLED else None
    if truth := known(truths):
        good, counted = truth.said.good, replace(counted, by_truth=counted.by_truth + 1)
    if good is None:
        return replace(counted, unsure=counted.unsure + 1)
    return replace(counted, good=counted.good + 1) if good else replace(counted, not_good=counted.not_good + 1)
