"""Pictures as they come from people: odd formats, copies, wrong colours. Each is right, or named."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pil
from typer.testing import CliRunner

from inspector.likeness import near_copies
from tests.unit.training.conftest import picture
from training.checks import CHECKS, find_oddities, write_checks
from training.cli import app
from training.data import Dataset, scan
from training.errors import DataError
from training.looks import Look, look, look_at
from training.runs import SplitRow
from training.views import read_image

Draw = Callable[[Path, str, int], Path]
RED = np.full((12, 20, 3), (200, 40, 20), np.uint8)


def oddities(data: Dataset) -> dict[str, tuple[str, ...]]:
    return {finding.what: finding.where for finding in data.findings}


def saved(image: np.ndarray, kind: str, quality: int = 95, **options: object) -> bytes:
    stream = io.BytesIO()
    Pil.fromarray(image).save(stream, kind, quality=quality, **options)
    return stream.getvalue()


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp", "a.tif", "a.JPEG"])
def test_the_four_formats_arrive_with_red_as_red(tmp_path: Path, name: str) -> None:
    Pil.fromarray(RED).save(tmp_path / name)
    image = read_image(tmp_path / name)
    assert np.abs(image.astype(int) - RED).max() <= 4  # JPEG
    red, _, blue = look(tmp_path / name).colour
    assert red > 190 > 30 > blue


def test_a_cmyk_jpeg_is_turned_into_rgb_and_named(pictures: Path) -> None:
    file = pictures / "good" / "cmyk.jpg"
    Pil.fromarray(RED).convert("CMYK").save(file, quality=95)
    assert np.abs(read_image(file).astype(int) - RED).max() < 12
    assert oddities(scan(pictures))["CMYK pictures"] == ("good/cmyk.jpg",)


def test_a_picture_is_turned_as_its_exif_says(tmp_path: Path) -> None:
    image = picture("stain", 1)
    exif = Pil.Exif()
    exif[0x0112] = 6  # lies on its side: turn by 90 degrees clockwise
    Pil.fromarray(image).save(tmp_path / "a.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.rot90(image, -1))
    assert look(tmp_path / "a.png").size == (40, 48)


def test_all_unreadable_pictures_are_named_at_once(pictures: Path) -> None:
    deep = pictures / "stain" / "deep.png"
    cv2.imwrite(str(deep), np.full((8, 8), 40_000, np.uint16))
    cut_short = pictures / "good" / "good1_0.jpg"
    cut_short.write_bytes(saved(picture("good", 5), "JPEG")[:-300])
    with pytest.raises(DataError) as caught:
        scan(pictures)
    text = str(caught.value)
    assert text.startswith("2 pictures cannot be used")
    assert f"{deep} has more than 8 bits" in text
    assert f"{cut_short} cannot be read" in text


def test_swapped_channels_are_named(pictures: Path) -> None:
    warm = np.array([60, 0, -40])
    for file in pictures.glob("*/*.png"):
        tinted = np.clip(read_image(file).astype(int) + warm, 0, 255).astype(np.uint8)
        swapped = file.name in {"good3_0.png", "scratch2_1.png"}
        Pil.fromarray(tinted[..., ::-1] if swapped else tinted).save(file)
    found = oddities(scan(pictures))["red and blue look swapped"]
    assert set(found) == {"good/good3_0.png", "scratch/scratch2_1.png"}


WHOLE_CLASSES = "whole classes whose red and blue look swapped"


def look_of(colour: tuple[float, float, float], thumbnail: np.ndarray | None = None) -> Look:
    return Look(str(colour), "RGB", (32, 32), colour, 0, THUMBNAIL if thumbnail is None else thumbnail)


THUMBNAIL = np.random.default_rng(1).integers(0, 255, (32, 32), dtype=np.uint8)


def colour_findings(**classes: list[tuple[float, float, float]]) -> dict[str, tuple[str, ...]]:
    rows = [SplitRow(f"{k}/{i}", k, "train", f"{k}{i}", "0") for k, of in classes.items() for i in range(len(of))]
    looks = [look_of(colour) for of in classes.values() for colour in of]
    return {f.what: f.where for f in find_oddities(rows, looks, grouped=True) if "swapped" in f.what}


def test_a_whole_class_with_swapped_channels_is_named() -> None:
    good = [(150.0 + i, 100.0, 90.0 - i) for i in range(9)]
    scratch = [colour[::-1] for colour in good[:5]]
    where = ("good: red 154, blue 86", "scratch: red 88, blue 152")
    assert colour_findings(good=good, scratch=scratch) == {WHOLE_CLASSES: where}
    assert colour_findings(good=good, scratch=good[:5]) == {}


def test_grey_classes_and_classes_of_other_colours_are_not_called_swapped() -> None:
    grey = [(100.0 + i, 100.0, 99.0 - i) for i in range(5)]
    assert colour_findings(good=grey, dent=[colour[::-1] for colour in grey]) == {}
    ships, frogs = [(122.0, 129.0, 138.0)] * 5, [(119.0, 111.0, 88.0)] * 4  # mean colours of CIFAR-10's
    assert colour_findings(ship=ships, frog=frogs) == {}
    assert colour_findings(frog=frogs, ship=ships[:3]) == {}
    assert colour_findings(plum=[(150.0, 60.0, 90.0)] * 5, leaf=[(90.0, 140.0, 150.0)] * 4) == {}  # green differs


def test_pictures_that_show_nothing_are_named_and_those_that_may_pass_above_all(pictures: Path) -> None:
    rng = np.random.default_rng(1)
    for name, level in (("good/black", 0), ("good/white", 255), ("stain/dark", 6)):
        noise = rng.normal(level, 2 if level == 6 else 0, (96, 128, 3))
        Pil.fromarray(np.clip(noise, 0, 255).astype(np.uint8)).save(pictures / f"{name}.png")
    found = {finding.what: finding for finding in scan(pictures).findings}
    passing = found["pictures that may pass and show nothing (all black or even)"]
    assert set(passing.where) == {"good/black.png", "good/white.png"}
    assert "learn that nothing is good" in passing.advice
    assert found["pictures that show nothing (all black or even)"].where == ("stain/dark.png",)


def test_grey_pictures_among_coloured_ones_and_other_sizes_are_named(pictures: Path) -> None:
    Pil.fromarray(picture("good", 50)).convert("L").save(pictures / "good" / "grey.png")
    Pil.fromarray(picture("good", 51, 30, 30)).save(pictures / "good" / "small.png")
    found = oddities(scan(pictures))
    assert found["pictures that are not colour"] == ("good/grey.png: grey",)
    assert found["pictures that are not 48 x 40 pixels"] == ("good/small.png: 30 x 30",)


def test_classes_that_are_rare_or_uneven_are_named(tmp_path: Path, draw: Draw) -> None:
    draw(tmp_path / "good", "good", 140)
    draw(tmp_path / "stain", "stain", 10)
    found = oddities(scan(tmp_path))
    assert found["classes with fewer than 20 pictures to learn from"] == ("stain: 6",)
    assert found["classes of very different size"] == ("stain: 6", "good: 84")
    assert found["fewer than 10 pictures of a class in val"] == ("stain: 2",)


def test_clean_pictures_give_no_findings(tmp_path: Path, draw: Draw) -> None:
    for kind in ("good", "stain"):
        draw(tmp_path / kind, kind, 60)
    assert scan(tmp_path).findings == ()


def again(image: np.ndarray) -> np.ndarray:
    """The same picture by way of another program: smaller, brighter, and a worse JPEG."""
    height, width = image.shape[:2]
    smaller = cv2.resize(image, (round(width * 0.8), round(height * 0.8)), interpolation=cv2.INTER_AREA)
    brighter = np.clip(smaller * 1.05 + 4, 0, 255).astype(np.uint8)
    return np.array(Pil.open(io.BytesIO(saved(brighter, "JPEG", 70))))


def part(seed: int) -> np.ndarray:
    """Parts in one jig: alike but for a surface of their own."""
    rng = np.random.default_rng(seed)
    jig = np.zeros((96, 128), np.float32)
    cv2.circle(jig, (64, 48), 40, 160.0, -1)
    surface = cv2.GaussianBlur(rng.normal(0, 90, jig.shape).astype(np.float32), (0, 0), 3)
    return np.repeat(np.clip(jig + 40 + surface, 0, 255).astype(np.uint8)[..., None], 3, 2)


def test_near_copies_are_found_across_splits_and_parts_in_one_jig_are_not(tmp_path: Path) -> None:
    for i in range(40):
        Pil.fromarray(part(i)).save(tmp_path / f"{i:02d}.png")
    for i in (3, 17):
        Pil.fromarray(again(part(i))).save(tmp_path / f"copy{i:02d}.jpg", quality=90)
    names = sorted(file.name for file in tmp_path.iterdir())
    looks = look_at(tmp_path, names)
    splits = ["test" if name.startswith("copy") or name > "30" else "train" for name in names]
    found = {(names[i], names[j]) for i, j in near_copies(looks, splits)}
    assert found == {("03.png", "copy03.jpg"), ("17.png", "copy17.jpg")}
    assert near_copies(looks, ["train"] * len(names)) == []


def test_flat_pictures_are_like_nothing() -> None:
    flat = Look("", "L", (32, 32), (9.0, 9.0, 9.0), 0, np.full((32, 32), 9, np.uint8))
    assert near_copies([flat, flat], ["train", "test"]) == []


def test_findings_are_written_place_by_place(pictures: Path, tmp_path: Path) -> None:
    shutil.copy(pictures / "good" / "good0_0.png", pictures / "good" / "copy_0.png")
    data = scan(pictures)
    write_checks(tmp_path / CHECKS, data.findings)
    lines = (tmp_path / CHECKS).read_text().splitlines()
    assert lines[0] == "what,where,advice"
    assert lines[1].startswith("the same file twice,good/copy_0.png = good/good0_0.png,")
    looks = look_at(pictures, [row.path for row in data.rows])
    assert find_oddities(data.rows, looks, True, {"good"}) == data.findings


def test_the_check_command_names_oddities_and_writes_them_down(pictures: Path, tmp_path: Path) -> None:
    shutil.copy(pictures / "good" / "good0_0.png", pictures / "good" / "copy_0.png")
    file, shell = tmp_path / "odd.csv", CliRunner()
    done = shell.invoke(app, ["check", str(pictures), "--out", str(file)])
    assert done.exit_code == 0, done.output
    assert "the same file" in done.output
    assert "good/copy_0.png = good/good0_0.png" in file.read_text()
    for kind in ("scratch", "stain"):
        shutil.rmtree(pictures / kind)
    assert "holds one class only" in shell.invoke(app, ["check", str(pictures)]).output
    assert shell.invoke(app, ["check", str(pictures), "--good-only"]).exit_code == 0
