"""What `make bench` and `make bench-peers` report: rows with a bar each, as a table and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True)
class Row:
    """bar: what `value` must reach, in words; met: None where there is no bar, only information."""

    name: str
    value: float | str
    unit: str = ""
    bar: str | None = None
    met: bool | None = None


def at_most(name: str, value: float, unit: str, bar: float) -> Row:
    """A row whose value must not be above `bar`; NaN does not meet it."""
    return Row(name, value, unit, f"at most {bar:g}", value <= bar)


def at_least(name: str, value: float, unit: str, bar: float) -> Row:
    """A row whose value must not be below `bar`; NaN does not meet it."""
    return Row(name, value, unit, f"at least {bar:g}", value >= bar)


def p50(values: Sequence[float]) -> float:
    return float(np.percentile(values, 50))


def p99(values: Sequence[float]) -> float:
    return float(np.percentile(values, 99))


def milliseconds(name: str, seconds: Sequence[float]) -> list[Row]:
    """p50 and p99 of times in seconds, as information."""
    return [Row(f"{name}, p50", 1000 * p50(seconds), "ms"), Row(f"{name}, p99", 1000 * p99(seconds), "ms")]


def missed(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row.met is False]


def write_json(rows: Sequence[Row], path: Path) -> None:
    """A list of objects {name, value, unit, bar, met}, in one rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    staged = path.with_suffix(".new")
    rounded = [{**asdict(row), "value": _rounded(row.value)} for row in rows]
    staged.write_text(json.dumps(rounded, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    staged.replace(path)


def show(rows: Sequence[Row], console: Console, title: str = "make bench") -> None:
    table = Table("figure", "value", "unit", "bar", "met", title=title)
    for column in ("value", "bar"):
        next(c for c in table.columns if c.header == column).justify = "right"
    for row in rows:
        met = {True: "[green]yes", False: "[bold red]NO", None: ""}[row.met]
        table.add_row(row.name, str(_rounded(row.value)), row.unit, row.bar or "", met)
    console.print(table)


def _rounded(value: float | str) -> float | str:
    return value if isinstance(value, str) else float(f"{value:.4g}")
