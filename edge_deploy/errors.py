"""What building a bundle raises on purpose; each text says what to do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from inspector.core.errors import InspectorError


class DeployError(InspectorError):
    """The bundle cannot be built, or must not be."""


class NegativesInside(DeployError):
    """Pictures without a whole, right part lie inside novelty's limits. inside: which of each kind, counted from 0."""

    def __init__(self, text: str, inside: Mapping[str, Sequence[int]]) -> None:
        super().__init__(text)
        self.inside = inside
