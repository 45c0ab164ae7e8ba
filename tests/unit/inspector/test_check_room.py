"""`inspector check` says whether pictures have room, before the line finds that they have none."""

from __future__ import annotations

import shutil
from pathlib import Path

from inspector.checkup import Found, check_station
from inspector.config import load_config


def found_in(tmp_path: Path, what: str, archive: str = "") -> Found:
    """Of a configuration that lies in a folder beside the one that it names for its state."""
    (tmp_path / "configs").mkdir(exist_ok=True)
    config = tmp_path / "configs" / "station.toml"
    text = Path("configs/monitor.toml").read_text()
    config.write_text(f"{text}\n[archive]\n{archive}" if archive else text)
    return next(found for found in check_station(load_config(config)) if found.what == what)


def test_less_free_than_pictures_may_leave_is_told(tmp_path: Path) -> None:
    free_gb = shutil.disk_usage(tmp_path).free / 1e9
    found = found_in(tmp_path, "room", f"begin_free_gb = {free_gb + 5:.1f}\nstop_free_gb = {free_gb + 6:.1f}")
    assert not found.ok and "begin_free_gb" in found.text and "they would go at once" in found.text


def test_a_disk_with_room_says_how_much(tmp_path: Path) -> None:
    found = found_in(tmp_path, "room", "min_free_gb = 0.1\nbegin_free_gb = 0.11\nstop_free_gb = 0.12")
    assert found.ok and "pictures give way below 0.1 GB" in found.text


def test_paths_are_told_as_they_are(tmp_path: Path) -> None:
    found = found_in(tmp_path, "paths")
    assert found.ok and str(tmp_path / "var") in found.text and ".." not in found.text
