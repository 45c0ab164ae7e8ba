"""What changed between two looks at the images: edges in words, fresh values, the heartbeats' age. No I/O."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from plc.images import Image, changed, record_xor
from plc.registers import Status
from plc.target import Seen
from plc.values import BITS, set_bits, spelled

HISTORY = 500
FRESH_S = 1.5  # a value that changed is marked so long
HEARTBEAT_GAP_S = 0.5  # a heartbeat that stands still for longer is worth a line
# counters and checks that change all the time, and a record's fields, which its own line tells of
_QUIET = {
    "CTRL": {"PLC_HEARTBEAT", "HB_ECHO", "TRIGGER_ID_INV", "PART_ID", "PLC_VERDICT", "PLC_PART_COUNT", "ENCODER"},
    "STAT": {
        "HEARTBEAT", "RES_TRIGGER_ID", "RESULT_CODE", "REASON", "CLASS_ID", "CONFIDENCE", "ANOMALY", "DEFECT_BITS",
        "RECIPE_USED", "MODEL_REV", "T_TOTAL", "T_TRIG_AGE", "RESULT_FLAGS", "PART_ID_ECHO", "ENCODER_ECHO",
        "INSPECTION_NO", "UTC_S", "UTC_MS", "USER", "RES_XOR", "RES_SEQ_TAIL",
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Edge:
    """One change. text: for people; name, before, after: for programs (bits as 0 and 1)."""

    at_s: float  # monotonic
    writer: str  # plc, appliance or link
    name: str
    before: int | None
    after: int | None
    text: str


@dataclass
class Observer:
    """Feed it what was read; times are monotonic seconds.

    A pulse that comes and goes between two looks is not seen: an edge's time is that of the look that showed it.
    """

    history: deque[Edge] = field(default_factory=lambda: deque(maxlen=HISTORY))
    newest: Seen | None = None

    def __post_init__(self) -> None:
        self._changed_s: dict[str, float] = {}  # BLOCK.REGISTER or BLOCK.REGISTER.BIT -> when
        self._beat_s: dict[str, float] = {}  # when it moved; before that, when it was looked at first
        self._moved: set[str] = set()
        self._silent: set[str] = set()

    def see(self, seen: Seen, connected: str = "") -> list[Edge]:
        """The edges since the look before, oldest first; none for the very first look.

        connected: in words, where this is the first look of a new connection; what happened meanwhile is one step.
        """
        before, self.newest = self.newest, seen
        edges = [Edge(seen.at_s, "link", "LINK", 0, 1, connected)] if connected else []
        if before is not None:
            for old, new in ((before.ctrl, seen.ctrl), (before.stat, seen.stat)):
                edges += self._compare(old, new, seen)
        edges += self._heartbeats(before, seen)
        self.history.extend(edges)
        return edges

    def lost(self, at_s: float, text: str) -> Edge:
        """The connection is gone; the last values stay to be read."""
        edge = Edge(at_s, "link", "LINK", 1, 0, text)
        self.history.append(edge)
        return edge

    def forget(self) -> None:
        """No edges, and no value is fresh."""
        self.history.clear()
        self._changed_s.clear()

    def is_fresh(self, key: str, now_s: float) -> bool:
        """Did this register or bit (BLOCK.REGISTER.BIT) change of late?"""
        return now_s - self._changed_s.get(key, -math.inf) <= FRESH_S

    def heartbeat_age_s(self, name: str, now_s: float) -> float:
        """Since HEARTBEAT or PLC_HEARTBEAT was seen to move, or else since the first look."""
        return max(0.0, now_s - self._beat_s.get(name, now_s))

    def moved(self, name: str) -> bool:
        """Was this heartbeat ever seen to move?"""
        return name in self._moved

    # -- in detail -----------------------------------------------------------------------------------------------------

    def _compare(self, old: Image, new: Image, seen: Seen) -> Iterator[Edge]:
        block = new.block
        for register in changed(old, new):
            name = register.name
            self._changed_s[f"{block.name}.{name}"] = seen.at_s
            if name in BITS:
                yield from self._bits(name, old[name], new[name], seen, block.name)
            elif name == "RES_SEQ":
                yield self._edge(seen, block.writer, name, old[name], new[name], record_text(new))
            elif name == "TRIGGER_ID":
                text = f"TRIGGER_ID {old[name]} -> {new[name]}, part {new['PART_ID']}"
                yield self._edge(seen, block.writer, name, old[name], new[name], text)
            elif name == "PLC_VERDICT_ID":
                text = f"PLC_VERDICT of id {new[name]}: {spelled(new, block['PLC_VERDICT'])}"
                yield self._edge(seen, block.writer, name, old[name], new[name], text)
            elif name not in _QUIET[block.name]:
                text = f"{name} {spelled(old, register)} -> {spelled(new, register)}"
                yield self._edge(seen, block.writer, name, old[name], new[name], text)

    def _bits(self, name: str, old: int, new: int, seen: Seen, block: str) -> Iterator[Edge]:
        writer = "plc" if block == "CTRL" else "appliance"
        for bit in set_bits(name, old ^ new):
            self._changed_s[f"{block}.{name}.{bit}"] = seen.at_s
            up = bit in set_bits(name, new)
            if name == "RESULT_FLAGS":
                continue
            text = f"{bit} {'0 -> 1' if up else '1 -> 0'}{_beside(bit, seen) if up else ''}"
            yield self._edge(seen, writer, f"{name}.{bit}", int(not up), int(up), text)

    def _heartbeats(self, before: Seen | None, seen: Seen) -> Iterator[Edge]:
        """A heartbeat that stops or comes back gets a line; its steps do not."""
        for name, writer in (("PLC_HEARTBEAT", "plc"), ("HEARTBEAT", "appliance")):
            age_s = self.heartbeat_age_s(name, seen.at_s)
            if before is None:
                self._beat_s[name] = seen.at_s
            elif _image(before, writer)[name] != _image(seen, writer)[name]:
                self._beat_s[name] = seen.at_s
                self._moved.add(name)
                if name in self._silent:
                    self._silent.discard(name)
                    yield self._edge(seen, writer, name, 0, 1, f"{name} moves again after {age_s:.1f} s")
            elif age_s > HEARTBEAT_GAP_S and name not in self._silent:
                self._silent.add(name)
                yield self._edge(seen, writer, name, 1, 0, f"{name} stands still")

    def _edge(self, seen: Seen, writer: str, name: str, before: int, after: int, text: str) -> Edge:
        return Edge(seen.at_s, writer, name, before, after, text)


def _image(seen: Seen, writer: str) -> Image:
    return seen.ctrl if writer == "plc" else seen.stat


def _beside(bit: str, seen: Seen) -> str:
    """What a rising bit is about."""
    ctrl, stat = seen.ctrl, seen.stat
    match bit:
        case "TRIGGER":
            return f"  id {ctrl['TRIGGER_ID']}"
        case "TRIGGER_ACK":
            return f"  id {stat['TRIGGER_ID_ACK']}"
        case "RESULTS_VALID":
            return f"  id {stat['RES_TRIGGER_ID']}"
        case "EXECUTE_COMMAND":
            return f"  command {spelled(ctrl, ctrl.block['COMMAND'])}, argument {ctrl['COMMAND_ARG']}"
        case "COMMAND_COMPLETED" | "COMMAND_FAILED":
            return f"  {spelled(stat, stat.block['COMMAND_RESULT'])}"
        case "ERROR":
            return f"  {spelled(stat, stat.block['ERROR_CODE'])}"
        case _:
            return ""


def record_text(stat: Image) -> str:
    """One line for a whole record."""
    if stat["RES_SEQ"] == 0:
        return "record cleared"
    block = stat.block
    reason = f", reason {spelled(stat, block['REASON'])}" if stat["REASON"] else ""
    torn = "" if stat["RES_SEQ"] == stat["RES_SEQ_TAIL"] and stat["RES_XOR"] == record_xor(stat) else "  (TORN)"
    return (
        f"record {stat['RES_SEQ']}: id {stat['RES_TRIGGER_ID']}, {spelled(stat, block['RESULT_CODE'])}{reason}, "
        f"{stat['T_TOTAL'] / 10:.1f} ms{torn}"
    )


def alarms(seen: Seen) -> list[str]:
    """What a person should see first."""
    stat, status = seen.stat, Status(seen.stat["STATUS"])
    found = []
    if status & Status.ERROR:
        found.append(f"ERROR: {spelled(stat, stat.block['ERROR_CODE'])}")
    if not status & Status.ONLINE:
        found.append("appliance is not ONLINE")
    if stat["OFFLINE_REASON"]:
        found.append(f"not READY: {spelled(stat, stat.block['OFFLINE_REASON'])}")
    return found


def summary(seen: Seen) -> str:
    """What the station does, where nothing is wrong."""
    if Status(seen.stat["STATUS"]) & Status.TRIGGER_READY:
        return "READY"
    return f"at work on id {seen.stat['TRIGGER_ID_ACK']}" if seen.stat["TRIGGER_ID_ACK"] else "not READY"
