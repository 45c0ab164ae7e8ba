"""The region that was drawn on the appliance is the one that training cuts, unless somebody says another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from training.region import exported_region
from training.words import config_of


def export(folder: Path, regions: Any) -> Path:
    (folder / "export.json").write_text(json.dumps({"schema": 1, "regions": regions}))
    (folder / "manifest.csv").touch()
    return folder / "manifest.csv"


def options(data: Path, roi: str | None = None) -> dict[str, Any]:
    return {"data": data, "out": data.parent / "run", "size": "224", "roi": roi}


def test_an_export_names_the_region_and_the_command_line_goes_before_it(tmp_path: Path) -> None:
    manifest = export(tmp_path, {"st1": [40, 8, 240, 240], "st2": [40, 8, 240, 240]})
    assert config_of(options(manifest)).roi == config_of(options(tmp_path)).roi == (40, 8, 240, 240)
    assert config_of(options(manifest, "0,0,10,10")).roi == (0, 0, 10, 10)


def test_pictures_that_are_no_export_or_of_whole_pictures_are_not_cut(tmp_path: Path) -> None:
    assert exported_region(tmp_path) is None
    assert exported_region(export(tmp_path, {"st1": None})) is None
    (tmp_path / "export.json").write_text('{"schema": 1}')  # as an earlier version wrote it
    assert exported_region(tmp_path) is None


@pytest.mark.parametrize("regions", [{"st1": [1, 2, 3, 4], "st2": None}, {"st1": [1, 2, 3]}, {"st1": "all"}, []])
def test_a_region_that_is_not_clear_stops_the_command(tmp_path: Path, regions: Any) -> None:
    with pytest.raises(ValueError, match=r"export\.json"):
        exported_region(export(tmp_path, regions))
