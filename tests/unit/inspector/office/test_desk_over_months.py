"""Review reaches over the turn of a month: queues and figures are the same wherever the rows lie."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from inspector.office.desk import Desk, Figures, Wanted
from inspector.office.settling import NewTruth, Queue, Source
from inspector.store.filing import Filing
from inspector.store.journal import Journal
from tests.support.labels import open_labels
from tests.support.months import Calendar, file_all, filed, keep_few, ms, names, reading
from tests.support.reviewing import said
from tests.support.store import FAIL, PASS, part

FROM, TO = ms("2026-01-01"), ms("2026-03-31")
ALL = Wanted(frozenset({Queue.REJECT, Queue.SAMPLE}), FROM, TO)


async def test_queues_and_figures_are_the_same_before_while_and_after_rows_move_to_their_months(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_few(monkeypatch)
    clock, path = Calendar(), tmp_path / "results.db"
    async with filed(path, clock) as (results, filing):
        for seq in range(1, 13):
            clock.date = f"2026-0{1 + (seq - 1) // 4}-1{(seq - 1) % 4}"
            done = await part(results, seq, FAIL if seq % 2 else PASS, serial=f"S{seq}")
            kind = "reject" if seq % 2 else "pass"
            results.note_image(done.no, f"{kind}/0000000/{done.no:010d}.png")
        await results.alive()
        async with reading(path) as history:
            with open_labels(tmp_path / "office.db") as labels:
                desk = Desk(labels, history.ask_all)
                for no in (1, 2, 5, 6):
                    await labels.add(said(no, "good" if no in (1, 2) else "dent"))
                await labels.add_truth(NewTruth("S4", Source.COMPLAINT, False, "anna"))
                before = await _seen(desk)
                assert before[2].rejected == before[2].passed == 6 and before[2].known_escapes == 1
                assert before[0] == [3, 4, 7, 8, 9, 10, 11, 12]

                await _copied_not_dropped(filing, monkeypatch)
                assert names(path) == ["results-2026-01.db"], "four rows are in two files now"
                assert await _seen(desk) == before

                assert await file_all(filing) and len(names(path)) == 2
                assert await _seen(desk) == before
                again = await desk.say(3, "good", True, "bo", "t1", "", None)
                assert again.row["no"] == 3, "a part of a past month can be labelled"


async def test_parts_that_came_after_the_clock_was_set_back_are_reviewed_and_counted_at_once(tmp_path: Path) -> None:
    clock, path = Calendar(), tmp_path / "results.db"
    async with filed(path, clock) as (results, _):
        for seq, clock.date in enumerate(("2026-01-10T11:00", "2026-01-10T12:00", "2026-01-10T11:30"), 1):
            done = await part(results, seq, FAIL)
            results.note_image(done.no, f"reject/0000000/{done.no:010d}.png")
        await results.alive()
        async with reading(path) as history:
            with open_labels(tmp_path / "office.db") as labels:
                seen, _, figures = await _seen(Desk(labels, history.ask_all))
                assert seen == [1, 2, 3] and figures.rejected == 3


async def _seen(desk: Desk) -> tuple[list[int], tuple[str, ...], Figures]:
    waiting = await desk.waiting("anna", ALL, 100)
    numbers = sorted(row["no"] for row in waiting.rows)
    return numbers, await desk.classes(), await desk.figures(FROM, TO)


async def _copied_not_dropped(filing: Filing, monkeypatch: pytest.MonkeyPatch) -> None:
    async def nothing(*_: Any) -> None:
        """The process ended before."""

    with monkeypatch.context() as patch:
        patch.setattr(Journal, "drop", nothing)
        await filing.turn()
