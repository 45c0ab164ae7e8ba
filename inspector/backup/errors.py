"""What can go wrong with a backup; the text is for the person who asked."""

from __future__ import annotations

from inspector.core.errors import InspectorError


class BackupError(InspectorError):
    """The backup cannot be made, read or restored; nothing was changed by it."""
