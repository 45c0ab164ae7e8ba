"""One source, many faces."""

from pathlib import Path

from plc.document import markdown


def test_the_page_of_registers_is_not_stale():
    page = Path(__file__).parents[3] / "docs" / "registers.md"
    assert page.read_text() == markdown(), "make it anew: inspector-plc docs > docs/registers.md"
