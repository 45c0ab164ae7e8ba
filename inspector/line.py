"""THE data path: one part from trigger to record, and the loop around it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from inspector.core.decide import judge
from inspector.core.errors import PartError, StoreError, reason_of
from inspector.core.ports import Archive, Camera, Clock, Model, Plc, Results
from inspector.core.types import (
    Delivery,
    Frame,
    Image,
    Inspection,
    JudgedBy,
    Limits,
    Mode,
    Outcome,
    Proof,
    Refusal,
    Trigger,
)
from plc.registers import Verdict


class Recipe(Protocol):
    def view(self, image: Image) -> Image:
        """What of the camera picture is judged."""
        ...


class Gate(Protocol):
    def check(self, frame: Frame, trigger: Trigger) -> Frame:
        """Return the frame if it may be judged. Raises FrameError."""
        ...


@dataclass(frozen=True, slots=True)
class Judge:
    """What a part is judged with. `model` and `limits` are None in mode `collect`, and where nothing judges."""

    gate: Gate
    recipe: Recipe
    model: Model | None
    limits: Limits | None
    judged_by: JudgedBy


@dataclass(slots=True)
class Station:
    """All that one part meets on its way. `judge` is replaced whole at a change-over."""

    mode: Mode
    clock: Clock
    plc: Plc
    camera: Camera
    judge: Judge
    results: Results
    archive: Archive
    failpoint: Callable[[str], None]
    watch: Callable[[Inspection, BaseException | None], None]  # health and page learn of each part


async def inspect_forever(st: Station) -> None:
    """Serve triggers one after another. A bug propagates: the process ends, and the PLC takes silence as a reject."""
    while True:
        match await st.plc.next():
            case Trigger() as trigger:
                await inspect_part(trigger, st)
            case Refusal() as refusal:
                await refuse_part(refusal, st)


async def inspect_part(trigger: Trigger, st: Station) -> Inspection:
    """Trigger -> row opened -> frame -> prediction -> outcome -> row decided -> PLC -> archive.

    Less than a full inspection is NOT_INSPECTED. Both commits come before the PLC may see the result and inside the
    deadline: no result without a record. Publishing may only downgrade; what the PLC was told is stamped on the row.
    Big writes come last.
    """
    at = _Stages(st, trigger.accepted_mono_s)
    by, prediction, frame, error = st.judge, None, None, None  # a part in flight keeps its judge
    at("accepted")
    opened = st.results.open(trigger)  # commits while the camera exposes
    at("opening")
    try:
        async with st.clock.deadline(trigger.deadline_mono_s):
            frame = await st.camera.grab(trigger)
            st.plc.exposed(trigger, frame.exposed_mono_s)
            at("grabbed")
            at.exposed(frame)
            checked = by.gate.check(frame, trigger)
            at("checked")
            view = by.recipe.view(checked.image)
            at("cropped")
            prediction = await by.model.predict(view) if by.model else None
            at("predicted")
            outcome = judge(prediction, by.limits, st.mode)
    except (PartError, TimeoutError) as exc:
        error, outcome = exc, Outcome(Verdict.NOT_INSPECTED, reason_of(exc))
    at("judged")
    decided = await st.results.decide(opened, outcome, prediction, by.judged_by, at.stamps)
    at("decided")
    delivery = await st.plc.publish(decided)
    at("published")
    error = await _stamp(at.told(decided), delivery, st) or error
    at("stamped")
    done = replace(decided, delivery=delivery)
    st.archive.offer(done, frame)
    st.watch(done, error)
    at("archived")
    return done


async def refuse_part(refusal: Refusal, st: Station) -> Inspection:
    """A refused trigger: its row first, then the answer; never a picture."""
    decided = await st.results.refuse(refusal)
    st.failpoint("refused")
    delivery = await st.plc.publish(decided)
    error = await _stamp(decided, delivery, st)
    done = replace(decided, delivery=delivery)
    st.watch(done, error)
    return done


async def _stamp(decided: Inspection, delivery: Delivery, st: Station) -> StoreError | None:
    """The PLC has been told already: a stamp that fails drops READY, the row's delivery stays unknown."""
    try:
        await st.results.stamp(decided, delivery)
    except StoreError as exc:
        return exc
    return None


class _Stages:
    """Stamps the end of each stage on the monotonic clock, and is where a test may break the cycle."""

    def __init__(self, st: Station, accepted_mono_s: float) -> None:
        self._clock, self._failpoint = st.clock, st.failpoint
        self.stamps: dict[str, float] = {"trigger": accepted_mono_s}

    def __call__(self, stage: str) -> None:
        self.stamps[stage] = self._clock.monotonic_s()
        self._failpoint(stage)

    def exposed(self, frame: Frame) -> None:
        """When the exposure began and ended, where the camera knows it: it had ended when the frame was here."""
        begun_s, here_s = frame.exposed_mono_s, self.stamps["grabbed"]
        if frame.proof is Proof.NONE or not begun_s <= here_s:
            return
        self.stamps["exposing"] = begun_s
        if frame.exposure_us:
            self.stamps["exposed"] = min(begun_s + frame.exposure_us / 1e6, here_s)

    def told(self, decided: Inspection) -> Inspection:
        """With when the PLC's stack had confirmed it, or it was given up: known only now."""
        return replace(decided, stamps={**decided.stamps, "published": self.stamps["published"]})
