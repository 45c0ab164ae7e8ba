"""The rules of the contract, each left out by a subclass: what the simulation and the counterexamples are run without.

Only here and only in tests: the product has no option that switches a rule off.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace

from plc.handshake import Handshake, HandshakeConfig, Link
from plc.images import Image
from plc.registers import Control
from plc.triggers import Triggers
from plc.watch import PlcWatch
from tests.support.fb import AT, FAIL, PASS, VALID, FbInspect
from tests.support.rule_sim import RuleSet

# -- the appliance without ... ---------------------------------------------------------------------------------------


class Ageless(PlcWatch):
    """Every trigger is new."""

    def trigger_age_s(self, now_s: float) -> float:
        return 0.0


class Forgetful(Triggers):
    """No id was ever seen before."""

    last_id = property(lambda self: 0, lambda self, value: None)  # type: ignore[assignment]


class WithoutAge(Handshake):
    """Neither the age of the trigger nor that of the exposure counts (P7)."""

    def __init__(self, cfg: HandshakeConfig, known: Callable[[int], bool]) -> None:
        super().__init__(replace(cfg, max_exposure_delay_s=math.inf), known)
        self._session.watch = Ageless(cfg.heartbeat_timeout_s, cfg.max_trigger_age_s)


class WithoutBaseline(Handshake):
    """The first image is an event like any other: a standing trigger is inspected."""

    def _first_image(self, ctrl: Image, now_s: float) -> None:
        self._session.link = Link.LIVE
        if Control(ctrl["CONTROL"]) & Control.TRIGGER and ctrl["TRIGGER_ID"] and self._flight.idle:
            self._flight.accept(self._part(ctrl, now_s, None, has_row=False))
            self._triggers.last_id = ctrl["TRIGGER_ID"]


class WithoutAgeAndBaseline(WithoutBaseline, WithoutAge):
    pass


class WithoutDuplicates(Handshake):
    """The same id again is a trigger like any other."""

    def __init__(self, cfg: HandshakeConfig, known: Callable[[int], bool]) -> None:
        super().__init__(cfg, known)
        self._triggers = Forgetful()


class WithoutDuplicatesAndAge(WithoutDuplicates, WithoutAge):
    pass


# -- the PLC's program without ... -----------------------------------------------------------------------------------


class NoAckTimeout(FbInspect):
    def ack_is_late(self, t: float) -> bool:
        return False


class StuckId(FbInspect):
    """A program error: every part has the same id."""

    def next_id(self) -> int:
        return 17


class StuckIdNoAckTimeout(StuckId, NoAckTimeout):
    pass


class NoIdMatch(FbInspect):
    def is_mine(self, stat: Sequence[int]) -> bool:
        return True


class NoAckSeen(FbInspect):
    def ack_seen(self) -> bool:
        return True


class NoReadyBeforeTrigger(FbInspect):
    def may_trigger(self, stat: Sequence[int]) -> bool:
        return True


class NoIdMatchNorAckSeen(NoIdMatch, NoAckSeen):
    pass


class NoIdMatchNorAckSeenNorReady(NoIdMatchNorAckSeen, NoReadyBeforeTrigger):
    pass


class BitsOnly(NoIdMatchNorAckSeenNorReady, NoAckTimeout):
    """What one writes without a contract: VALID and PASS, nothing else."""

    def hb_ok(self, now_s: float) -> bool:
        return True

    def is_whole(self, stat: Sequence[int]) -> bool:
        return True

    def good(self, stat: Sequence[int]) -> bool:
        return stat[AT["STATUS"]] & (VALID | PASS | FAIL) == VALID | PASS


class NoDiscard(FbInspect):
    """A result that is not of the part at hand is not acknowledged."""

    def discards_leftovers(self, stat: Sequence[int]) -> bool:
        return False

    def discards_foreign(self) -> bool:
        return False

    def acknowledges(self, stat: Sequence[int]) -> bool:
        return self.is_mine(stat)


ALL_RULES = RuleSet()
STUCK_ID = RuleSet("all rules, stuck PLC id counter", fb=StuckId)
NO_AGE = RuleSet("without trigger age + T_ack", WithoutAge, NoAckTimeout)
NO_BASELINE = RuleSet("the same, also without baseline", WithoutAgeAndBaseline, NoAckTimeout)
NO_ID = RuleSet("without id match + ack seen + ready before trigger", fb=NoIdMatchNorAckSeenNorReady)
STUCK_ID_NO_RULES = RuleSet(
    "stuck id counter, without duplicate/age/T_ack rules", WithoutDuplicatesAndAge, StuckIdNoAckTimeout
)
FLAGS_FIRST = RuleSet("flags before data, no id match, no ack seen", fb=NoIdMatchNorAckSeen, flags_first=True)
NAIVE = RuleSet("naive bit-only handshake", WithoutAgeAndBaseline, BitsOnly)
NO_DISCARD = RuleSet("without discarding foreign results", fb=NoDiscard)
DIFFERENTIAL = RuleSet("differential instead of full-image writes", differential=True)  # its PLC clears its area

ABLATED = (NO_AGE, NO_BASELINE, NO_ID, STUCK_ID_NO_RULES, FLAGS_FIRST, NAIVE, NO_DISCARD, DIFFERENTIAL)
