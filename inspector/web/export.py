"""Rows of the record as a file to take away: CSV as a stream, XLSX through a temporary file.

Newest first, in short questions that end after their time and say how far they came: however long the record is and
however rare what is looked for, memory is bounded and the daemon's log of changes is never held.
"""

from __future__ import annotations

import asyncio
import csv
import io
import math
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from inspector.web.present import explain, result_text
from inspector.web.reactions import disagrees, verdict_text
from inspector.web.records import Filters, Found, Records, Row, Unreadable
from inspector.web.words import word

R = TypeVar("R")
Cell = str | int | float | None

PAGE_ROWS = 250  # some ms of this process to write down
TRIES, PAUSE_S = 4, 0.5  # where the record cannot be read, e.g. while the daemon starts anew
AT_ONCE = 2
BOM = "\N{ZERO WIDTH NO-BREAK SPACE}"  # by it Excel knows that a CSV is UTF-8
# What a spreadsheet may take for a formula: at the start of a cell, or where another separator would make it start.
_FORMULA = re.compile('(^|[,;\t\r\n"|])([^\\S\t\r\n]*)(?=[=+\\-@\t\r\uff1d\uff0b\uff0d\uff20])')


class TooManyExports(Exception):
    """As many run as may; ask again."""


class Exports:
    """How many run at once in this process: each costs the record's thread a share of its time."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._free = at_once

    def begin(self, *, known: bool) -> Callable[[], None]:
        """Take a place; call what is returned once, to give it back. Raises TooManyExports.

        known: somebody is logged in. The last place is for them: a stranger who reads slowly holds theirs for hours.
        """
        if self._free == 0 or (self._free == 1 and not known):
            raise TooManyExports
        self._free -= 1
        return self._end

    def _end(self) -> None:
        self._free += 1


@dataclass(frozen=True, slots=True)
class Column:
    """key: stays the same in every language and version."""

    key: str
    value: Callable[[Row], object]


def safe(value: object) -> Cell:
    """A cell that no spreadsheet takes for a formula: numbers as they are, text with ' before what would begin one."""
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return _FORMULA.sub(r"\1\2'", str(value))


def moment(utc_ms: int | None) -> str | None:
    """ISO 8601 with milliseconds, in the station's time, with its offset; None also for what no calendar has."""
    if utc_ms is None:
        return None
    try:
        return datetime.fromtimestamp(utc_ms / 1000, UTC).astimezone().isoformat(timespec="milliseconds")
    except (OverflowError, OSError, TypeError, ValueError):
        return None


def told_code(row: Row) -> int | None:
    """What the PLC was told counts; before that, what was decided."""
    found: int | None = row["decided_code"] if row["published_code"] is None else row["published_code"]
    return found


def _why(row: Row) -> str | None:
    code = told_code(row)
    return explain(code, _told_reason(row), row["label"]).text if code not in (None, 1) else None


def _told_reason(row: Row) -> int:
    return int((row["decided_reason"] if row["published_code"] is None else row["published_reason"]) or 0)


def _result(row: Row) -> str | None:
    return None if told_code(row) is None else result_text(told_code(row), _told_reason(row))


def _disagrees(row: Row) -> int | None:
    found = disagrees(row)
    return None if found is None else int(found)


def _as_is(key: str) -> Column:
    return Column(key, lambda row: row.get(key))


COLUMNS: tuple[Column, ...] = (
    _as_is("no"),
    Column("opened", lambda row: moment(row["opened_utc_ms"])),
    *map(_as_is, ("station", "kind", "part_id", "trigger_id", "lot", "serial", "encoder", "test_part")),
    Column("result", _result),
    Column("why", _why),
    *map(_as_is, ("decided_code", "decided_reason", "published_code", "published_reason")),
    Column("published", lambda row: moment(row["published_utc_ms"])),
    *map(_as_is, ("delivery", "label", "class_id", "confidence", "novelty_score", "anomaly_score")),
    *map(_as_is, ("bundle_id", "recipe", "recipe_revision", "model_rev", "elapsed_ms", "image", "boot")),
    *map(_as_is, ("ack", "ack_ms", "plc_verdict")),  # what the PLC did; an older record has none of it
    Column("plc_verdict_text", lambda row: verdict_text(row) or None),
    Column("plc_verdict_at", lambda row: moment(row.get("plc_verdict_utc_ms"))),
    _as_is("plc_verdict_ms"),
    Column("plc_disagrees", _disagrees),
)  # fmt: skip


def keys(columns: Sequence[Column] = COLUMNS) -> list[Cell]:
    """A header for programs."""
    return [column.key for column in columns]


def names(columns: Sequence[Column] = COLUMNS) -> list[Cell]:
    """A header for a person that programs can read too: the name in the person's language, then the key."""
    return [safe(f"{word(f'export.{column.key}')} [{column.key}]") for column in columns]


def cells(row: Row, columns: Sequence[Column] = COLUMNS) -> list[Cell]:
    return [safe(column.value(row)) for column in columns]


def csv_text(lines: Sequence[Sequence[Cell]]) -> str:
    """RFC 4180."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\r\n").writerows(lines)
    return text.getvalue()


async def csv_pages(pages: AsyncIterator[Sequence[Row]], header: Sequence[Cell]) -> AsyncGenerator[bytes]:
    """The file, piece by piece. Raises what `pages` raises."""
    begun: list[Sequence[Cell]] = [header]
    mark = BOM
    async for page in pages:  # header and first rows are one piece: a record that cannot be read gives no file at all
        yield (mark + csv_text([*begun, *(cells(row) for row in page)])).encode()
        mark, begun = "", []


async def walk(records: Records, filters: Filters, page_rows: int = PAGE_ROWS) -> AsyncIterator[Sequence[Row]]:
    """All rows that match and were there at the beginning, newest first, in pages; an empty one where a search ended
    before it found any, so that whoever waits knows that it goes on. Raises Unreadable: not to be read for seconds.
    """
    before: int | None = None
    while True:
        ask = partial(records.page, filters, before, page_rows)
        page = await (ask() if before is None else _patiently(ask))  # nothing is lost before the first rows
        yield page
        before = older_than(page, page_rows)
        if before is None:
            return


def older_than(page: Found, asked: int) -> int | None:
    """The number before which the record may hold more that matches; None: it holds no more."""
    return int(page[-1]["no"]) if len(page) >= asked else page.searched_to_no


async def _patiently(ask: Callable[[], Awaitable[R]]) -> R:
    for _ in range(TRIES - 1):
        try:
            return await ask()
        except Unreadable:
            await asyncio.sleep(PAUSE_S)
    return await ask()
