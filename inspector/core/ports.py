"""What the data path needs of the world. Small, named for the role, and each states what it raises."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from inspector.core.types import (
    Delivery,
    Frame,
    Image,
    Inspection,
    JudgedBy,
    Outcome,
    Prediction,
    Refusal,
    Trigger,
)


class Clock(Protocol):
    """Time, so that tests can hold it. Rules use the monotonic clock; UTC is only for people."""

    def monotonic_s(self) -> float: ...

    def utc_s(self) -> float: ...

    async def sleep(self, seconds: float) -> None: ...

    def deadline(self, at_mono_s: float) -> AbstractAsyncContextManager[object]:
        """Raise TimeoutError in the body when `at_mono_s` passes."""
        ...


class Camera(Protocol):
    simulated: bool  # pictures are not of this moment (contract, P12)
    temperature_c: float | None  # as it last told; None: it does not tell

    async def grab(self, trigger: Trigger) -> Frame:
        """Return the exposure caused by `trigger`, never an older one.

        Raises CameraTimeout (this part only) or CameraLost (drop READY, reconnect).
        """
        ...

    async def look(self) -> Frame:
        """What it sees now, for who sets it up; takes no picture from the parts that come. Raises as `grab`."""
        ...

    async def alive(self) -> None:
        """A full turn through the camera's thread; reconnects if needed. Raises CameraLost while down."""
        ...

    async def set_up(self, settings: Mapping[str, float]) -> None:
        """Take the settings of another recipe, between two parts. Raises CameraError: it does not have them now."""
        ...


class Model(Protocol):
    judged_by: JudgedBy

    async def predict(self, view: Image) -> Prediction:
        """view: (H, W, 3) uint8 RGB. Raises ModelError: inference failed, or not finite."""
        ...

    async def alive(self) -> None:
        """A full turn through the model's thread."""
        ...


@dataclass(frozen=True, slots=True)
class OpenRow:
    """A row that was opened for a trigger; its commit may still run."""

    trigger: Trigger
    ticket: int


class Results(Protocol):
    """The durable record. One writer; every method but `open` returns after its commit."""

    def open(self, trigger: Trigger) -> OpenRow:
        """Begin the row of an accepted trigger; commits while the camera exposes. Never blocks, never raises."""
        ...

    async def decide(
        self,
        opened: OpenRow,
        outcome: Outcome,
        prediction: Prediction | None,
        judged_by: JudgedBy,
        stamps: Mapping[str, float],
    ) -> Inspection:
        """Commit the decision; 4/112 if the commit failed, or ended after the trigger's deadline."""
        ...

    async def refuse(self, refusal: Refusal) -> Inspection:
        """Commit a row of kind `refused`; 4/112 if that failed. A standing id that has a row keeps its own."""
        ...

    async def stamp(self, decided: Inspection, delivery: Delivery) -> None:
        """Note on the row what the PLC was told. Raises StoreError."""
        ...

    async def alive(self) -> None:
        """A full turn through the store's thread with a write. Raises StoreError."""
        ...


class Plc(Protocol):
    """The PLC as the data path sees it; one station."""

    async def next(self) -> Trigger | Refusal:
        """The next accepted or refused trigger. At most one is in flight."""
        ...

    def exposed(self, trigger: Trigger, exposed_mono_s: float) -> None:
        """The exposure begun at `exposed_mono_s` is over: the part may move. Too long after the trigger: no PASS."""
        ...

    async def publish(self, decided: Inspection) -> Delivery:
        """Tell the PLC; may only downgrade (late, other session, aborted, simulated picture, stopping)."""
        ...


class Archive(Protocol):
    def offer(self, decided: Inspection, frame: Frame | None) -> None:
        """Keep the picture if there is room; bounded, never blocks, gives way before anything else does."""
        ...
