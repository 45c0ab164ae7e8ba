"""Rows by the names of their columns, also where a damaged page holds what is no text any more."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import apsw

Row = Mapping[str, Any]


def rows_of(db: apsw.Connection, sql: str, values: Sequence[object]) -> list[Row]:
    """Raises apsw.Error."""
    try:
        return _rows(db.execute(sql, tuple(values)))
    except UnicodeDecodeError:  # one flipped bit is enough, and no look at the file finds it: the others must be seen
        names = [name for name, *_ in db.execute(sql, tuple(values)).get_description()]
        columns = ", ".join(f"iif(typeof({name}) = 'text', CAST({name} AS BLOB), {name})" for name in names)
        cursor = db.execute(f"SELECT {columns} FROM ({sql})", tuple(values))
        return [dict(zip(names, map(_readable, row), strict=True)) for row in cursor]


def _rows(cursor: apsw.Cursor) -> list[Row]:
    names: list[str] = []
    found: list[Row] = []
    for row in cursor:
        names = names or [name for name, *_ in cursor.get_description()]
        found.append(dict(zip(names, row, strict=True)))
    return found


def _readable(value: object) -> object:
    """Text, with U+FFFD for what is none."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
