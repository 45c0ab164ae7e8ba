"""The rules of the contract under random faults: the product's handshake on one side, FB_Inspect on the other.

Discrete events, client direction. Faults: links cut with old writes delivered late, even in the next session; slow and
torn exchanges; a paused and a killed appliance; a PLC that restarts, with retained or cleared memory, ids from 1 again.
The worst model there is judges: an empty belt looks good to it. A wrong accept is a part that went on as good though it
is bad, or though the record was of a picture of another part or of none.
"""

from __future__ import annotations

import heapq
import random
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from plc.handshake import Handshake, HandshakeConfig, HealthInput, Part, Record
from plc.images import Image
from plc.registers import CTRL, STAT, OfflineReason, Reason, Verdict
from tests.support.fb import FbConfig, FbInspect

GOOD_SHARE = 0.9
SCAN_S, POLL_S, BEAT_S = 0.01, 0.008, 0.1
PERIOD_S, CLOSE_S, CLOSE_SHARE = (0.26, 0.42), 0.13, 0.005  # from part to part; some follow too close
IN_VIEW_S = 0.115  # a part is before the camera: a scan, the age of a trigger, and a late exposure, 50 ms each
CUT_EVERY_S, KILL_EVERY_S, PAUSE_EVERY_S, PLC_RESTART_EVERY_S = 60.0, 150.0, 30.0, 150.0  # mean
CUT_WRITE_SHARE = 0.0015  # of the writes strike a link that is just being cut
_FB = FbConfig()
LATE_S = 0.8  # an old write comes so late at most, after its link is back
READY = HealthInput(True, OfflineReason.NONE)
Step = Generator[float | None, Any, None]
_LOST = object()


class LinkLost(Exception):
    """No reply in time."""


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


