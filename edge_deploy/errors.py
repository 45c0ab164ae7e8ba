"""What building a bundle raises on purpose; each text says what to do."""

from __future__ import annotations

from inspector.core.errors import InspectorError


class DeployError(InspectorError):
    """The bundle cannot be built, or must not be."""
