"""The demo as a user starts it: a process, its last line, its exit status."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest


@pytest.mark.slow
def test_every_part_of_the_headless_demo_is_triggered_recorded_and_read():
    command = [sys.executable, "-m", "inspector", "demo", "--parts", "60", "--headless", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=110)
    counts = json.loads(done.stdout.splitlines()[-1])
    assert done.returncode == 0, done.stderr
    assert counts["triggers"] == counts["rows"] == counts["plc_results"] == 60
    assert counts["mismatches"] == 0
    assert counts["escapes"] == 0


def test_an_unreadable_configuration_is_one_clear_line(tmp_path):
    config = tmp_path / "station.toml"
    plc = "[[plc.links]]\nhost = '127.0.0.1'\nprt = 502\n"
    config.write_text(f"[paths]\nstate = 'a'\nrun = 'b'\n\n{plc}\n[[stations]]\nid = 'x'\n")
    command = [sys.executable, "-m", "inspector", "check", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert f"{config}:7: plc.links[1].prt" in done.stderr and "Traceback" not in done.stderr
