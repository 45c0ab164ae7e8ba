"""What review asks of the record: plain SQL on one file, or on all of them together. Raises apsw.Error, OSError.

A part counts as what the PLC was told; before that, as what was decided. Test parts are nobody's product and are left
out throughout.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import apsw

from inspector.store.named_rows import rows_of
from inspector.store.shelf import Kind
from plc.registers import Reason, Verdict

Row = Mapping[str, Any]

CODE = "coalesce(published_code, decided_code)"
_REASON = "iif(published_code IS NULL, decided_reason, published_reason)"
_COLUMNS = (
    f"no, station, part_id, serial, lot, opened_utc_ms, {CODE} AS code,"
    f" {_REASON} AS reason,"
    " label, confidence, novelty_score, anomaly_score, bundle_id, image, test_part"
)
_PRODUCT = "kind = 'accepted' AND test_part = 0"


class Files(Protocol):
    """As record_files.RecordFiles."""

    def every(self) -> Iterator[apsw.Connection]:
        """results.db first; a row that is in two files is the same one, and the first counts."""
        ...


@dataclass(frozen=True, slots=True)
class WholeRecord:
    """The questions to results.db and all months' files as one record."""

    files: Files

    def numbers_between(self, from_utc_ms: int, to_utc_ms: int) -> tuple[int, int] | None:
        """The lowest and the highest number opened in a stretch of time, both ends included; None: none was."""
        spans = [s for db in self.files.every() if (s := numbers_between(db, from_utc_ms, to_utc_ms)) is not None]
        return (min(low for low, _ in spans), max(high for _, high in spans)) if spans else None

    def kept(self, first_no: int, last_no: int, kinds: Sequence[Kind]) -> list[Row]:
        """Parts whose picture is kept for one of these reasons, oldest first."""
        return _each_once(kept(db, first_no, last_no, kinds) for db in self.files.every())

    def by_number(self, numbers: Iterable[int]) -> list[Row]:
        """These parts, in the order of their numbers; test parts too."""
        asked = list(numbers)
        return _each_once(by_number(db, asked) for db in self.files.every())

    def outcomes(self, first_no: int, last_no: int) -> tuple[int, int]:
        """How many parts were rejected and how many passed; each counts once, also while it moves to its month."""
        live, *months = self.files.every()
        rejected, passed = outcomes(live, first_no, last_no)
        for db in months:
            both = _in_both(live, db, first_no, last_no)
            more = outcomes(db, first_no, last_no, but=both)
            rejected, passed = rejected + more[0], passed + more[1]
        return rejected, passed

    def passed_of(self, first_no: int, last_no: int, serials: Iterable[str]) -> int:
        """How many of the parts with these serials passed."""
        asked = list(serials)
        return len({serial for db in self.files.every() for serial in passed_of(db, first_no, last_no, asked)})

    def known_serials(self, serials: Iterable[str]) -> frozenset[str]:
        """Those of which a part is on record."""
        sql = "SELECT value FROM json_each(?) WHERE EXISTS (SELECT 1 FROM inspections WHERE serial = value)"
        asked = json.dumps(list(serials))
        return frozenset(serial for db in self.files.every() for (serial,) in db.execute(sql, (asked,)))

    def class_names(self) -> list[str]:
        """Every class that a model ever gave."""
        return sorted({name for db in self.files.every() for name in class_names(db)})


def numbers_between(db: apsw.Connection, from_utc_ms: int, to_utc_ms: int) -> tuple[int, int] | None:
    """The first and the last number opened in a stretch of time, both ends included; None: none was.

    Of a clock that was set back the newest rows are not those with the newest times.
    """
    first, last = (
        db.execute(
            "SELECT no FROM inspections WHERE opened_utc_ms BETWEEN ? AND ?"
            f" ORDER BY opened_utc_ms {order}, no {order} LIMIT 1",
            (from_utc_ms, to_utc_ms),
        ).get
        for order in ("ASC", "DESC")
    )
    if first is None:
        return None
    sql = "SELECT max(no) FROM inspections WHERE no > ? AND +opened_utc_ms BETWEEN ? AND ?"  # few, or none
    newer = db.execute(sql, (max(first, last), from_utc_ms, to_utc_ms)).get
    return min(first, last), newer or max(first, last)


