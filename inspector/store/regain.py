"""Rows of a record that broke come back from its newest copy, a few at a time, while the line runs on with a new one.

`inspector backup` leaves a copy of results.db beside the state, checked when it was made. Its rows go into the files of
their months, as filed rows do, also those of the running month: the page reads all files as one record. What a month's
file holds already is newer than the copy and stays. The rows since the copy are in the file that was set aside, alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from itertools import takewhile
from pathlib import Path
from typing import Any

import apsw
import structlog

from inspector.core.errors import StoreError
from inspector.core.types import DeliveryState
from inspector.store.months import month_of
from plc.registers import Reason, Verdict

log = structlog.get_logger(__name__)

BATCH = 500  # rows of one turn
Row = Mapping[str, Any]


def own_folder(state: Path) -> Path:
    """What the making of backups keeps for itself, beside the state: /var/lib/inspector-backup."""
    return state.with_name(state.name + "-backup")


def copy_of(results: Path) -> Path:
    """Where the newest copy of a record lies, if there is one."""
    return own_folder(results.parent) / results.name


@dataclass(frozen=True, slots=True)
class Regained:
    """How far it is, on the disk: a restart goes on there. to_no: the newest row of the copy."""

    after_no: int
    to_no: int
    copied_utc_ms: int  # of the newest row of the copy
    rows: int = 0

    @property
    def done(self) -> bool:
        return self.after_no >= self.to_no


def begin(results: Path, highest: int) -> bool:
    """After a rescue: note that the rows of the copy are to come back. False: there is no copy of this record.

    highest: above which no number was given out; a copy with higher ones is of another record.
    """
    copy = copy_of(results)
    if not copy.exists():
        return False
    try:
        with _reading(copy) as db:
            to_no = db.execute("SELECT max(no) FROM inspections").get or 0
            newest_ms = db.execute("SELECT opened_utc_ms FROM inspections WHERE no = ?", (to_no,)).get or 0
    except apsw.Error as exc:
        log.error("the copy of the record cannot be read", file=str(copy), error=str(exc))
        return False
    if not 0 < to_no <= highest:
        log.error("the copy is of another record", file=str(copy), newest=to_no, highest=highest)
        return False
    _write(results, Regained(0, to_no, newest_ms))
    return True


def state_of(results: Path) -> Regained | None:
    """None: nothing came back, or is to. Raises StoreError."""
    try:
        return Regained(**json.loads(_marker(results).read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError) as exc:
        raise StoreError(f"{_marker(results)} cannot be read: {exc}") from exc


def is_pending(results: Path) -> bool:
    """True while the copy is needed: a backup must not replace it."""
    try:
        found = state_of(results)
    except StoreError:
        return True
    return found is not None and not found.done


def forget(results: Path) -> None:
    """The broken record was looked after."""
    _marker(results).unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows of one month, and what is true once they lie in its file."""

    month: str
    rows: Sequence[Row]
    earlier: Sequence[Sequence[Any]]
    then: Regained


def next_batch(results: Path) -> Batch | None:
    """None: nothing is to come back any more. Raises StoreError."""
    so_far = state_of(results)
    if so_far is None or so_far.done:
        return None
    try:
        with _reading(copy_of(results)) as db:
            rows = list(_rows(db, so_far.after_no))
            if not rows:
                return Batch("", (), (), replace(so_far, after_no=so_far.to_no))
            taken = list(takewhile(lambda row: _month(row) == _month(rows[0]), rows))
            numbers = [row["no"] for row in taken]
            marks = ", ".join("?" * len(numbers))
            sql = f"SELECT * FROM earlier_deliveries WHERE no IN ({marks}) ORDER BY rowid"
            earlier = list(db.execute(sql, numbers))
    except (apsw.Error, UnicodeDecodeError) as exc:
        raise StoreError(f"{copy_of(results)} cannot be read: {exc}") from exc
    then = replace(so_far, after_no=numbers[-1], rows=so_far.rows + len(taken))
    return Batch(_month(taken[0]), taken, earlier, then)


def note(results: Path, batch: Batch) -> None:
    """Its rows lie in their month's file. Raises StoreError."""
    _write(results, batch.then)
    if batch.then.done:
        log.warning("rows came back from the copy of the record", rows=batch.then.rows)


def _rows(db: apsw.Connection, after_no: int) -> Iterator[Row]:
    """As settled as a start would leave them."""
    cursor = db.execute("SELECT * FROM inspections WHERE no > ? ORDER BY no LIMIT ?", (after_no, BATCH))
    for values in cursor:
        row = dict(zip((name for name, *_ in cursor.get_description()), values, strict=True))
        if row["decided_code"] is None:
            row |= {"decided_code": int(Verdict.NOT_INSPECTED), "decided_reason": int(Reason.RESTARTED)}
        yield {**row, "delivery": row["delivery"] or DeliveryState.UNKNOWN.value}


def _month(row: Row) -> str:
    try:
        return month_of(row["opened_utc_ms"])
    except ValueError:
        return "1970-01"


def _marker(results: Path) -> Path:
    return results.with_suffix(".regain")


def _write(results: Path, found: Regained) -> None:
    """Whole or not at all; losing it in a power cut costs work done twice."""
    staged = _marker(results).with_suffix(".regain.new")
    try:
        staged.write_text(json.dumps(asdict(found)))
        staged.replace(_marker(results))
    except OSError as exc:
        raise StoreError(f"{staged} cannot be written: {exc}") from exc


@contextmanager
def _reading(path: Path) -> Iterator[apsw.Connection]:
    """A database at rest."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
    try:
        yield db
    finally:
        db.close()
