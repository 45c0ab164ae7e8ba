"""What training raises on purpose; each text says what to do."""

from __future__ import annotations

from inspector.core.errors import InspectorError


class TrainingError(InspectorError):
    """Training cannot go on with what it was given."""


class DataError(TrainingError):
    """The pictures, their labels or their split cannot be used; the text names the file."""


class WeightsError(TrainingError):
    """Initial weights cannot be had or do not fit."""


class RunError(TrainingError):
    """A run directory cannot be read, or cannot be continued as asked."""


class Paused(TrainingError):
    """The time that was given is used up; the checkpoint is written and the same command goes on."""
