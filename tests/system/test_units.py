"""The systemd units: nothing that systemd would only warn about, and as little exposed as the threat model allows."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SYSTEMD = Path(__file__).parents[2] / "systemd"
# systemd-analyze security: 0 is best, 10 worst
GATES = {"inspector.service": 1.5, "inspector-web.service": 1.1, "inspector-backup.service": 2.0}
PREFIX = "/opt/inspector"

pytestmark = [
    pytest.mark.system,
    pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed (apt: systemd)"),
]


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["systemd-analyze", "--no-pager", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


@pytest.fixture
def installed(tmp_path: Path) -> list[Path]:
    """The units with their program where a box would have it: verify looks whether it can be executed."""
    program = tmp_path / "inspector" / "bin" / "inspector"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    units = []
    for name in (*GATES, *(file.name for kind in ("timer", "path") for file in SYSTEMD.glob(f"*.{kind}"))):
        unit = tmp_path / name
        unit.write_text((SYSTEMD / name).read_text().replace(PREFIX, str(tmp_path / "inspector")))
        units.append(unit)
    return units


def test_every_unit_is_covered_here() -> None:
    assert {unit.name for unit in SYSTEMD.glob("*.service")} == set(GATES)


def test_systemd_understands_every_line_of_the_units(installed: list[Path]) -> None:
    done = analyze("verify", *installed)
    assert (done.returncode, done.stderr) == (0, "")  # an unknown key is only a warning, with exit status 0


def test_an_unknown_key_would_be_seen(installed: list[Path]) -> None:
    installed[0].write_text(installed[0].read_text().replace("[Service]", "[Service]\nProtectSistem=strict"))
    assert "ProtectSistem" in analyze("verify", *installed).stderr


@pytest.mark.parametrize(("name", "gate"), GATES.items())
def test_a_unit_exposes_no_more_than_its_gate(name: str, gate: float) -> None:
    done = analyze("security", "--offline=true", f"--threshold={round(gate * 10)}", SYSTEMD / name)
    assert done.returncode == 0, done.stdout[-400:]


def test_the_gate_refuses_a_unit_without_hardening(tmp_path: Path) -> None:
    plain = tmp_path / "plain.service"
    plain.write_text("[Service]\nExecStart=/bin/true\n")
    assert analyze("security", "--offline=true", "--threshold=15", plain).returncode != 0


def keys_of(name: str) -> dict[str, str]:
    lines = (SYSTEMD / name).read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


def test_asking_for_a_backup_again_and_again_never_wears_the_button_out() -> None:
    """Beyond a limit systemd stops watching for the note until somebody resets it: four presses within a minute did."""
    path, service = keys_of("inspector-backup.path"), keys_of("inspector-backup.service")
    assert (path["TriggerLimitIntervalSec"], service["StartLimitIntervalSec"]) == ("0", "0")
    assert service["ExecStartPre"] == f"-/bin/rm -f {path['PathExists']}"  # else a note that stays starts it for ever
    assert service["ExecStopPost"] == "-/bin/sleep 5"


def test_the_users_can_be_made(tmp_path: Path) -> None:
    if not shutil.which("systemd-sysusers"):
        pytest.skip("systemd-sysusers is not installed")
    command = ["systemd-sysusers", "--dry-run", f"--root={tmp_path}", str(SYSTEMD / "inspector.sysusers")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "inspector-web" in done.stdout + done.stderr
