"""A configuration that cannot work is refused at once, with the file, the line and what to do."""

from __future__ import annotations

import tracemalloc
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from inspector.camera_sections import OpenCvConfig
from inspector.config import AppConfig, load_config
from inspector.core.errors import ConfigError
from inspector.core.types import Mode
from inspector.link_sections import LinkConfig
from inspector.plc_links import open_link
from inspector.sections import WebConfig, ZoneConfig
from inspector.toml_file import MAX_BYTES
from plc.handshake import Handshake, HandshakeConfig
from plc.serial_port import SerialConfig
from plc.server_link import ServerLink
from plc.station import StationPlace
from plc.tls import TlsFiles
from plc.transport import TransportConfig

BASE = """\
[paths]
state = "state"
run = "run"

[[plc.links]]
name = "line1"
host = "192.0.2.10"
poll_ms = 5

[[stations]]
id = "st1"
link = "line1"
deadline_ms = 300

[camera]
kind = "rendered"
grab_timeout_ms = 100

[bundle]
file = "disc.bundle"
trusted_keys = ["approve.pub"]
"""
# (what is changed, into what, the key that is blamed, what is said); blamed at the line of the change
Rule = tuple[str, str, str, str]
LINK = 'host = "192.0.2.10"'
STATION = 'id = "st1"'
CAMERA = 'kind = "rendered"'
GRAB = "grab_timeout_ms = 100"
OPENCV = 'kind = "opencv"'
KEYS = 'trusted_keys = ["approve.pub"]'
END = "<END>"
TLS = 'tls = { ca = "ca.pem", certificate = "us.pem", key = "us.key" }'
RTU = 'transport = "rtu"\nserial = { device = "/dev/ttyUSB0" }'
SECOND = """\
[[cameras]]
kind = "rendered"
[[cameras]]
id = "cam2"
kind = "rendered"
[[stations]]
id = "st2"
link = "line1"
cameras = ["cam2"]"""

