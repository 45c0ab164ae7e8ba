"""The appliance of the rule simulation: the client direction's order of things around the product's handshake."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator
from functools import partial
from typing import TYPE_CHECKING, Any

from plc.handshake import HandshakeConfig, HealthInput, Part, Record
from plc.images import Image
from plc.registers import CTRL, STAT, OfflineReason, Reason, Verdict

if TYPE_CHECKING:
    from tests.support.rule_sim import RuleSim

POLL_S, BEAT_S = 0.008, 0.1
KILL_EVERY_S, PAUSE_EVERY_S = 150.0, 30.0  # mean
READY = HealthInput(True, OfflineReason.NONE)
Step = Generator[float | None, Any, None]
_LOST = object()


class LinkLost(Exception):
    """No reply in time."""


class Appliance:
    """The client direction's order of things around the product's handshake, with a line of one part at a time."""

    def __init__(self, sim: RuleSim) -> None:
        self.sim = sim
        self.rows: dict[int, int] = {}  # trigger id -> code decided; what the store knows outlives the process
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
        self.hs.recall_told((id_, 0, code, 0) for id_, code in self.rows.items())
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
        if part.refused is not None:
            self.rows.setdefault(part.trigger_id, int(Verdict.NOT_INSPECTED))
            self.soon(0.003, partial(self._judged, part, Record(int(Verdict.NOT_INSPECTED), part.refused)))
        else:
            self.rows[part.trigger_id] = int(Verdict.NOT_INSPECTED)  # until it is decided
            self.soon(rng.uniform(0, 0.08) if rng.random() < 0.01 else 0.003, partial(self._expose, part))

    def _expose(self, part: Part) -> None:
        seen, looks_good = self.sim.line.look()
        begun_s, rng = self.sim.now, self.sim.rng
        code, reason = (Verdict.PASS, Reason.NONE) if looks_good else (Verdict.FAIL, Reason.CLASS)
        record = Record(int(code), reason, inspection_no=seen, recipe_used=1)
        self.rows[part.trigger_id] = record.code
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
