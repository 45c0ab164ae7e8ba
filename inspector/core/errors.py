"""Errors, sorted by what the caller does next. Each knows the Reason the PLC is told."""

from __future__ import annotations

from plc.registers import Reason


class InspectorError(Exception):
    """Root of what we raise on purpose; anything else is a bug."""


class ConfigError(InspectorError):
    """The configuration cannot be used; the text says which line, and what to do."""


class BundleError(InspectorError):
    """The bundle is not one we may run: signature, hash, format, product, CPU."""


class RecipeError(InspectorError):
    """The recipe does not fit the bundle, or what the bundle was signed for."""


class UnknownRecipe(RecipeError):
    """The station has no recipe of this number."""


class HashMismatch(BundleError):
    """What lies on the disk is not what was verified."""


class GoldenError(BundleError):
    """A golden image did not give its expected outcome on this machine."""


class PartError(InspectorError):
    """This part cannot be inspected: NOT_INSPECTED with `reason`; the next part may be fine."""

    reason: Reason = Reason.RESYNC


class ModelError(PartError):
    """Inference failed or its output is not finite."""

    reason = Reason.INFERENCE


class CameraError(PartError):
    """This part has no usable frame."""

    reason = Reason.CAMERA


class CameraTimeout(CameraError):
    """No frame in time; the next part may be fine."""


class CameraLost(CameraError):
    """The link is down; not ready until reconnected."""


class FrameError(PartError):
    """A frame came, but it must not be judged."""

    def __init__(self, reason: Reason, text: str) -> None:
        super().__init__(text)
        self.reason = reason


class StoreError(PartError):
    """The record could not be committed: no result without a record; READY drops."""

    reason = Reason.STORAGE


class StoreBroken(StoreError):
    """The record stands still until the process is started again; no retry is to be trusted."""


def reason_of(exc: BaseException) -> Reason:
    """The Reason that the PLC is told for `exc`; a deadline that passed is Reason.DEADLINE."""
    if isinstance(exc, TimeoutError):
        return Reason.DEADLINE
    return exc.reason if isinstance(exc, PartError) else Reason.INFERENCE
