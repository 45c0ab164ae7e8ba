"""FB_Track: the places between camera and gate, the gate, the reject-confirm sensor, and PLC_VERDICT."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from plc.images import Image
from plc.registers import Verdict
from plc.sim.parts import BYPASSED, GOOD, NOT_INSPECTED, REJECT, Habits, SimResult, TrackConfig

COUNTS = 0xFFFFFFFF  # the encoder is a u32 and wraps


@dataclass(slots=True)
class _Place:
    """One part on its way. decided: the gate was set for it."""

    result: SimResult
    bypass: bool  # the habits of the program when the part came
    claim_good: bool
    decided: bool = False
    binned: int = 0  # the confirm sensor's count when the gate was set


class Track:
    """Each part's own place, by the encoder's count at its sensor edge. What no place is known of is rejected.

    gate_open: the output. alarm: why the belt must stand, "" while it may run; cleared by `acknowledge`.
    decided: parts that came to the gate, oldest first; the caller takes them away.
    """

    def __init__(self, cfg: TrackConfig, ctrl: Image, habits: Habits, *, claims_good: bool = False) -> None:
        self.cfg, self.ctrl, self.habits, self._claims_good = cfg, ctrl, habits, claims_good
        self.gate_open = False
        self.alarm = ""
        self.decided: list[SimResult] = []
        self._places: deque[_Place] = deque()
        self._rejects_in_row = 0

    @property
    def empty(self) -> bool:
        return not self._places

    def put(self, result: SimResult) -> None:
        """A part is at the camera now; it is a reject until its own result is good."""
        self._places.append(self._place(result))

    def _place(self, result: SimResult) -> _Place:
        return _Place(result, self.habits.bypass, self.habits.claim_good or self._claims_good)

    def scan(self, encoder: int, binned: int) -> None:
        """encoder: counts. binned: parts that the reject-confirm sensor has seen, modulo 65536."""
        cfg, near = self.cfg, []
        for place in self._places:
            past = travelled(place.result.encoder, encoder)
            if not place.decided and past >= cfg.gate - cfg.opens_before:
                self._decide(place, binned)
            if place.decided and past <= cfg.gate + cfg.opens_before:
                near.append(place)
        # a part that stands in two places, or two in one gate's length: each of them must be good
        self.gate_open = bool(near) and all(place.result.plc_verdict in (GOOD, BYPASSED) for place in near)
        while self._places and self._behind(self._places[0], encoder):
            self._confirm(self._places.popleft(), binned)

    def _behind(self, place: _Place, encoder: int) -> bool:
        return place.decided and travelled(place.result.encoder, encoder) > self.cfg.gate + self.cfg.confirm

    def decide_now(self, result: SimResult) -> None:
        """The gate is at the camera: `result` is final."""
        self._decide(self._place(result), 0)

    def acknowledge(self) -> None:
        self.alarm, self._rejects_in_row = "", 0

    def abandon(self) -> list[SimResult]:
        """The program starts anew: what was on its way has no place any more, and so is rejected."""
        left = [place.result for place in self._places if not place.decided]
        self._places.clear()
        self.gate_open = False
        return left

    def _decide(self, place: _Place, binned: int) -> None:
        place.decided, place.binned = True, binned
        result = place.result
        result.plc_verdict = self._verdict(place)
        self.ctrl["PLC_VERDICT_ID"], self.ctrl["PLC_VERDICT"] = result.trigger_id, result.plc_verdict
        passed = result.plc_verdict in (GOOD, BYPASSED)
        self._rejects_in_row = 0 if passed else self._rejects_in_row + 1
        if 0 < self.cfg.max_rejects_in_row <= self._rejects_in_row:
            self.alarm = f"{self._rejects_in_row} rejects in a row"
        self.decided.append(result)

    def _verdict(self, place: _Place) -> int:
        if place.bypass:
            return BYPASSED
        if place.result.verdict == "good" or place.claim_good:
            return GOOD
        return NOT_INSPECTED if place.result.code in (0, Verdict.NOT_INSPECTED) else REJECT

    def _confirm(self, place: _Place, binned: int) -> None:
        """Row 29: the ejector is the PLC's own to watch."""
        went = (binned - place.binned) & 0xFFFF
        rejected = place.result.plc_verdict in (REJECT, NOT_INSPECTED)
        if rejected and not went:
            self.alarm = f"part {place.result.part_id} was rejected, but none fell into the bin: ejector stuck?"


def travelled(then: int, now: int) -> int:
    """Counts from `then` to `now`, also across the encoder's wrap."""
    return (now - then) & COUNTS
