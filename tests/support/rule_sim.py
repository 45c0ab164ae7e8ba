"""The rules of the contract under random faults: the product's handshake on one side, FB_Inspect on the other.

Discrete events, client direction. Faults: links cut with old writes delivered late, even in the next session; slow and
torn exchanges; a paused and a killed appliance; a PLC that restarts, with retained or cleared memory, ids from 1 again.
The worst model there is judges: an empty belt looks good to it. A wrong accept is a part that went on as good though it
is bad, or though the record was of a picture of another part or of none.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

from plc.handshake import Handshake
from tests.support.fb import FbConfig, FbInspect
from tests.support.rule_appliance import Appliance
from tests.support.rule_world import Belt, Net, Plc

_FB = FbConfig()


@dataclass(frozen=True, slots=True)
class RuleSet:
    """What is simulated: the product and the contract's program, or one of them with a rule left out."""

    name: str = "all rules"
    handshake: type[Handshake] = Handshake
    fb: type[FbInspect] = FbInspect
    fb_cfg: FbConfig = _FB
    flags_first: bool = False  # STATUS goes out before its record
    differential: bool = False  # only registers that differ from what was written last


@dataclass(slots=True)
class Tally:
    parts: int = 0
    good: int = 0
    accepted: int = 0
    wrong: list[str] = field(default_factory=list)
    alarms: int = 0  # the appliance believed, by PLC_VERDICT, that the PLC took a part wrongly
    faults: dict[str, int] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.parts, self.good = self.parts + other.parts, self.good + other.good
        self.accepted, self.wrong = self.accepted + other.accepted, self.wrong + other.wrong
        self.alarms += other.alarms
        for kind, n in other.faults.items():
            self.faults[kind] = self.faults.get(kind, 0) + n

    @property
    def share(self) -> float:
        return self.accepted / self.parts


class RuleSim:
    """One line, one seed. zeroes: the PLC clears its memory as it stops; else it holds what it last had."""

    def __init__(self, seed: int, rules: RuleSet, *, zeroes: bool = False) -> None:
        self.rng, self.rules, self.zeroes = random.Random(seed), rules, zeroes
        self.now, self._events, self._order = 0.0, [], count()  # type: ignore[var-annotated]
        self.tally = Tally()
        self.line, self.net, self.plc = Belt(self), Net(self), Plc(self)
        self.box = Appliance(self)

    def at(self, when_s: float, what: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when_s, next(self._order), what))

    def run(self, parts: int) -> Tally:
        for process in (self.line, self.plc, self.net, self.box):
            process.start()
        while self.tally.parts < parts:
            self.now, _, what = heapq.heappop(self._events)
            what()
        self.box.end()
        return self.tally

    def often(self, every_s: float, what: Callable[[], None], name: str) -> None:
        """Do it again and again, at random times."""

        def once() -> None:
            self.tally.faults[name] = self.tally.faults.get(name, 0) + 1
            what()
            self.at(self.now + self.rng.expovariate(1 / every_s), once)

        self.at(self.now + self.rng.expovariate(1 / every_s), once)


def simulate(rules: RuleSet, seeds: range, parts_each: int) -> Tally:
    """Half of the seeds with a PLC that holds and retains, half with one that zeroes and clears."""
    total = Tally()
    for seed in seeds:
        total.add(RuleSim(seed, rules, zeroes=bool(seed % 2)).run(parts_each))
    return total
