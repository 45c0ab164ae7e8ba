"""The PLC in C, compiled once."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

SOURCE = Path(__file__).with_name("plc.c")
WARNINGS = ("-Wall", "-Wextra", "-Werror")


@pytest.fixture(scope="session")
def c_plc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program. Skips where there is no compiler or no libmodbus; a warning of the compiler is a failure."""
    if shutil.which("gcc") is None:
        pytest.skip("gcc is not installed")
    included = ("gcc", "-E", "-include", "modbus/modbus.h", "-x", "c", "/dev/null")
    if subprocess.run(included, capture_output=True, timeout=240).returncode:
        pytest.skip("libmodbus-dev is not installed")
    program = tmp_path_factory.mktemp("plc") / "plc"
    command = ("gcc", "-std=c11", "-O1", *WARNINGS, "-o", program, SOURCE, "-lmodbus")
    done = subprocess.run(command, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return program
