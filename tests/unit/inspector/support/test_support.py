"""The support bundle helps to find a fault, and tells no secret, wherever one was planted."""

from __future__ import annotations

import asyncio
import json
import logging
import zipfile
from pathlib import Path
from typing import Any

import apsw
import pytest
import structlog

from inspector.backup.crypt import new_key
from inspector.backup.errors import BackupError
from inspector.config import load_config
from inspector.control import ControlServer
from inspector.logs import log_json
from inspector.office.certificate import ensure_own
from inspector.office.office import Office
from inspector.office.passwords import new_code
from inspector.office.sessions import csrf_of
from inspector.support.bundle import sources_of, write_support
from inspector.support.daemon import values
from inspector.support.redact import GONE, redact, redact_line, scrub
from inspector.upkeep.measures import Measure
from inspector.upkeep.trends import FILE, TrendBook
from plc.images import Image
from plc.registers import IDENT, STAT
from tests.support.box import lived_in
from tests.support.fake_daemon import unrecorded
from tests.support.office import PASSWORD, make_hashes_cheap

CAMERA = 'kind = "opencv"\nurl = "rtsp://viewer:s3cr3t-of-the-camera@192.0.2.9/stream"'


async def planted(folder: Path) -> tuple[Path, dict[str, str]]:
    """A box with secrets in every corner: its configuration, and what must never be told."""
    key = folder / "backup.key"
    new_key(key)
    box = await lived_in(folder / "box", folder / "stick", tls=True, backup=f'key = "{key}"')
    text = box.config.read_text().replace('kind = "rendered"', CAMERA) + f"# the key of the safe is {key.read_text()}"
    box.config.write_text(text)
    from datetime import UTC, datetime

    pair = ensure_own(box.office, [], datetime.now(UTC))
    office = Office(box.office / "office.db")
    try:
        token = await office.log_in("Anna", PASSWORD, "10.0.0.9")
        code = await office.reset_password("Anna", 2)
    finally:
        office.close()
    db = apsw.Connection(str(box.office / "office.db"))
    hashes = [h for row in db.execute("SELECT password_hash, code_hash FROM people") for h in row if h]
    hashes += [h for (h,) in db.execute("SELECT token_hash FROM sessions")]
    db.close()
    bodies = {name: path.read_text().split("\n")[1] for name, path in
              {"web.key": pair.key, "plc.key": box.folder / "tls" / "box7.key"}.items()}  # fmt: skip
    secrets = {
        "backup key": key.read_text().strip(), "camera": "s3cr3t-of-the-camera", "token": token, "code": code,
        "csrf": csrf_of(token), "password": PASSWORD, **bodies, **{f"hash {n}": h for n, h in enumerate(hashes)},
    }  # fmt: skip
    return box.config, secrets


def spoken(secrets: dict[str, str], pem: str) -> list[str]:
    """Lines as careless code might log them."""
    return [
        json.dumps({"event": "nobody can log in yet", "code": secrets["code"], "page": "/first-start"}),
        json.dumps({"event": "form", "fields": {"name": "Anna", "password": secrets["password"]}}),
        json.dumps({"event": "request", "headers": {"cookie": f"__Host-inspector={secrets['token']}"}}),
        f"session {secrets['token']} begun", f"the code is {secrets['code'].lower()}, good for a day",
        f"x-csrf-token: {secrets['csrf']}", f'password="{secrets["password"].replace(" ", "-")}"',
        f"hash {secrets['hash 0']} is of Anna", f"cannot open rtsp://viewer:{secrets['camera']}@192.0.2.9/stream",
        f"key of backups: {secrets['backup key']}", json.dumps({"event": "read", "file": pem}), pem,
    ]  # fmt: skip


