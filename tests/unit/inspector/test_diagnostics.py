"""What the PLC reads in DIAG of the box itself."""

from __future__ import annotations

import shutil
from pathlib import Path

from inspector.diagnostics import Diagnostics, cpu_celsius, disk_free_percent
from plc.images import Image
from plc.registers import DIAG
from tests.support.clock import SimClock


def zone(folder: Path, number: int, kind: str, temperature: str) -> None:
    (folder / f"thermal_zone{number}").mkdir(parents=True)
    (folder / f"thermal_zone{number}" / "type").write_text(kind + "\n")
    (folder / f"thermal_zone{number}" / "temp").write_text(temperature + "\n")


def test_the_packages_temperature_counts_not_that_of_the_board(tmp_path: Path) -> None:
    zone(tmp_path, 0, "acpitz", "27800")
    zone(tmp_path, 1, "x86_pkg_temp", "61400")
    assert cpu_celsius(tmp_path) == 61


def test_a_box_without_a_sensor_or_with_a_dead_one_says_unknown(tmp_path: Path) -> None:
    assert cpu_celsius(tmp_path / "none") == 0
    zone(tmp_path, 0, "x86_pkg_temp", "not a number")
    assert cpu_celsius(tmp_path) == 0


def test_free_space_is_a_share_of_the_disk_and_zero_when_nobody_can_say(tmp_path: Path) -> None:
    usage = shutil.disk_usage(tmp_path)
    assert abs(disk_free_percent(tmp_path) - 100 * usage.free / usage.total) < 10  # root's reserve is not ours
    assert disk_free_percent(tmp_path / "gone") == 0


def test_every_figure_is_a_counter_of_the_contract(tmp_path: Path) -> None:
    clock = SimClock()
    diagnostics = Diagnostics(7, clock, tmp_path, tmp_path)
    clock.now_s += 61.9
    figures, image = diagnostics(), Image(DIAG)
    for name, value in figures.items():
        image[name] = value
    assert (image["BOOT_COUNT"], image["UPTIME"], image["CPU_C"]) == (7, 61, 0)
    assert image["DISK_FREE"] == figures["DISK_FREE"]
