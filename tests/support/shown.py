"""What a screen shows, read in one step with the wait for it: between two steps it may show something else."""

from __future__ import annotations

from typing import Any

LONG_MS = 60_000  # for a screen that others' work on the same cores holds up: how long is asked elsewhere


async def found(page: Any, expression: str, arg: Any = None) -> Any:
    """What the function `expression` gives in the page, as soon as that is something."""
    handle = await page.wait_for_function(expression, arg=arg, timeout=LONG_MS, polling=20)
    return await handle.json_value()
