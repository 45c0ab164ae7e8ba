"""A line without a PLC: its twin can reach nothing of the real line, and it ends with Offline."""

from __future__ import annotations

import json
from pathlib import Path

import psutil
import pytest

from inspector.config import AppConfig, load_config
from inspector.control import ControlError
from inspector.demo.twin import plc_for, twin_of
from inspector.dry_run import MOST_PARTS, DryRun
from plc.sim_client import SimClientPlc
from tests.support.page import until

CONFIGS = sorted(Path("configs").glob("*.toml"))
COLLECT = """
[paths]
state = "state"
run = "run"
[[plc.links]]
host = "127.0.0.1"
port = 9
[[stations]]
id = "st1"
mode = "collect"
[camera]
kind = "rendered"
"""


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_the_twin_of_any_station_is_a_valid_box_of_its_own_on_loopback(file: Path, tmp_path: Path) -> None:
    cfg = load_config(file)
    (tmp_path / "manifest.json").touch()
    for section in cfg.stations:
        made = twin_of(cfg, section.id, 5999, tmp_path / "twin", tmp_path)
        twin = AppConfig.model_validate_json(made.model_dump_json(exclude_unset=True))
        (link,) = twin.plc.links
        assert (link.host, link.port, link.transport, link.serial, link.tls) == ("127.0.0.1", 5999, "tcp", None, None)
        assert link.mode == cfg.link_of(section).mode and twin.link_of(twin.station) is link
        assert (twin.station.id, twin.station.number, twin.station.mode) == (section.id, section.number, section.mode)
        assert twin.station.deadline_ms == section.deadline_ms and twin.station.recipes == section.recipes
        assert twin.paths.state.is_relative_to(tmp_path) and twin.paths.run.is_relative_to(tmp_path)
        assert twin.paths.office_folder.is_relative_to(tmp_path)
        assert twin.camera_of(twin.station).kind in ("rendered", "folder"), "never the line's own camera"
        plc = plc_for(twin)
        assert isinstance(plc, SimClientPlc) == (link.mode == "server")
        assert plc.cfg.simulator and plc.cfg.result_timeout_s > section.deadline_ms / 1000


def test_a_real_camera_is_stood_for_by_the_golden_pictures_of_the_bundle(tmp_path: Path) -> None:
    cfg = load_config(Path("configs/usb-camera.toml"))
    assert twin_of(cfg, "station1", 5999, tmp_path, None).camera_of(cfg.station).kind == "rendered"
    (tmp_path / "manifest.json").touch()
    camera = twin_of(cfg, "station1", 5999, tmp_path, tmp_path).camera
    assert camera is not None and json.loads(camera.model_dump_json())["folder"] == str(tmp_path)


async def test_it_runs_only_while_all_are_offline_and_leaves_nothing_when_one_is_not(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text(COLLECT)
    cfg, offline = load_config(file), False
    run = DryRun(cfg, lambda: offline)
    with pytest.raises(ControlError, match="Offline"):
        await run.start(cfg.station, None, 5, "Ida")
    assert run.state() == {"state": "none"}
    offline, before = True, set(psutil.Process().children())
    await run.start(cfg.station, None, MOST_PARTS, "Ida")
    with pytest.raises(ControlError, match="under way"):
        await run.start(cfg.station, None, 5, "Ida")
    await until(lambda: set(psutil.Process().children()) - before)
    offline = False
    await until(lambda: run.state()["state"] not in ("starting", "running"))
    assert (run.state()["state"], run.state()["why"]) == ("aborted", "a station is no longer Offline")
    await run.close()


async def test_one_that_is_aborted_before_it_began_is_aborted(tmp_path: Path) -> None:
    file = tmp_path / "station.toml"
    file.write_text(COLLECT)
    cfg = load_config(file)
    run = DryRun(cfg, lambda: True)
    await run.start(cfg.station, None, 5, "Ida")
    await run.abort("by Ida")
    assert (run.state()["state"], run.state()["why"]) == ("aborted", "by Ida")
