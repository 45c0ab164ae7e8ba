"""Asking the daemon, from another process, to do something for a person: one short connection to its socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspector.control import ControlError, connect_control
from inspector.core.errors import InspectorError

PATIENCE_S = 5.0
MAX_ACTOR = 64


class NoDaemon(InspectorError):
    """The daemon is not reached, or does not answer: nothing is known to have been done."""


async def ask_daemon(
    socket: Path, actor: str, method: str, params: Mapping[str, Any] | None = None, patience_s: float = PATIENCE_S
) -> Any:
    """Raises ControlError: refused, with a text for the person; NoDaemon."""
    try:
        async with asyncio.timeout(patience_s), connect_control(socket, actor[:MAX_ACTOR]) as daemon:
            return await daemon.call(method, params)
    except ControlError:
        raise
    except (OSError, TimeoutError, ValueError) as exc:
        raise NoDaemon(f"the daemon does not answer: {exc}") from exc
