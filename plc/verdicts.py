"""What the PLC did with each part (CTRL 16 and 17), held against what it was told."""

from __future__ import annotations

from plc.images import Image
from plc.registers import Verdict

TOLD_IDS = 1000  # newest verdicts that PLC_VERDICT is held against
NOT_YET = 0  # told of a part in flight: a PLC that takes it as good did not wait for us
GOOD = 1  # PLC_VERDICT: the part went on as good


class PlcVerdicts:
    """Anyone can check "no wrong accept" on a real line, and so do we."""

    def __init__(self) -> None:
        self._told: dict[int, tuple[int, int]] = {}  # trigger id -> part id, RESULT_CODE
        self._seen: tuple[int, int] | None = None  # of no image yet: the first one may be of a former life
        self._doubted: tuple[int, int] | None = None

    def accepted(self, trigger_id: int, part_id: int) -> None:
        """A new part of this id: what was told of an older one counts no more, and nothing was told of this one yet."""
        self._tell(trigger_id, part_id, NOT_YET)

    def told(self, trigger_id: int, part_id: int, code: int) -> None:
        before = self._told.get(trigger_id)
        if before is None or before[1] != Verdict.PASS:  # a repeated id does not take back what was told before
            self._tell(trigger_id, part_id, code)

    def recalled(self, trigger_id: int, part_id: int, code: int) -> None:
        """Of a former life; the newest of an id comes last."""
        self._tell(trigger_id, part_id, code)

    def _tell(self, trigger_id: int, part_id: int, code: int) -> None:
        self._told.pop(trigger_id, None)  # the newest go last
        self._told[trigger_id] = part_id, code
        while len(self._told) > TOLD_IDS:
            del self._told[next(iter(self._told))]

    def wrong(self, ctrl: Image) -> tuple[int, int] | None:
        """(trigger id, part id), once: the PLC has just taken this part as good, and we did not pass it.

        Two images have to say so: one alone may be torn, the id new and the verdict still that of the part before.
        An id that we never answered was not passed either; its part id is not known, 0.
        """
        seen = ctrl["PLC_VERDICT_ID"], ctrl["PLC_VERDICT"]
        if self._seen is None or seen == self._seen:
            self._seen = seen
            return None
        part_id, code = self._told.get(seen[0], (0, NOT_YET))
        wrong = seen[0] != 0 and seen[1] == GOOD and code != Verdict.PASS
        if wrong and seen != self._doubted:
            self._doubted = seen
            return None
        self._seen, self._doubted = seen, None
        return (seen[0], part_id) if wrong else None
