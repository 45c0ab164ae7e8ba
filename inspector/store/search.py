"""Finding rows in results.db and the months' files: newest first, window after window of numbers.

INSPECTION_NO grows over all files, so a window of numbers is one question to each file, and what they answer is merged
by number. Windows grow while they are answered quickly: a rare value with an index takes a few of them over ten million
rows, and a condition that no index serves is looked for as long as there is time.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence

import apsw

from inspector.store.migrations import DISAGREES
from inspector.store.named_rows import rows_of
from inspector.web.records import Filters, Found, Row

FIRST_WINDOW = 16_384  # numbers
WINDOW_S = 0.1  # a window shall take about so long
GROWTH = 8.0  # at most, from one window to the next

_CODE = "coalesce(published_code, decided_code)"  # as in the index
_REASON = "iif(published_code IS NULL, decided_reason, published_reason)"  # too
_WHERE = {
    "from_utc_ms": "+opened_utc_ms >= ?",  # +: no index; span() has used it, and rows shall come by number
    "to_utc_ms": "+opened_utc_ms <= ?",
    "verdict": f"{_CODE} = ?",
    "reason": f"{_REASON} = ?",
    "label": "label = ?",
    "part_id": "part_id = ?",
    "trigger_id": "trigger_id = ?",
    "serial": "serial = ? AND serial <> ''",  # the index holds no empty ones
    "lot": "lot = ? AND lot <> ''",
    "recipe": "recipe = ?",
    "bundle_id": "bundle_id = ?",
    "station": "station = ?",
    "confidence_min": "confidence >= ?",
    "confidence_max": "confidence <= ?",
    "novelty_min": "novelty_score >= ?",
    "novelty_max": "novelty_score <= ?",
    "anomaly_min": "anomaly_score >= ?",
    "anomaly_max": "anomaly_score <= ?",
    "from_no": "no >= ?",
}
_YES_NO = {
    "test_part": ("test_part = 1", "test_part = 0"),
    "has_picture": ("image IS NOT NULL", "image IS NULL"),
    "plc_disagrees": (DISAGREES, f"plc_verdict IS NOT NULL AND NOT ({DISAGREES})"),
}
Files = Callable[[], Iterator[apsw.Connection]]  # results.db first, and only then what files there are beside it


def conditions(filters: Filters) -> tuple[list[str], list[object]]:
    """SQL terms and their values."""
    wanted = {name: value for name in _WHERE if (value := getattr(filters, name)) is not None}
    yes_no = [terms[0] if getattr(filters, name) else terms[1] for name, terms in _YES_NO.items()
              if getattr(filters, name) is not None]  # fmt: skip
    return [*(_WHERE[name] for name in wanted), *yes_no], list(wanted.values())


def search(files: Files, filters: Filters, before_no: int | None, limit: int, not_after_s: float) -> Found:
    """The newest `limit` rows older than `before_no`; `not_after_s` on time.monotonic(). Raises apsw.Error, OSError.

    A row moves from results.db to a month's file in that order: it is in results.db, or already in the other. So
    results.db is asked first each time, and no row is missed; one that is in both is shown once.
    """
    low, high = span(files, filters)
    if before_no is not None:
        high = min(high, before_no - 1)
    where, values = conditions(filters)
    found = Found()
    window = FIRST_WINDOW
    while low <= high and len(found) < limit:
        begun_s = time.monotonic()
        if begun_s > not_after_s:
            found.searched_to_no = high + 1
            break
        bottom = max(low, high - window + 1)
        found += _in_window(files, where, [*values, bottom, high], limit - len(found))
        high = bottom - 1
        took_s = time.monotonic() - begun_s
        window = max(FIRST_WINDOW // 4, int(window * min(GROWTH, WINDOW_S / max(took_s, 1e-6))))
    return found


def _in_window(files: Files, where: Sequence[str], values: Sequence[object], limit: int) -> list[Row]:
    sql = f"SELECT * FROM inspections WHERE {' AND '.join([*where, 'no >= ?', 'no <= ?'])} ORDER BY no DESC LIMIT ?"
    by_no: dict[int, Row] = {}
    for db in files():
        for row in rows_of(db, sql, (*values, limit)):
            by_no.setdefault(row["no"], row)
    return [by_no[no] for no in sorted(by_no, reverse=True)[:limit]]


def span(files: Files, filters: Filters) -> tuple[int, int]:
    """The lowest and the highest number that may match; (1, 0): none.

    Of all files together, and not file by file: a row may move meanwhile. Exact also where the clock once jumped; with
    a clock that never did nothing outside the times is looked at.
    """
    ranges = [found for db in files() if (found := _numbers(db, filters.from_utc_ms, filters.to_utc_ms)) is not None]
    if not ranges:
        return 1, 0
    low, high = min(low for low, _ in ranges), max(high for _, high in ranges)
    return max(low, filters.from_no or low), high


def _numbers(db: apsw.Connection, from_utc_ms: int | None, to_utc_ms: int | None) -> tuple[int, int] | None:
    """The lowest and the highest number of one file between these times."""
    first_ms, last_ms, low, high = db.execute(
        "SELECT (SELECT min(opened_utc_ms) FROM inspections), (SELECT max(opened_utc_ms) FROM inspections),"
        " (SELECT min(no) FROM inspections), (SELECT max(no) FROM inspections)"
    ).get
    if low is None:
        return None
    begin = first_ms if from_utc_ms is None else from_utc_ms
    end = last_ms if to_utc_ms is None else to_utc_ms
    if begin > last_ms or end < first_ms:
        return None
    if begin > first_ms or end < last_ms:
        sql = "SELECT min(no), max(no) FROM inspections WHERE opened_utc_ms BETWEEN ? AND ?"
        low, high = db.execute(sql, (begin, end)).get
    return None if low is None else (int(low), int(high))
