"""What `make bench` calls met, and the file it writes."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from rich.console import Console

from tests.bench.rows import Row, at_least, at_most, milliseconds, missed, show, write_json


@pytest.mark.parametrize(
    ("row", "met"),
    [
        (at_most("ratio", 1.1, "x", 1.1), True),
        (at_most("ratio", 1.1001, "x", 1.1), False),
        (at_most("ratio", float("nan"), "x", 1.1), False),
        (at_least("speed", 2.5, "x", 2.5), True),
        (at_least("speed", 2.4999, "x", 2.5), False),
        (at_least("speed", float("nan"), "x", 2.5), False),
    ],
)
def test_a_bar_is_met_at_its_own_value_and_never_by_nothing(row: Row, met: bool) -> None:
    assert row.met is met
    assert missed([Row("information", 1.0), row]) == ([] if met else [row])


def test_percentiles_are_of_seconds_and_shown_in_milliseconds() -> None:
    middle, high = milliseconds("cycle", [0.001 * n for n in range(1, 102)])
    assert (middle.name, middle.value, middle.unit) == ("cycle, p50", pytest.approx(51.0), "ms")
    assert (high.name, high.value) == ("cycle, p99", pytest.approx(100.0))


def test_the_file_is_a_list_of_objects_with_five_keys(tmp_path: Path) -> None:
    rows = [at_most("start to READY", 1.23456, "s", 3), Row("CPU", "some CPU")]
    write_json(rows, tmp_path / "bench" / "latest.json")
    found = json.loads((tmp_path / "bench" / "latest.json").read_text())
    assert found == [
        {"name": "start to READY", "value": 1.235, "unit": "s", "bar": "at most 3", "met": True},
        {"name": "CPU", "value": "some CPU", "unit": "", "bar": None, "met": None},
    ]


def test_a_missed_bar_is_seen_in_the_table() -> None:
    console = Console(file=io.StringIO(), width=120)
    show([at_most("memory", 500, "MB", 400)], console)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "at most 400" in text and "NO" in text
