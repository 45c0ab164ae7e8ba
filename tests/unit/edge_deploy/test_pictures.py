"""The pictures of a build and of a calibration: nothing in a folder is left out in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_deploy.errors import DeployError
from edge_deploy.held_out import load_held_out
from edge_deploy.pictures import load_pictures, names_of, negatives_in
from inspector.core.manifest import ViewSpec
from tests.support.drawn_run import draw


@pytest.fixture
def negatives(tmp_path: Path) -> Path:
    """Two kinds, one of them in formats other than PNG and JPEG."""
    for name in ("empty/a.png", "empty/b.JPG", "wrong_part/c.bmp", "wrong_part/d.tiff"):
        (tmp_path / "negatives" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "negatives" / name).touch()
    return tmp_path / "negatives"


def test_negatives_of_every_format_count_by_kind(negatives: Path) -> None:
    (negatives / ".DS_Store").touch()
    assert [(p.truth, p.file.name) for p in negatives_in(negatives)] == [
        ("empty", "a.png"), ("empty", "b.JPG"), ("wrong_part", "c.bmp"), ("wrong_part", "d.tiff"),
    ]  # fmt: skip
    assert negatives_in(negatives / "none") == ()


def test_the_files_of_refused_negatives_are_named_by_kind_and_not_without_end(negatives: Path) -> None:
    found = negatives_in(negatives)
    assert names_of(found, {"empty": [1], "wrong_part": [0, 1]}) == "empty/b.JPG, wrong_part/c.bmp, wrong_part/d.tiff"
    assert names_of(found, {"empty": [0] * 15}).endswith("empty/a.png and 3 more")


def test_what_is_no_picture_among_the_negatives_is_refused_by_name(negatives: Path) -> None:
    (negatives / "empty" / "e.webp").touch()
    with pytest.raises(DeployError, match=r"e\.webp is no JPEG, PNG, BMP or TIFF picture: remove it"):
        negatives_in(negatives)
    (negatives / "empty" / "e.webp").rename(negatives / "e.png")
    with pytest.raises(DeployError, match=r"e\.png lies beside the kinds of negatives"):
        negatives_in(negatives)
    (negatives / "e.png").unlink()
    (negatives / "half_part").mkdir()
    with pytest.raises(DeployError, match="half_part is empty"):
        negatives_in(negatives)


def test_a_build_and_a_calibration_refuse_the_same(tmp_path: Path) -> None:
    rows = draw(tmp_path)
    assert len(load_pictures(tmp_path, rows, None).negatives) == 6
    (tmp_path / "negatives" / "empty" / "notes.webp").touch()
    with pytest.raises(DeployError, match=r"notes\.webp is no"):
        load_pictures(tmp_path, rows, None)
    (tmp_path / "test" / "negatives").symlink_to(tmp_path / "negatives")
    with pytest.raises(DeployError, match=r"notes\.webp is no"):
        load_held_out(tmp_path / "test", frozenset({"good"}), ViewSpec(100, 80, (0, 0, 100, 80)), None, None)
