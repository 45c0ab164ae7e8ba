"""What was on the wire around a broken rule: the newest frames at the proxy, kept until they are asked for."""

from __future__ import annotations

import struct
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from plc.conformance.checker import Violation, named
from plc.fault_lane import Passage, Side
from plc.images import Image
from plc.registers import CTRL, DIAG, IDENT, STAT, Control, Status

BEFORE, AFTER = 50, 12  # frames and marks that a trace holds
MAX_TRACES = 8  # of one test; the violations beyond are told without their wire
SPAN = 200  # registers of a station, where the appliance serves
HEADER = 7  # MBAP, with the unit id
READS, WRITE, REFUSED = (3, 4), 16, 0x80
MAX_ASKED = 512  # requests whose reply may still come


@dataclass(frozen=True, slots=True)
class Entry:
    """A frame, or a mark (connection 0, no bytes). Seconds since the test began.

    said_by: "client", "server" or "" for a mark. fate: see fault_lane.Passage. late_s: how long the proxy had it.
    """

    at_s: float
    connection: int
    said_by: str
    fate: str
    late_s: float
    told: str
    data: str  # hex

    def __str__(self) -> str:
        if not self.said_by:
            return f"{self.at_s:9.4f} s  ---- {self.told}"
        late = f" after {1000 * self.late_s:.0f} ms" if self.late_s >= 0.002 else ""
        fate = "" if self.fate == "passed" else f" [{self.fate}]"
        arrow = "->" if self.said_by == "client" else "<-"
        return f"{self.at_s:9.4f} s  #{self.connection} {arrow} {self.told}{fate}{late}"


@dataclass(frozen=True, slots=True)
class Trace:
    """fault: the one that was active when `rule` was found broken. entries: oldest first, some of them after it."""

    rule: str
    told: str
    at_s: float
    fault: str
    entries: tuple[Entry, ...]

    def lines(self) -> list[str]:
        head = f"wire around the broken rule at {self.at_s:.4f} s: {self.rule}: {self.told}"
        return [head, f"  fault: {self.fault or 'none'}", *(f"  {entry}" for entry in self.entries)]


@dataclass(frozen=True, slots=True)
class _Heard:
    """Words are made of it only where a trace is told. passage: None for a mark."""

    at_s: float
    mark: str = ""
    passage: Passage | None = None
    asked: bytes = b""  # the request's PDU


@dataclass(eq=False)
class _Open:
    violation: Violation
    at_s: float
    fault: str
    heard: list[_Heard]
    missing: int = AFTER


@dataclass(eq=False)
class Tape:
    """Implements fault_lane.Watch. begun_s: what its times count from.

    lanes: what is wrong with the proxy just now, in words.
    """

    begun_s: float = field(default_factory=time.monotonic)
    lanes: Callable[[], str] = lambda: ""
    now: Callable[[], float] = time.monotonic
    _fault: str = ""
    _newest: deque[_Heard] = field(default_factory=lambda: deque(maxlen=BEFORE))
    _open: list[_Open] = field(default_factory=list)
    _asked: dict[tuple[int, bytes], bytes] = field(default_factory=dict)  # by connection and transaction

    def passed(self, passage: Passage) -> None:
        key, pdu = (passage.connection, passage.data[:2]), passage.data[HEADER:]
        if passage.side is Side.CLIENT:
            self._asked[key] = pdu
            while len(self._asked) > MAX_ASKED:
                del self._asked[next(iter(self._asked))]
        self._hear(_Heard(passage.went_s, "", passage, self._asked.get(key, b"")))

    def happened(self, what: str) -> None:
        self._hear(_Heard(self.now(), what))

    def begin(self, fault: str) -> None:
        """A fault begins; it is active until `over`."""
        self._fault = fault
        self.happened(f"fault: {fault}")

    def over(self) -> None:
        if self._fault:
            self.happened(f"over: {self._fault}")
        self._fault = ""

    def broken(self, violation: Violation) -> None:
        """Keep what led to it; what follows is added as it comes."""
        self.happened(f"RULE BROKEN: {violation.rule}: {violation.told}")
        if len(self._open) < MAX_TRACES:
            active = "; ".join(filter(None, (self._fault, self.lanes())))
            self._open.append(_Open(violation, self.now() - self.begun_s, active, list(self._newest)))

    def traces(self) -> tuple[Trace, ...]:
        return tuple(
            Trace(o.violation.rule, o.violation.told, o.at_s, o.fault, tuple(map(self._entry, o.heard)))
            for o in self._open
        )

    def _hear(self, heard: _Heard) -> None:
        self._newest.append(heard)
        for trace in self._open:
            if trace.missing:
                trace.missing -= 1
                trace.heard.append(heard)

    def _entry(self, heard: _Heard) -> Entry:
        at_s, passage = heard.at_s - self.begun_s, heard.passage
        if passage is None:
            return Entry(at_s, 0, "", "", 0.0, heard.mark, "")
        return Entry(
            at_s, passage.connection, passage.side.name.lower(), passage.fate, passage.went_s - passage.came_s,
            frame_text(passage.data, heard.asked, reply=passage.side is Side.SERVER), passage.data.hex(),
        )  # fmt: skip


