"""A text that is written for the log and known again by its shape, with the data that was put into it."""

from __future__ import annotations

import re
from enum import Enum
from functools import cached_property
from string import Formatter

AND = "; "  # between two of them
FREE = frozenset({"why", "what"})  # data that are a text of their own: to its end, whatever is in it
_DATA = f"(?:(?!{AND}).)+?"


class Wording(Enum):
    """Its value is the text with its data in braces."""

    @property
    def key(self) -> str:
        """Of its words."""
        return self.name.lower()

    @property
    def data(self) -> frozenset[str]:
        """Names of its data."""
        return frozenset(name for _, name, _, _ in Formatter().parse(self.value) if name)

    def of(self, **data: object) -> str:
        """The text. KeyError: not all its data."""
        return str(self.value).format(**data)

    @cached_property
    def written(self) -> int:
        """How many of its characters are no data."""
        return sum(len(text) for text, *_ in Formatter().parse(self.value))

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Which finds its data in a text."""
        parts = [
            re.escape(text) + (f"(?P<{name}>{'.*' if name in FREE else _DATA})" if name else "")
            for text, name, _, _ in Formatter().parse(self.value)
        ]
        return re.compile("".join(parts), re.DOTALL)