RULES: Mapping[str, Rule] = {
    # links
    "a server for anybody": (
        LINK, 'host = "0.0.0.0"\nmode = "server"', "plc.links[1].host", "name the PLCs in allow_peers",
    ),
    "a peer that is no address": (
        LINK, LINK + '\nmode = "server"\nallow_peers = ["plc1"]', "plc.links[1].allow_peers[1]", "IPv4 or IPv6",
    ),
    "a place in a server": (
        LINK + '\npoll_ms = 5\n\n[[stations]]\nid = "st1"\nlink = "line1"',
        LINK + '\npoll_ms = 5\nmode = "server"\n[[stations]]\nid = "st1"\nlink = "line1"\nstat_base = 420',
        "stations[1].stat_base", "has station 1 at 0",
    ),
    "TLS without certificates": (LINK, LINK + '\ntransport = "tls"', "plc.links[1].tls", '"tls" needs it'),
    "certificates without TLS": (LINK, LINK + f"\n{TLS}", "plc.links[1].tls", 'belongs to transport = "tls"'),
    "TLS without a key": (
        LINK, LINK + '\ntransport = "tls"\ntls = { ca = "ca.pem", certificate = "us.pem" }', "plc.links[1].tls.key",
        "is missing",
    ),
    "a serial line without a port": (LINK, 'transport = "rtu"', "plc.links[1].serial", '"rtu" needs it'),
    "a serial line with an address": (LINK, f"{LINK}\n{RTU}", "plc.links[1].host", "a serial line has none"),
    "a serial line with a TCP port": (LINK, f"{RTU}\nport = 502", "plc.links[1].port", "a serial line has none"),
    "no address": (LINK, "port = 502", "plc.links[1].host", "is missing"),
    "a unit that there is not": (LINK, f"{RTU}\nunit_id = 0", "plc.links[1].unit_id", "1 to 247 on a serial line"),
    "a parity of nobody": (
        LINK, RTU.replace("}", ', parity = "mark" }'), "plc.links[1].serial.parity", "'none', 'even' or 'odd'",
    ),
    "a line as slow as twenty years ago": (
        LINK, RTU.replace("}", ", baud = 19200 }"), "plc.links[1].serial.baud", "busy for 163 ms, longer than",
    ),
    "a hasty quiet time": (
        LINK, RTU.replace("}", ", quiet_ms = 100 }"), "plc.links[1].serial.quiet_ms",
        "at least request_timeout_ms = 250",
    ),
    "a timeout shorter than the answer": (
        LINK, RTU.replace("}", ", baud = 38400 }") + "\nrequest_timeout_ms = 50", "plc.links[1].request_timeout_ms",
        "at least 67, twice",
    ),
    "a shift at no time of day": (END, '[counts]\nshifts = ["24:00"]', "counts.shifts[1]", "is a time of day"),
    "an any-address": (LINK, 'host = "0.0.0.0"', "plc.links[1].host", "is an any-address"),
    "an IPv6 any-address": (LINK, 'host = "[::]"', "plc.links[1].host", "is an any-address"),
    "a hasty heartbeat": (
        LINK, LINK + "\nheartbeat_timeout_ms = 200",
        "plc.links[1].heartbeat_timeout_ms", "at least 3 x heartbeat_ms = 300",
    ),
    "a shrinking pause": (
        LINK, LINK + "\nreconnect_max_ms = 50", "plc.links[1].reconnect_max_ms", "must not be below reconnect_min_ms",
    ),
    "port 0": (LINK, LINK + "\nport = 0", "plc.links[1].port", "greater than or equal to 1"),
    "two links": (END, f"[[plc.links]]\nname = 'b'\n{LINK}", "plc.links[2]", "no station uses it"),
    "two links of one name": (END, f"[[plc.links]]\nname = 'line1'\n{LINK}", "plc.links[2].name", "already"),
    # the station's place in the PLC
    "a second station with the same camera": (
        END, '[[stations]]\nid = "st2"', "stations[2].cameras", "'cam1' is that of station 'st1' already",
    ),
    "two stations of one name": (
        END, SECOND.replace('"st2"', '"st1"'), "stations[2].id", "already",
    ),
    "two stations of one number": (
        END, SECOND + "\nctrl_base = 200\nstat_base = 220\ndiag_base = 300\nident_base = 340",
        "stations[2].number", "of station 'st1' on link 'line1'",
    ),
    "two stations in one place": (
        END, SECOND + "\nnumber = 2\nctrl_base = 200\nstat_base = 50\ndiag_base = 300\nident_base = 340",
        "stations[2].stat_base", "overlaps stat_base of station 'st1'",
    ),
    "a name with a blank": (STATION, 'id = "st 1"', "stations[1].id", "should match pattern"),
    "overlapping blocks": (
        STATION, STATION + "\nstat_base = 10", "stations[1].stat_base", "ctrl_base and stat_base overlap",
    ),
    "a block past the end": (
        STATION, STATION + "\ndiag_base = 65500", "stations[1].diag_base", "ends beyond register 65535",
    ),
    "a hardware trigger": (STATION, STATION + '\ntrigger = "hardware"', "stations[1].trigger", 'use "modbus"'),
    "a pipeline": (STATION, STATION + "\npipeline_depth = 2", "stations[1].pipeline_depth", "depth = 2 is not"),
    "stale parts on a belt": (
        STATION, STATION + '\nstale_trigger = "inspect"', "stations[1].stale_trigger", "for parts that stand",
    ),
    "stale parts that stand": (
        STATION, STATION + '\nbelt_mm_s = 0\nstale_trigger = "inspect"', "stations[1].stale_trigger", 'use "reject"',
    ),
    "two cameras": (STATION, STATION + '\ncameras = ["cam1", "cam2"]', "stations[1].cameras", "name one"),
    "recipe 0": (STATION, STATION + '\nrecipes = { 0 = "default" }', "stations[1].recipes", "0 means none"),
    "a recipe that there is not among two": (
        STATION, STATION + '\nrecipes = { 1 = "default", 2 = "b" }', "stations[1].recipes", "no such recipe",
    ),
    "a mode that there is not": (STATION, STATION + '\nmode = "judge"', "stations[1].mode", "found 'judge'"),
    # names that must meet
    "a link that there is not": ('link = "line1"', 'link = "line2"', "stations[1].link", "[[plc.links]] has 'line1'"),
    "a camera that there is not": (
        STATION, STATION + '\ncameras = ["cam9"]', "stations[1].cameras", "[camera] has id = 'cam1'",
    ),
    "a recipe that there is not": (
        STATION, STATION + '\nrecipes = { 5 = "disc" }', "stations[1].recipes", "[[recipes]] has 'default'",
    ),
    "two recipes of one name": (END, '[[recipes]]\nname = "b"\n[[recipes]]\nname = "b"', "recipes[2].name", "already"),
    # times that cannot work
    "no trigger is ever fresh": (
        STATION, STATION + "\nmax_trigger_age_ms = 9", "stations[1].max_trigger_age_ms", "at least 2 x poll_ms = 10",
    ),
    "a frame as late as the answer": (
        GRAB, "grab_timeout_ms = 300", "camera.grab_timeout_ms", "must be below deadline_ms = 300",
    ),
    "a part that moves on": (
        STATION, STATION + "\nmax_trigger_age_ms = 50\nbelt_mm_s = 500\nposition_tolerance_mm = 20",
        "stations[1].max_trigger_age_ms", "moves 25.2 mm",
    ),
    # bundle and mode
    "no bundle to inspect with": (
        f'[bundle]\nfile = "disc.bundle"\n{KEYS}\n', "", "stations[1].mode", 'starts with mode = "collect"',
    ),
    "nobody is trusted": (KEYS, "trusted_keys = []", "bundle.trusted_keys", "at least 1 item"),
    # cameras
    "a kind that there is not": (CAMERA, 'kind = "webcam"', "camera", "'rendered', 'folder', 'opencv'"),
    "no source": (CAMERA, OPENCV, "camera", "needs exactly one of device, file, url"),
    "two sources": (CAMERA, OPENCV + '\ndevice = 0\nfile = "a.avi"', "camera", "needs exactly one"),
    "a width alone": (CAMERA, OPENCV + "\ndevice = 0\nwidth = 640", "camera", "width and height belong together"),
    "a setting that there is not": (
        CAMERA, OPENCV + "\ndevice = 0\nsettings = { exposur = 1 }", "camera.settings.exposur", "unknown setting",
    ),
    "an address that is no stream": (CAMERA, OPENCV + '\nurl = "file:///etc/passwd"', "camera.url", "match pattern"),
    "faults of a real camera": (
        f"{CAMERA}\n{GRAB}", OPENCV + '\ndevice = 0\n[test]\ncamera_faults = ["lost"]',
        "test.camera_faults", "only the rendered camera",
    ),
    "a recipe that sets a rendered camera": (
        END, "[[recipes]]\ncamera = { gain = 1 }", "recipes[1].camera", "only an opencv camera",
    ),
    # recipes
    "a ROI without area": (END, "[[recipes]]\nroi = [0, 0, 0, 5]", "recipes[1].roi", "x, y, width, height"),
    "a ROI outside": (END, "[[recipes]]\nroi = [-1, 0, 5, 5]", "recipes[1].roi", "x and y from 0"),
    "a zone without area": (
        END, '[[recipes]]\n[[recipes.zones]]\nname = "z"\nbox = [0, 0, 0, 1]\nbrightness = [1, 2]\ncontrast = [1, 2]\n'
        "sharpness = [1, 2]", "recipes[1].zones[1].box", "x, y, width, height",
    ),
    "a range upside down": (
        END, '[[recipes]]\n[[recipes.zones]]\nname = "z"\nbox = [0, 0, 1, 1]\nbrightness = [9, 2]\ncontrast = [1, 2]\n'
        "sharpness = [1, 2]", "recipes[1].zones[1].brightness", "low",
    ),
    # whatever the section
    "a typing error": (LINK, LINK + "\nprot = 502", "plc.links[1].prot", "unknown key; did you mean 'port'?"),
    "a key of nobody": (STATION, STATION + "\nqqq = 1", "stations[1].qqq", "unknown key; remove it"),
    "a section of nobody": (END, "[cammera]\na = 1", "cammera", "did you mean 'camera'?"),
    "a number as text": (LINK, LINK + '\nport = "502"', "plc.links[1].port", "found '502'"),
    "a truth as number": (LINK, LINK + "\nport = true", "plc.links[1].port", "found True"),
    "infinity": (LINK, LINK + "\nrequest_timeout_ms = inf", "plc.links[1].request_timeout_ms", "finite"),
    "no number": ("deadline_ms = 300", "deadline_ms = nan", "stations[1].deadline_ms", "finite"),
    "a wrong unit": ("deadline_ms = 300", "deadline_s = 0.3", "stations[1].deadline_s", "did you mean 'deadline_ms'?"),
}  # fmt: skip


