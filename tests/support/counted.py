"""What the counts must be, by SQL over all files of the record and by nothing that counts along."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.support.months import all_rows

NAMES = {1: "pass", 2: "fail", 3: "uncertain", 4: "not_inspected", 5: "test", 6: "test"}


def counted(path: Path, of: Callable[[Mapping[str, Any]], bool]) -> dict[str, int]:
    """Numbers as in the status message, of the settled rows that `of` is true for; lots as a station follows them.

    A row gets `running_lot`: its own lot, else that of the newest row before it that has one.
    """
    found, lot = Counter[str](), ""
    for _, row in sorted(all_rows(path).items()):
        lot = row["lot"] or lot
        if row["delivery"] is None or not of({**row, "running_lot": lot}):
            continue
        code = row["published_code"]
        if code is None:
            code = 6 if row["test_part"] else row["decided_code"]
        found[NAMES[code]] += 1
    return {"triggers": sum(found.values()), **{name: found[name] for name in dict.fromkeys(NAMES.values())}}
