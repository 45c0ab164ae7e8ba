"""The world of the rule simulation: a belt with parts, a network that fails, a PLC's memory and its program."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from plc.registers import CTRL, STAT

if TYPE_CHECKING:
    from tests.support.rule_sim import RuleSim

GOOD_SHARE = 0.9
SCAN_S = 0.01
PERIOD_S, CLOSE_S, CLOSE_SHARE = (0.26, 0.42), 0.13, 0.005  # from part to part; some follow too close
IN_VIEW_S = 0.115  # a part is before the camera: a scan, the age of a trigger, and a late exposure, 50 ms each
CUT_EVERY_S, PLC_RESTART_EVERY_S = 60.0, 150.0  # mean
CUT_WRITE_SHARE = 0.0015  # of the writes strike a link that is just being cut
LATE_S = 0.8  # an old write comes so late at most, after its link is back


class Belt:
    """Parts that come past the camera: truth, and who is in view."""

    def __init__(self, sim: RuleSim) -> None:
        self.sim = sim
        self.arrived_s, self.is_good = -1.0, True

    def start(self) -> None:
        self.sim.at(3.0, self._arrive)

    def _arrive(self) -> None:
        sim = self.sim
        self.arrived_s, self.is_good = sim.now, sim.rng.random() < GOOD_SHARE
        sim.tally.parts += 1
        sim.tally.good += self.is_good
        sim.plc.sensor = True
        close = sim.rng.random() < CLOSE_SHARE
        sim.at(sim.now + (CLOSE_S if close else sim.rng.uniform(*PERIOD_S)), self._arrive)

    def look(self) -> tuple[int, bool]:
        """Number of the part in view (0: none), and whether it looks good."""
        if self.sim.now - self.arrived_s <= IN_VIEW_S:
            return self.sim.tally.parts, self.is_good
        return 0, True


class Net:
    """One request at a time on a connection; what a cut link swallowed may still arrive later."""

    def __init__(self, sim: RuleSim) -> None:
        self.sim = sim
        self.cuts, self.cut_until_s = 0, 0.0

    def start(self) -> None:
        self.sim.often(CUT_EVERY_S, self._cut, "link cut")

    def _cut(self) -> None:
        rng = self.sim.rng
        self.cuts += 1
        self.cut_until_s = self.sim.now + rng.choice((rng.uniform(0.005, 0.05), rng.uniform(0.05, 0.6), 1.5))

    def send(self, serve: Callable[[], object], reply: Callable[[object], None], *, write: bool) -> None:
        sim, cuts = self.sim, self.cuts
        if write and sim.rng.random() < CUT_WRITE_SHARE:
            self._cut()

        def arrive() -> None:
            if self._dead(cuts):
                if write and sim.rng.random() < 0.7:
                    sim.tally.faults["late write"] = sim.tally.faults.get("late write", 0) + 1
                    sim.at(max(sim.now, self.cut_until_s) + sim.rng.uniform(0, LATE_S), lambda: (serve(), None)[1])
                return
            answer = serve()
            sim.at(sim.now + self._travel_s(), lambda: None if self._dead(cuts) else reply(answer))

        sim.at(sim.now + self._travel_s(), arrive)

    def _dead(self, cuts: int) -> bool:
        return cuts != self.cuts or self.sim.now < self.cut_until_s

    def _travel_s(self) -> float:
        rng = self.sim.rng
        return rng.uniform(0.02, 0.2) if rng.random() < 0.0002 else rng.uniform(0.0003, 0.0015)


class Plc:
    """Memory, served at any time, and a program that scans it."""

    def __init__(self, sim: RuleSim) -> None:
        self.sim = sim
        self.stat, self.ctrl = [0] * STAT.size, [0] * CTRL.size
        self.before, self.unread = self.ctrl, False
        self.fb = sim.rules.fb(sim.rules.fb_cfg)
        self.sensor, self.stopped_until_s, self.part, self.part_is_good = False, 0.0, 0, True

    def start(self) -> None:
        self.sim.at(0.0, self._scan)
        self.sim.often(PLC_RESTART_EVERY_S, self._stop, "PLC restart")

    def _stop(self) -> None:
        sim = self.sim
        self.stopped_until_s = sim.now + sim.rng.choice((0.1, 0.3, 0.7, 2.0)) * sim.rng.uniform(0.8, 1.2)
        if self.zeroes_now():
            self.stat, self.ctrl = [0] * STAT.size, [0] * CTRL.size
        retained = None if self.sim.zeroes or sim.rng.random() < 0.5 else self.ctrl
        self.fb = sim.rules.fb(sim.rules.fb_cfg, retained)

    def zeroes_now(self) -> bool:
        return self.sim.zeroes

    def _scan(self) -> None:
        sim, fb = self.sim, self.fb
        if sim.now >= self.stopped_until_s:
            if self.sensor:
                self.part, self.part_is_good = sim.tally.parts, sim.line.is_good
            fb.scan(self.stat, self.sensor, sim.now)
            self.before, self.ctrl, self.unread = self.ctrl, list(fb.ctrl), True
            for accepted in fb.accepted:
                self._judge(accepted.inspection_no)
            fb.accepted.clear()
        self.sensor = False
        sim.at(sim.now + SCAN_S * sim.rng.uniform(0.9, 1.1), self._scan)

    def _judge(self, inspection_no: int) -> None:
        tally = self.sim.tally
        tally.accepted += 1
        if inspection_no != self.part or not self.part_is_good:
            truth = "good" if self.part_is_good else "bad"
            tally.wrong.append(f"at {self.sim.now:.3f} s part {self.part} ({truth}) went on by picture {inspection_no}")

    # -- what the communication processor does, also while the program stands ----------------------------------------

    def read_ctrl(self) -> list[int]:
        unread, self.unread = self.unread, False
        if unread and self.sim.rng.random() < 0.02:  # torn: this scan wrote while we read
            k = self.sim.rng.randrange(CTRL.size)
            return self.ctrl[:k] + self.before[k:]
        return list(self.ctrl)

    def read_stat(self) -> list[int]:
        return list(self.stat)

    def write_stat(self, changes: dict[int, int] | list[int]) -> None:
        if isinstance(changes, dict):
            for i, word in changes.items():
                self.stat[i] = word
        elif self.sim.rng.random() < 0.01:  # torn: a scan sees the half of it
            k = self.sim.rng.randrange(STAT.size)
            self.stat[:k] = changes[:k]
            self.sim.at(self.sim.now + SCAN_S, partial(self._rest, k, changes, list(self.stat)))
        else:
            self.stat = list(changes)

    def _rest(self, k: int, words: list[int], seen: list[int]) -> None:
        if self.stat == seen:  # nothing newer was written since
            self.stat[k:] = words[k:]
