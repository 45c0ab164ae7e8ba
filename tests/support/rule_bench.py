"""Handshake and FB_Inspect face to face, one step at a time, on the test's own clock: for directed counterexamples."""

from __future__ import annotations

from plc.handshake import Part, Record
from plc.images import Image
from plc.parts import HandshakeConfig
from plc.registers import CTRL, STAT, Reason, Verdict
from tests.support.rule_appliance import READY
from tests.support.rule_sim import RuleSet
from tests.support.rule_world import SCAN_S

TURN_READ_S = 0.002  # a request travels so long
JUDGED_IN_S = 0.03


class RuleBench:
    """PLC memory between a program and an appliance; nothing moves unless the test moves it.

    wrong: parts that went on as good though bad, or by a record of another picture.
    """

    def __init__(self, rules: RuleSet) -> None:
        self.rules, self.now = rules, 100.0
        self.stat, self.ctrl = [0] * STAT.size, [0] * CTRL.size
        self.fb = rules.fb(rules.fb_cfg)
        self.rows: set[int] = set()
        self.restart_appliance()
        self.parts: list[bool] = []  # truth of each part that came past: is it good?
        self.went_good: list[int] = []
        self.wrong: list[int] = []
        self.in_view = 0  # number of the part before the camera, 0: an empty belt, which looks good
        self._written: list[int] | None = None

    # -- the PLC -----------------------------------------------------------------------------------------------------

    def scan(self, part: bool | None = None) -> None:
        """One scan later. part: a new one reaches the sensor, good or bad."""
        self.now += SCAN_S
        if part is not None:
            self.parts.append(part)
            self.in_view = len(self.parts)
        self.fb.scan(self.stat, part is not None, self.now)
        self.ctrl = list(self.fb.ctrl)
        for accepted in self.fb.accepted:
            number = len(self.parts)
            self.went_good.append(number)
            if accepted.inspection_no != number or not self.parts[-1]:
                self.wrong.append(number)
        self.fb.accepted.clear()

    def restart_plc(self, *, clears: bool) -> None:
        """Its program starts anew; STAT and the heartbeat are retained unless it clears its memory."""
        self.fb = self.rules.fb(self.rules.fb_cfg, None if clears else self.ctrl)
        if clears:
            self.stat, self.ctrl = [0] * STAT.size, [0] * CTRL.size

    # -- the appliance -----------------------------------------------------------------------------------------------

    def restart_appliance(self) -> None:
        """Its process is new; rows and the PLC's memory stay."""
        self.hs = self.rules.handshake(HandshakeConfig(active_recipe=1), self.rows.__contains__)
        self.hs.health(READY, self.now)
        self._beat_s = 0.0

    def connect(self) -> None:
        self.hs.link_up(self.now, Image(STAT, self.stat)["TRIGGER_ID_ACK"])
        self._written = None

    def cut(self) -> None:
        self.hs.link_down(self.now)

    def poll(self, ctrl: list[int] | None = None, *, sent_s: float | None = None) -> None:
        """The reply to a request sent at `sent_s` arrives now."""
        sent_s = self.now - TURN_READ_S if sent_s is None else sent_s
        if self.now - self._beat_s >= 0.1:
            self.hs.beat(self.now)
            self._beat_s = self.now
        self.hs.sample(Image(CTRL, self.ctrl if ctrl is None else ctrl), sent_s, self.now)
        self.hs.tick(self.now)

    def write(self) -> None:
        if self.hs.simulator is not None:
            self.deliver(self.image())

    def image(self) -> list[int]:
        return list(self.hs.stat.words)

    def deliver(self, words: list[int]) -> None:
        """A write of ours arrives in the PLC's memory."""
        if self.rules.flags_first and self._written is not None:
            self.stat[0] = words[0]
            self.scan()
        old = self._written
        for i, word in enumerate(words):
            if not self.rules.differential or old is None or word != old[i]:
                self.stat[i] = word
        self._written = list(words)

    def take(self) -> Part | None:
        """The line takes the next part, accepted or refused."""
        if not self.hs.events:
            return None
        self.hs.line_free(False, self.now)
        part = self.hs.events.popleft()
        self.rows.add(part.trigger_id)
        return part

    def look(self, part: Part) -> Record:
        """Expose now, judge what is before the camera."""
        if part.refused is not None:
            return Record(int(Verdict.NOT_INSPECTED), part.refused)
        self.hs.exposed(part, self.now, self.now)
        looks_good = self.in_view == 0 or self.parts[self.in_view - 1]
        code, reason = (Verdict.PASS, Reason.NONE) if looks_good else (Verdict.FAIL, Reason.CLASS)
        return Record(int(code), reason, inspection_no=self.in_view, recipe_used=1)

    def publish(self, part: Part, record: Record, *, arrives: bool = True) -> list[int] | None:
        """As the client does. Returns the image with the flags up; with `arrives` it is in the PLC already."""
        flags = None
        loaded = self.hs.load(part, record, self.now)
        for _ in range(2):
            if loaded is None:
                break
            if not self.rules.flags_first:
                self.write()
            if self.hs.raise_flags(part, loaded, self.now):
                flags = self.image()
                break
            loaded = self.hs.load(part, loaded, self.now)
        if flags is None:
            self.hs.give_up(part, loaded or record, self.now)
        elif arrives:
            self.write()
        self.hs.line_free(True, self.now)
        return flags

    # -- both --------------------------------------------------------------------------------------------------------

    def turn(self, part: bool | None = None) -> None:
        """A scan, a poll, a write."""
        self.scan(part)
        self.poll()
        self.write()

    def wait(self, seconds: float) -> None:
        end = self.now + seconds
        while self.now < end:
            self.turn()

    def start(self) -> None:
        self.connect()
        self.wait(0.4)

    def serve(self) -> None:
        """Judge and publish what was accepted or refused, if anything was, and let the PLC take it."""
        while (part := self.take()) is not None:
            record = self.look(part)
            self.wait(JUDGED_IN_S)
            self.publish(part, record)
            self.wait(0.05)
        self.hs.line_free(True, self.now)

    def inspect(self, part: bool) -> None:
        """One part, without any fault."""
        self.turn(part)
        self.serve()
        self.in_view = 0
        self.wait(0.1)
