"""The section of a configuration that is about what is counted."""

from __future__ import annotations

import re
from datetime import time
from typing import Annotated

from pydantic import AfterValidator, Field

from inspector.section import Section


def _time_of_day(text: str) -> str:
    if not re.fullmatch("([01][0-9]|2[0-3]):[0-5][0-9]", text):
        raise ValueError("is a time of day, HH:MM from 00:00 to 23:59")
    return text


class CountsConfig(Section):
    """When the counts of a shift begin anew, in the time zone of the box."""

    shifts: tuple[Annotated[str, AfterValidator(_time_of_day)], ...] = Field(
        default=("06:00", "14:00", "22:00"), max_length=24, description="HH:MM; empty: nothing is counted by shift"
    )

    @property
    def starts(self) -> tuple[time, ...]:
        return tuple(time.fromisoformat(text) for text in self.shifts)
