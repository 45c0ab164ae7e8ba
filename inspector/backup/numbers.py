"""After a restore no number means two parts, and no older bundle comes in by the back door."""

from __future__ import annotations

import time
from pathlib import Path

import apsw

from inspector.backup.errors import BackupError
from inspector.backup.places import ASIDE, NUMBERS, RESULTS
from inspector.bundle.slots import FLOOR, read_json, write_json
from inspector.core.errors import BundleError
from inspector.store.rescue import highest_given, reserve

FASTEST_PER_S = 50  # parts that a box numbers: more than any line of this kind
MOST_AHEAD = 50_000_000  # a clock that is years off must not use up numbers of 32 bits
BOOTS_AHEAD = 1000


def go_on(staged: Path, present: Path, utc_ms: int) -> int | None:
    """Let the record in `staged` go on above all that this box, or the one that it replaces, may have given out.

    present: the folder of the state as it is. utc_ms: when the backup was made; where nothing here tells what was
    given out since, as many numbers are skipped as could have been. Returns the highest; None: no record is staged.
    """
    results = staged / RESULTS
    if not results.exists():
        return None
    here = [folder / RESULTS for folder in (present, *present.glob(f"{ASIDE}*"))]  # also what former restores found
    highest = max(highest_given(record, [record]) for record in (results, *here))
    if not (present / NUMBERS).exists():
        passed_s = max(0.0, time.time() - utc_ms / 1000)
        highest += min(int(passed_s * FASTEST_PER_S), MOST_AHEAD)
    try:
        _raise(results, "inspections", highest)
        _raise(results, "boots", _newest_boot(results, *here) + BOOTS_AHEAD)
        reserve(results, highest)
    except apsw.Error as exc:
        raise BackupError(f"the record in the backup cannot be used: {exc}") from exc
    return highest


def _raise(database: Path, table: str, least: int) -> None:
    db = apsw.Connection(str(database))
    try:
        with db:
            db.execute("UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", (least, table))
            if db.changes() == 0:
                db.execute("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, least))
    finally:
        db.close()


def _newest_boot(*databases: Path) -> int:
    found = [0]
    for database in databases:
        if database.exists():
            try:
                db = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READWRITE)
                try:
                    found.append(db.execute("SELECT max(boot) FROM boots").get or 0)
                finally:
                    db.close()
            except apsw.Error:
                continue  # the one that broke: the step ahead is for it
    return max(found)


def keep_floors(staged: Path, present: Path) -> None:
    """The highest version ever installed, of each product, is the higher one of both. Raises BackupError."""
    try:
        for floor in present.glob(f"*/{FLOOR}") if present.is_dir() else ():
            here, there = read_json(floor), staged / floor.parent.name / FLOOR
            then = read_json(there)
            if here is not None and (then is None or int(here["version"]) > int(then["version"])):
                there.parent.mkdir(parents=True, exist_ok=True)
                write_json(there, here)
    except (BundleError, OSError, KeyError, TypeError, ValueError) as exc:
        raise BackupError(f"which bundles this box had cannot be read: {exc}") from exc
