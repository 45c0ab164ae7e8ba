"""FB_Inspect of section 7 of the contract, as a fast Python twin for the rule simulation.

The shipped ST text is run by its own tests; this one is small enough to scan some million times, and each of its rules
is a method, so that a test can leave one out by a subclass. Scan order: read STAT, logic, write CTRL.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import xor

from plc.images import Image
from plc.registers import CTRL, RECORD, SIGNATURE, SIMULATOR_SIGNATURE, STAT, Control, Verdict

READY, ACK, VALID, PASS, FAIL, ERROR, ONLINE = 1 << 0, 1 << 1, 1 << 7, 1 << 8, 1 << 9, 1 << 14, 1 << 15
AT = {register.name: register.offset for register in STAT.registers}
CONTROL, TRIGGER_ID, TRIGGER_ID_INV, PLC_HEARTBEAT, HB_ECHO = (
    CTRL[name].offset for name in ("CONTROL", "TRIGGER_ID", "TRIGGER_ID_INV", "PLC_HEARTBEAT", "HB_ECHO")
)
PLC_VERDICT_ID, PLC_VERDICT = CTRL["PLC_VERDICT_ID"].offset, CTRL["PLC_VERDICT"].offset
IDLE, WAIT, RELEASE = 0, 1, 2  # the CASE's st
HEARTBEAT_S = 0.05


@dataclass(frozen=True, slots=True)
class FbConfig:
    number: int = 1
    ack_timeout_s: float = 0.1  # T_ack
    result_timeout_s: float = 0.3  # T_result
    heartbeat_timeout_s: float = 0.5  # T_hb
    recipe_expected: int = 0


@dataclass(frozen=True, slots=True)
class Accepted:
    """Track[id] := GOOD, and which inspection the record in STAT was of: the evidence of a wrong accept."""

    trigger_id: int
    inspection_no: int


class FbInspect:
    """One scan at a time: `scan(stat, new_part, now_s)`; outputs in `ctrl`. track: id -> went on as good."""

    def __init__(self, cfg: FbConfig, ctrl: Sequence[int] | None = None) -> None:
        """`ctrl`: what stood in CTRL as the PLC started; a retained heartbeat goes on from there."""
        self.cfg = cfg
        self.ctrl = [0] * CTRL.size
        if ctrl is not None:
            self.ctrl[PLC_HEARTBEAT] = ctrl[PLC_HEARTBEAT]
        self.ctrl[CTRL["SIGNATURE"].offset] = SIMULATOR_SIGNATURE + cfg.number
        self.ctrl[CTRL["RECIPE_EXPECTED"].offset] = cfg.recipe_expected
        self.ctrl[CONTROL] = int(Control.TRIGGER_ENABLE)
        self.track: dict[int, bool] = {}
        self.accepted: list[Accepted] = []
        self.id, self.st = 0, IDLE
        self.acked = self.late_ack = False
        self._t0_s = 0.0
        self._hb, self._hb_s, self._hb_changes = -1, float("-inf"), 0
        self._beat_s = float("-inf")

    @property
    def image(self) -> Image:
        return Image(CTRL, self.ctrl)

    def scan(self, stat: Sequence[int], new_part: bool, now_s: float) -> None:
        self._heartbeats(stat, now_s)
        hb_ok = self.hb_ok(now_s)
        if new_part:
            self.id = self.next_id()
            self.track[self.id] = False
        if self.st == IDLE:
            self._idle(stat, new_part, hb_ok, now_s)
        elif self.st == WAIT:
            self._wait(stat, new_part, hb_ok, now_s - self._t0_s)
        else:
            self._release(stat)

    # -- the CASE ----------------------------------------------------------------------------------------------------

    def _idle(self, stat: Sequence[int], new_part: bool, hb_ok: bool, now_s: float) -> None:
        self.set(Control.RESULTS_ACK, self.discards_leftovers(stat))
        if new_part and hb_ok and self.may_trigger(stat):
            self.ctrl[TRIGGER_ID], self.ctrl[TRIGGER_ID_INV] = self.id, self.id ^ 0xFFFF
            self.set(Control.TRIGGER, True)
            self.acked = self.late_ack = False
            self._t0_s, self.st = now_s, WAIT

    def _wait(self, stat: Sequence[int], new_part: bool, hb_ok: bool, t: float) -> None:
        status = stat[AT["STATUS"]]
        if status & ACK and stat[AT["TRIGGER_ID_ACK"]] == self.id:
            if not self.acked:
                self.late_ack = self.ack_is_late(t)
            self.acked = True
            self.set(Control.TRIGGER, False)
        valid = bool(status & VALID)
        if self.ack_seen() and valid and self.is_mine(stat) and self.is_whole(stat):
            if self.good(stat) and hb_ok and not self.late_ack:
                self.track[self.id] = True
                self.accepted.append(Accepted(self.id, stat[AT["INSPECTION_NO"]] << 16 | stat[AT["INSPECTION_NO"] + 1]))
            self.set(Control.RESULTS_ACK, True)
            self.st = RELEASE
        elif valid and not self.is_mine(stat):
            self.set(Control.RESULTS_ACK, self.discards_foreign())
        elif not valid:
            self.set(Control.RESULTS_ACK, False)
        if new_part or t > self.cfg.result_timeout_s or not hb_ok:
            self.set(Control.TRIGGER, False)
            self.st = RELEASE
        if self.st == RELEASE:
            self.ctrl[PLC_VERDICT_ID] = self.ctrl[TRIGGER_ID]
            self.ctrl[PLC_VERDICT] = 1 if self.track.get(self.ctrl[TRIGGER_ID]) else 2

    def _release(self, stat: Sequence[int]) -> None:
        status = stat[AT["STATUS"]]
        if status & VALID:
            self.set(Control.RESULTS_ACK, self.acknowledges(stat))
            return
        self.set(Control.RESULTS_ACK, False)
        if not status & ACK:
            self.st = IDLE

    # -- its rules, each of which a subclass may leave out -----------------------------------------------------------

    def next_id(self) -> int:
        return self.id % 0xFFFF + 1

    def hb_ok(self, now_s: float) -> bool:
        return self._hb_changes >= 2 and now_s - self._hb_s < self.cfg.heartbeat_timeout_s

    def may_trigger(self, stat: Sequence[int]) -> bool:
        return stat[AT["STATUS"]] & (READY | VALID) == READY

    def ack_is_late(self, t: float) -> bool:
        return t > self.cfg.ack_timeout_s

    def ack_seen(self) -> bool:
        return self.acked

    def is_mine(self, stat: Sequence[int]) -> bool:
        return stat[AT["RES_TRIGGER_ID"]] == self.id

    def is_whole(self, stat: Sequence[int]) -> bool:
        return stat[AT["RES_SEQ"]] == stat[AT["RES_SEQ_TAIL"]]

    def discards_leftovers(self, stat: Sequence[int]) -> bool:
        return bool(stat[AT["STATUS"]] & VALID)

    def discards_foreign(self) -> bool:
        return True

    def acknowledges(self, stat: Sequence[int]) -> bool:
        return True

    def good(self, stat: Sequence[int]) -> bool:
        """All of P2 but the timers."""
        expected = self.cfg.recipe_expected
        return (
            stat[AT["STATUS"]] & (VALID | PASS | FAIL | ERROR | ONLINE) == VALID | PASS | ONLINE
            and stat[AT["RESULT_CODE"]] == Verdict.PASS
            and self.is_mine(stat)
            and self.is_whole(stat)
            and stat[AT["RES_XOR"]] == reduce(xor, (stat[i] for i in RECORD))
            and expected in (0, stat[AT["RECIPE_USED"]])
            and stat[AT["RESULT_FLAGS"]] & 3 == 0
            and stat[AT["STAT_SIGNATURE"]] == SIGNATURE + self.cfg.number
        )

    # -- the frame around it -----------------------------------------------------------------------------------------

    def _heartbeats(self, stat: Sequence[int], now_s: float) -> None:
        heartbeat = stat[AT["HEARTBEAT"]]
        if heartbeat != self._hb:
            self._hb_changes += self._hb >= 0  # the first look is no change
            self._hb, self._hb_s = heartbeat, now_s
        self.ctrl[HB_ECHO] = heartbeat
        if now_s - self._beat_s >= HEARTBEAT_S:
            self._beat_s = now_s
            self.ctrl[PLC_HEARTBEAT] = (self.ctrl[PLC_HEARTBEAT] + 1) & 0xFFFF

    def set(self, bit: Control, on: bool) -> None:
        self.ctrl[CONTROL] = self.ctrl[CONTROL] | int(bit) if on else self.ctrl[CONTROL] & ~int(bit)
