"""Which labelled pictures go to training, and on which side of the split. Reads the record, labels and pictures."""

from __future__ import annotations

import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import apsw

from inspector.core.dealing import Split, deal_groups, join
from inspector.core.errors import InspectorError
from inspector.likeness import Likeness, near_copies
from inspector.office.collecting import Region, regions
from inspector.office.labels import labels_between, truths_of
from inspector.office.settling import UNSURE, Label, Settled, State, Truth, known, settle, standing
from inspector.pictures import PictureError, opened, pixels_of
from inspector.store import review_queue as questions
from inspector.store.months import month_files
from inspector.store.review_queue import Row
from inspector.web.media import NoPicture, read_below

MOST_MEGAPIXELS = 256
Watch = Callable[[int, int], None]  # pictures done, of all


class ExportError(InspectorError):
    """No dataset can be made of what there is; the text says what to do."""


class SplitBy(StrEnum):
    LOT = "lot"  # a lot is on one side of the split
    PART = "part"  # only a part is: for a box that has seen one lot


class LeftOut(StrEnum):
    """Why a labelled picture is not exported."""

    NOT_SETTLED = "not settled"
    UNSURE = "unsure"
    GONE = "picture gone or unreadable"
    TEST_PART = "test part"
    CONTRADICTED = "its serial is known to be otherwise"
    NEAR_COPY = "copy or near copy of a golden, test or left-out picture"
    TWICE = "the same picture as another"
    TWO_LABELS = "the same picture with two labels"


@dataclass(frozen=True, slots=True)
class Sources:
    """Where things are."""

    results_db: Path
    office_db: Path
    pictures: Path
    golden: tuple[Path, ...] = ()  # golden pictures of bundles
    left_out: tuple[Path, ...] = ()  # more pictures that must not be learned from: test sets, the defect library


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture of the dataset."""

    row: Row
    settled: Settled
    people: tuple[Label, ...]  # what stands about it
    sha256: str
    group: str  # the lot or part
    split: Split = "train"

    @property
    def label(self) -> str:
        return self.settled.label or UNSURE

    @property
    def name(self) -> str:
        return f"{self.row['no']:010d}.png"

    @property
    def path(self) -> str:
        """Below the export."""
        return f"{self.split}/{self.label}/{self.name}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is exported, by path, and what is not."""

    pictures: tuple[Picture, ...]
    left_out: Mapping[LeftOut, tuple[int, ...]]  # numbers of inspections
    regions: Mapping[str, Region | None] = field(default_factory=dict)  # by station, as chosen; None: the whole picture

    @property
    def classes(self) -> tuple[tuple[str, bool], ...]:
        """Name and whether such a part may pass, in the order of class ids: those that may pass first."""
        found = {picture.label: bool(picture.settled.acceptable) for picture in self.pictures}
        return tuple(sorted(found.items(), key=lambda entry: (not entry[1], entry[0])))


def plan(
    sources: Sources, *, two_people: bool, split_by: SplitBy, before: Mapping[str, Split] | None = None,
    watch: Watch = lambda done, of: None,
) -> Plan:  # fmt: skip
    """Choose the pictures. before: what groups were used for in an earlier export.

    Raises ExportError: nothing is settled, one class only, too few lots, or a database cannot be read.
    """
    out: defaultdict[LeftOut, list[int]] = defaultdict(list)
    rows, labels, truths, tests, chosen_regions = _read(sources)
    chosen = [(row, settled) for row in rows if (settled := _usable(row, labels, truths, two_people, out))]
    looked, held = _look(sources, chosen, tests, out, watch)
    looked = _without_copies(looked, held, out)
    pictures = _dealt([_picture(row, settled, labels, sha, split_by) for row, settled, sha, _ in looked], before)
    return Plan(
        tuple(sorted(pictures, key=lambda picture: picture.path)), {why: tuple(nos) for why, nos in out.items()},
        {st: chosen_regions.get(st) for st in sorted({picture.row["station"] for picture in pictures})},
    )  # fmt: skip


Read = tuple[list[Row], Mapping[int, tuple[Label, ...]], Mapping[str, tuple[Truth, ...]], list[str], dict[str, Region]]


def _read(sources: Sources) -> Read:
    """results.db first: a row only ever moves from there into its month's file, and one that is in both counts once."""
    rows: dict[int, Row] = {}
    tests: dict[str, None] = {}
    try:
        with closing(_reading(sources.office_db)) as office:
            labels, chosen = labels_between(office, 0, 2**63 - 1), regions(office)
            for path in (sources.results_db, *month_files(sources.results_db)):
                with closing(_reading(path)) as record:
                    if path != sources.results_db and not _is_begun(record):
                        continue
                    rows = {row["no"]: row for row in questions.by_number(record, labels)} | rows
                    tests |= dict.fromkeys(questions.pictures_of_test_parts(record))
            truths = truths_of(office, (row["serial"] for row in rows.values()))
    except (apsw.Error, OSError) as exc:
        raise ExportError(f"labels or records cannot be read: {exc}; has `inspector web` run here?") from exc
    return [rows[no] for no in sorted(rows)], labels, truths, list(tests), chosen


def _reading(path: Path) -> apsw.Connection:
    return apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)


def _is_begun(month: apsw.Connection) -> bool:
    """False of a month's file that no row has been moved to yet."""
    return bool(month.execute("SELECT count(*) FROM sqlite_schema WHERE name = 'inspections'").get)