def refusal(path: Path, text: str) -> str:
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    return str(caught.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "station.toml"


def test_the_station_that_the_rules_are_tried_on_is_valid(file: Path) -> None:
    file.write_text(BASE)
    cfg = load_config(file)
    assert cfg.station.mode is Mode.INSPECT and cfg.paths.state == file.parent / "state"
    assert cfg.bundle is not None and cfg.bundle.trusted_keys == (str(file.parent / "approve.pub"),)


@pytest.mark.parametrize("name", RULES)
def test_a_rule_that_is_broken_is_told_with_line_key_and_remedy(file: Path, name: str) -> None:
    old, new, key, words = RULES[name]
    text = BASE + "\n" + new + "\n" if old == END else BASE.replace(old, new)
    if "[[cameras]]" in text:  # the two forms exclude each other
        text = text.replace(f"[camera]\n{CAMERA}\n{GRAB}\n", "")
    assert text != BASE
    message = refusal(file, text)
    lines = [line for line in message.splitlines() if f": {key}: " in line and words in line]
    assert lines, message
    assert lines[0].startswith(f"{file}:{blamed_line(text, key)}: ")


def blamed_line(text: str, key: str) -> int:
    """The line, from 1, that writes the deepest part of `key` that is written down: stations[2].id -> the second."""
    for part in reversed(key.split(".")):
        name, _, index = part.partition("[")
        found = [
            number
            for number, line in enumerate(text.splitlines(), 1)
            if line.startswith(f"{name} =") or (line.startswith("[") and line.strip("[]").split(".")[-1] == name)
        ]
        if found:
            return found[int(index.rstrip("]")) - 1 if index else -1]
    raise AssertionError(f"nothing of {key} is written in the file")


@pytest.mark.parametrize("missing", ["state", "host", "id", "kind", "file", "trusted_keys"])
def test_a_key_without_a_default_that_is_missing_is_told_at_its_section(file: Path, missing: str) -> None:
    text = "".join(line for line in BASE.splitlines(keepends=True) if not line.startswith(f"{missing} "))
    message = refusal(file, text)
    section = {"state": "paths", "host": "plc.links", "id": "stations", "kind": "camera"}.get(missing, "bundle")
    number = 1 + next(n for n, line in enumerate(text.splitlines()) if line.strip("[]") == section)
    assert message.startswith(f"{file}:{number}: ")
    assert "is missing" in message if missing != "kind" else "kind must be one of" in message


def test_a_link_is_carried_as_its_section_says(file: Path) -> None:
    def carrier(link: str) -> TransportConfig:
        file.write_text(BASE.replace(LINK, link))
        return load_config(file).plc.links[0].carrier

    assert carrier(LINK) == TransportConfig(host="192.0.2.10", port=502)
    secure = carrier(f'{LINK}\ntransport = "tls"\n{TLS[:-2]}, server_name = "plc.local" }}')
    folder = file.parent
    files = TlsFiles(folder / "ca.pem", folder / "us.pem", folder / "us.key")
    assert secure == TransportConfig("tls", "192.0.2.10", 802, tls=files, server_name="plc.local")
    assert carrier(f'{LINK}\nport = 8802\ntransport = "tls"\n{TLS}').port == 8802
    line = carrier(RTU.replace("}", ', baud = 57600, parity = "none", stop_bits = 2, quiet_ms = 800 }'))
    assert line.serial == SerialConfig("/dev/ttyUSB0", 57_600, "none", 2, 0.8)
    assert line.where == "unit 1 on /dev/ttyUSB0"


def test_every_fault_is_told_at_once_and_none_twice(file: Path) -> None:
    text = BASE.replace("poll_ms = 5", "poll_ms = 0").replace("deadline_ms = 300", "deadline_ms = -1\nwhat = 1")
    lines = refusal(file, text).splitlines()
    assert [line.split(": ")[1] for line in lines] == [
        "plc.links[1].poll_ms",
        "stations[1].deadline_ms",
        "stations[1].what",
    ]


def test_a_hundred_faults_are_told_as_twenty_and_a_count(file: Path) -> None:
    lines = refusal(file, BASE + "\n[web]\n" + "\n".join(f"x{n} = 1" for n in range(100))).splitlines()
    assert len(lines) == 21 and lines[-1].endswith("and 80 more")


def test_an_empty_box_may_collect_without_a_bundle(file: Path) -> None:
    without = BASE[: BASE.index("[bundle]")]
    file.write_text(without.replace(STATION, STATION + '\nmode = "collect"'))
    assert load_config(file).bundle is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[paths\n", "line 1"),
        ("a = 1\na = 2\n", "line 2"),
        ("a = " + "9" * 5000, "not valid TOML"),
        ("a = " + "[" * 20_000, "nested too deeply"),
        ("a = " + "{ b = " * 5_000 + "1" + " }" * 5_000, "nested too deeply"),
        ("a = " + "[" * 600 + "]" * 600, "too deeply"),
        ("[" + ".".join("a" * 500) + "]\n", "nested too deeply"),
        (".".join("a" * 500) + " = 1\n", "nested too deeply"),
        ("#" * (MAX_BYTES + 1), "larger than 128 KiB"),
    ],
    ids=["cut short", "twice", "digits", "arrays", "tables", "deep array", "header", "dotted", "huge"],
)
def test_a_file_that_is_no_configuration_is_refused_and_costs_little(file: Path, text: str, told: str) -> None:
    message = refusal(file, text)
    assert message.startswith(str(file)) and told in message
    assert len(message) < 2000


