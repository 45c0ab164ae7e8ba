"""What a person has the daemon do: over its control socket, in their name, and with an end to the waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspector.control import connect_control
from inspector.core.errors import InspectorError

ANSWER_S = 3.0


class Unreached(InspectorError):
    """The daemon did not answer: it is not known whether it did what was asked."""


async def have_done(socket: Path, person: str, method: str, params: Mapping[str, Any]) -> Any:
    """Ask the daemon in this person's name. Raises ControlError: it refused, and says why; Unreached."""
    try:
        async with asyncio.timeout(ANSWER_S), connect_control(socket, person) as daemon:
            return await daemon.call(method, params)
    except (OSError, TimeoutError) as exc:
        raise Unreached(f"the daemon does not answer: {str(exc) or 'too late'}") from exc
