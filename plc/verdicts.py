"""What the PLC did with each part (CTRL 16 and 17), held against what it was told."""

from __future__ import annotations

from plc.images import Image
from plc.registers import Verdict

TOLD_IDS = 64  # newest verdicts that PLC_VERDICT is held against
GOOD = 1  # PLC_VERDICT: the part went on as good


class PlcVerdicts:
    """Anyone can check "no wrong accept" on a real line, and so do we."""

    def __init__(self) -> None:
        self._told: dict[int, int] = {}
        self._seen = (0, 0)

    def accepted(self, trigger_id: int) -> None:
        """A new part of this id: what was told of an older one counts no more."""
        self._told.pop(trigger_id, None)

    def told(self, trigger_id: int, code: int) -> None:
        if self._told.get(trigger_id) != Verdict.PASS:  # a repeated id does not take back what was told before
            self._told[trigger_id] = code
        while len(self._told) > TOLD_IDS:
            del self._told[next(iter(self._told))]

    def wrong(self, ctrl: Image) -> bool:
        """True, once: the PLC has just taken a part as good that we did not pass."""
        seen = ctrl["PLC_VERDICT_ID"], ctrl["PLC_VERDICT"]
        if seen == self._seen:
            return False
        self._seen = seen
        return seen[1] == GOOD and self._told.get(seen[0], Verdict.PASS) != Verdict.PASS
