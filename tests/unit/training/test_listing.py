"""Manifests and class maps: what they may say, and what is said where they cannot be meant."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.unit.training.conftest import Draw
from training.data import read_class_map, scan
from training.errors import DataError


def manifest(data: Path, rows: list[dict[str, object]], suffix: str = ".csv") -> Path:
    file = data / f"manifest{suffix}"
    if suffix == ".json":
        file.write_text(json.dumps(rows), encoding="utf-8")
        return file
    keys = list(rows[0])
    lines = [",".join(keys), *(",".join(str(row.get(key, "")) for key in keys) for row in rows)]
    file.write_text("\n".join(lines) + "\n", encoding="utf-8-sig")  # as spreadsheets write it
    return file


def rows_of(data: Path) -> list[dict[str, object]]:
    files = sorted(data.glob("*/*.png"))
    return [{"path": f.relative_to(data).as_posix(), "class": f.parent.name} for f in files]


@pytest.mark.parametrize("suffix", [".csv", ".json"])
def test_a_manifest_gives_what_the_same_folders_give(pictures: Path, suffix: str) -> None:
    listed = scan(manifest(pictures, rows_of(pictures), suffix))
    folders = scan(pictures)
    assert (listed.rows, listed.classes, listed.root) == (folders.rows, folders.classes, pictures)


def test_a_manifest_may_say_split_and_group(pictures: Path) -> None:
    rows = rows_of(pictures)
    for i, row in enumerate(rows):
        row["split"] = ("train", "Validation", "test")[i // 2 % 3]
        row["group"] = i // 2
    data = scan(manifest(pictures, rows))
    assert [row.split for row in data.rows[:6]] == ["train", "train", "val", "val", "test", "test"]
    assert [row.group for row in data.rows[:3]] == ["0", "0", "1"]
    with pytest.raises(DataError, match="--group-by is given too"):
        scan(pictures / "manifest.csv", group_by="(.*)_")
    rows[1]["split"] = "test"  # part 0 is in train
    with pytest.raises(DataError, match="show the same part"):
        scan(manifest(pictures, rows))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": "../secret.png"}, "lies outside"),
        ({"path": "good/none.png"}, "none.png is no JPEG, PNG, BMP or TIFF file"),
        ({"class": ""}, "row 1: class is empty"),
        ({"split": "trian"}, "split 'trian' is none of train, val, test"),
        ({"colour": "red"}, "expected the columns path, class"),
        ({"path": "good/good0_1.png"}, "names good/good0_1.png more than once"),
    ],
)
def test_a_manifest_that_cannot_be_meant_is_explained(pictures: Path, change: dict[str, object], said: str) -> None:
    rows = rows_of(pictures)
    if "split" in change:
        rows = [row | {"split": "train"} for row in rows]
    rows[0] = rows[0] | change
    with pytest.raises(DataError, match=said):
        scan(manifest(pictures, rows, ".json"))


def test_splits_for_some_pictures_only_or_without_train_are_refused(pictures: Path) -> None:
    rows = rows_of(pictures)
    with pytest.raises(DataError, match="row 2: split is empty"):
        scan(manifest(pictures, [rows[0] | {"split": "train"}, *rows[1:]]))
    with pytest.raises(DataError, match="has no picture in train"):
        scan(manifest(pictures, [row | {"split": "test"} for row in rows]))
    (pictures / "manifest.json").write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read"):
        scan(pictures / "manifest.json")


def test_a_class_map_has_rows_of_class_id_and_class_name(tmp_path: Path) -> None:
    file = tmp_path / "classes.json"
    rows: list[dict[str, object]] = [{"class_id": 1, "class_name": "dent"}, {"class_id": 0, "class_name": "ok"}]
    file.write_text(json.dumps(rows), encoding="utf-8")
    assert [(c.id, c.name, c.acceptable) for c in read_class_map(file)] == [(0, "ok", True), (1, "dent", False)]
    rows[0]["acceptable"] = True
    file.write_text(json.dumps(rows), encoding="utf-8")
    assert [c.acceptable for c in read_class_map(file)] == [True, True]


@pytest.mark.parametrize(
    "row",
    [{"class_id": 0}, {"class_id": "0", "class_name": "ok"}, {"class_id": True, "class_name": "ok"}, "ok",
     {"class_id": 0, "class_name": "ok", "colour": 1}, {"class_id": 0, "class_name": "ok", "acceptable": "yes"}],
)  # fmt: skip
def test_a_row_of_the_class_map_that_is_not_one_is_shown_how(tmp_path: Path, row: object) -> None:
    (tmp_path / "classes.json").write_text(json.dumps([row]), encoding="utf-8")
    with pytest.raises(DataError, match="row 1: expected"):
        read_class_map(tmp_path / "classes.json")


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Valid"])
def test_folders_and_manifests_know_the_same_names_of_a_split(tmp_path: Path, draw: Draw, name: str) -> None:
    for split in ("Training", name, "test"):
        for kind in ("good", "stain"):
            draw(tmp_path / split / kind, kind, 2)
    (tmp_path / "negatives").mkdir()
    (tmp_path / ".cache").mkdir()
    rows = scan(tmp_path).rows
    assert {(row.path.split("/")[0], row.split) for row in rows} == {
        ("Training", "train"), (name, "val"), ("test", "test"),
    }  # fmt: skip


def test_a_folder_beside_the_splits_that_is_none_is_refused_and_not_left_out(tmp_path: Path, draw: Draw) -> None:
    for folder in ("train/good", "train/stain", "good", "tset/good"):
        draw(tmp_path / folder, "good", 2)
    with pytest.raises(DataError, match=r"beside train there may be .*validation.*: \S+/good, \S+/tset;"):
        scan(tmp_path)


def test_two_folders_for_one_split_are_refused(tmp_path: Path, draw: Draw) -> None:
    for folder in ("train/good", "val/good", "valid/good"):
        draw(tmp_path / folder, "good", 2)
    with pytest.raises(DataError, match="mean the same split: train, val, valid"):
        scan(tmp_path)
