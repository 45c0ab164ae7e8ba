"""From a data folder to a checked list of pictures with label, split, group and hash.

DATA/train/<class>/*.png   DATA/val/...   DATA/test/...      or      DATA/<class>/*.png
DATA/classes.json          optional: [{"id": 0, "name": "good", "acceptable": true}, ...]
DATA/negatives/<kind>/*    optional: pictures that hold no whole, right part; not trained on, used by the build
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from inspector.core.manifest import ClassEntry
from training.errors import DataError
from training.runs import Split, SplitRow
from training.split import FRACTIONS, deal, groups_by, refuse_leaks
from training.views import read_image

CLASSES = "classes.json"
SPLITS: tuple[Split, ...] = ("train", "val", "test")
SUFFIXES = {".png", ".jpg", ".jpeg"}
NOT_CLASSES = {"negatives", "ground_truth"}  # folders beside the class folders
GOOD_NAMES = {"good", "ok"}  # acceptable when nothing else is said


@dataclass(frozen=True, slots=True)
class Dataset:
    """The pictures under `root`. Every row was decoded once."""

    root: Path
    classes: tuple[ClassEntry, ...]
    rows: tuple[SplitRow, ...]

    def of(self, split: Split) -> tuple[SplitRow, ...]:
        """Rows of one split, sorted by path."""
        return tuple(row for row in self.rows if row.split == split)

    @property
    def sha256(self) -> str:
        return dataset_hash(self.rows)


def scan(
    root: Path,
    *,
    classes: Path | None = None,
    acceptable: Sequence[str] = (),
    group_by: str | None = None,
    seed: int = 0,
    good_only: bool = False,
) -> Dataset:
    """Read the data folder, check every file, and split it where it is not split (or has no val).

    classes: a class map other than DATA/classes.json. acceptable: names that may pass; without it and without a class
    map, `good` and `ok`. good_only: the data of a one-class run, whose other kinds appear in test alone.
    Raises DataError: nothing there, one class, a file that is no picture, a leak between splits, and so on.
    """
    if not root.is_dir():
        raise DataError(f"{root} is not a folder")
    split_already = (root / "train").is_dir()
    folders = [root / name for name in SPLITS if (root / name).is_dir()] if split_already else [root]
    paths, labels = _walk(root, folders)
    hashes = [_checked_hash(root / path) for path in paths]
    _refuse_two_labels(paths, labels, hashes)
    groups = groups_by(group_by, paths, hashes)
    splits = _given(paths, labels, groups, seed) if split_already else deal(labels, groups, seed)
    refuse_leaks(paths, splits, groups)
    taught = sorted({label for label, split in zip(labels, splits, strict=True) if split == "train"})
    entries = _class_map(classes or root / CLASSES, taught, acceptable, required=classes is not None)
    _check_classes(root, entries, taught, set(labels), good_only)
    rows = map(SplitRow, paths, labels, splits, groups, hashes)
    return Dataset(root, entries, tuple(sorted(rows, key=lambda row: row.path)))


def dataset_hash(rows: Iterable[SplitRow]) -> str:
    """SHA-256 over the sorted (sha256, label, split) rows: the same pictures and use give the same hash."""
    lines = sorted(f"{row.sha256} {row.label} {row.split}\n" for row in rows)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _walk(root: Path, folders: Sequence[Path]) -> tuple[list[str], list[str]]:
    """Paths relative to root, and labels, in order. Raises DataError."""
    found: list[tuple[str, str]] = []
    for folder in folders:
        for kind in sorted(entry for entry in folder.iterdir() if entry.is_dir() and _is_class(entry)):
            files = sorted(file for file in kind.iterdir() if not file.name.startswith("."))
            if not files:
                raise DataError(f"{kind} is empty: put pictures of {kind.name!r} there, or remove the folder")
            found += [(_picture(file).relative_to(root).as_posix(), kind.name) for file in files]
    if not found:
        raise DataError(f"{root} holds no class folders: expected {root}/<class>/*.png or {root}/train/<class>/*.png")
    return [path for path, _ in found], [label for _, label in found]


def _is_class(folder: Path) -> bool:
    return not folder.name.startswith(".") and folder.name not in NOT_CLASSES


def _picture(file: Path) -> Path:
    if not file.is_file() or file.suffix.lower() not in SUFFIXES:
        raise DataError(f"{file} is no PNG or JPEG picture: remove it from the class folder")
    return file


def _checked_hash(file: Path) -> str:
    """SHA-256 of the file, after decoding it whole: a broken picture must be named now, not hours into a training."""
    read_image(file)
    return hashlib.sha256(file.read_bytes()).hexdigest()


def _refuse_two_labels(paths: Sequence[str], labels: Sequence[str], hashes: Sequence[str]) -> None:
    first: dict[str, int] = {}
    for i, digest in enumerate(hashes):
        j = first.setdefault(digest, i)
        if labels[i] != labels[j]:
            raise DataError(f"{paths[j]} and {paths[i]} are the same picture with two labels: keep the right one")


def _given(paths: Sequence[str], labels: Sequence[str], groups: Sequence[str], seed: int) -> tuple[Split, ...]:
    """The splits of the folders; where there is no val, a share of train becomes val."""
    splits: list[Split] = [next(split for split in SPLITS if path.startswith(f"{split}/")) for path in paths]
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
        try:
            entries = TypeAdapter(tuple[ClassEntry, ...]).validate_json(file.read_bytes())
        except (OSError, ValidationError) as exc:
            raise DataError(f"class map {file} cannot be read: {exc}") from exc
    else:
        entries = tuple(ClassEntry(i, name, name in GOOD_NAMES) for i, name in enumerate(taught))
    if not acceptable:
        return entries
    unknown = set(acceptable) - {entry.name for entry in entries}
    if unknown:
        raise DataError(f"--acceptable {', '.join(sorted(unknown))}: no such class; there are {', '.join(taught)}")
    return tuple(ClassEntry(entry.id, entry.name, entry.name in acceptable) for entry in entries)


def _check_classes(
    root: Path, entries: Sequence[ClassEntry], taught: Sequence[str], seen: set[str], good_only: bool
) -> None:
    names = [entry.name for entry in entries]
    if [entry.id for entry in entries] != list(range(len(entries))):
        raise DataError(f"class map: ids must be 0 to {len(entries) - 1} in order, each once")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise DataError(f"class map: {twice[0]!r} stands there twice")
    if set(names) != set(taught):
        odd = sorted(set(names) ^ set(taught))
        raise DataError(f"class map and training folders differ: {', '.join(odd)} stand(s) in one of them only")
    if not any(entry.acceptable for entry in entries):
        raise DataError(f"no class may pass: say which of {', '.join(names)} with --acceptable NAME or in {CLASSES}")
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
