"""What `make real` counts and writes, on made-up results."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import apsw
import pytest

from edge_deploy.hidden import HiddenTrial
from inspector.core.manifest import ClassEntry
from plc.registers import Reason, Verdict
from tests.bench.imbalance import Gain
from tests.bench.levers import DEFAULT
from tests.bench.real_deploy import aurocs
from tests.bench.real_line import summary
from tests.bench.real_page import BEGIN, END, write_section
from tests.bench.resplits import FIGURE, dealt
from tests.unit.bench.test_backbone import results
from tests.unit.bench.test_resplits import scored, tiles
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


METHOD = {
    "shown": 9, "epochs": 2, "best": 1, "accuracy": 0.9, "macro_recall": 0.8, "macro_f1": 0.7,
    "worst": "ash", "worst_recall": 0.5,
}  # fmt: skip


HIDDEN = (HiddenTrial("crack", 4, 388, 50, 0.9, 0.88), HiddenTrial("crack", 12, 388, 50, 0.9, 0.8))


def state(tmp_path: Path) -> dict[str, dict[str, Any]]:
    line = summary(PARTS, TRUTHS, record(tmp_path / "r.db", as_told()), GOOD)
    bounds = [{"name": "overkill", "failures": 1, "of": 127, "upper_95": 0.04}]
    steel, backbones = results(full=1.0, frozen=1.0, lost=0)
    stages = {
        "train_steel": {"metrics": {"epochs": 12.0, "train_seconds": 600.0, "best_epoch": 10.0}},
        "bundle_steel": bundle(bounds),
        "line_steel": line,
        "bundle_tiles": bundle([*bounds, {"name": "escape:crack", "failures": 30, "of": 57, "upper_95": 0.6}]),
        "tile_aurocs": aurocs(TRUTHS, [scored(*scores) for scores in ((1, 1), (5, 2), (2, 3), (6, 2))]),
        "cover_tiles": dealt(*tiles(3.0), GOOD),
        "compare_imbalance": {
            "methods": {"none": {**METHOD}, "focal-loss": {**METHOD, **asdict(Gain(0.1, -0.1, 0.3, 2, 1, 1.0))}},
            "confidence": 0.95,
            "test": 4,
            "most": {"class": "red", "train": 9},
            "least": {"class": "ash", "train": 3, "test": 2},
        },
        "train_backbones": steel,
        "compare_backbones": backbones,
        "compare_int8": {"landmarks": 1000, "sample": 40_000, "trained_on": 388, "detectors": {}},
        "compare_fp32": {"detectors": {}},
        "compare_patchcore": {"not_measured": "no environment", "again": True},
        "compare_all": {"differences": [], "tiles": 101, "again": True},
        "compare_levers": {"auroc": {DEFAULT: 0.855}, "differences": {}, "tiles": 101},
        "hide_defects": {"trials": [{**asdict(trial), "met": trial.met} for trial in HIDDEN]},
        "line_tiles": line,
    }
    return {name: {**one, "seconds": 1.0, "commit": "abc"} for name, one in stages.items()}


def test_both_scores_of_a_tile_are_ranked_against_good_for_each_kind() -> None:
    truths = ["good", "good", "crack", "fray", "fray"]
    found = aurocs(truths, [scored(*scores) for scores in ((1, 1), (2, 4), (3, 2), (4, 0), (1.5, 5))])
    assert found["pictures"] == {"all": 3, "crack": 1, "fray": 2} and found["good"] == 2
    assert found["auroc"]["anomaly"] == {"all": pytest.approx(5 / 6), "crack": 1.0, "fray": 0.75}
    assert found["auroc"]["novelty"] == {"all": 0.5, "crack": 0.5, "fray": 0.5}
    with pytest.raises(ValueError, match="no anomaly score"):
        aurocs(["good", "crack"], [scored(1, 1), scored(None, 2)])


@pytest.mark.parametrize(("int8", "net", "met"), [(0.991, "-3", "yes"), (0.988, "-4", "**NO**")])
def test_int8_and_fp32_may_differ_by_three_test_pictures_net(tmp_path: Path, int8: float, net: str, met: str) -> None:
    found = state(tmp_path)
    found["bundle_steel"]["metrics"] |= {"test_images": 339.0, "fp32_accuracy": 1.0, "int8_accuracy": int8}
    write_section(tmp_path / "page.md", found, "standin.safetensors", steel_run())
    text = (tmp_path / "page.md").read_text(encoding="utf-8")
    assert f"INT8 minus FP32: {net} pictures net; bar: at most 3 either way; met: {met}." in text


def steel_run() -> Run:
    classes = (ClassEntry(0, "good", True),)
    info = DatasetInfo("", 4, "splits.csv")
    start, grey = "standin (sha256 1)", (0.5, 0.5, 0.5)
    return Run(1, "steel", classes, (128, 128), grey, grey, None, "linear", start, "abc", 0, {}, info, {}, ())


def test_the_section_is_replaced_and_the_rest_of_the_page_stays(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    page.write_text(
        f"# Results\n\n## Demo\nkept\n\n{BEGIN}\nof before\n{END}\n\n## Bench\nkept too\n", encoding="utf-8"
    )
    found = state(tmp_path)
    for _ in range(2):
        write_section(page, found, "standin.safetensors", steel_run())
    text = page.read_text(encoding="utf-8")
    assert text.count(BEGIN) == text.count(END) == 1
    assert "of before" not in text
    assert text.startswith("# Results\n\n## Demo\nkept\n")
    assert text.endswith("\n## Bench\nkept too\n")
    assert "| overkill | 1 of 127 | 0.79 % | 0.02 % to 4.31 % |" in text  # Clopper-Pearson
    assert "| escape, crack | 30 of 57 |" in text
    assert "standin (sha256 1)" in text
    assert "| crack | 2 | 100.0 | 50.0 |" in text
    assert "worth +50.0 points against the pooled vector: better on crack." in text
    assert (tmp_path / FIGURE).exists()
    heads = (
        "rare classes (X-SDD)",
        "Magnetic tiles",
        "keep its share?",
        "### The backbone",
        "Detectors on",
        "On the line",
    )
    places = [text.index(head) for head in heads]
    assert places == sorted(places)


def test_hidden_defects_that_cost_too_much_recall_are_said_to_miss_the_bar(tmp_path: Path) -> None:
    page = tmp_path / "results.md"
    write_section(page, state(tmp_path), "none", steel_run())
    rows = [line for line in page.read_text().splitlines() if line.startswith("| crack | ") and " of 388 " in line]
    assert rows == [
        "| crack | 4 of 388 | 50 | 90.0 | 88.0 | yes |",
        "| crack | 12 of 388 | 50 | 90.0 | 80.0 | **NO** |",
    ]


def test_the_page_says_which_stages_other_code_made(tmp_path: Path) -> None:
    page, found = tmp_path / "results.md", state(tmp_path)
    write_section(page, found, "none", steel_run())
    assert "commit `abc`." in page.read_text()
    found["hide_defects"]["commit"] = "def"
    write_section(page, found, "none", steel_run())
    assert "`def` (hide_defects)" in page.read_text()


def test_a_page_without_the_comparison_of_backbones_is_whole(tmp_path: Path) -> None:
    page, found = tmp_path / "results.md", state(tmp_path)
    write_section(page, found, "none", steel_run())
    assert "### The backbone" in page.read_text()
    del found["compare_backbones"]
    write_section(page, found, "none", steel_run())
    assert "### The backbone" not in page.read_text() and "### On the line" in page.read_text()
