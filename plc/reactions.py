"""What the PLC did after it was told a result: it acknowledged it, and it said what became of the part."""

from __future__ import annotations

from dataclasses import dataclass

MAX_REACTIONS = 256  # that nobody took yet: of more the oldest are forgotten


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What ended a result that stood, `after_s` seconds after the start of its publishing write.

    by_plc: False where the PLC did not acknowledge it within ack_timeout.
    """

    inspection_no: int
    by_plc: bool
    after_s: float


@dataclass(frozen=True, slots=True)
class Reported:
    """PLC_VERDICT of a part. after_s: since it was told, < 0 before; None: it was not told, or in a former life."""

    inspection_no: int
    verdict: int
    seen_s: float
    after_s: float | None


Reaction = Acknowledged | Reported
