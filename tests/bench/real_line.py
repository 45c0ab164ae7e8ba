"""Placeholder until the daemon is wired."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def replay(bundle: Path, data: Path, folder: Path) -> dict[str, Any]:
    raise NotImplementedError
