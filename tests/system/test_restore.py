"""A box is replaced: a backup beside the running line, all wiped, one command, READY again with the same answers."""

from __future__ import annotations

import asyncio
import json
import shutil
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import apsw
import pytest
from typer.testing import CliRunner

from inspector.cli import app
from inspector.core.errors import InspectorError
from tests.support.live_line import LiveLine, live_line

pytestmark = pytest.mark.system
PART = 41


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[LiveLine]:
    stick = tmp_path / "stick"
    stick.mkdir()
    async with live_line(tmp_path / "box") as line:
        line.folder.mkdir()
        line.configure(more=f'\n[backup]\nfolder = "{stick}"\n')
        yield line


def scores(line: LiveLine) -> list[tuple[Any, ...]]:
    """What the model made of PART, each time it was shown."""
    db = apsw.Connection(str(line.db), flags=apsw.SQLITE_OPEN_READWRITE)
    sql = "SELECT label, confidence, novelty_score, bundle_id, model_rev FROM inspections WHERE part_id = ? ORDER BY no"
    found = list(db.execute(sql, (PART,)))
    db.close()
    return found


def newest(line: LiveLine) -> int:
    db = apsw.Connection(str(line.db), flags=apsw.SQLITE_OPEN_READWRITE)
    no = int(db.execute("SELECT max(no) FROM inspections").get)
    db.close()
    return no


async def test_a_wiped_box_is_ready_again_after_one_command_and_judges_as_before(line: LiveLine) -> None:
    await line.start()
    await line.ready()
    await line.play(PART)
    made = await asyncio.to_thread(CliRunner().invoke, app, ["backup", str(line.config)])
    assert made.exit_code == 0 and " MB in " in made.output, made.output
    await told_for_support(line)
    running = await asyncio.to_thread(CliRunner().invoke, app, ["restore", str(backup_of(line))])
    assert isinstance(running.exception, InspectorError) and "stop it first" in str(running.exception)
    await line.play(PART)
    last = newest(line)
    await line.end()
    shutil.rmtree(line.folder)
    checked = CliRunner().invoke(app, ["restore", str(backup_of(line)), "--check"])
    assert checked.exit_code == 0 and "whole: " in checked.output and not line.folder.exists()
    restored = CliRunner().invoke(app, ["restore", str(backup_of(line))])
    assert restored.exit_code == 0, restored.output
    await line.start()
    await line.ready()
    await line.play(PART)
    assert newest(line) > last
    before, after = scores(line)
    assert before == after


async def told_for_support(line: LiveLine) -> None:
    """Registers, log and figures of the running daemon are in its support bundle."""
    out = line.folder / "support.zip"
    made = await asyncio.to_thread(CliRunner().invoke, app, ["support", str(line.config), str(out)])
    assert made.exit_code == 0, made.output
    with zipfile.ZipFile(out) as bundle:
        told = {name: bundle.read(name).decode() for name in bundle.namelist()}
    registers = json.loads(told["registers.json"])["st1"]
    assert registers["STAT"]["HEARTBEAT"] > 0 and registers["DIAG"]["BOOT_COUNT"] == 1
    assert "store open" in told["daemon.log"] and json.loads(told["daemon.json"])["status"]["ready"] is True
    assert json.loads(told["health.json"])["frames_lost.st1"]["state"] == "ok"
    assert len(told["rows.csv"].splitlines()) == 2


def backup_of(line: LiveLine) -> Path:
    (found,) = (line.folder.parent / "stick").iterdir()
    return found


async def test_a_stick_that_is_pulled_is_told_within_seconds_and_the_line_goes_on(line: LiveLine) -> None:
    shutil.rmtree(line.folder.parent / "stick")
    await line.start()
    await line.ready()
    alarm = await line.alarm("the folder of backups", within_s=5)
    assert alarm["id"] == "backup_age"
    await line.good()
    status = await line.status()
    assert status["ready"] is True
