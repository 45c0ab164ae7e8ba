"""What training accepts as data, and what it says about the rest."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from training.data import dataset_hash, scan
from training.errors import DataError
from training.views import cut, read_image

Draw = Callable[[Path, str, int], Path]
PART = r"^(\w+\d+)_"


def test_no_part_is_in_two_splits(pictures: Path) -> None:
    data = scan(pictures, group_by=PART)
    splits = defaultdict(set)
    for row in data.rows:
        splits[row.group].add(row.split)
    assert len(splits) == 30
    assert all(len(seen) == 1 for seen in splits.values())
    for split in ("train", "val", "test"):
        assert {row.label for row in data.of(split)} == {"good", "scratch", "stain"}
    assert len(data.of("train")) == 36


def test_two_copies_of_a_picture_stay_together_whatever_their_names(pictures: Path) -> None:
    for i in range(8):
        shutil.copy(pictures / "good" / "good0_0.png", pictures / "good" / f"copy{i}_0.png")
    for rule in (None, PART):
        rows = [row for row in scan(pictures, group_by=rule).rows if row.path.startswith("good/copy")]
        assert len({row.split for row in rows}) == 1


def test_a_csv_says_which_pictures_show_one_part(pictures: Path, tmp_path: Path) -> None:
    paths = [f"{file.parent.name}/{file.name}" for file in sorted(pictures.glob("*/*.png"))]
    table = tmp_path / "groups.csv"
    table.write_text("image,lot\n" + "".join(f"{path},{path.split('_')[0]}\n" for path in paths), encoding="utf-8")
    assert {row.group for row in scan(pictures, group_by=str(table)).rows} == {path.split("_")[0] for path in paths}
    table.write_text("image,lot\n" + f"{paths[0]},1\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"does not name good/good0_1.png \(and 58 more\)"):
        scan(pictures, group_by=str(table))


def test_the_split_and_the_dataset_hash_stay_when_the_folder_moves(pictures: Path, tmp_path: Path) -> None:
    first = scan(pictures, group_by=PART)
    moved = shutil.copytree(pictures, tmp_path / "elsewhere")
    second = scan(moved, group_by=PART)
    assert (second.rows, second.sha256) == (first.rows, first.sha256)
    assert dataset_hash(reversed(first.rows)) == first.sha256
    assert scan(pictures, group_by=PART, seed=1).sha256 != first.sha256


def test_given_splits_are_kept_and_a_missing_val_is_dealt_from_train(tmp_path: Path, draw: Draw) -> None:
    for kind in ("good", "scratch"):
        draw(tmp_path / "train" / kind, kind, 16)
        draw(tmp_path / "test" / kind, kind, 4)
    data = scan(
        tmp_path,
    )
    assert [len(data.of(split)) for split in ("train", "val", "test")] == [24, 8, 8]
    assert all(row.path.startswith("test/") == (row.split == "test") for row in data.rows)


def test_a_part_in_train_and_test_folders_is_refused_by_name(tmp_path: Path, draw: Draw) -> None:
    for split in ("train", "val", "test"):
        for kind in ("good", "scratch"):
            draw(tmp_path / split / kind, kind, 4)
    scan(tmp_path)
    shutil.copy(tmp_path / "train" / "good" / "good0_0.png", tmp_path / "test" / "good" / "new.png")
    with pytest.raises(DataError, match=r"train/good/good0_0.png and test/good/new.png show the same part"):
        scan(tmp_path)


def test_the_class_map_gives_order_and_what_may_pass(pictures: Path) -> None:
    assert [(c.name, c.acceptable) for c in scan(pictures).classes] == [
        ("good", True),
        ("scratch", False),
        ("stain", False),
    ]
    entries = [
        {"id": i, "name": name, "acceptable": name != "scratch"} for i, name in enumerate(("stain", "good", "scratch"))
    ]
    (pictures / "classes.json").write_text(json.dumps(entries), encoding="utf-8")
    assert [(c.name, c.acceptable) for c in scan(pictures).classes] == [
        ("stain", True),
        ("good", True),
        ("scratch", False),
    ]
    assert [c.acceptable for c in scan(pictures, acceptable=("stain",)).classes] == [True, False, False]
    entries[0]["id"] = 5
    (pictures / "classes.json").write_text(json.dumps(entries), encoding="utf-8")
    with pytest.raises(DataError, match="ids must be 0 to 2"):
        scan(pictures)


def test_negatives_are_no_class(pictures: Path, draw: Draw) -> None:
    draw(pictures / "negatives" / "empty", "empty", 2)
    assert [c.name for c in scan(pictures).classes] == ["good", "scratch", "stain"]


def _empty_folder(data: Path) -> None:
    (data / "dent").mkdir()


def _one_class(data: Path) -> None:
    shutil.rmtree(data / "scratch")
    shutil.rmtree(data / "stain")


def _no_good(data: Path) -> None:
    (data / "good").rename(data / "fine")


def _text_file(data: Path) -> None:
    (data / "good" / "notes.txt").write_text("x", encoding="utf-8")


def _text_as_png(data: Path) -> None:
    (data / "good" / "not.png").write_text("x", encoding="utf-8")


def _cut_short(data: Path) -> None:
    file = data / "good" / "good1_0.png"
    file.write_bytes(file.read_bytes()[:-400])


def _sixteen_bits(data: Path) -> None:
    cv2.imwrite(str(data / "good" / "deep.png"), np.full((8, 8), 40_000, np.uint16))


def _sixteen_bit_colour(data: Path) -> None:
    cv2.imwrite(str(data / "good" / "deep.png"), np.full((8, 8, 3), 40_000, np.uint16))


def _two_labels(data: Path) -> None:
    shutil.copy(data / "good" / "good1_0.png", data / "stain" / "stain99_0.png")


def _one_part(data: Path) -> None:
    for file in (data / "stain").glob("stain[1-9]*"):
        file.unlink()


def _one_folder_too_high(data: Path) -> None:
    shutil.copytree(data, data / "disc")


def _nothing(data: Path) -> None:
    shutil.rmtree(data)
    data.mkdir()


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_empty_folder, "dent is empty"),
        (_one_class, "holds one class only .good."),
        (_no_good, "no class may pass: say which of fine, scratch, stain with --acceptable"),
        (_text_file, "notes.txt is no JPEG, PNG, BMP or TIFF"),
        (_text_as_png, "not.png is not a JPEG, PNG"),
        (_cut_short, "one picture cannot be used: replace or remove it.\n.*good1_0.png cannot be read"),
        (_sixteen_bits, "deep.png has more than 8 bits"),
        (_sixteen_bit_colour, "deep.png has more than 8 bits"),
        (_two_labels, "good/good1_0.png and stain/stain99_0.png are the same picture with two labels"),
        (_one_part, "class 'stain' has 1 part"),
        (_nothing, "holds no class folders"),
        (_one_folder_too_high, "disc is taken for a class .* give the folder right above the class folders"),
    ],
)
def test_data_that_cannot_be_learned_from_is_named(pictures: Path, spoil: Callable[[Path], None], said: str) -> None:
    spoil(pictures)
    with pytest.raises(DataError, match=said):
        scan(pictures, group_by=PART if spoil is _one_part else None)


def test_a_rule_that_misses_a_file_is_refused(pictures: Path) -> None:
    with pytest.raises(DataError, match="not found in the file name of scratch/"):
        scan(pictures, group_by="good|stain")
    with pytest.raises(DataError, match="nor a regular expression"):
        scan(pictures, group_by="(")


def test_a_region_that_leaves_the_picture_is_refused(pictures: Path) -> None:
    image = read_image(pictures / "good" / "good0_0.png")
    assert cut(image, (8, 4, 32, 30)).shape == (30, 32, 3)
    with pytest.raises(DataError, match="is 48 x 40 pixels"):
        cut(image, (20, 0, 32, 32))


def test_a_one_class_run_is_told_of_no_option_that_it_lacks(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "fine", "good", 10)
    with pytest.raises(DataError, match="no class may pass") as caught:
        scan(tmp_path, good_only=True)
    assert "--acceptable" not in str(caught.value) and "--classes FILE" in str(caught.value)
