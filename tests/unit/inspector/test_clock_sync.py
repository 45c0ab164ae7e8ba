"""Whether the clock is kept, as the PLC is told of it."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

import pytest

from inspector import clock_sync
from inspector.clock_sync import ClockWatch, clock_unsynced, kernel_says_unsynced

NOW_S = 1_800_000_000.0


@pytest.mark.parametrize("told", [True, False])
def test_what_the_kernel_says_counts_whatever_a_file_says(told: bool, tmp_path: Path) -> None:
    assert clock_unsynced(lambda: told, synced_s_ago(tmp_path, 1), lambda: NOW_S) is told


@pytest.mark.parametrize(("age_s", "unsynced"), [(0, False), (2100, False), (7300, True), (-5, True)])
def test_where_the_kernel_may_not_be_asked_timesyncds_last_answer_counts_while_it_is_young(
    age_s: float, unsynced: bool, tmp_path: Path
) -> None:
    assert clock_unsynced(lambda: None, synced_s_ago(tmp_path, age_s), lambda: NOW_S) is unsynced


def test_a_clock_that_nobody_speaks_for_is_unsynced(tmp_path: Path) -> None:
    assert clock_unsynced(lambda: None, tmp_path / "gone", lambda: NOW_S)


@pytest.mark.parametrize(
    ("state", "status", "told"), [(0, 0x2001, False), (5, 0, True), (0, 0x40, True), (5, 0x40, True), (-1, 0, None)]
)
def test_the_kernels_answer_is_read_from_its_state_and_its_status(
    state: int, status: int, told: bool | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Libc:
        @staticmethod
        def adjtimex(at: object) -> int:
            found = ctypes.cast(at, ctypes.POINTER(clock_sync._Timex)).contents  # type: ignore[arg-type]
            assert found.modes == 0, "it only asks"
            found.status = status
            return state

    monkeypatch.setattr(clock_sync, "_adjtimex", lambda: Libc.adjtimex)
    assert kernel_says_unsynced() is told


def test_the_real_kernel_answers_and_no_memory_beside_the_answer_is_written() -> None:
    assert ctypes.sizeof(clock_sync._Timex) >= 208  # struct timex of 64-bit Linux
    assert kernel_says_unsynced() in (True, False, None)


def test_each_change_is_logged_once(capsys: pytest.CaptureFixture[str]) -> None:
    answers = iter([True, True, False, False, True])
    watch = ClockWatch(lambda: next(answers))
    assert [watch() for _ in range(5)] == [True, True, False, False, True]
    assert capsys.readouterr().out.count("kept by a time service") == 3


def synced_s_ago(folder: Path, age_s: float) -> Path:
    file = folder / "synchronized"
    file.touch()
    os.utime(file, (NOW_S - age_s, NOW_S - age_s))
    return file