def frame_text(data: bytes, asked: bytes, *, reply: bool) -> str:
    """A Modbus TCP frame in words: its transaction and what it means."""
    if len(data) <= HEADER:
        return f"{len(data)} bytes: {data.hex()}"
    pdu = data[HEADER:]
    return f"{int.from_bytes(data[:2], 'big'):5d} {reply_text(asked, pdu) if reply else request_text(pdu)}"


def request_text(pdu: bytes) -> str:
    """A request's PDU in words."""
    if len(pdu) < 5 or pdu[0] not in (*READS, WRITE):
        return f"function {pdu[0]}: {pdu[1:].hex()}"
    address, count = struct.unpack_from(">HH", pdu, 1)
    where = _where(address, count)
    if pdu[0] in READS:
        return f"read {where}"
    words = pdu[6:]
    return f"write {where}{_image_text(address, words)}"


def reply_text(request: bytes, pdu: bytes) -> str:
    """A reply's PDU in words; request: what it answers, b"" where that is not known."""
    if pdu[0] & REFUSED:
        return f"exception {pdu[1] if len(pdu) > 1 else '?'}"
    if pdu[0] == WRITE:
        return "written"
    if pdu[0] in READS and len(request) >= 5:
        address, count = struct.unpack_from(">HH", request, 1)
        return f"{_where(address, count)}{_image_text(address, pdu[2:])}"
    return f"function {pdu[0]}: {pdu[1:].hex()}"


def _where(address: int, count: int) -> str:
    for block in (CTRL, STAT, DIAG, IDENT):
        if block.base <= address % SPAN < block.base + block.size:
            part = "" if (address % SPAN, count) == (block.base, block.size) else f" [{address}, {count} registers]"
            return block.name + part
    return f"[{address}, {count} registers]"


def _image_text(address: int, raw: bytes) -> str:
    """What decides in a whole CTRL or STAT; nothing for other registers."""
    words = list(struct.unpack(f">{len(raw) // 2}H", raw[: len(raw) // 2 * 2]))
    if (address % SPAN, len(words)) == (CTRL.base, CTRL.size):
        c = Image(CTRL, words)
        return (
            f": {named(Control(c['CONTROL']))}, id {c['TRIGGER_ID']}, beat {c['PLC_HEARTBEAT']}, echo {c['HB_ECHO']}, "
            f"session {c['PLC_SESSION']}, verdict {c['PLC_VERDICT']} for {c['PLC_VERDICT_ID']}"
        )
    if (address % SPAN, len(words)) == (STAT.base, STAT.size):
        s = Image(STAT, words)
        return (
            f": {named(Status(s['STATUS']))}, beat {s['HEARTBEAT']}, ack id {s['TRIGGER_ID_ACK']}, "
            f"offline {s['OFFLINE_REASON']}, record {s['RES_SEQ']}/{s['RES_SEQ_TAIL']}: id {s['RES_TRIGGER_ID']} "
            f"{s['RESULT_CODE']}/{s['REASON']}"
        )
    return ""
