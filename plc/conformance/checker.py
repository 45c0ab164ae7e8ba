"""The one checker that runs on every test: it reads both images as they pass, and knows the contract's rules.

It needs nothing but the wire: each image of CTRL that the appliance got to see, each image of STAT that it showed, the
connection of each, and which part was in view. A broken rule is a Violation; it ends no test, but no test passes with
one.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import IntFlag

from plc.images import Image, record_xor
from plc.registers import CTRL, SIGNATURE, STAT, TEST_AS_EXPECTED, Control, Reason, Status, Verdict

RESULT = Status.RESULTS_VALID | Status.PASS | Status.FAIL
RECORD = slice(STAT["RES_SEQ"].offset, STAT["RES_SEQ_TAIL"].offset + 1)
GOOD = 1  # PLC_VERDICT
REFUSALS = (  # of these an id may get one more without a second inspection
    Reason.STALE_TRIGGER, Reason.DUPLICATE_ID, Reason.LINK_LOST, Reason.RESTARTED,
)  # fmt: skip
MAX_BEAT_STEP = 1000
REMEMBERED = 32  # connections, the newest
KEPT = 60  # last images of STAT, for the report


@dataclass(frozen=True, slots=True)
class Violation:
    """rule: its short name. told: what was seen, with ids and bits."""

    rule: str
    told: str


@dataclass(slots=True)
class Trigger:
    """What is known of one TRIGGER edge. good: would a right appliance pass the part that was in view?"""

    id: int
    good: bool
    test_part: bool
    ready: bool  # the PLC was shown READY when it raised TRIGGER
    acked: bool = False
    acked_on: int | None = None  # the oldest connection that showed its ACK
    taken: bool = False  # the PLC reported it as good
    excused: str = ""  # why no verdict is owed
    verdicts: list[tuple[int, int]] = field(default_factory=list)  # (code, reason), in the order of their sending
    told_on: list[int] = field(default_factory=list)  # the connection of each


@dataclass(slots=True)
class Connection:
    """What passed on one connection.

    Only within one does the order of images mean anything: what an ended connection had on its way may reach the PLC
    after the first bytes of its successor, and no appliance can help that.
    """

    number: int  # the newer, the higher
    ctrl: deque[Image] = field(default_factory=lambda: deque(maxlen=2))  # newest last
    stat: Image | None = None  # the newest


class Checker:
    """Feed `stat` and `ctrl` in the order in which they passed; `settled` at the end of a test.

    connection: which one an image came or went by, numbered as they were made; 0 where there is but one.
    complete: every image is seen (client direction); else they are sampled. two_phase: the record must stand, flags
    down, in the write before the one that raises the flags (P6); needs `complete`.
    """

    def __init__(
        self,
        number: int = 1,
        *,
        complete: bool = False,
        two_phase: bool = False,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._number, self._complete, self._now = number, complete, now
        self._two_phase = complete and two_phase
        self.violations: list[Violation] = []
        self.triggers: list[Trigger] = []
        self.images: deque[tuple[float, Image]] = deque(maxlen=KEPT)
        self.counts: Counter[str] = Counter()
        self._stat: Image | None = None  # what the PLC shows now, whoever wrote it
        self._connections: dict[int, Connection] = {}
        self._verdict = (0, 0)
        self.on_broken: Callable[[Violation], None] = lambda violation: None

    def broken(self, rule: str, told: str) -> None:
        if (violation := Violation(rule, told)) not in self.violations:
            self.violations.append(violation)
            self.on_broken(violation)

    # -- what passes ---------------------------------------------------------------------------------------------------

    def trigger(self, id_: int, *, good: bool, test_part: bool = False) -> Trigger:
        """The PLC raises TRIGGER for the part in view."""
        ready = self._stat is not None and bool(Status(self._stat["STATUS"]) & Status.TRIGGER_READY)
        self.triggers.append(Trigger(id_, good, test_part, ready))
        return self.triggers[-1]

    def ctrl(self, words: list[int], connection: int = 0) -> None:
        """An image of CTRL that the appliance got to see."""
        image = Image(CTRL, words)
        self._on(connection).ctrl.append(image)
        if not Control(image["CONTROL"]) & Control.TRIGGER_ENABLE:
            self.excuse("TRIGGER_ENABLE = 0")
        seen = image["PLC_VERDICT_ID"], image["PLC_VERDICT"]
        if seen != self._verdict:
            self._verdict = seen
            if seen[1] == GOOD:
                self._taken_as_good(seen[0])

    def stat(self, words: list[int], connection: int = 0) -> None:
        """An image of STAT that the appliance showed."""
        by, stat = self._on(connection), Image(STAT, words)
        before, by.stat = by.stat, stat
        prev, self._stat = before or self._stat, stat
        self.counts["stat"] += 1
        if before is not None and before.words == stat.words:
            return
        self.images.append((self._now(), stat))
        status = Status(stat["STATUS"])
        self._bits(status, stat)
        self._ready(status, stat, by)
        self._acknowledged(status, stat, by)
        if status & Status.RESULTS_VALID:
            self._valid(status, stat)
            if prev is None or not prev["STATUS"] & Status.RESULTS_VALID or _key(prev) != _key(stat):
                self._published(prev, stat, by)
        if before is not None:
            self._sequence(before, stat)

    def write(self, address: int, words: list[int], stat_base: int, diag_base: int, connection: int = 0) -> None:
        """Client direction: a write that reached the PLC, before it is taken as an image."""
        if (address, len(words)) == (stat_base, STAT.size):
            self.stat(words, connection)
        elif address != diag_base:
            self.broken("P4, P5: whole STAT or DIAG only", f"{len(words)} registers written at {address}")

    def session(self, why: str) -> None:
        """The session or the appliance begins anew: what is in flight may end unanswered.

        Where images are sampled, sequence and heartbeat may begin anywhere; where each is seen, its connection says so.
        """
        self.excuse(why)
        if not self._complete:
            self._connections.clear()

    def _on(self, number: int) -> Connection:
        if number not in self._connections and len(self._connections) >= REMEMBERED:
            del self._connections[min(self._connections)]
        return self._connections.setdefault(number, Connection(number))

    def excuse(self, why: str) -> None:
        """No verdict is owed any more for what has none yet."""
        for trigger in self.triggers:
            if not trigger.verdicts and not trigger.excused:
                trigger.excused = why

    def settled(self) -> None:
        """Everything is answered by now: each acknowledged id has had its verdict."""
        for trigger in self.triggers:
            if trigger.acked and not trigger.verdicts and not trigger.excused:
                self.broken("P9: one verdict per accepted id", f"id {trigger.id} was acknowledged and never answered")

    # -- rules ---------------------------------------------------------------------------------------------------------

    def _bits(self, status: Status, stat: Image) -> None:
        both = status & (Status.PASS | Status.FAIL)
        if status & Status.RESULTS_VALID:
            if both not in (Status.PASS, Status.FAIL):
                self.broken("PASS and FAIL are antivalent while VALID", f"STATUS {named(status)}")
        elif both:
            self.broken("PASS and FAIL are 0 unless VALID", f"STATUS {named(status)}")
        if stat["STAT_SIGNATURE"] != SIGNATURE + self._number:
            self.broken("STAT_SIGNATURE", f"0x{stat['STAT_SIGNATURE']:04X} for station {self._number}")
        if status & Status.ERROR and not stat["ERROR_CODE"]:
            self.broken("ERROR has a code", f"STATUS {named(status)}, ERROR_CODE 0")

    def _ready(self, status: Status, stat: Image, by: Connection) -> None:
        if not status & Status.TRIGGER_READY:
            if not stat["OFFLINE_REASON"] and not status & Status.ONLINE:
                self.broken("OFFLINE_REASON says why", f"STATUS {named(status)}, OFFLINE_REASON 0")
            return
        busy = status & (RESULT | Status.ACQUIRING | Status.SYSTEM_BUSY)
        if busy or not status & Status.ONLINE or stat["OFFLINE_REASON"]:
            self.broken("READY only when free and online", f"{named(status)}, OFFLINE_REASON {stat['OFFLINE_REASON']}")
        seen = [Control(image["CONTROL"]) for image in by.ctrl]
        if len(seen) == 2 and not any(map(_permits_ready, seen)):
            self.broken(
                "READY needs ENABLE, no TRIGGER, no RESULTS_ACK", f"READY while CONTROL was {named(seen[-1])} twice"
            )

    def _acknowledged(self, status: Status, stat: Image, by: Connection) -> None:
        if not status & Status.TRIGGER_ACK:
            return
        found = self._newest(stat["TRIGGER_ID_ACK"])
        if stat["TRIGGER_ID_ACK"] == 0:
            self.broken("id 0 is refused", "TRIGGER_ACK with TRIGGER_ID_ACK 0")
        elif found is None:
            self.broken("ACK only for a trigger that came", f"TRIGGER_ACK for id {stat['TRIGGER_ID_ACK']}")
        else:
            found.acked = True
            found.acked_on = by.number if found.acked_on is None else min(found.acked_on, by.number)

    def _valid(self, status: Status, stat: Image) -> None:
        """What must hold in every image that shows a result."""
        seq, tail, code, reason = stat["RES_SEQ"], stat["RES_SEQ_TAIL"], stat["RESULT_CODE"], stat["REASON"]
        if not seq or seq != tail:
            self.broken("RES_SEQ = RES_SEQ_TAIL", f"{seq} and {tail} while VALID")
        if stat["RES_XOR"] != record_xor(stat):
            self.broken("RES_XOR", f"0x{stat['RES_XOR']:04X}, not 0x{record_xor(stat):04X}")
        if not 1 <= code <= 6 or (code == Verdict.PASS) != bool(status & Status.PASS):
            self.broken("PASS bit = RESULT_CODE 1", f"RESULT_CODE {code}, STATUS {named(status)}")
        if (code == Verdict.PASS and reason) or (code == Verdict.NOT_INSPECTED and reason < Reason.DEADLINE):
            self.broken("REASON fits RESULT_CODE", f"{code}/{reason}")
        if stat["RESULT_FLAGS"] & 1 and code < TEST_AS_EXPECTED and code != Verdict.NOT_INSPECTED:
            self.broken("P11: a test part is never product", f"RESULT_CODE {code} with RESULT_FLAGS b0")
        if status & Status.TRIGGER_ACK and not stat["TRIGGER_ID_ACK"]:
            self.broken("TRIGGER_ID_ACK with TRIGGER_ACK", "0")

    def _published(self, prev: Image | None, stat: Image, by: Connection) -> None:
        """A result has just become valid; prev: the image before it."""
        id_, code, reason = stat["RES_TRIGGER_ID"], stat["RESULT_CODE"], stat["REASON"]
        self.counts["results"] += 1
        stood = prev is not None and not prev["STATUS"] & Status.RESULTS_VALID
        if self._two_phase and not (stood and prev is not None and prev.words[RECORD] == stat.words[RECORD]):
            self.broken("P6: record before flags", f"id {id_} became VALID without its record in the write before")
        trigger = self._awaiting(id_)
        if trigger is None:
            self.broken("a result only for a trigger that came", f"{code}/{reason} for id {id_}")
            return
        if not trigger.acked and stat["TRIGGER_ID_ACK"] != id_:
            newer = self._newest(stat["TRIGGER_ID_ACK"])  # a later id was refused meanwhile: its ACK covers this one
            if newer is None or self.triggers.index(newer) < self.triggers.index(trigger):
                self.broken("VALID only after ACK", f"id {id_} was never acknowledged")
        trigger.acked = True
        self._told(trigger, (code, reason), by)
        if code == Verdict.PASS:
            self._passed(trigger, by)

    def _told(self, trigger: Trigger, verdict: tuple[int, int], by: Connection) -> None:
        """One verdict for an id, then refusals only. What an older connection told was sent before what a newer did."""
        at = sum(number <= by.number for number in trigger.told_on)
        before = list(trigger.verdicts)
        trigger.verdicts.insert(at, verdict)
        trigger.told_on.insert(at, by.number)
        if any(code != Verdict.NOT_INSPECTED or reason not in REFUSALS for code, reason in trigger.verdicts[1:]):
            told = f"id {trigger.id}: {before}, then {verdict[0]}/{verdict[1]}"
            late = " by an older connection" if at < len(before) else ""
            self.broken("P9: one verdict per accepted id", told + late)

    def _passed(self, trigger: Trigger, by: Connection) -> None:
        self.counts["passes"] += 1
        # A PLC that connects may read over a new connection while the session is still that of its old one.
        if self._complete and trigger.acked_on is not None and by.number > trigger.acked_on:
            self.broken("P8: no PASS crosses a session", f"PASS for id {trigger.id}, acknowledged before a reconnect")
        if trigger.test_part:
            self.broken("P11: a test part is never product", f"PASS for id {trigger.id}")
        if not trigger.good:
            self.broken("no wrong accept", f"PASS for id {trigger.id}, whose part is none that may pass")
        if not trigger.ready:
            self.broken("P7: PASS only for a trigger under READY", f"PASS for id {trigger.id}")

    def _sequence(self, prev: Image, stat: Image) -> None:
        step = (stat["HEARTBEAT"] - prev["HEARTBEAT"]) & 0xFFFF
        if step > MAX_BEAT_STEP:
            self.broken("HEARTBEAT counts up", f"{prev['HEARTBEAT']} then {stat['HEARTBEAT']}")
        before, now = prev["RES_SEQ"], stat["RES_SEQ"]
        valid_before = prev["STATUS"] & Status.RESULTS_VALID
        same = before == now or self._complete  # where images are only sampled, one may have ended between two of them
        if valid_before and stat["STATUS"] & Status.RESULTS_VALID and same and prev.words[RECORD] != stat.words[RECORD]:
            self.broken(
                "a valid record stands still", f"RES_SEQ {before}, id {prev['RES_TRIGGER_ID']} changed while VALID"
            )
        if now and before and now != before and not 0 < (now - before) % 0xFFFF < 100:
            self.broken("RES_SEQ counts up", f"{before} then {now}")

    def _taken_as_good(self, id_: int) -> None:
        """Of each PASS that was told one part may come out as good."""
        self.counts["taken as good"] += 1
        same = [t for t in self.triggers if t.id == id_]
        told = [t for t in same if (int(Verdict.PASS), 0) in t.verdicts[:1] and not t.taken]
        if told and told[0].good:
            told[0].taken = True
            return
        known = "; ".join(f"{'good' if t.good else 'bad'} part, told {t.verdicts}" for t in same) or "never triggered"
        self.broken("no wrong accept", f"PLC_VERDICT says good for id {id_}: {known}")

    # -- triggers by id ------------------------------------------------------------------------------------------------

    def _newest(self, id_: int) -> Trigger | None:
        return next((t for t in reversed(self.triggers) if t.id == id_), None)

    def _awaiting(self, id_: int) -> Trigger | None:
        """The oldest edge of this id that has no verdict yet, else the newest edge of it."""
        waiting = [t for t in self.triggers if t.id == id_ and not t.verdicts]
        open_ = [t for t in waiting if not t.excused] or waiting[-1:]
        return open_[0] if open_ else self._newest(id_)


def named(bits: IntFlag) -> str:
    """The bits that are set, by name."""
    return " ".join(flag.name or "?" for flag in type(bits) if flag in bits) or "nothing"


def _permits_ready(control: Control) -> bool:
    return bool(control & Control.TRIGGER_ENABLE) and not control & (Control.TRIGGER | Control.RESULTS_ACK)


def _key(stat: Image) -> tuple[int, int]:
    return stat["RES_SEQ"], stat["RES_TRIGGER_ID"]
