"""From a data folder or a manifest to a checked list of pictures with label, split, group and hash.

training/listing.py says what may be given. Beside the pictures:

DATA/classes.json          optional: [{"class_id": 0, "class_name": "good", "acceptable": true}, ...]
DATA/negatives/<kind>/*    optional: pictures that hold no whole, right part; not trained on, used by the build
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspector.core.manifest import ClassEntry
from training.checks import Finding, find_oddities
from training.errors import DataError
from training.listing import Listing, list_pictures
from training.looks import look_at
from training.runs import Split, SplitRow
from training.split import FRACTIONS, deal, groups_by, refuse_leaks, same_bytes_same_group

CLASSES = "classes.json"
GOOD_NAMES = {"good", "ok"}  # acceptable when nothing else is said


@dataclass(frozen=True, slots=True)
class Dataset:
    """The pictures under `root`. Every row was decoded once."""

    root: Path
    classes: tuple[ClassEntry, ...]
    rows: tuple[SplitRow, ...]
    findings: tuple[Finding, ...] = ()  # what is odd about them, and what to do

    def of(self, split: Split) -> tuple[SplitRow, ...]:
        """Rows of one split, sorted by path."""
        return tuple(row for row in self.rows if row.split == split)

    @property
    def sha256(self) -> str:
        return dataset_hash(self.rows)


def scan(
    data: Path,
    *,
    classes: Path | None = None,
    acceptable: Sequence[str] = (),
    group_by: str | None = None,
    seed: int = 0,
    good_only: bool = False,
    quiet: bool = True,
) -> Dataset:
    """Read the data folder or manifest, check every file, and split it where it is not split (or has no val).

    classes: a class map other than DATA/classes.json. acceptable: names that may pass; without it and without a class
    map, `good` and `ok`. good_only: the data of a one-class run, whose other kinds appear in test alone.
    Raises DataError: nothing there, one class, a file that is no picture, a leak between splits, and so on.
    """
    listing = list_pictures(data)
    root, paths, labels = listing.root, listing.paths, listing.labels
    looks = look_at(root, paths, quiet=quiet)
    hashes = [look.sha256 for look in looks]
    _refuse_two_labels(paths, labels, hashes)
    groups = _groups(listing, group_by, hashes)
    splits = _given(listing.splits, labels, groups, seed) if listing.splits else deal(labels, groups, seed)
    if "train" not in splits:
        raise DataError(f"{data} has no picture in train: there is nothing to learn from")
    refuse_leaks(paths, splits, groups)
    taught = sorted({label for label, split in zip(labels, splits, strict=True) if split == "train"})
    entries = _class_map(classes or root / CLASSES, taught, acceptable, required=classes is not None)
    _check_classes(data, entries, taught, set(labels), good_only)
    rows = list(map(SplitRow, paths, labels, splits, groups, hashes))
    may_pass = {entry.name for entry in entries if entry.acceptable}
    findings = find_oddities(rows, looks, len(set(groups)) < len(rows), may_pass)
    return Dataset(root, entries, tuple(sorted(rows, key=lambda row: row.path)), findings)


def _groups(listing: Listing, group_by: str | None, hashes: Sequence[str]) -> tuple[str, ...]:
    if listing.groups is None:
        return groups_by(group_by, listing.paths, hashes)
    if group_by is not None:
        raise DataError("the manifest has a column group and --group-by is given too: leave one of them out")
    return same_bytes_same_group(listing.groups, hashes)


def dataset_hash(rows: Iterable[SplitRow]) -> str:
    """SHA-256 over the sorted (sha256, label, split) rows: the same pictures and use give the same hash."""
    lines = sorted(f"{row.sha256} {row.label} {row.split}\n" for row in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _refuse_two_labels(paths: Sequence[str], labels: Sequence[str], hashes: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for i, digest in enumerate(hashes):
        j = first.setdefault(digest, i)
        if labels[i] != labels[j]:
            raise DataError(f"{paths[j]} and {paths[i]} are the same picture with two labels: keep the right one")


def _given(given: Sequence[Split], labels: Sequence[str], groups: Sequence[str], seed: int) -> tuple[Split, ...]:
    """The splits as they are; where there is no val, a share of train becomes val."""
    splits = list(given)
    if "val" in splits:
        return tuple(splits)
    train = [i for i, split in enumerate(splits) if split == "train"]
    whole = FRACTIONS["train"] + FRACTIONS["val"]
    shares: dict[Split, float] = {"train": FRACTIONS["train"] / whole, "val": FRACTIONS["val"] / whole}
    dealt = deal([labels[i] for i in train], [groups[i] for i in train], seed, shares)
    for i, split in zip(train, dealt, strict=True):
        splits[i] = split
    return tuple(splits)


def _class_map(
    file: Path, taught: Sequence[str], acceptable: Sequence[str], *, required: bool
) -> tuple[ClassEntry, ...]:
    if file.is_file() or required:
        entries = read_class_map(file)
    else:
        entries = tuple(ClassEntry(i, name, name in GOOD_NAMES) for i, name in enumerate(taught))
    if not acceptable:
        return entries
    unknown = set(acceptable) - {entry.name for entry in entries}
    if unknown:
        raise DataError(f"--acceptable {', '.join(sorted(unknown))}: no such class; there are {', '.join(taught)}")
    return tuple(ClassEntry(entry.id, entry.name, entry.name in acceptable) for entry in entries)


def read_class_map(file: Path) -> tuple[ClassEntry, ...]:
    """Rows of class_id, class_name and perhaps acceptable (else: `good` and `ok` may pass); id and name do as well.

    Raises DataError.
    """
    try:
        rows = json.loads(file.read_bytes())
    except (OSError, ValueError) as exc:
        raise DataError(f"class map {file} cannot be read: {exc}") from exc
    if not isinstance(rows, list) or not rows:
        raise DataError(f"class map {file}: expected a list of rows with class_id and class_name")
    entries = [_entry(row, f"class map {file}, row {number}") for number, row in enumerate(rows, 1)]
    return tuple(sorted(entries, key=lambda entry: entry.id))


def _entry(row: Any, where: str) -> ClassEntry:
    for id_key, name_key in (("class_id", "class_name"), ("id", "name")):
        if isinstance(row, dict) and {id_key, name_key} <= set(row) <= {id_key, name_key, "acceptable"}:
            number, name = row[id_key], row[name_key]
            acceptable = row.get("acceptable", name in GOOD_NAMES)
            if type(number) is int and isinstance(name, str) and name and isinstance(acceptable, bool):
                return ClassEntry(number, name, acceptable)
    raise DataError(
        f'{where}: expected {{"class_id": 0, "class_name": "good"}}, and perhaps "acceptable": true or false'
    )


def _check_classes(
    root: Path, entries: Sequence[ClassEntry], taught: Sequence[str], seen: set[str], good_only: bool
) -> None:
    names = [entry.name for entry in entries]
    if [entry.id for entry in entries] != list(range(len(entries))):
        raise DataError(f"class map: ids must be 0 to {len(entries) - 1}, each once")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"class map: {twice[0]!r} stands there twice")
    if set(names) != set(taught):
        odd = sorted(set(names) ^ set(taught))
        raise DataError(f"class map and training folders differ: {', '.join(odd)} stand(s) in one of them only")
    if not any(entry.acceptable for entry in entries):
        how = f"in {CLASSES} or --classes FILE" if good_only else f"with --acceptable NAME or in {CLASSES}"
        raise DataError(f"no class may pass: say which of {', '.join(names)} {how}")
    if good_only:
        if not all(entry.acceptable for entry in entries):
            raise DataError("a one-class run learns good parts only: leave the other kinds out of train")
        return
    if len(entries) < 2:
        raise DataError(
            f"{root} holds one class only ({names[0]}); a classifier needs two, see: inspector-train good-only"
        )
    unknown = sorted(seen - set(names))
    if unknown:
        raise DataError(f"class {unknown[0]!r} occurs in val or test but not in train")
