"""The commands that a newcomer tries first, as processes; and every file in configs/."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import cv2
import pytest

from inspector.config import AppConfig
from inspector.demo.parts import Kind, render
from inspector.demo.processes import daemon
from plc.registers import Reason, Verdict
from plc.sim import SimPlc
from tests.support.station import PATIENT, PATIENT_LINK

CONFIGS = sorted(Path("configs").glob("*.toml"))
DEMO = Path("inspector/demo/demo.toml")
KEY = tomllib.loads(Path("configs/demo.toml").read_text())["bundle"]["trusted_keys"][0]
COLLECT = Path("configs/collect.toml").read_text()


def inspector(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "inspector", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240)


def write_part(file: Path, kind: Kind, seed: int) -> Path:
    cv2.imwrite(str(file), render(seed, kind).image[..., ::-1])
    return file


@pytest.mark.parametrize("path", CONFIGS, ids=lambda p: p.stem)
def test_every_configuration_that_we_ship_is_valid(path):
    cfg = AppConfig.load(path)
    assert cfg.web.host == "127.0.0.1", "nobody else sees the page unless somebody writes it down"
    text = path.read_text()
    assert ("mode" in text) and text.startswith("#"), "says what it is for"


def test_the_configurations_show_every_key_that_a_user_may_write():
    """As a key with a value or as a table, but for those that only our tests write."""
    shown = " ".join(path.read_text() for path in CONFIGS)
    sections = AppConfig.model_json_schema()["$defs"].values()
    keys = {key for section in sections for key in section.get("properties", {})} | set(AppConfig.model_fields)
    hidden = {"test", "failpoints", "camera_faults", "faulty_camera"}
    assert {key for key in keys - hidden if not re.search(rf"\b{key} = |[\[.]{key}[\].]", shown)} == set()


def test_the_demos_station_is_the_one_that_configs_shows():
    template = tomllib.loads(DEMO.read_text().format(port=5020, page_port=8080, state="", run=""))
    shown = tomllib.loads(Path("configs/demo.toml").read_text())
    for one in (template, shown):
        one.pop("paths")
    assert template == shown


def test_the_demos_key_is_trusted_by_the_demo_alone():
    assert [path.name for path in CONFIGS if KEY in path.read_text()] == ["demo.toml"]


@pytest.mark.slow
def test_check_tells_what_is_right_and_what_to_do_about_the_rest(tmp_path, free_port):
    page = f"\n[web]\nport = {free_port}\n"  # the usual one may be somebody's on this machine
    text = Path("configs/monitor.toml").read_text().replace("../var", str(tmp_path / "var")) + page
    (tmp_path / "right.toml").write_text(text.replace("../mine.bundle", "demo").replace("../keys/approve.pub", KEY))
    done = inspector("check", tmp_path / "right.toml")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "golden pictures come out as signed" in done.stdout and "WRONG" not in done.stdout
    text = Path("configs/folder.toml").read_text().replace("../var", str(tmp_path / "var")) + page
    text = text.replace("../mine.bundle", "demo")
    (tmp_path / "wrong.toml").write_text(text.replace("../keys/approve.pub", "00" * 31 + "01"))
    done = inspector("check", tmp_path / "wrong.toml")
    assert done.returncode == 1
    assert done.stdout.count("WRONG") == 2, done.stdout  # no pictures, no trusted key
    assert "holds no pictures; copy some there" in done.stdout
    assert {p.name for p in tmp_path.iterdir()} == {"right.toml", "wrong.toml"}, "check changes nothing"


@pytest.mark.slow
def test_grab_writes_the_picture_and_predict_judges_it(tmp_path):
    done = inspector("camera", "grab", "configs/demo.toml", "--out", tmp_path / "part.png", "--part-id", 1)
    assert done.returncode == 0, done.stderr
    assert "320 x 256" in done.stdout and "simulated" in done.stdout
    assert (cv2.imread(str(tmp_path / "part.png"))[..., ::-1] == render(1).image).all(), "lossless, in true colours"
    stained = write_part(tmp_path / "stain.png", Kind.STAIN, 3)
    done = inspector("predict", tmp_path / "part.png", stained, "--json")
    assert done.returncode == 0, done.stderr
    good, bad = json.loads(done.stdout)
    assert (good["verdict"], good["class"], bad["verdict"]) == ("PASS", "good", "FAIL")
    assert sum(good["probabilities"].values()) == pytest.approx(1, abs=1e-4)


@pytest.mark.slow
def test_predict_says_which_picture_it_cannot_judge_and_judges_the_others(tmp_path):
    (tmp_path / "text.png").write_text("hello")
    part = write_part(tmp_path / "part.png", Kind.GOOD, 1)
    done = inspector("predict", tmp_path / "text.png", tmp_path / "none.png", part)
    assert done.returncode == 1
    assert (
        "PASS" in done.stdout and "text.png is not a JPEG" in done.stdout and "none.png cannot be read" in done.stdout
    )
    assert "…" not in done.stdout  # a long path is folded, not cut: its end tells the pictures apart
    assert "Traceback" not in done.stdout + done.stderr


def test_camera_list_names_the_kinds():
    done = inspector("camera", "list")
    assert done.returncode == 0 and "rendered" in done.stdout and "opencv" in done.stdout


@pytest.mark.slow
async def test_an_empty_box_collects_its_first_pictures_without_a_bundle(tmp_path):
    """Every trigger keeps its picture, lossless; the PLC hears 4/114 and never PASS."""
    sim = SimPlc(PATIENT)
    await sim.start()
    pictures = tmp_path / "collect" / "pictures-in"
    pictures.mkdir(parents=True)
    for number, kind in enumerate((Kind.GOOD, Kind.STAIN)):
        write_part(pictures / f"{number}.png", kind, number + 1)
    config = tmp_path / "collect.toml"
    text = COLLECT.replace("../var", str(tmp_path)).replace("port = 5021", f"port = {sim.port}\n{PATIENT_LINK}")
    text = text.replace("deadline_ms = 2000", "deadline_ms = 10000").replace("age_ms = 500", "age_ms = 2000")
    config.write_text(text)
    try:
        async with daemon(config):
            results = await sim.play([1, 2])
    finally:
        await sim.close()
    assert [(r.code, r.reason, r.verdict) for r in results] == [
        (Verdict.NOT_INSPECTED, Reason.COLLECTING, "reject")
    ] * 2
    kept = sorted((tmp_path / "collect" / "state" / "pictures").rglob("*.png"))
    assert len(kept) == 2
    assert (cv2.imread(str(kept[0])) == cv2.imread(str(pictures / "0.png"))).all()
