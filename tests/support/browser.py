"""A browser page under test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from tests.support.office import PASSWORD


@dataclass
class Watched:
    """A browser page, and all that went wrong in it."""

    page: Any
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)  # requests that left the origin


Open = Callable[..., Awaitable[Watched]]


async def log_in(open_page: Open, origin: str, name: str, then: str = "/", **more: Any) -> Watched:
    """Open the page for log-in as `open_page` does, log in as a person does, and be where that leads."""
    watched = await open_page(origin, f"/log-in?next={then}", **more)
    await watched.page.fill("[name=name]", name)
    await watched.page.fill("[name=password]", PASSWORD)
    await watched.page.press("[name=password]", "Enter")
    await watched.page.wait_for_url(lambda url: "/log-in" not in url)
    return watched
