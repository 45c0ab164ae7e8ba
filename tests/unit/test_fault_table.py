"""The tests that docs/faults.md names are there."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = Path("docs/faults.md").read_text()
NAMED = re.findall(r"^\| (\d+) \| .* \| `([\w/]+\.py)::(\w+)` \|$", PAGE, re.MULTILINE)


def test_each_row_of_the_contracts_fault_table_names_a_test_that_exists():
    assert [int(row) for row, _, _ in NAMED] == list(range(1, 30))
    for row, file, name in NAMED:
        assert f"def {name}(" in Path("tests", file).read_text(), f"row {row}"


def test_each_file_that_the_page_names_exists():
    for name in re.findall(r"`((?:unit|system|fault)/[\w/]+(?:\.py)?)/?`", PAGE):
        assert Path("tests", name).exists(), name
