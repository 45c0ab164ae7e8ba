"""`inspector export dataset` on a station's folder, from the command line."""

from __future__ import annotations

import shutil
import tomllib
from pathlib import Path

import pytest
from typer.testing import CliRunner

from inspector.cli import app
from inspector.config import load_config
from inspector.core.errors import InspectorError
from inspector.office.held_out import SLOTS, golden_pictures
from tests.support.live_line import DEMO
from tests.support.station import station_text
from tests.unit.inspector.office.test_dataset import LOTS, as_drawn, reviewed

pytestmark = pytest.mark.system


def station(folder: Path) -> Path:
    file = folder / "station.toml"
    text = station_text(folder / "state", folder / "run", 5020, deadline_ms=300, link="", more=DEMO)
    file.write_text(text)
    tomllib.loads(text)
    return file


async def test_a_reviewed_station_gives_a_dataset_that_says_what_is_in_it(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    await reviewed(tmp_path / "state", LOTS, as_drawn(LOTS))
    config = station(tmp_path)
    office = load_config(config).paths.office_folder
    office.mkdir()
    (tmp_path / "state" / "office.db").rename(office / "office.db")  # at rest: its WAL is empty and gone
    ran = CliRunner().invoke(app, ["export", "dataset", str(config), "--out", str(tmp_path / "out.zip")])
    assert ran.exit_code == 0, ran.output
    assert "12 pictures in" in ran.output and "scratch" in ran.output
    assert (tmp_path / "out.zip").stat().st_size > 100_000
    again = CliRunner().invoke(app, ["export", "dataset", str(config), "--out", str(tmp_path / "out.zip")])
    assert isinstance(again.exception, InspectorError) and "nothing is overwritten" in str(again.exception)
    like = ["--like", str(tmp_path / "out.zip"), "--split-by", "part", "--out", str(tmp_path / "folder")]
    assert CliRunner().invoke(app, ["export", "dataset", str(config), *like]).exit_code == 0
    assert (tmp_path / "folder" / "manifest.csv").is_file()
    kept = next((tmp_path / "state" / "pictures").rglob("0000000005.png"))
    (tmp_path / "library").mkdir()
    shutil.copy(kept, tmp_path / "library" / "known.png")
    config.write_text(config.read_text() + '\n[review]\nleave_out = ["library"]\n')
    less = CliRunner().invoke(app, ["export", "dataset", str(config), "--out", str(tmp_path / "less")])
    assert less.exit_code == 0 and "left out, copy or near copy" in less.output and "11 pictures in" in less.output


def test_the_golden_pictures_are_those_of_the_signed_bundle(tmp_path: Path) -> None:
    cfg = load_config(station(tmp_path))
    with golden_pictures(cfg.paths.state / SLOTS, cfg.bundle) as golden:
        assert len(golden) >= 3 and all(file.is_file() for file in golden)
