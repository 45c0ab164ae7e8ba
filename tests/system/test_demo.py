"""The demo as a user starts it: processes, its last line, its exit status, and nothing left behind."""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from inspector.demo.play import LINE_PLC
from inspector.demo.processes import child, config_text, daemon
from inspector.demo.screen import Screen
from plc.registers import Reason

DEMO = (sys.executable, "-m", "inspector", "demo")


@contextmanager
def started(*arguments: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The demo with its own folder for temporary files; killed if the test leaves it running."""
    environment = {**os.environ, "TMPDIR": str(folder)}
    with subprocess.Popen([*DEMO, *arguments], stdout=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def running_in(folder: Path) -> list[str]:
    """Commands of all processes that were given something in `folder`."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode()
        except OSError:
            continue  # it ended meanwhile
        if str(folder) in command:
            found.append(command)
    return found


def wait_for(condition: Callable[[], bool], within_s: float = 60.0) -> None:
    end = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < end, "it did not come about"
        time.sleep(0.05)


def read_until(process: subprocess.Popen[str], text: str) -> list[str]:
    lines: list[str] = []
    for line in process.stdout or ():
        lines.append(line)
        if text in line:
            return lines
    raise AssertionError(f"no {text!r} in {lines}")


@pytest.mark.slow
def test_every_part_of_the_headless_demo_is_triggered_recorded_and_read():
    done = subprocess.run([*DEMO, "--parts", "60", "--headless", "--json"], capture_output=True, text=True, timeout=280)
    counts = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert counts["triggers"] == counts["rows"] == counts["plc_results"] == 60
    assert counts["mismatches"] == 0
    assert counts["escapes"] == 0
    assert (counts["change_overs"], counts["change_overs_failed"]) == (1, 0)


@pytest.mark.slow
def test_the_demo_says_where_to_look_serves_the_page_and_leaves_nothing_after_ctrl_c(tmp_path, free_port):
    with started("--parts", "0", "--port", str(free_port), "--rate", "10", folder=tmp_path) as demo:
        lines = read_until(demo, "READY after")
        assert any(f"http://127.0.0.1:{free_port}" in line for line in lines)
        assert len(running_in(tmp_path)) == 2, "daemon and page, each a process"
        with urllib.request.urlopen(f"http://127.0.0.1:{free_port}/healthz", timeout=60) as answer:
            assert answer.status == 200
        lines += read_until(demo, "parts 50")
        demo.send_signal(signal.SIGINT)
        rest = demo.stdout.read() if demo.stdout else ""
        assert demo.wait(120) == 0
    code = rf"{free_port}/first-start with the one-time code (\w{{4}}-){{3}}\w{{4}}\b"
    assert sum(bool(re.search(code, line)) for line in lines) == 1, "how the first person logs in"
    assert "mismatches  0" in rest
    assert running_in(tmp_path) == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
async def test_a_line_that_a_busy_machine_stopped_is_taken_up_again_without_a_person_at_the_plc(tmp_path, free_port):
    config, told = tmp_path / "demo.toml", list[dict[str, Any]]()
    late = f"\n[test]\ncamera_faults = {['late'] * 20}\n"
    config.write_text(config_text(free_port, tmp_path, late), encoding="utf-8")
    plc = ("--port", str(free_port), "--rate", "20")
    line_plc = child(LINE_PLC, *plc, log=tmp_path / "plc.log", piped=True)
    async with daemon(config), line_plc as line, asyncio.timeout(240):
        while sum("acknowledged" in each for each in told) < 2:
            assert line.stdout is not None
            told.append(json.loads(await line.stdout.readline()))
    first, second = (n for n, each in enumerate(told) if "acknowledged" in each)
    assert told[first] == told[second] == {"acknowledged": Reason.DEADLINE}
    between = [each["reason"] for each in told[first + 1 : second] if each["code"]]
    assert between[-3:] == [Reason.DEADLINE] * 3, between
    assert not any(each["verdict"] == "good" for each in told if "verdict" in each)


def test_the_terminal_says_that_the_machine_was_too_slow_for_the_line():
    out = io.StringIO()
    screen = Screen(lambda part_id: True, live=False, console=Console(file=out, width=200))
    screen.acknowledged(Reason.DEADLINE)
    assert "stopped by three parts in a row that took too long: this machine is busy" in out.getvalue()


@pytest.mark.slow
def test_a_demo_that_is_killed_takes_its_processes_along(tmp_path, free_port):
    with started("--parts", "0", "--port", str(free_port), folder=tmp_path) as demo:
        read_until(demo, "READY after")
        demo.kill()
        demo.wait(60)
        wait_for(lambda: running_in(tmp_path) == [])


def test_a_taken_port_is_said_in_words(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        environment = {**os.environ, "TMPDIR": str(tmp_path)}
        command = [*DEMO, "--parts", "0", "--port", str(port)]  # no part could end it
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, env=environment)
    assert done.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in done.stderr and "Traceback" not in done.stderr
    assert running_in(tmp_path) == []


def test_an_unreadable_configuration_is_one_clear_line(tmp_path):
    config = tmp_path / "station.toml"
    plc = "[[plc.links]]\nhost = '127.0.0.1'\nprt = 502\n"
    config.write_text(f"[paths]\nstate = 'a'\nrun = 'b'\n\n{plc}\n[[stations]]\nid = 'x'\n")
    command = [sys.executable, "-m", "inspector", "check", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 1
    assert f"{config}:7: plc.links[1].prt" in done.stderr and "Traceback" not in done.stderr
