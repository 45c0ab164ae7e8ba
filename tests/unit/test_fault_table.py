"""The tests that docs/faults.md names are there."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path("docs/faults.md").read_text()
CAMPAIGN, CONTRACT = PAGE.split("## The fault table of the PLC contract")


def named(part: str) -> list[tuple[int, str, str]]:
    """(row, file, test) of each line that names one."""
    found = re.findall(r"^\| (\d+) \| .* \| `([\w/]+\.py)::(\w+)` \|$", part, re.MULTILINE)
    return [(int(row), file, name) for row, file, name in found]


def test_each_row_of_the_contracts_fault_table_and_of_store_and_page_has_a_test():
    assert [row for row, _, _ in named(CONTRACT)] == list(range(1, 30))
    assert {row for row, _, _ in named(CAMPAIGN)} == set(range(50, 61))


def test_each_test_that_the_page_names_exists():
    for row, file, name in named(PAGE):
        assert f"def {name}(" in Path("tests", file).read_text(), f"row {row}: {file}::{name}"


def test_each_file_that_the_page_names_exists():
    for name in re.findall(r"`((?:unit|system|fault)/[\w/]+(?:\.py)?)/?`", PAGE):
        assert Path("tests", name).exists(), name
