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
    """The daemon is not reached, or does not answer; the text says whether it may do what was asked all the same."""


async def ask_daemon(
    socket: Path, actor: str, method: str, params: Mapping[str, Any] | None = None, patience_s: float = PATIENCE_S
) -> Any:
    """Raises ControlError: refused, with a text for the person; NoDaemon."""
    asked = False
    try:
        async with asyncio.timeout(patience_s), connect_control(socket, actor[:MAX_ACTOR]) as daemon:
            asked = True
            return await daemon.call(method, params)
    except ControlError:
        raise
    except (FileNotFoundError, ConnectionRefusedError) as exc:
        raise NoDaemon(f"the daemon does not run, or with another configuration: nobody listens at {socket}") from exc
    except PermissionError as exc:
        raise NoDaemon(f"{socket} may not be opened: do it as the daemon's user, or as root") from exc
    except (OSError, TimeoutError, ValueError) as exc:
        why = str(exc) or f"nothing within {patience_s:g} s"
        open_end = ". It is not known whether it does what was asked: look before you ask again" if asked else ""
        raise NoDaemon(f"the daemon does not answer: {why}{open_end}") from exc
