"""Rows as an Excel workbook: line by line into a temporary file, which only then can be sent."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import xlsxwriter

from inspector.web.export import Cell

MOST_ROWS = 100_000  # some 100 MB on their way, and half a minute; Excel itself ends at 1,048,576
NEEDS_BYTES = 1 << 30  # free at the start: the record may live on the same disk
PLACE = Path("/var/tmp")  # where it is there: what lies in a /tmp in memory counts as ours


class TooLarge(Exception):
    """More rows than a workbook takes here."""


class NoSpace(Exception):
    """Too little room for a temporary file."""


def place() -> str | None:
    """Where temporary files go; None: where the system puts them. Raises NoSpace."""
    where = PLACE if PLACE.is_dir() else None
    if shutil.disk_usage(where or "/tmp").free < NEEDS_BYTES:
        raise NoSpace
    return None if where is None else str(where)


class Workbook:
    """Blocking; one thread only. `close` completes the file, `discard` leaves an unusable one."""

    def __init__(self, path: Path, header: Sequence[Cell]) -> None:
        options = {
            "constant_memory": True, "tmpdir": str(path.parent), "strings_to_numbers": False,
            "strings_to_formulas": False, "strings_to_urls": False,
        }  # fmt: skip
        self._book = xlsxwriter.Workbook(str(path), options)
        self._sheet = self._book.add_worksheet()
        self._sheet.freeze_panes(1, 1)
        self._rows = 0
        self._write(0, header)

    def add(self, lines: Sequence[Sequence[Cell]]) -> None:
        """Raises TooLarge, OSError."""
        if self._rows + len(lines) > MOST_ROWS:
            raise TooLarge
        for line in lines:
            self._rows += 1
            self._write(self._rows, line)

    def close(self) -> None:
        """Raises OSError and its kin of xlsxwriter."""
        self._book.close()

    def discard(self) -> None:
        self._sheet.row_data_fh.close()

    def _write(self, row: int, line: Sequence[Cell]) -> None:
        for column, value in enumerate(line):
            if isinstance(value, str):
                self._sheet.write_string(row, column, value)
            elif value is not None:
                self._sheet.write_number(row, column, value)
