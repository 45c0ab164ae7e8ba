"""The timing diagram of the nominal cycle as SVG, drawn from the run of the handshake that the documents print."""

from __future__ import annotations

from collections.abc import Callable
from xml.sax.saxutils import escape

from plc.nominal import ID, Moment, cycle
from plc.registers import Control, Status

LEFT, ROW, HIGH, WIDTH = 170, 30, 16, 860  # px
PLC_COLOUR, APPLIANCE_COLOUR = "#1f5fbf", "#b3541e"
SPACE = 60  # px between two moments: the diagram shows order, not scale


def _control(bit: Control) -> Callable[[Moment], str]:
    return lambda m: "1" if m.ctrl["CONTROL"] & bit else "0"


def _status(bit: Status) -> Callable[[Moment], str]:
    return lambda m: "1" if m.stat["STATUS"] & bit else "0"


def _record(m: Moment) -> str:
    return f"id {m.stat['RES_TRIGGER_ID']}, seq {m.stat['RES_SEQ']}" if m.stat["RES_SEQ"] else "none"


ROWS: tuple[tuple[str, str, Callable[[Moment], str]], ...] = (
    ("plc", "TRIGGER_ID", lambda m: str(m.ctrl["TRIGGER_ID"])),
    ("plc", "TRIGGER", _control(Control.TRIGGER)),
    ("appliance", "TRIGGER_READY", _status(Status.TRIGGER_READY)),
    ("appliance", "TRIGGER_ID_ACK", lambda m: str(m.stat["TRIGGER_ID_ACK"])),
    ("appliance", "TRIGGER_ACK", _status(Status.TRIGGER_ACK)),
    ("appliance", "ACQUIRING", _status(Status.ACQUIRING)),
    ("appliance", "EXPOSURE_COMPLETE", _status(Status.EXPOSURE_COMPLETE)),
    ("appliance", "SYSTEM_BUSY", _status(Status.SYSTEM_BUSY)),
    ("appliance", "record", _record),
    ("appliance", "RESULTS_VALID", _status(Status.RESULTS_VALID)),
    ("appliance", "PASS", _status(Status.PASS)),
    ("plc", "RESULTS_ACK", _control(Control.RESULTS_ACK)),
)


def svg() -> str:
    """docs/timing.svg."""
    moments = cycle()
    height = 60 + ROW * len(ROWS) + 34
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH + 60} {height}" font-family="sans-serif" '
        f'font-size="12" role="img" aria-label="Timing of one inspection, id {ID}">',
        f'<rect width="{WIDTH + 60}" height="{height}" fill="#ffffff"/>',
        f'<text x="10" y="20" fill="{PLC_COLOUR}">written by the PLC</text>',
        f'<text x="150" y="20" fill="{APPLIANCE_COLOUR}">written by the appliance</text>',
        '<text x="330" y="20" fill="#555555">order, not to scale; the numbers: steps of sections 4 and 12</text>',
    ]
    for n, m in enumerate(moments):
        x = _x(n)
        lines.append(f'<line x1="{x}" y1="46" x2="{x}" y2="{height - 26}" stroke="#dddddd"/>')
        lines.append(f'<text x="{x}" y="40" text-anchor="middle" fill="#555555">{n + 1}</text>')
        lines.append(f'<text x="{x}" y="{height - 10}" text-anchor="middle" fill="#555555">{m.at_ms} ms</text>')
    for row, (writer, name, value) in enumerate(ROWS):
        colour = PLC_COLOUR if writer == "plc" else APPLIANCE_COLOUR
        lines += _row(60 + ROW * row, colour, name, [value(m) for m in moments])
    return "\n".join([*lines, "</svg>", ""])


def _x(moment: int) -> int:
    return LEFT + moment * SPACE


def _row(top: int, colour: str, name: str, values: list[str]) -> list[str]:
    lines = [f'<text x="10" y="{top + HIGH - 3}" fill="{colour}">{escape(name)}</text>']
    if set(values) <= {"0", "1"}:
        return [*lines, _level(top, colour, values)]
    first = 0
    for n in range(1, len(values) + 1):
        if n == len(values) or values[n] != values[first]:
            lines += _value(top, colour, values[first], _x(first), _x(n) if n < len(values) else WIDTH + 40)
            first = n
    return lines


def _level(top: int, colour: str, values: list[str]) -> str:
    y = {"1": top, "0": top + HIGH}
    path = [f"M {LEFT - 20} {y[values[0]]}"]
    for n, value in enumerate(values):
        path.append(f"H {_x(n)} V {y[value]}")
    return f'<path d="{" ".join(path)} H {WIDTH + 40}" fill="none" stroke="{colour}" stroke-width="2"/>'


def _value(top: int, colour: str, text: str, start: int, end: int) -> list[str]:
    start = start - 20 if start == LEFT else start
    shape = f'x="{start + 2}" y="{top}" width="{end - start - 4}" height="{HIGH}" rx="4"'
    box = f'<rect {shape} fill="none" stroke="{colour}"/>'
    return [box, f'<text x="{(start + end) // 2}" y="{top + HIGH - 4}" text-anchor="middle">{escape(text)}</text>']