def kept(db: apsw.Connection, first_no: int, last_no: int, kinds: Sequence[Kind]) -> list[Row]:
    """Parts whose picture is kept for one of these reasons, oldest first."""
    sql = (
        f"SELECT {_COLUMNS} FROM inspections WHERE no BETWEEN ? AND ? AND image IS NOT NULL AND {_PRODUCT}"
        " AND substr(image, 1, instr(image, '/') - 1) IN (SELECT value FROM json_each(?)) ORDER BY no"
    )
    return rows_of(db, sql, (first_no, last_no, json.dumps([str(kind) for kind in kinds])))


def by_number(db: apsw.Connection, numbers: Iterable[int]) -> list[Row]:
    """These parts, in the order of their numbers; test parts too."""
    sql = f"SELECT {_COLUMNS} FROM inspections WHERE no IN (SELECT value FROM json_each(?)) ORDER BY no"
    return rows_of(db, sql, (json.dumps(list(numbers)),))


def outcomes(db: apsw.Connection, first_no: int, last_no: int, but: Iterable[int] = ()) -> tuple[int, int]:
    """How many parts were rejected (all but PASS) and how many passed; those that were not to be judged are neither.

    but: numbers that do not count.
    """
    sql = f"SELECT count(*) FILTER (WHERE {CODE} != ?1), count(*) FILTER (WHERE {CODE} = ?1) FROM inspections"
    where = f" WHERE no BETWEEN ?2 AND ?3 AND {_PRODUCT} AND {_REASON} IS NOT ?4"
    values: tuple[object, ...] = (int(Verdict.PASS), first_no, last_no, int(Reason.COLLECTING))
    if without := list(but):
        where, values = f"{where} AND no NOT IN (SELECT value FROM json_each(?5))", (*values, json.dumps(without))
    rejected, passed = next(iter(db.execute(sql + where, values)))
    return rejected, passed


def passed_of(db: apsw.Connection, first_no: int, last_no: int, serials: Iterable[str]) -> list[str]:
    """Those of these serials of which a part passed."""
    sql = (
        f"SELECT DISTINCT serial FROM inspections WHERE no BETWEEN ? AND ? AND {_PRODUCT} AND {CODE} = ?"
        " AND serial IN (SELECT value FROM json_each(?))"
    )
    asked = json.dumps([serial for serial in serials if serial])
    return [serial for (serial,) in db.execute(sql, (first_no, last_no, int(Verdict.PASS), asked))]


def class_names(db: apsw.Connection) -> list[str]:
    """Every class that a model ever gave, by one step through the index for each."""
    sql = (
        "WITH RECURSIVE names (name) AS (SELECT min(label) FROM inspections WHERE label IS NOT NULL UNION ALL"
        " SELECT (SELECT min(label) FROM inspections WHERE label > name) FROM names WHERE name IS NOT NULL)"
        " SELECT name FROM names WHERE name IS NOT NULL"
    )
    return [row["name"] for row in rows_of(db, sql, ())]


def pictures_of_test_parts(db: apsw.Connection) -> list[str]:
    """Paths of the kept pictures of test parts."""
    sql = "SELECT image FROM inspections WHERE image IS NOT NULL AND test_part != 0 ORDER BY no"
    return [path for (path,) in db.execute(sql)]


def _each_once(found: Iterable[Sequence[Row]]) -> list[Row]:
    """By number; of a row that comes twice the first."""
    rows: dict[int, Row] = {}
    for some in found:
        for row in some:
            rows.setdefault(row["no"], row)
    return [rows[no] for no in sorted(rows)]


def _in_both(live: apsw.Connection, month: apsw.Connection, first_no: int, last_no: int) -> list[int]:
    """Numbers of rows that are on their way from results.db to this month: few, for they go batch by batch."""
    low, high = month.execute("SELECT min(no), max(no) FROM inspections").get
    if low is None:
        return []
    between = "SELECT no FROM inspections WHERE no BETWEEN ? AND ?"
    left = [no for (no,) in live.execute(between, (max(low, first_no), min(high, last_no)))]
    here = "SELECT no FROM inspections WHERE no IN (SELECT value FROM json_each(?))"
    return [no for (no,) in month.execute(here, (json.dumps(left),))]
