"""The monitor's screen: both images by name, what changed, edges, round-trip times and heartbeats."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from plc.images import Image
from plc.observer import HEARTBEAT_GAP_S, Edge, Observer, alarms, summary
from plc.registers import CTRL, STAT, Register
from plc.target import Seen
from plc.values import BITS, set_bits, spelled

FRESH = "black on yellow"
WRITERS = {"plc": "cyan", "appliance": "green", "link": "bold magenta"}
_RECORD = range(STAT["RES_SEQ"].offset, STAT["RES_SEQ_TAIL"].offset + 1)
WIDE = 118  # columns that three tables need
_EDGES_AT_LEAST = 4
_MATTER = {
    "CONTROL", "TRIGGER_ID", "SIGNATURE", "RECIPE_EXPECTED", "PLC_VERDICT_ID", "PLC_VERDICT", "PLC_PART_COUNT",
    "STATUS", "STATUS2", "TRIGGER_ID_ACK", "STATE", "ERROR_CODE", "OFFLINE_REASON", "ACTIVE_RECIPE", "RES_TRIGGER_ID",
    "RESULT_CODE", "REASON",
}  # fmt: skip
_LEAST = {"CONTROL", "TRIGGER_ID", "PLC_VERDICT", "STATUS", "ERROR_CODE", "RES_TRIGGER_ID", "RESULT_CODE", "REASON"}
FALLEN = "now 0:"


@dataclass(frozen=True, slots=True)
class LinkView:
    """What the header says of the connection. rtt_s: newest round trips."""

    where: str
    state: str
    trouble: str
    rtt_s: Sequence[float]
    connected: bool


def percentile_ms(rtt_s: Sequence[float], q: float) -> float | None:
    """Milliseconds; None where nothing was measured."""
    ordered = sorted(rtt_s)
    return 1000 * ordered[int(q * (len(ordered) - 1))] if ordered else None


def screen(console: Console, link: LinkView, observer: Observer, clock: Clock, now_s: float) -> RenderableType:
    """Everything, fitted to the terminal's size."""
    head = _header(link, observer, now_s)
    if observer.newest is None:
        return Group(*head)
    body: RenderableType = Text("")
    used = 0
    for detail in (None, _MATTER, _LEAST):
        if detail is None and console.width < WIDE:
            continue
        body = _tables(observer, observer.newest, now_s, detail)
        used = len(console.render_lines(Group(*head, body), pad=False))
        if used + _EDGES_AT_LEAST + 2 <= console.height:
            break
    if not observer.history:
        return Group(*head, body)
    return Group(*head, body, Text(""), _history(observer.history, clock, max(1, console.height - used - 2)))


def _header(link: LinkView, observer: Observer, now_s: float) -> list[Text]:
    first = Text()
    first.append(link.where, style="bold")
    first.append("  " + link.state, style="" if link.connected else "bold red")
    p50, p99 = percentile_ms(link.rtt_s, 0.5), percentile_ms(link.rtt_s, 0.99)
    second = Text("round trip ")
    second.append("-" if p50 is None or p99 is None else f"p50 {p50:.1f}, p99 {p99:.1f} ms")
    for name, side in (("PLC_HEARTBEAT", "   heartbeats: PLC"), ("HEARTBEAT", ", appliance")):
        age_s = observer.heartbeat_age_s(name, now_s)
        dead = age_s > HEARTBEAT_GAP_S or not observer.moved(name)
        text = f"{1000 * age_s:.0f} ms ago" if age_s < 1 else f"{age_s:.1f} s ago"
        second.append(f"{side} ")
        second.append(text if observer.moved(name) else "not seen to move", style="bold red" if dead else "green")
    third = Text(link.trouble, style="bold red")
    if not link.trouble and observer.newest is not None:
        found = alarms(observer.newest)
        third = Text("   ".join(found) or summary(observer.newest), style="yellow" if found else "green")
    return [first, second, third, Text("")]


def _tables(observer: Observer, seen: Seen, now_s: float, only: Set[str] | None) -> RenderableType:
    """Three tables side by side; or two with the registers that matter most, for a small terminal."""
    short = only is not None
    state = [r for r in STAT.registers if r.offset not in _RECORD]
    record = [r for r in STAT.registers if r.offset in _RECORD]
    groups: list[tuple[str, Image, list[Register]]] = [
        ("CTRL, the PLC writes", seen.ctrl, list(CTRL.registers)),
        ("STAT, the appliance writes", seen.stat, [*state, *record] if short else state),
    ]
    if not short:
        groups.append(("STAT, the record of a part", seen.stat, record))
    grid = Table.grid(padding=(0, 2), expand=True)
    for _ in groups:
        grid.add_column(ratio=1)
    grid.add_row(*(
        _table(title, image, [r for r in registers if only is None or r.name in only], observer, now_s, short=short)
        for title, image, registers in groups
    ))  # fmt: skip
    return Group(grid, Text("a larger terminal shows every register", style="dim")) if short else grid


def _table(
    title: str, image: Image, registers: Sequence[Register], observer: Observer, now_s: float, *, short: bool
) -> RenderableType:
    table = Table.grid(padding=(0, 1))
    for register in registers:
        value = _value(image, register, lambda key: observer.is_fresh(key, now_s), " " if short else "\n")
        table.add_row(Text(register.name, style="dim"), value)
    return Group(Text(title, style="bold underline"), table)


def _value(image: Image, register: Register, fresh: Callable[[str], bool], between: str) -> Text:
    """One value; of bits those that are set, and those that have just fallen with an arrow."""
    name, key = register.name, f"{image.block.name}.{register.name}"
    if name not in BITS:
        return Text(spelled(image, register), style=FRESH if fresh(key) else "")
    on = set_bits(name, image[name])
    fallen = [b for b in (str(bit.name) for bit in BITS[name]) if b not in on and fresh(f"{key}.{b}")]
    found = [Text(bit, style=FRESH if fresh(f"{key}.{bit}") else "bold") for bit in on]
    if between != " ":
        found += [Text(f"{FALLEN} {bit}", style="dim") for bit in fallen]
    return Text(between).join(found) if found else Text("none", style="dim")


class Clock:
    """Wall-clock words for monotonic seconds."""

    def __init__(self, mono_s: float, wall: datetime.datetime) -> None:
        self._offset = wall - datetime.timedelta(seconds=mono_s)

    def at(self, mono_s: float) -> datetime.datetime:
        return self._offset + datetime.timedelta(seconds=mono_s)

    def text(self, mono_s: float) -> str:
        return self.at(mono_s).strftime("%H:%M:%S.%f")[:-3]


def edge_line(edge: Edge, clock: Clock) -> Text:
    line = Text(clock.text(edge.at_s) + "  ", style="dim")
    line.append(f"{edge.writer:10}", style=WRITERS[edge.writer])
    return line.append(edge.text, style="not dim")


def _history(edges: Sequence[Edge], clock: Clock, rows: int) -> Table:
    """The newest edges, newest last."""
    table = Table.grid()
    table.add_row(Text("EDGES, newest last", style="bold underline"))
    for edge in list(edges)[-rows:]:
        table.add_row(edge_line(edge, clock))
    return table
