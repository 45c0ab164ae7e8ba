"""The values that travel along the data path. Frozen; the unit is in the name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum, StrEnum

import numpy as np
from numpy.typing import NDArray

from plc.registers import Reason, Verdict

Image = NDArray[np.uint8]


class Mode(StrEnum):
    """What a station may say."""

    INSPECT = "inspect"
    MONITOR = "monitor"  # judges and records, never PASS
    COLLECT = "collect"  # keeps every picture, needs no bundle, never PASS


class Proof(Enum):
    """How a camera proves that a frame was exposed after its trigger."""

    HARDWARE_EDGE = "hardware_edge"
    DEVICE_CLOCK_MAPPED = "device_clock_mapped"
    SIMULATED = "simulated"  # rendered and folder cameras stamp the exposure themselves (contract, P12)
    NONE = "none"  # video file, RTSP, most V4L2: never PASS in triggered mode


@dataclass(frozen=True, slots=True)
class Trigger:
    """One accepted trigger."""

    seq: int  # TRIGGER_ID of the contract, 1..65535 then 1 again; echoed
    part_id: int  # PART_ID, u32
    deadline_mono_s: float  # be done before this, on Clock.monotonic_s()
    accepted_mono_s: float
    encoder: int = 0
    lot: str = ""
    serial: str = ""
    test_part: bool = False  # a challenge part: never PASS (contract, P11)
    simulator: bool = False  # the PLC showed the simulator's signature (contract, P12)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A trigger that is answered without an inspection; it gets a row of its own kind."""

    seq: int
    part_id: int
    reason: Reason
    accepted_mono_s: float
    has_row: bool = False  # a standing id whose row exists already gets no second one


@dataclass(frozen=True, slots=True, eq=False)  # eq=False: arrays do not compare to one bool
class Frame:
    """One exposure. image: (H, W, 3) uint8 RGB, not writeable."""

    image: Image
    seq: int  # of the trigger that caused it
    exposed_mono_s: float  # start of the exposure, on Clock.monotonic_s()
    exposure_us: int
    proof: Proof
    frame_id: int  # the camera's own counter; must advance


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What the model says of one view."""

    label: str
    class_id: int
    confidence: float  # softmax of `label`, 0..1
    probabilities: tuple[float, ...]  # in the order of the manifest's classes
    novelty_score: float  # strangeness of the whole picture; higher is stranger
    anomaly_score: float | None = None  # strangest spot; higher is stranger; None: this bundle has none
    anomaly_map: NDArray[np.float32] | None = None  # (h, w), higher is stranger


@dataclass(frozen=True, slots=True)
class Limits:
    """What a good part satisfies."""

    min_confidence: float
    max_anomaly_score: float | None
    novelty_range: tuple[float, float]  # outside: no part, or not this product
    good_labels: frozenset[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    verdict: Verdict
    reason: Reason


class DeliveryState(StrEnum):
    CONFIRMED = "confirmed"  # the PLC's stack confirmed the write
    UNKNOWN = "unknown"  # the write was started, no confirmation came
    NONE = "none"  # never started: link down, aborted


@dataclass(frozen=True, slots=True)
class Delivery:
    """What the PLC was told, which may only be less than what was decided."""

    code: int  # RESULT_CODE: a Verdict, or 5 and 6 for a test part
    reason: Reason
    state: DeliveryState
    mono_s: float  # start of the publishing write


@dataclass(frozen=True, slots=True)
class JudgedBy:
    """What judged a part, for traceability."""

    bundle_id: str = ""  # "" where no model judged
    recipe: int = 0  # number, as the PLC knows it
    recipe_revision: int = 0
    model_rev: int = 0  # counts (bundle, recipe revision) pairs


@dataclass(frozen=True, slots=True, eq=False)
class Inspection:
    """One part, as it is recorded. `no` is INSPECTION_NO, the join key to images and rows."""

    no: int
    trigger: Trigger
    outcome: Outcome
    prediction: Prediction | None
    judged_by: JudgedBy
    elapsed_ms: float  # accept to decision committed
    stamps: Mapping[str, float] = field(default_factory=dict)  # stage -> monotonic seconds at its end
    delivery: Delivery | None = None
