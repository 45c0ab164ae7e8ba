"""Which months of the record lie on the disk, and which were let go: for the people who look after the box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from inspector.store.months import month_files
from inspector.store.record_files import RecordFiles


@dataclass(frozen=True, slots=True)
class KeptMonth:
    """A month's file. bytes: of the file; from_no, to_no: its rows' numbers. None: it is empty or damaged."""

    month: str
    bytes: int
    from_no: int | None = None
    to_no: int | None = None
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class GoneMonth:
    """A month that was exported and let go. Sizes in rows and bytes."""

    month: str
    rows: int
    bytes: int
    actor: str
    reason: str
    utc_ms: int


def months(files: RecordFiles) -> tuple[Sequence[KeptMonth], Sequence[GoneMonth]]:
    """Newest first. Raises apsw.Error, OSError."""
    ends = {}
    for db in files.every():
        ends[Path(db.filename).name] = db.execute("SELECT min(no), max(no) FROM inspections").get
    broken = files.broken()
    kept = []
    for path in month_files(files.path):
        from_no, to_no = ends.get(path.name, (None, None))
        kept.append(KeptMonth(path.stem[-7:], path.stat().st_size, from_no, to_no, path.name in broken))
    sql = "SELECT month, rows, bytes, actor, reason, utc_ms FROM months_gone ORDER BY n DESC"
    return kept, [GoneMonth(*row) for row in files.live().execute(sql)]
