"""The screen that is there only before the first person: what every_screen asks of all others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.support.looking import look_at
from tests.support.page import page_process, site_in
from tests.support.screens import Screen

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]


@pytest.mark.parametrize("language", ["en", "zh"])
async def test_the_first_start_can_be_used_by_everybody_and_fits_every_size(
    browser: Any, tmp_path: Path, language: str
) -> None:
    async with page_process(site_in(tmp_path)) as origin:
        screen = Screen("/first-start", "/first-start", known=False)
        assert await look_at(browser, origin, "", [screen], language) == []
