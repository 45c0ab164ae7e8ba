"""Values that a person forces into STAT, so that an electrician can find them in the PLC: which, and when they end.

Only while the station is Offline (SET_OFFLINE, nothing in flight). What a PLC needs to move a machine, to trigger or to
let a part pass is never among them: TRIGGER_READY, TRIGGER_ACK, EXPOSURE_COMPLETE, RESULTS_VALID, PASS, FAIL, ONLINE,
the command's bits, ids, recipe, sequence and check words, signature and heartbeat. Bits can be forced to 1 only, and
RESULT_CODE to anything but PASS: a forced value makes things look worse, or is a mere figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

from plc.images import Image
from plc.registers import STAT, Status, Status2, Verdict
from plc.values import Assignment, ResultFlag, assign

FORCED_FOR_S = 300.0  # since the newest value was forced; then all of them end
_BITS = {
    "STATUS": (
        Status.ACQUIRING | Status.MISSED_TRIGGER | Status.SYSTEM_BUSY | Status.INSPECTION_COMPLETED
        | Status.RESULTS_BUFFER_OVERRUN | Status.ERROR
    ),
    "STATUS2": ~Status2.PLC_HB_OK,
    "RESULT_FLAGS": ~ResultFlag(0),
}  # fmt: skip
_VALUES = (
    "ERROR_CODE", "RESULT_CODE", "REASON", "CLASS_ID", "CONFIDENCE", "ANOMALY", "DEFECT_BITS", "MODEL_REV", "T_TOTAL",
    "T_TRIG_AGE", "PART_ID_ECHO", "ENCODER_ECHO", "INSPECTION_NO", "UTC_S", "UTC_MS",
)  # fmt: skip
FORCEABLE = (*(f"{name}.{bit.name}" for name, bits in _BITS.items() for bit in bits), *_VALUES)
# A PLC that reads one of these takes the station for at work: no forced value ever stands beside them.
ALIVE = (
    Status.ONLINE | Status.TRIGGER_READY | Status.TRIGGER_ACK | Status.RESULTS_VALID | Status.PASS | Status.FAIL
)  # fmt: skip


class ForceRefused(Exception):
    """Nothing was forced; the text says why."""


def why_never(wanted: Assignment) -> str:
    """Why this may not be forced at any time; "" where it may."""
    place = wanted.place
    name = place.register.name if place.bit is None else f"{place.register.name}.{place.bit.name}"
    if place.block is not STAT or name not in FORCEABLE:
        return f"{place} is never forced"
    if place.bit is not None and wanted.value != 1:
        return f"{place} can only be forced to 1; release it instead"
    if name == "RESULT_CODE" and wanted.value == Verdict.PASS:
        return "RESULT_CODE is never forced to PASS"
    return ""


class Forcing:
    """The values that are forced now, by name."""

    def __init__(self) -> None:
        self._wanted: dict[str, Assignment] = {}
        self._until_s = -math.inf

    def __bool__(self) -> bool:
        return bool(self._wanted)

    @property
    def values(self) -> Mapping[str, int | str]:
        return {name: wanted.value for name, wanted in self._wanted.items()}

    def left_s(self, now_s: float) -> float:
        """Until all of them end by themselves."""
        return max(0.0, self._until_s - now_s) if self._wanted else 0.0

    def set(self, wanted: Assignment, now_s: float) -> None:
        """Raises ForceRefused: never."""
        if why := why_never(wanted):
            raise ForceRefused(why)
        self._wanted[str(wanted.place)] = wanted
        self._until_s = now_s + FORCED_FOR_S

    def release(self, name: str) -> None:
        self._wanted.pop(name, None)

    def end(self) -> None:
        self._wanted.clear()

    def tick(self, now_s: float) -> None:
        if self._wanted and not now_s < self._until_s:
            self.end()

    def over(self, stat: Image) -> list[int]:
        """The words of `stat` with the forced values in them; the check word of the record stays, so that it is torn.

        Of an image that says that the station is at work: those words as they are.
        """
        if not self._wanted or stat["STATUS"] & ALIVE:
            return stat.words
        shown = stat.copy()
        for wanted in self._wanted.values():
            assign(shown, wanted)
        return shown.words
