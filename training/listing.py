"""Which pictures there are, and what is said about each: class folders, or a manifest.

DATA/train/<class>/*.png   DATA/val/...   DATA/test/...      or      DATA/<class>/*.png
                           (or as SPLIT_NAMES has it: training, valid, validation)
manifest.csv               path,class[,split][,group]; paths are relative to the manifest's folder
manifest.json              [{"path": ..., "class": ..., "split": ..., "group": ...}, ...]
"""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inspector.pictures import FORMATS, SUFFIXES
from training.errors import DataError
from training.runs import Split

SPLITS: tuple[Split, ...] = ("train", "val", "test")
NOT_CLASSES = {"negatives", "ground_truth"}  # folders beside the class folders
MANIFESTS = {".csv", ".json"}
COLUMNS = {"path", "class", "split", "group"}
SPLIT_NAMES: Mapping[str, Split] = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Listing:
    """Pictures below `root` by relative path with forward slashes; nothing is read yet."""

    root: Path
    paths: tuple[str, ...]
    labels: tuple[str, ...]
    splits: tuple[Split, ...] | None  # None: not split yet
    groups: tuple[str, ...] | None  # None: nothing is said about parts or lots


def list_pictures(data: Path) -> Listing:
    """What the folder or manifest `data` holds. Raises DataError: nothing, or something that cannot be meant."""
    if data.is_file() and data.suffix.lower() in MANIFESTS:
        return _from_manifest(data)
    if not data.is_dir():
        raise DataError(f"{data} is not a folder, and no manifest (.csv or .json)")
    return _from_folders(data)


def _from_folders(root: Path) -> Listing:
    split_of = _split_folders(root)
    found: list[tuple[str, str]] = []
    for folder in split_of or [root]:
        for kind in sorted(entry for entry in folder.iterdir() if entry.is_dir() and _is_class(entry)):
            files = sorted(file for file in kind.iterdir() if not file.name.startswith("."))
            if not files:
                raise DataError(f"{kind} is empty: put pictures of {kind.name!r} there, or remove the folder")
            found += [(_picture(file).relative_to(root).as_posix(), kind.name) for file in files]
    if not found:
        raise DataError(f"{root} holds no class folders: expected {root}/<class>/*.png or {root}/train/<class>/*.png")
    paths, labels = tuple(path for path, _ in found), tuple(label for _, label in found)
    splits = tuple(split_of[root / path.split("/")[0]] for path in paths) if split_of else None
    return Listing(root, paths, labels, splits, None)


def _split_folders(root: Path) -> dict[Path, Split]:
    """What each split folder of `root` is, train first; {}: no train, so the folders are classes.

    Raises DataError: two folders mean one split, or one beside them means none and would be left out in silence.
    """
    folders = sorted(entry for entry in root.iterdir() if entry.is_dir() and _is_class(entry))
    split_of = {folder: SPLIT_NAMES[folder.name.lower()] for folder in folders if folder.name.lower() in SPLIT_NAMES}
    if "train" not in split_of.values():
        return {}
    others = ", ".join(str(folder) for folder in folders if folder not in split_of)
    if others:
        raise DataError(f"beside train there may be {', '.join(SPLIT_NAMES)} only, not: {others}; move it elsewhere")
    if len(set(split_of.values())) < len(split_of):
        raise DataError(f"two folders of {root} mean the same split: {', '.join(folder.name for folder in split_of)}")
    return dict(sorted(split_of.items(), key=lambda item: SPLITS.index(item[1])))


def _is_class(folder: Path) -> bool:
    return not folder.name.startswith(".") and folder.name not in NOT_CLASSES


def _picture(file: Path) -> Path:
    if file.is_dir():  # the folder above the one that was meant, as often as not
        above = file.parent
        raise DataError(
            f"{above} is taken for a class and may hold pictures only, not the folder {file.name}: give the "
            f"folder right above the class folders (perhaps {above} itself), or move {file.name} elsewhere"
        )
    if not file.is_file() or file.suffix.lower() not in SUFFIXES:
        raise DataError(f"{file} is no {FORMATS} picture: remove it from the class folder")
    return file


def _from_manifest(file: Path) -> Listing:
    rows = _rows_of(file)
    if not rows:
        raise DataError(f"manifest {file} names no picture")
    root = file.parent
    paths = tuple(_path_in(root, row, f"manifest {file}, row {number}") for number, row in enumerate(rows, 1))
    labels = tuple(_text(row, "class", f"manifest {file}, row {number}") for number, row in enumerate(rows, 1))
    twice = next((path for path in paths if paths.count(path) > 1), None) if len(set(paths)) < len(paths) else None
    if twice is not None:
        raise DataError(f"manifest {file} names {twice} more than once")
    splits = _column(rows, "split", file)
    odd = sorted({split for split in splits or () if split.lower() not in SPLIT_NAMES})
    if odd:
        raise DataError(f"manifest {file}: split {odd[0]!r} is none of train, val, test")
    split = tuple(SPLIT_NAMES[name.lower()] for name in splits) if splits else None
    return Listing(root, paths, labels, split, _column(rows, "group", file))


def _rows_of(file: Path) -> list[Mapping[str, Any]]:
    try:
        with file.open(newline="", encoding="utf-8-sig") as stream:
            rows = json.load(stream) if file.suffix.lower() == ".json" else list(csv.DictReader(stream))
    except (OSError, UnicodeDecodeError, ValueError, csv.Error) as exc:
        raise DataError(f"manifest {file} cannot be read: {exc}") from exc
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise DataError(f"manifest {file}: expected a list of objects with path and class")
    keys = set().union(*rows)
    if not {"path", "class"} <= keys or keys - COLUMNS:
        told = ", ".join(sorted(map(str, keys)))
        raise DataError(f"manifest {file}: expected the columns path, class and perhaps split and group, not {told}")
    return rows


def _path_in(root: Path, row: Mapping[str, Any], where: str) -> str:
    given = Path(_text(row, "path", where).replace("\\", "/"))
    if given.is_absolute() and given.is_relative_to(root.resolve()):
        given = given.relative_to(root.resolve())
    if given.is_absolute() or ".." in given.parts:
        raise DataError(f"{where}: {given} lies outside {root}; put the manifest into a folder above all its pictures")
    if given.suffix.lower() not in SUFFIXES or not (root / given).is_file():
        raise DataError(f"{where}: {root / given} is no {FORMATS} file")
    return given.as_posix()


def _text(row: Mapping[str, Any], column: str, where: str) -> str:
    value = row.get(column)
    text = "" if value is None else str(value).strip()
    if not text:
        raise DataError(f"{where}: {column} is empty")
    return text


def _column(rows: Sequence[Mapping[str, Any]], name: str, file: Path) -> tuple[str, ...] | None:
    """A column that is there for all rows, or for none."""
    values = tuple("" if row.get(name) is None else str(row[name]).strip() for row in rows)
    if not any(values):
        return None
    if not all(values):
        raise DataError(f"manifest {file}, row {values.index('') + 1}: {name} is empty; give it for all rows or none")
    return values
