"""Which counting periods a station's rows fall into, and how many parts its PLC has counted meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import time

from inspector.core.shifts import shift_at
from inspector.store.counts import Begin, Scope, Tallies
from plc.part_count import PartCount

ACTOR = "inspector"
NO_SHIFT = (0, 0)


class Counting:
    """On the event loop only. A row costs two comparisons, and more only where a shift or a lot begins with it.

    shifts: local times at which one begins; none: there are no shifts. tallies: of the periods that the former life was
    in. plc: its count of parts; one that never counts stands at 0.
    """

    def __init__(self, station: str, shifts: Sequence[time], tallies: Tallies) -> None:
        self._station, self._shifts = station, tuple(shifts)
        self._keys = {scope: counts.key for scope, counts in tallies.items()}
        self._shift_ms = NO_SHIFT  # begin and end of the one that runs
        self._grown: dict[tuple[Scope, str], int] = {}  # since the ledger was told
        self.plc = PartCount()
        self._seen = 0  # of plc.grown
        reset = tallies.get(Scope.RESET)
        self._triggers = reset.triggers if reset is not None else 0  # rows since the last reset
        self._plc_parts = reset.plc_parts if reset is not None else 0

    def row(self, no: int, utc_ms: int, lot: str = "") -> Sequence[Begin]:
        """One more row. lot: "" where the PLC did not say: then it is of the lot that runs. Returns what begins."""
        same_lot = not lot or lot == self._keys.get(Scope.LOT)
        if same_lot and Scope.RESET in self._keys and self._in_shift(utc_ms):
            self._triggers += 1
            return ()
        before = dict(self._keys)
        begins = self.turn(no, utc_ms)
        if not same_lot:
            begins.append(self._begin(Scope.LOT, lot, no, utc_ms, "first part of the lot"))
        self._move(before, begins)
        self._triggers += 1
        return begins

    def turn(self, next_no: int, utc_ms: int) -> list[Begin]:
        """What begins by the time alone: the first period at all, a shift."""
        begins = []
        if Scope.RESET not in self._keys:
            begins.append(self._begin(Scope.RESET, "1", next_no, utc_ms, "first start"))
        if not self._in_shift(utc_ms):
            try:
                self._shift_ms = shift_at(utc_ms, self._shifts)
            except ValueError:
                return begins  # the clock shows no date: the shift goes on until it does
            key = str(self._shift_ms[0])
            if key != self._keys.get(Scope.SHIFT):
                begins.append(self._begin(Scope.SHIFT, key, next_no, self._shift_ms[0], "begin of a shift"))
        return begins

    def reset(self, next_no: int, utc_ms: int, actor: str, why: str) -> tuple[Begin, Callable[[], None]]:
        """A reset, and what takes it back where it did not get onto the disk."""
        self.look()
        former, triggers, plc_parts = self._keys.get(Scope.RESET, "0"), self._triggers, self._plc_parts
        key = self._keys[Scope.RESET] = str(int(former) + 1)
        self._triggers = self._plc_parts = 0

        def undo() -> None:
            self.look()
            self._keys[Scope.RESET] = former
            self._triggers += triggers
            self._plc_parts += plc_parts
            self._grown[Scope.RESET, former] = self._grown.get((Scope.RESET, former), 0) + self._grown.pop(
                (Scope.RESET, key), 0
            )

        return Begin(self._station, Scope.RESET, key, next_no, utc_ms, actor, why), undo

    def look(self) -> None:
        """Count what the PLC has counted since, for the periods that run."""
        grown = self.plc.grown - self._seen
        if grown:
            self._seen += grown
            self._add(self._keys, grown)

    def take_growth(self) -> Mapping[tuple[Scope, str], int]:
        """Parts by period since the last call."""
        self.look()
        grown, self._grown = self._grown, {}
        return grown

    def waiting(self) -> Mapping[tuple[Scope, str], int]:
        """Parts by period that `take_growth` has not given out yet."""
        self.look()
        return self._grown

    @property
    def plc_counts(self) -> bool:
        """The PLC's program keeps PLC_PART_COUNT at all."""
        return bool(self.plc.raw) or bool(self._plc_parts)

    def difference(self) -> int:
        """Parts that the PLC counted and that have no row, since the last reset; exact while no part is under way."""
        self.look()
        return self._plc_parts - self._triggers if self.plc_counts else 0

    # -- helpers -------------------------------------------------------------------------------------------------------

    def _in_shift(self, utc_ms: int) -> bool:
        return not self._shifts or self._shift_ms[0] <= utc_ms < self._shift_ms[1]

    def _begin(self, scope: Scope, key: str, no: int, utc_ms: int, why: str) -> Begin:
        self.look()
        self._keys[scope] = key
        return Begin(self._station, scope, key, no, utc_ms, ACTOR, why)

    def _move(self, before: Mapping[Scope, str], begins: Sequence[Begin]) -> None:
        """The PLC counted the part of this row just before its trigger: it belongs to what begins with it."""
        if not self.plc_counts:
            return
        left = {begin.scope: before[begin.scope] for begin in begins if begin.scope in before}
        self._add(left, -1)
        self._add({begin.scope: begin.key for begin in begins}, 1)

    def _add(self, keys: Mapping[Scope, str], parts: int) -> None:
        for which in keys.items():
            self._grown[which] = self._grown.get(which, 0) + parts
        if Scope.RESET in keys:
            self._plc_parts += parts
