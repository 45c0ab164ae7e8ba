"""What a person reads of an alarm of the status message, in English."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inspector.core.alarm_kinds import Kind
from inspector.web.words import word


def action_of(alarm: Mapping[str, Any] | Kind) -> str:
    """What to do."""
    key, params = (alarm.key, {}) if isinstance(alarm, Kind) else (alarm["key"], alarm["params"])
    return word(f"alarm.{key}.action", **params)
