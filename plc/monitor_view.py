"""The monitor's screen: both images by name, what changed, edges, round-trip times and heartbeats."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from plc.images import Image
from plc.observer import HEARTBEAT_GAP_S, Edge, Observer, alarms
from plc.registers import STAT, Register
from plc.target import Seen
from plc.values import BITS, set_bits, spelled

FRESH = "black on yellow"
WRITERS = {"plc": "cyan", "appliance": "green", "link": "bold magenta"}
_RECORD = range(STAT["RES_SEQ"].offset, STAT["RES_SEQ_TAIL"].offset + 1)
WIDE = 118  # columns that three tables need
_SHORT = 36  # rows that everything needs; on fewer, registers that are 0 are left out


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
    tables, rows = _tables(observer, observer.newest, now_s, console.width, console.height)
    room = max(5, console.height - rows - len(head) - 3)
    if not observer.history:
        return Group(*head, tables)
    return Group(*head, tables, Text(""), _history(observer.history, clock, room))


def _header(link: LinkView, observer: Observer, now_s: float) -> list[Text]:
    first = Text()
    first.append(link.where, style="bold")
    first.append("  " + link.state, style="" if link.connected else "bold red")
    p50, p99 = percentile_ms(link.rtt_s, 0.5), percentile_ms(link.rtt_s, 0.99)
    second = Text("round trip ")
    second.append("-" if p50 is None or p99 is None else f"p50 {p50:.1f} ms, p99 {p99:.1f} ms")
    for name, side in (("PLC_HEARTBEAT", "PLC"), ("HEARTBEAT", "appliance")):
        age_s = observer.heartbeat_age_s(name, now_s)
        dead = age_s > HEARTBEAT_GAP_S or not observer.moved(name)
        text = f"{1000 * age_s:.0f} ms ago" if age_s < 1 else f"{age_s:.1f} s ago"
        second.append(f"   {side} heartbeat ")
        second.append(text if observer.moved(name) else "not seen to move", style="bold red" if dead else "green")
    third = Text(link.trouble, style="bold red")
    if not link.trouble and observer.newest is not None:
        found = alarms(observer.newest)
        third = Text("   ".join(found) or "READY or at work", style="yellow" if found else "green")
    return [first, second, third, Text("")]


def _tables(observer: Observer, seen: Seen, now_s: float, width: int, height: int) -> tuple[RenderableType, int]:
    """The tables and how many rows they take."""
    short = height < _SHORT or width < WIDE
    state = [r for r in STAT.registers if r.offset not in _RECORD]
    record = [r for r in STAT.registers if r.offset in _RECORD]
    three = width >= WIDE
    groups: list[tuple[str, Image, list[Register]]] = [
        ("CTRL, the PLC writes", seen.ctrl, list(seen.ctrl.block.registers)),
        ("STAT, the appliance writes", seen.stat, state if three else [*state, *record]),
    ]
    if three:
        groups.append(("STAT, the record", seen.stat, record))
    grid, rows = Table.grid(padding=(0, 2), expand=True), 0
    cells = []
    for title, image, registers in groups:
        shown = [r for r in registers if not short or any(image.words[r.offset : r.offset + r.length])]
        table, lines = _table(title, image, shown, observer, now_s)
        cells.append(table)
        rows = max(rows, lines)
        grid.add_column(ratio=1)
    grid.add_row(*cells)
    return grid, rows


def _table(
    title: str, image: Image, registers: Sequence[Register], observer: Observer, now_s: float
) -> tuple[Table, int]:
    table = Table.grid(padding=(0, 1))
    table.add_row(Text(title, style="bold underline"), "")
    lines = 1
    for register in registers:
        value = _value(image, register, lambda key: observer.is_fresh(key, now_s))
        table.add_row(Text(register.name, style="dim"), value)
        lines += value.plain.count("\n") + 1
    return table, lines


def _value(image: Image, register: Register, fresh: Callable[[str], bool]) -> Text:
    """One value; bits one below the other, those that have just fallen struck through."""
    name, key = register.name, f"{image.block.name}.{register.name}"
    if name not in BITS:
        return Text(spelled(image, register), style=FRESH if fresh(key) else "")
    on = set_bits(name, image[name])
    fallen = [b for b in (str(bit.name) for bit in BITS[name]) if b not in on and fresh(f"{key}.{b}")]
    lines = [Text(bit, style=FRESH if fresh(f"{key}.{bit}") else "bold") for bit in on]
    lines += [Text(bit, style="strike dim") for bit in fallen]
    return Text("\n").join(lines) if lines else Text("-", style="dim")


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
