"""What came of every part: the record against what the PLC read, and both against the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import apsw
import numpy as np

from plc.registers import Verdict
from plc.sim import SimResult


def count(results: Sequence[SimResult], database: Path, is_good: Callable[[int], bool]) -> dict[str, Any]:
    """Counts by verdict and truth, and every difference between record and PLC. is_good: the truth of a PART_ID."""
    db = apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)
    rows = list(db.execute("SELECT trigger_id, part_id, published_code, published_reason FROM inspections"))
    db.close()
    recorded = {(trigger, part): (code, reason) for trigger, part, code, reason in rows}
    codes = Counter(r.code for r in results)
    return {
        "triggers": sum(r.edge_s > 0 for r in results),
        "rows": len(rows),
        "plc_results": len(results) - codes[0],
        "mismatches": sum(recorded.get((r.trigger_id, r.part_id)) != (r.code, r.reason) for r in results),
        **{verdict.name.lower(): codes[verdict.value] for verdict in Verdict},
        "escapes": sum(is_escape(r, is_good) for r in results),
        "overkills": sum(is_overkill(r, is_good) for r in results),
        "cycle_ms": percentiles(results),
    }


def is_escape(result: SimResult, is_good: Callable[[int], bool]) -> bool:
    """A bad part that the PLC let pass."""
    return result.verdict == "good" and not is_good(result.part_id)


def is_overkill(result: SimResult, is_good: Callable[[int], bool]) -> bool:
    """A good part that the PLC rejected."""
    return result.verdict != "good" and is_good(result.part_id)


def percentiles(results: Sequence[SimResult], shares: Sequence[int] = (50, 99)) -> dict[str, float | None]:
    """Milliseconds from the PLC's trigger edge to RESULTS_VALID seen by it; shares: percent."""
    cycles = [1000 * (r.valid_s - r.edge_s) for r in results if r.valid_s is not None]
    return {f"p{q}": round(float(np.percentile(cycles, q)), 2) if cycles else None for q in shares}


def all_accounted_for(counts: dict[str, Any]) -> bool:
    """True if every part was triggered, recorded and read with the same result, and no change-over failed."""
    same = counts["triggers"] == counts["rows"] == counts["plc_results"] and counts["mismatches"] == 0
    return bool(same and counts.get("change_overs_failed", 0) == 0)
