"""The program of the simulated PLC: one scan reads a STAT image and the sensors and leaves CTRL and IDENT. No I/O.

The same program runs over a memory that the appliance polls and over a connection to an appliance that serves.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace

from plc.images import Image
from plc.registers import CTRL, IDENT, SIGNATURE, SIMULATOR_SIGNATURE, Control, Status
from plc.sim.changeover import ChangedOver, ChangeOver
from plc.sim.inspect import FbInspect, Step, set_bit
from plc.sim.parts import Habits, NewPart, SimConfig, SimResult, TrackConfig
from plc.sim.track import Track


@dataclass(frozen=True, slots=True)
class Inputs:
    """The sensors in one scan. part: what covers the camera's sensor (a level; its edge is a new part)."""

    part: NewPart | None = None
    encoder: int = 0
    binned: int = 0  # parts that fell past the reject-confirm sensor, modulo 65536


class PlcProgram:
    """FB_Inspect, FB_Track, heartbeat and change-over of one station.

    ctrl, ident: what the appliance reads. results: parts whose fate is decided, in that order; the caller takes them.
    """

    def __init__(self, cfg: SimConfig, habits: Habits | None = None) -> None:
        self.cfg, self.habits = cfg, habits or Habits()
        self.ctrl = Image(CTRL, word_order=cfg.word_order)
        self.ident = Image(IDENT, word_order=cfg.word_order)
        self.signature = (SIMULATOR_SIGNATURE if cfg.simulator else SIGNATURE) + cfg.number
        self.ctrl["SIGNATURE"] = self.signature
        self.ctrl["CONTROL"] = Control.TRIGGER_ENABLE
        self.ctrl["RECIPE_EXPECTED"] = cfg.recipe
        self.ctrl["PLC_SESSION"] = random.randint(1, 0xFFFF) if cfg.sessions else 0
        self.inspect = FbInspect(cfg, self.ctrl, self.habits)
        track = cfg.track or TrackConfig()
        self.track = Track(track, self.ctrl, self.habits, claims_good=cfg.claims_good)
        self.changed_over: list[ChangedOver] = []
        self.results: list[SimResult] = []
        self._change: ChangeOver | None = None
        self._hb_seen, self._hb_at, self._hb_changes = 0, -math.inf, 0
        self._beat_at = -math.inf
        self._part_seen = self._bounced = False
        self._command_id = 0
        self._habits_before, self._recipe_kept = Habits(), cfg.recipe

    # -- one scan ------------------------------------------------------------------------------------------------------

    def scan(self, stat: Image, inputs: Inputs, now_s: float) -> None:
        """Read STAT, logic, write CTRL: in that order."""
        self._heartbeats(stat, now_s)
        self._take_habits()
        if self._change is not None:
            outcome = self._change.scan(stat, now_s)
            if outcome is not None:
                self.changed_over.append(outcome)
                self._change = None
        new = self._new_part(inputs.part)
        if new is not None:
            self._identify(new)
        result = self.inspect.scan(stat, new, inputs.encoder, self.heartbeat_ok(now_s), now_s)
        if self.cfg.track is None:
            self._decide_here()
        else:
            if result is not None:
                self.track.put(result)
            self.inspect.done.clear()
            self.track.scan(inputs.encoder, inputs.binned)
        self.results += self.track.decided
        self.track.decided.clear()

    def change_over(self, recipe: int, stat: Image, now_s: float) -> None:
        """Begin a change-over; its outcome comes in `changed_over`. Raises RuntimeError: one is running."""
        if self._change is not None:
            raise RuntimeError(f"recipe {self._change.recipe} is being changed to")
        # an id that neither we nor the PLC before us used last: a repeated one would not be executed
        self._command_id = max(self._command_id, stat["COMMAND_ID_ACK"]) % 0xFFFF + 1
        self._change = ChangeOver(recipe, self._command_id, self.ctrl, now_s)

    @property
    def changing(self) -> bool:
        return self._change is not None

    @property
    def busy(self) -> bool:
        """A part is between its trigger and the release of its result."""
        return self.inspect.step is not Step.IDLE

    @property
    def enabled(self) -> bool:
        return bool(Control(self.ctrl["CONTROL"]) & Control.TRIGGER_ENABLE)

    def ready(self, stat: Image, now_s: float) -> bool:
        """Would a part be triggered now?"""
        status = Status(stat["STATUS"])
        free = status & Status.TRIGGER_READY and not status & Status.RESULTS_VALID
        return bool(free) and self.heartbeat_ok(now_s) and not self.busy

    def heartbeat_ok(self, now_s: float) -> bool:
        """The appliance's heartbeat moved twice, and of late."""
        return self._hb_changes >= 2 and now_s - self._hb_at < self.cfg.heartbeat_timeout_s

    @property
    def next_id(self) -> int:
        return self.inspect.next_id

    @next_id.setter
    def next_id(self, value: int) -> None:
        self.inspect.next_id = value

    def abandon(self) -> list[SimResult]:
        """The program ends here (a restart): parts that were not decided yet are rejected by nobody's order."""
        left = self.track.abandon()
        current = self.inspect.current
        if current is not None and current not in left:
            left.append(current)
        return left

    # -- in detail -----------------------------------------------------------------------------------------------------

    def _heartbeats(self, stat: Image, now_s: float) -> None:
        heartbeat = stat["HEARTBEAT"]
        if heartbeat != self._hb_seen:
            self._hb_seen, self._hb_at = heartbeat, now_s
            self._hb_changes += 1
        self.ctrl["HB_ECHO"] = heartbeat
        if now_s - self._beat_at >= self.cfg.heartbeat_s:
            self._beat_at = now_s
            self.ctrl["PLC_HEARTBEAT"] = self.ctrl["PLC_HEARTBEAT"] + 1

    def _take_habits(self) -> None:
        """Bits that a fault script holds. What no script touched is left to whoever sets it by hand."""
        now, before, ctrl = self.habits, self._habits_before, self.ctrl
        if now == before:
            return
        if now.hide_signature != before.hide_signature:
            ctrl["SIGNATURE"] = 0 if now.hide_signature else self.signature
        if now.disable != before.disable:
            set_bit(ctrl, Control.TRIGGER_ENABLE, not now.disable)
        if now.set_offline != before.set_offline:
            set_bit(ctrl, Control.SET_OFFLINE, now.set_offline)
        if now.clear_error != before.clear_error:
            set_bit(ctrl, Control.CLEAR_ERROR, now.clear_error)
        if now.expect_recipe != before.expect_recipe:
            if before.expect_recipe is None:
                self._recipe_kept = ctrl["RECIPE_EXPECTED"]
            ctrl["RECIPE_EXPECTED"] = self._recipe_kept if now.expect_recipe is None else now.expect_recipe
        self._habits_before = replace(now)

    def _new_part(self, part: NewPart | None) -> NewPart | None:
        """R_TRIG: a part that dwells is one part."""
        seen = part is not None and not (self.habits.bounce and self._part_seen and not self._bounced)
        edge = seen and not self._part_seen
        self._bounced = (self._bounced or not seen) and part is not None
        self._part_seen = seen
        return part if edge else None

    def _identify(self, new: NewPart) -> None:
        """IDENT before TRIGGER; only the block in IDLE may change it, the part in flight still needs its own."""
        lot = new.lot or self.cfg.lot
        serial = new.serial or (f"{lot}-{new.part_id:06d}" if lot else "")
        if self.busy or not (lot or serial):
            return
        ident = self.ident
        ident["IDENT_ID"] = ident["IDENT_ID_TAIL"] = self.inspect.next_id
        ident.set_text("LOT", lot)
        ident.set_text("SERIAL", serial)

    def _decide_here(self) -> None:
        for result in self.inspect.done:
            self.track.decide_now(result)
        self.inspect.done.clear()
