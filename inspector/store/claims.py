"""What the record says against the removal of a picture. What cannot be read, or is not known, keeps it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence

import structlog

from inspector.store.database import UNREADABLE
from inspector.store.holds import Holds
from inspector.store.record_files import RecordFiles
from inspector.store.shelf import Claim, Unknown

log = structlog.get_logger(__name__)
LONGEST_S = 1.0


class RecordClaims:
    """Implements shelf.Claims, on the archive's thread."""

    def __init__(self, files: RecordFiles, holds: Holds) -> None:
        self._files, self._holds = files, holds
        self._readable = True

    @property
    def version(self) -> int:
        return self._holds.version

    def of(self, numbers: Sequence[int]) -> Mapping[int, Claim]:
        """Of each number; lots on hold, test parts and numbers without a row stay. Raises Unknown."""
        self._files.not_after_s = time.monotonic() + LONGEST_S
        try:
            found = lots_of(self._files, numbers)
            asked = (json.dumps(list(found)),)
            sql = "SELECT no FROM reviewed WHERE no IN (SELECT value FROM json_each(?))"
            reviewed = {no for (no,) in self._files.live().execute(sql, asked)}
        except UNREADABLE as exc:
            self._files.forget()
            if self._readable:
                log.warning("the record cannot be asked, so no picture is removed", error=str(exc))
            self._readable = False
            raise Unknown from exc
        self._readable = True
        lots = self._holds.lots  # after the question: a lot that was put on hold meanwhile is among them
        if lots is None:
            raise Unknown

        def claim(no: int) -> Claim:
            if no not in found or found[no] in lots:
                return Claim.STAYS
            return Claim.REVIEWED if no in reviewed else Claim.NONE

        return {no: claim(no) for no in numbers}


def lots_of(files: RecordFiles, numbers: Sequence[int]) -> dict[int, str]:
    """number -> lot, of those that are on record and are no test parts. Raises apsw.Error, OSError."""
    found: dict[int, str] = {}
    sql = "SELECT no, lot FROM inspections WHERE no IN (SELECT value FROM json_each(?)) AND test_part = 0"
    for db in files.every():
        missing = [no for no in numbers if no not in found]
        if not missing:
            break
        found.update(list(db.execute(sql, (json.dumps(missing),))))
    return found
