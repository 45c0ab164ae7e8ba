"""A browser page under test."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Watched:
    """A browser page, and all that went wrong in it."""

    page: Any
    errors: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)  # requests that left the origin


Open = Callable[..., Awaitable[Watched]]
