"""What the PLC did with each part (CTRL 16 and 17), held against what it was told."""

from __future__ import annotations

from dataclasses import dataclass, replace

from plc.images import Image
from plc.reactions import Reported
from plc.registers import Verdict

TOLD_IDS = 1000  # newest verdicts that PLC_VERDICT is held against
NOT_YET = 0  # told of a part in flight: a PLC that takes it as good did not wait for us
GOOD = 1  # PLC_VERDICT: the part went on as good


@dataclass(frozen=True, slots=True)
class _Told:
    """Of one trigger id. inspection_no: of its row, 0: not known (yet). told_s: start of the publishing write."""

    part_id: int
    code: int
    inspection_no: int = 0
    told_s: float | None = None
    early: tuple[int, float] | None = None  # PLC_VERDICT, and when, where it came before anything was told


_UNKNOWN = _Told(0, NOT_YET)


class PlcVerdicts:
    """Anyone can check "no wrong accept" on a real line, and so do we."""

    def __init__(self) -> None:
        self._told: dict[int, _Told] = {}  # by trigger id
        self._seen: tuple[int, int] | None = None  # of no image yet: the first one may be of a former life
        self._doubted: tuple[int, int] | None = None
        self._reported: tuple[int, int] | None = None  # as _seen, of what goes on record
        self._new: tuple[tuple[int, int], float] | None = None  # one image showed it, at this time

    def accepted(self, trigger_id: int, part_id: int) -> None:
        """A new part of this id: what was told of an older one counts no more, and nothing was told of this one yet."""
        self._tell(trigger_id, _Told(part_id, NOT_YET))

    def told(
        self, trigger_id: int, part_id: int, code: int, inspection_no: int = 0, told_s: float | None = None
    ) -> Reported | None:
        """told_s: None: nothing was written for it. Returns what the PLC had said of the part before it was told."""
        before = self._told.get(trigger_id)
        if before is not None and before.code == Verdict.PASS:
            return None  # a repeated id does not take back what was told before
        now = _Told(part_id, code, inspection_no, told_s)
        self._tell(trigger_id, now)
        return None if before is None or before.early is None else _report(now, *before.early)

    def recalled(self, trigger_id: int, part_id: int, code: int, inspection_no: int = 0) -> None:
        """Of a former life; the newest of an id comes last."""
        self._tell(trigger_id, _Told(part_id, code, inspection_no))

    def _tell(self, trigger_id: int, told: _Told) -> None:
        self._told.pop(trigger_id, None)  # the newest go last
        self._told[trigger_id] = told
        while len(self._told) > TOLD_IDS:
            del self._told[next(iter(self._told))]

    def reported(self, ctrl: Image, now_s: float) -> Reported | None:
        """What the PLC newly says it did with a part, whatever that is: for the part's row.

        Two images in a row have to say so, as below. A part that is not told yet is reported once it is.
        """
        pair = ctrl["PLC_VERDICT_ID"], ctrl["PLC_VERDICT"]
        if pair == self._reported or self._reported is None:
            self._reported, self._new = pair, None
            return None
        if self._new is None or self._new[0] != pair:
            self._new = pair, now_s
            return None
        (id_, verdict), seen_s = self._new
        self._reported, self._new = pair, None
        told = self._told.get(id_)
        if told is None or id_ == 0 or verdict == 0:
            return None
        if told.code == NOT_YET:
            self._told[id_] = replace(told, early=(verdict, seen_s))
            return None
        return _report(told, verdict, seen_s)

    def wrong(self, ctrl: Image) -> tuple[int, int] | None:
        """(trigger id, part id), once: the PLC has just taken this part as good, and we did not pass it.

        Two images have to say so: one alone may be torn, the id new and the verdict still that of the part before.
        An id that we never answered was not passed either; its part id is not known, 0.
        """
        seen = ctrl["PLC_VERDICT_ID"], ctrl["PLC_VERDICT"]
        if self._seen is None or seen == self._seen:
            self._seen = seen
            return None
        told = self._told.get(seen[0], _UNKNOWN)
        wrong = seen[0] != 0 and seen[1] == GOOD and told.code != Verdict.PASS
        if wrong and seen != self._doubted:
            self._doubted = seen
            return None
        self._seen, self._doubted = seen, None
        return (seen[0], told.part_id) if wrong else None


def _report(told: _Told, verdict: int, seen_s: float) -> Reported | None:
    """None: it is not known which row it is of."""
    if not told.inspection_no:
        return None
    return Reported(told.inspection_no, verdict, seen_s, None if told.told_s is None else seen_s - told.told_s)
