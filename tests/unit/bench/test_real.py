"""What `make real` counts and writes, on made-up results."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import apsw
import pytest

from inspector.core.manifest import ClassEntry
from plc.registers import Reason, Verdict
from tests.bench.real_line import summary
from tests.bench.real_page import BEGIN, END, write_section
from training.runs import DatasetInfo, Run

GOOD = frozenset({"good"})


def part(number: int, code: Verdict | int, reason: Reason, verdict: str) -> dict[str, Any]:
    times = {"edge_s": 10.0, "valid_s": 10.0 + number / 1000}
    return {
        "trigger_id": number,
        "part_id": number,
        "code": int(code),
        "reason": int(reason),
        "verdict": verdict,
        **times,
    }


PARTS = [
    part(1, Verdict.PASS, Reason.NONE, "good"),
    part(2, Verdict.PASS, Reason.NONE, "good"),
    part(3, Verdict.NOT_INSPECTED, Reason.NO_PART, "reject"),
    part(4, Verdict.FAIL, Reason.CLASS, "reject"),
]
TRUTHS = ["good", "crack", "good", "crack"]


def record(file: Path, rows: list[tuple[int, int, int, int]]) -> Path:
    db = apsw.Connection(str(file))
    db.execute("CREATE TABLE inspections (trigger_id, part_id, published_code, published_reason)")
    db.executemany("INSERT INTO inspections VALUES (?, ?, ?, ?)", rows)
    db.close()
    return file


def as_told() -> list[tuple[int, int, int, int]]:
    return [(p["trigger_id"], p["part_id"], p["code"], p["reason"]) for p in PARTS]


def test_every_part_is_counted_by_what_the_plc_did_with_it(tmp_path: Path) -> None:
    counts = summary(PARTS, TRUTHS, record(tmp_path / "r.db", as_told()), GOOD)
    assert [counts[key] for key in ("triggers", "rows", "plc_results", "mismatches")] == [4, 4, 4, 0]
    assert [counts[key] for key in ("pass", "fail", "uncertain", "not_inspected")] == [2, 1, 0, 1]
    assert [counts[key] for key in ("escapes", "unacceptable", "overkills", "acceptable")] == [1, 2, 1, 2]
    assert counts["cycle_ms"]["p50"] == pytest.approx(2.5)
    assert counts["reasons"] == {"NONE": 2, "CLASS": 1, "NO_PART": 1}


def test_a_row_that_says_otherwise_or_is_missing_is_a_difference(tmp_path: Path) -> None:
    rows = as_told()[:3]
    rows[0] = (1, 1, int(Verdict.FAIL), int(Reason.CLASS))
    counts = summary(PARTS, TRUTHS, record(tmp_path / "r.db", rows), GOOD)
    assert (counts["rows"], counts["mismatches"]) == (3, 2)


def bundle(bounds: list[dict[str, Any]]) -> dict[str, Any]:
    figures = {f"{stage}_{name}": 0.9 for stage in ("pytorch", "fp32", "int8") for name in ("accuracy", "macro_f1")}
    calibration = {"good": 76, "groups": 40}
    return {
        "metrics": {"test_images": 4.0, **figures},
        "bounds": bounds,
        "chosen_by": "overkill 5 %",
        "calibration": calibration,
    }


def state(tmp_path: Path) -> dict[str, dict[str, Any]]:
    line = summary(PARTS, TRUTHS, record(tmp_path / "r.db", as_told()), GOOD)
    bounds = [{"name": "overkill", "failures": 1, "of": 127, "upper_95": 0.04}]
    stages = {
        "train_steel": {"metrics": {"epochs": 12.0, "train_seconds": 600.0, "best_epoch": 10.0}},
        "bundle_steel": bundle(bounds),
        "line_steel": line,
        "bundle_tiles": bundle([*bounds, {"name": "escape:crack", "failures": 30, "of": 57, "upper_95": 0.6}]),
        "score_tiles": {"good": 216, "strange": 388, "auroc": 0.7, "auroc_of": {"crack": 0.65}},
        "compare_int8": {"landmarks": 1000, "sample": 40_000, "trained_on": 388, "detectors": {}},
        "compare_fp32": {"detectors": {}},
        "compare_patchcore": {"not_measured": "no environment", "again": True},
        "compare_all": {"differences": [], "tiles": 101, "again": True},
        "line_tiles": line,
    }
    return {name: {**one, "seconds": 1.0} for name, one in stages.items()}


def test_the_section_is_replaced_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text(
        f"# Results\n\n## Demo\nkept\n\n{BEGIN}\nof before\n{END}\n\n## Bench\nkept too\n", encoding="utf-8"
    )
    classes = (ClassEntry(0, "good", True),)
    info = DatasetInfo("", 4, "splits.csv")
    start, grey = "standin (sha256 1)", (0.5, 0.5, 0.5)
    run = Run(1, "steel", classes, (128, 128), grey, grey, None, "linear", start, "abc", 0, {}, info, {}, ())
    found = state(tmp_path)
    for _ in range(2):
        write_section(page, found, "standin.safetensors", run)
    text = page.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert "of before" not in text
    assert text.startswith("# Results\n\n## Demo\nkept\n")
    assert text.endswith("\n## Bench\nkept too\n")
    assert "| overkill | 1 of 127 | 0.79 % | 0.02 % to 4.31 % |" in text  # Clopper-Pearson
    assert "| escape, crack | 30 of 57 |" in text
    assert "standin (sha256 1)" in text
