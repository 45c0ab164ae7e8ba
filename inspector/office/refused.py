"""Why something was not done, for the person who asked for it."""

from __future__ import annotations

from inspector.core.errors import InspectorError


class Refused(InspectorError):
    """Not done. key: of the page's words; values: what its text is filled with."""

    def __init__(self, key: str, **values: object) -> None:
        super().__init__(key)
        self.key, self.values = key, values