async def test_no_secret_that_was_planted_is_in_the_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_hashes_cheap(monkeypatch)
    config, secrets = await planted(tmp_path)
    from inspector.config import load_config

    cfg = load_config(config)
    cfg.paths.run.mkdir()
    book = TrendBook(cfg.paths.state / FILE)
    book.put([Measure("disk_free", 3.5, "gb", low=0.5)], 1_790_000_000_000)
    book.close()
    log = spoken(secrets, (config.parent / "tls" / "box7.key").read_text())
    alarm = {"id": "camera", "cause": f"rtsp://viewer:{secrets['camera']}@192.0.2.9/stream: gives no frame"}
    server = ControlServer(cfg.paths.run / "control.sock", {
        "status": lambda *_: {"ready": False, "alarms": [alarm], "error_code": 101},
        "support": lambda *_: {"log": log, "registers": {"st1": {"STAT": {"HEARTBEAT": 7}}}},
    }, unrecorded)  # fmt: skip
    await server.start()
    try:
        await asyncio.to_thread(write_support, cfg, tmp_path / "support.zip")
    finally:
        await server.close()
    with zipfile.ZipFile(tmp_path / "support.zip") as bundle:
        told = {name: bundle.read(name).decode() for name in bundle.namelist()}
    for what, secret in secrets.items():
        for form in (secret, secret.replace("/", "\\/"), secret.lower(), secret.replace(" ", "-")):
            assert [name for name, text in told.items() if form in text] == [], what
    assert "gives no frame" in told["alarms.json"] and "viewer" not in told["alarms.json"]
    assert json.loads(told["daemon.json"])["status"]["error_code"] == 101
    assert json.loads(told["registers.json"])["st1"]["STAT"]["HEARTBEAT"] == 7
    assert json.loads(told["config.json"])["stations"][0]["id"] == "st1"
    assert json.loads(told["health.json"])["disk_free"]["day"] == [[1_790_000_000_000, 3.5]]
    assert len(told["rows.csv"].splitlines()) == 14 and "SN-000500" in told["rows.csv"]
    assert "libraries" in told["about.json"] and "results.db" in told["files.txt"]
    assert next(iter(json.loads(told["bundles.json"]).values()))["active"] == "a"
    with pytest.raises(BackupError, match="nothing is overwritten"):
        write_support(cfg, tmp_path / "support.zip")


async def test_a_box_whose_daemon_is_down_still_gives_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_hashes_cheap(monkeypatch)
    box = await lived_in(tmp_path / "box", tmp_path / "stick", parts=2)
    (box.state / "results.db").write_bytes(b"scribbled over" * 1000)
    sources = sources_of(box.cfg)
    await asyncio.to_thread(write_support, box.cfg, tmp_path / "support.zip")
    with zipfile.ZipFile(tmp_path / "support.zip") as bundle:
        assert "cannot be reached" in bundle.read("daemon.json").decode()
        assert "cannot be read" in bundle.read("rows.csv").decode()
    assert sources.socket.name == "control.sock"


def test_what_helps_is_left() -> None:
    line = json.dumps({"event": "audit", "number": 41, "hash": "9f" * 32, "actor": "Anna", "error_code": 4})
    assert redact_line(line) == line
    for text in ("bundle turned_disc-3-9f2c41aa", "lot L-2026-47 serial SN-000500", "192.168.10.5:502", "4/101"):
        assert scrub(text) == text


@pytest.mark.parametrize("name", ["password", "newPassword", "one_time_code", "session", "X-CSRF-Token", "api_secret"])
def test_a_value_is_taken_out_by_its_name(name: str) -> None:
    assert redact({"a": [{name: "hunter2"}]}) == {"a": [{name: GONE}]}


def test_every_one_time_code_is_known_as_one() -> None:
    assert all(scrub(f"code {new_code()}.") == f"code {GONE}." for _ in range(200))


def test_registers_are_told_by_name() -> None:
    image, ident = Image(STAT), Image(IDENT)
    image["HEARTBEAT"] = 7
    ident.set_text("LOT", "L-2026-47")
    assert values(image)["HEARTBEAT"] == 7 and values(ident)["LOT"] == "L-2026-47"


def test_the_newest_lines_of_a_process_are_kept_and_no_more(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from collections import deque

    from inspector import logs

    lines: deque[Any] = deque(maxlen=3)
    monkeypatch.setattr(logs, "_recent", lines)
    handlers = list(logging.getLogger().handlers)
    log_json()
    try:
        for n in range(5):
            structlog.get_logger().info("part", no=n, text="x" * 9000)
    finally:
        structlog.reset_defaults()
        logging.getLogger().handlers[:] = handlers
    assert [line.partition('"no": ')[2][0] for line in logs.recent()] == ["2", "3", "4"]
    assert all(len(line) <= logs.MOST_CHARACTERS for line in logs.recent())


@pytest.mark.parametrize(
    "address", ["rtsp://viewer:p@ss-of-it@192.0.2.9/live", "http://192.0.2.9/video?usr=viewer&pwd=p-ss-of-it&channel=1"]
)
def test_a_camera_s_address_keeps_its_password_however_it_is_written(address):
    told = scrub(f"cannot open {address} now")
    assert "ss-of-it" not in told and "192.0.2.9" in told and GONE in told


@pytest.mark.parametrize(
    ("name", "told"),
    [("out.txt", "call it out.zip"), ("out", "call it out.zip"), ("none/out.zip", "there is no folder .*none")],
)
def test_a_name_that_cannot_be_a_support_bundle_is_refused_before_anything_is_gathered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, told: str
) -> None:
    monkeypatch.setattr("inspector.support.bundle.support_file", lambda *_: pytest.fail("it was gathered"))
    cfg = load_config(Path(__file__).parents[4] / "configs" / "demo.toml")
    with pytest.raises(BackupError, match=told):
        write_support(cfg, tmp_path / name)
    assert list(tmp_path.iterdir()) == []