def test_a_deep_dotted_key_costs_no_memory(file: Path) -> None:
    """tomllib alone takes memory with the square of the depth: 36 MB here, 14 GB for what fits into the file."""
    text = ".".join("a" * 3000) + " = 1\n"
    tracemalloc.start()
    try:
        refusal(file, text)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 5_000_000


def test_a_file_that_is_not_there_or_no_text_says_so(file: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        load_config(file)
    file.write_bytes(BASE.encode().replace(b"st1", b"st\xff"))
    with pytest.raises(ConfigError, match="save it as UTF-8"):
        load_config(file)


def test_a_number_of_the_plc_means_one_recipe_and_one_camera_set_up_on_the_whole_box(file: Path) -> None:
    two = BASE.replace(f"[camera]\n{CAMERA}\n{GRAB}\n", "") + SECOND.replace(
        '[[cameras]]\nid = "cam2"\nkind = "rendered"', '[[cameras]]\nid = "cam2"\nkind = "rendered"\nexposure_us = 900'
    )
    places = "\nnumber = 2\nctrl_base = 200\nstat_base = 220\ndiag_base = 300\nident_base = 340\n"
    assert "1 means another recipe or camera set-up at station 'st1'" in refusal(file, two + places)
    file.write_text(two + places + 'recipes = { 2 = "default" }\n')
    cfg = load_config(file)
    assert [list(cfg.recipes_of(st)) for st in cfg.stations] == [[1], [2]]


def test_a_wrong_camera_of_several_is_told_at_its_line(file: Path) -> None:
    text = BASE.replace(f"[camera]\n{CAMERA}\n{GRAB}\n", "") + SECOND + "\nnumber = 2\n"
    message = refusal(file, text.replace('id = "cam2"', 'id = "cam2"\nexposuer_us = 5'))
    number = 1 + text.splitlines().index('id = "cam2"') + 1
    assert message.startswith(f"{file}:{number}: cameras[2].exposuer_us: unknown key; did you mean 'exposure_us'")


def test_lists_of_a_link_are_read_whatever_its_transport(file: Path) -> None:
    tls = TLS.replace(" }", ', write_roles = ["operator"] }')
    peers = 'mode = "server"\nallow_peers = ["192.0.2.0/28"]'
    file.write_text(BASE.replace(LINK, f'{LINK}\ntransport = "tls"\n{peers}\n{tls}'))
    link = load_config(file).plc.links[0]
    assert (link.at_port, link.allow_peers) == (802, ("192.0.2.0/28",))
    assert link.tls is not None and link.tls.write_roles == ("operator",)


def test_a_box_may_be_a_unit_on_a_serial_line(file: Path) -> None:
    file.write_text(BASE.replace(LINK, f'mode = "server"\nunit_id = 7\n{RTU}'))
    link = open_link(load_config(file).plc.links[0], [StationPlace(Handshake(HandshakeConfig(), lambda id_: False))])
    assert isinstance(link, ServerLink) and link.cfg.where == "unit 7 on /dev/ttyUSB0"


def test_a_file_from_windows_is_read(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf" + BASE.replace("\n", "\r\n").encode())
    assert load_config(file).station.id == "st1"


def models(of: type[BaseModel]) -> list[type[BaseModel]]:
    found = [of]
    for field in of.model_fields.values():
        found += [inner for one in _inner(field.annotation) for inner in models(one)]
    return found


def _inner(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [model for argument in get_args(annotation) for model in _inner(argument)]


def test_no_section_takes_an_unknown_key_or_can_be_changed() -> None:
    found = models(AppConfig)
    assert {LinkConfig, OpenCvConfig, ZoneConfig, WebConfig} <= set(found)
    assert all(m.model_config["extra"] == "forbid" and m.model_config["frozen"] for m in found)