class Appliance:
    """The client direction's order of things around the product's handshake, with a line of one part at a time."""

    def __init__(self, sim: RuleSim) -> None:
        self.sim = sim
        self.rows: set[int] = set()  # what the store knows outlives the process
        self.life = self.ticket = 0
        self.paused_until_s = 0.0
        self.timeout_s = sim.rng.choice((0.05, 0.1, 0.25))

    def start(self) -> None:
        self._begin()
        self.sim.often(KILL_EVERY_S, self._kill, "appliance killed")
        self.sim.often(PAUSE_EVERY_S, self._pause, "appliance paused")

    def _begin(self) -> None:
        cfg = HandshakeConfig(active_recipe=1)
        self.hs = self.sim.rules.handshake(cfg, self.rows.__contains__)
        self.hs.health(READY, self.sim.now)
        self.parts: deque[Part] = deque()
        self.judged: tuple[Part, Record] | None = None
        self.idle, self.connected, self.written = True, False, None
        self._link = self._forever()
        self._step(None)

    def _kill(self) -> None:
        self.end()
        self.life += 1
        self.ticket += 1
        self._link.close()
        life = self.life
        restart_s = self.sim.now + self.sim.rng.uniform(0.2, 1.5)
        self.sim.at(restart_s, lambda: self._begin() if life == self.life else None)

    def _pause(self) -> None:
        self.paused_until_s = self.sim.now + self.sim.rng.choice((0.03, 0.08, 0.15, 0.3)) * self.sim.rng.uniform(0.5, 2)

    def end(self) -> None:
        """Every trigger that was answered has one verdict (P9)."""
        c = self.hs.counts
        self.sim.tally.alarms += len(self.hs.wrong_accepts)
        told = sum(c[name] for name in ("PASS", "FAIL", "UNCERTAIN", "NOT_INSPECTED", "TEST"))
        if self.hs.current is None and not self.parts and c["TRIGGERS"] != told:
            raise AssertionError(f"{c['TRIGGERS']} triggers, {told} verdicts")

    # -- the process's own time: nothing of it happens while it is paused, nor after its death -----------------------

    def soon(self, delay_s: float, what: Callable[[], None]) -> None:
        life = self.life

        def run() -> None:
            if life != self.life:
                return
            if self.sim.now < self.paused_until_s:
                self.sim.at(self.paused_until_s, run)
            else:
                what()

        self.sim.at(self.sim.now + delay_s, run)

    def _step(self, value: object) -> None:
        self.ticket += 1
        wait_s = self._link.send(value)
        if wait_s is not None:
            self.soon(wait_s, partial(self._wake, self.ticket, None))

    def _wake(self, ticket: int, value: object) -> None:
        if ticket == self.ticket:
            self._step(value)

    def _exchange(self, serve: Callable[[], object], *, write: bool = False) -> Generator[float | None, Any, Any]:
        ticket = self.ticket

        def reply(answer: object) -> None:
            self.soon(0.0, partial(self._wake, ticket, answer))

        self.sim.net.send(serve, reply, write=write)
        self.soon(self.timeout_s, partial(self._wake, ticket, _LOST))
        answer = yield None
        if answer is _LOST:
            raise LinkLost
        return answer

    # -- the connection ----------------------------------------------------------------------------------------------

    def _forever(self) -> Step:
        sim = self.sim
        while True:
            try:
                found = yield from self._exchange(sim.plc.read_stat)
                self.hs.link_up(sim.now, Image(STAT, found)["TRIGGER_ID_ACK"])
                self.connected, self.written = True, None
                yield from self._serve()
            except LinkLost:
                self.connected = False
                self.hs.link_down(sim.now)
                self._take()
                if self.judged is not None:
                    self._give_up(*self.judged)
            yield sim.rng.uniform(0.01, 0.2)

    def _serve(self) -> Step:
        sim, hs, beat_s = self.sim, self.hs, -1.0
        while True:
            if self.judged is not None:
                yield from self._publish(*self.judged)
            sent_s = sim.now
            words = yield from self._exchange(sim.plc.read_ctrl)
            hs.sample(Image(CTRL, words), sent_s, sim.now)
            hs.tick(sim.now)
            self._take()
            if sim.now - beat_s >= BEAT_S:
                hs.beat(sim.now)
                beat_s = sim.now
            if hs.simulator is not None and hs.stat.words != self.written and not (yield from self._write()):
                raise LinkLost
            yield max(POLL_S / 2, POLL_S - (sim.now - sent_s))

    def _write(self) -> Generator[float | None, Any, bool]:
        if self.hs.simulator is None:
            return False
        words, rules = list(self.hs.stat.words), self.sim.rules
        writes: list[dict[int, int] | list[int]] = [words]
        if rules.flags_first:
            writes = [{0: words[0]}, words]
        elif rules.differential and self.written is not None:
            writes = [{i: word for i, word in enumerate(words) if word != self.written[i]}]
        yield 0.05 if self.sim.rng.random() < 0.0002 else 0.0001  # between the decision to write and the write itself
        for write in writes:
            try:
                yield from self._exchange(partial(self.sim.plc.write_stat, write), write=True)
            except LinkLost:
                return False
        self.written = words
        return True

    def _publish(self, part: Part, record: Record) -> Step:
        """As the client does: record, confirmed; then flags (P6)."""
        hs, sim = self.hs, self.sim
        loaded = hs.load(part, record, sim.now)
        sent = True
        for _ in range(2):
            if loaded is None:
                break
            if not sim.rules.flags_first:
                sent = yield from self._write()
                if not sent:
                    break
            if hs.raise_flags(part, loaded, sim.now):
                self._done()
                if not (yield from self._write()):
                    raise LinkLost
                return
            loaded = hs.load(part, loaded, sim.now)
        self._give_up(part, loaded or record)
        if not sent:
            raise LinkLost

    # -- the line: one part at a time --------------------------------------------------------------------------------

    def _take(self) -> None:
        self.parts += self.hs.events
        self.hs.events.clear()
        if self.idle and self.parts:
            self.idle = False
            self.hs.line_free(False, self.sim.now)
            self._work(self.parts.popleft())

    def _work(self, part: Part) -> None:
        rng = self.sim.rng
        self.rows.add(part.trigger_id)
        if part.refused is not None:
            self.soon(0.003, partial(self._judged, part, Record(int(Verdict.NOT_INSPECTED), part.refused)))
        else:
            self.soon(rng.uniform(0, 0.08) if rng.random() < 0.01 else 0.003, partial(self._expose, part))

    def _expose(self, part: Part) -> None:
        seen, looks_good = self.sim.line.look()
        begun_s, rng = self.sim.now, self.sim.rng
        code, reason = (Verdict.PASS, Reason.NONE) if looks_good else (Verdict.FAIL, Reason.CLASS)
        record = Record(int(code), reason, inspection_no=seen, recipe_used=1)
        self.soon(0.002, lambda: self.hs.exposed(part, begun_s, self.sim.now))
        infer_s = rng.uniform(0.05, 0.25) if rng.random() < 0.01 else rng.uniform(0.02, 0.05)
        self.soon(infer_s, partial(self._judged, part, record))

    def _judged(self, part: Part, record: Record) -> None:
        self.judged = part, record
        if not self.connected:
            self._give_up(part, record)

    def _give_up(self, part: Part, record: Record) -> None:
        self.hs.give_up(part, record, self.sim.now)
        self._done()

    def _done(self) -> None:
        self.judged = None
        self.soon(0.002, self._free)  # the row's stamp, the archive

    def _free(self) -> None:
        self.idle = True
        self._take()
        if self.idle:
            self.hs.line_free(True, self.sim.now)


def simulate(rules: RuleSet, seeds: range, parts_each: int) -> Tally:
    """Half of the seeds with a PLC that holds and retains, half with one that zeroes and clears."""
    total = Tally()
    for seed in seeds:
        total.add(RuleSim(seed, rules, zeroes=bool(seed % 2)).run(parts_each))
    return total