def _usable(
    row: Row, labels: Mapping[int, tuple[Label, ...]], truths: Mapping[str, tuple[Truth, ...]], two_people: bool,
    out: Mapping[LeftOut, list[int]],
) -> Settled | None:  # fmt: skip
    """What was settled about it; None: noted in `out` why it is not used."""
    settled, truth = settle(labels[row["no"]], two_people), known(truths.get(row["serial"], ()))
    why: LeftOut | None = None
    if row["test_part"]:
        why = LeftOut.TEST_PART
    elif settled.state is State.UNSURE:
        why = LeftOut.UNSURE
    elif settled.state is not State.SETTLED:
        why = LeftOut.NOT_SETTLED
    elif truth is not None and truth.said.good is not settled.acceptable:
        why = LeftOut.CONTRADICTED
    elif not row["image"]:
        why = LeftOut.GONE
    if why is None:
        return settled
    out[why].append(row["no"])
    return None


Looked = tuple[Row, Settled, str, Likeness]  # str: SHA-256 of the file


def _look(
    sources: Sources, chosen: Sequence[tuple[Row, Settled]], tests: Sequence[str],
    out: Mapping[LeftOut, list[int]], watch: Watch,
) -> tuple[list[Looked], list[tuple[str, Likeness]]]:  # fmt: skip
    """Read each picture once. What must be left out is what cannot be read least of all: that is an error."""
    found: list[Looked] = []
    for done, (row, settled) in enumerate(chosen, 1):
        try:
            found.append((row, settled, *_seen(read_below(sources.pictures, row["image"])[0], row["image"])))
        except (NoPicture, PictureError):
            out[LeftOut.GONE].append(row["no"])
        watch(done, len(chosen))
    held: list[tuple[str, Likeness]] = []
    for path in tests:
        try:
            held.append(_seen(read_below(sources.pictures, path)[0], path))
        except NoPicture:
            continue  # it gave way meanwhile, so no label can be of it
    for file in (*sources.golden, *sources.left_out):
        try:
            held.append(_seen(file.read_bytes(), str(file)))
        except (OSError, PictureError) as exc:
            raise ExportError(f"{file} is to be left out and cannot be read: {exc}") from exc
    return found, held


def _seen(data: bytes, name: str) -> tuple[str, Likeness]:
    with opened(io.BytesIO(data), name, max_megapixels=MOST_MEGAPIXELS) as picture:
        return hashlib.sha256(data).hexdigest(), Likeness.of(pixels_of(picture))


def _without_copies(
    looked: Sequence[Looked], held: Sequence[tuple[str, Likeness]], out: Mapping[LeftOut, list[int]]
) -> list[Looked]:
    """Without near copies of what is held out, and each file once."""
    kinds = ["held"] * len(held) + ["data"] * len(looked)
    pairs = near_copies([*(like for _, like in held), *(one[3] for one in looked)], kinds)
    barred = {data - len(held) for _, data in pairs}
    hashes = {sha for sha, _ in held}
    labels: defaultdict[str, set[str | None]] = defaultdict(set)
    for _, settled, sha, _ in looked:
        labels[sha].add(settled.label)
    kept: dict[str, Looked] = {}
    for i, one in enumerate(looked):
        row, _, sha, _ = one
        if i in barred or sha in hashes:
            out[LeftOut.NEAR_COPY].append(row["no"])
        elif len(labels[sha]) > 1:
            out[LeftOut.TWO_LABELS].append(row["no"])
        elif sha in kept:
            out[LeftOut.TWICE].append(row["no"])
        else:
            kept[sha] = one
    return list(kept.values())


def _picture(
    row: Row, settled: Settled, labels: Mapping[int, tuple[Label, ...]], sha256: str, split_by: SplitBy
) -> Picture:
    people = tuple(standing(labels[row["no"]]).values())
    return Picture(row, settled, people, sha256, group_of(row, split_by))


def group_of(row: Row, split_by: SplitBy) -> str:
    """Whose pictures must stay together: the lot, else the part by its serial, else by the id that the PLC gave it."""
    if split_by is SplitBy.LOT and row["lot"]:
        return f"lot {row['lot']}"
    if row["serial"]:
        return f"serial {row['serial']}"
    return f"part {row['lot']} {row['part_id']}" if row["part_id"] else f"record {row['no']}"


def _dealt(pictures: Sequence[Picture], before: Mapping[str, Split] | None) -> list[Picture]:
    """With groups that share a serial joined, and each group on its side."""
    if not pictures:
        raise ExportError("no picture has a settled label that may be used: review some first")
    serials = [(f"serial {row['serial']}",) if (row := picture.row)["serial"] else () for picture in pictures]
    groups = join([picture.group for picture in pictures], serials)
    try:
        sides = deal_groups([picture.label for picture in pictures], groups, before=before)
    except ValueError as exc:
        raise ExportError(str(exc)) from exc
    return [
        Picture(p.row, p.settled, p.people, p.sha256, group, sides[group])
        for p, group in zip(pictures, groups, strict=True)
    ]  # fmt: skip


def counts_of(pictures: Iterable[Picture]) -> Mapping[str, Mapping[str, int]]:
    """Class -> split -> pictures."""
    found: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for picture in pictures:
        found[picture.label][picture.split] += 1
    return found
