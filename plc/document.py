"""The register page: the prose of registers.in.md, with everything that repeats the code made from the code."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from enum import Enum, IntEnum, IntFlag
from importlib.resources import files
from pathlib import Path
from typing import TypeVar

from plc import code_lists, nominal
from plc.cycle import LINK_NEXT, NEXT, Cycle, Link
from plc.registers import BLOCKS, RECORD, Block, Control, Register, Status, Status2
from plc.st.generate import REFERENCE, symbols_csv, texts
from plc.timing import svg

__all__ = ["markdown", "write_documents"]

C = TypeVar("C", bound=IntEnum)
S = TypeVar("S", bound=Enum)
E = TypeVar("E", bound=Enum)
_PAGE = "registers.in.md"
_DIAG_NOTE = (
    "Written once a second. Counters start at 0 with the service and with COMMAND 100; BOOT_COUNT goes on over "
    "restarts. A part whose session ended before its answer (cut, restart, TRIGGER_ENABLE = 0) is NOT_INSPECTED, "
    "stored only. PASS + FAIL + UNCERTAIN + NOT_INSPECTED + TEST = TRIGGERS, but for parts not answered yet."
)
_WRITTEN_BY = {"plc": "the PLC", "appliance": "the appliance"}


def markdown() -> str:
    """docs/registers.md. Addresses are 0-based as on the wire, of station 1; each further station adds 200."""
    page = (files("plc") / _PAGE).read_text(encoding="utf-8")
    parts = _parts()
    return re.sub(r"\{\{(\w+)\}\}", lambda mark: parts[mark[1]], page)


def write_documents(folder: Path) -> list[Path]:
    """registers.md, symbols.csv and timing.svg into `folder`. Returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in (("registers.md", markdown()), ("symbols.csv", symbols_csv()), ("timing.svg", svg())):
        (folder / name).write_text(text, encoding="utf-8")
        written.append(folder / name)
    return written


def _parts() -> dict[str, str]:
    c = code_lists
    record = nominal.cycle()[-1].stat
    return {
        "REFERENCE": str(REFERENCE),
        "BASES": ", ".join(f"{b.name} {b.base}" for b in BLOCKS if b.name != "DEVICE"),
        "BLOCKS": "\n\n".join(_block(b) for b in BLOCKS),
        "CONTROL": _bits(c.CONTROL), "STATUS": _bits(c.STATUS), "STATUS2": _bits(c.STATUS2),
        "STATE": _codes("STATE", c.STATE), "REASON": _codes("REASON", c.REASON),
        "OFFLINE_REASON": _codes("OFFLINE_REASON", c.OFFLINE_REASON),
        "RESULT_CODE": _table(("RESULT_CODE", "name", "meaning"), ((n, *t) for n, t in c.RESULT_CODE.items())),
        "COMMAND": _codes("COMMAND", c.COMMAND), "COMMAND_RESULT": _codes("COMMAND_RESULT", c.COMMAND_RESULT),
        "PLC_VERDICT": _table(("PLC_VERDICT", "meaning"), c.PLC_VERDICT.items()),
        "EXCEPTIONS": _table(("exception", "meaning"), c.EXCEPTIONS.items()),
        "RECORD_WORDS": " ".join(f"{record.words[i]:04X}" for i in RECORD),
        "RECORD_XOR": f"{record['RES_XOR']:04X}",
        "LINK_TABLE": _transitions("link", Link, LINK_NEXT), "CYCLE_TABLE": _transitions("cycle", Cycle, NEXT),
        "ID": str(nominal.ID), "PART_ID": str(nominal.PART_ID), "ENCODER": str(nominal.ENCODER),
        "STEPS": _steps(), "FRAMES_SERVER": _frames(nominal.frames_server()),
        "FRAMES_CLIENT": _frames(nominal.frames_client()),
        "FB_TABLES": "\n\n".join(_signals(name) for name in ("FB_Station", "FB_Inspect", "FB_Track", "FB_ChangeOver")),
        "NOTES_CODESYS": _note("codesys"), "NOTES_SCL": _note("scl"),
    }  # fmt: skip


def _table(head: Iterable[str], rows: Iterable[Iterable[object]], right: int = 1) -> str:
    """Markdown; the first `right` columns are numbers."""
    head = list(head)
    rule = ["---:"] * right + ["---"] * (len(head) - right)
    return "\n".join(f"| {' | '.join(str(c) for c in row)} |" for row in (head, rule, *rows))


def _block(block: Block) -> str:
    lines = [
        f"### {block.name}, written by {_WRITTEN_BY[block.writer]}: {block.base} to {block.base + block.size - 1}",
        "",
    ]
    if block.name == "DEVICE":
        lines += ["Only where the appliance is the server; once, not for each station.", ""]
    if block.name == "DIAG":
        lines += [_DIAG_NOTE, ""]
    lines.append(_table(("address", "reference", "offset", "name", "type", "meaning"),
                        (_row(block, r) for r in block.registers), right=3))  # fmt: skip
    used = {o for r in block.registers for o in range(r.offset, r.offset + r.length)}
    if free := [str(block.base + o) for o in range(block.size) if o not in used]:
        lines += ["", f"Reserved, read 0: {', '.join(free)}."]
    return "\n".join(lines)


def _row(block: Block, r: Register) -> tuple[object, ...]:
    first = block.base + r.offset
    last = first + r.length - 1
    where = [str(first), str(first + REFERENCE)]
    if r.length > 1:
        where = [f"{first}..{last}", f"{first + REFERENCE}..{last + REFERENCE}"]
    kind = f"{r.length} * u16" if r.kind == "u16" and r.length > 1 else r.kind
    return (*where, r.offset, r.name, kind, r.meaning)


def _bits(meanings: Mapping[Control, str] | Mapping[Status, str] | Mapping[Status2, str]) -> str:
    rows = [(b.value.bit_length() - 1, f"{b.value:04X}", b.name, text) for b, text in meanings.items()]
    return _table(("bit", "mask, hex", "name", "meaning"), rows, right=2)


def _codes(title: str, meanings: Mapping[C, str]) -> str:
    rows = ((code.value, code.name, text) for code, text in meanings.items())
    return _table((title, "name", "meaning, what to do"), rows)


def _transitions(title: str, states: type[S], table: Mapping[tuple[S, E], S]) -> str:
    steps = list(dict.fromkeys(step for _, step in table))
    rows = [[s.name, *(table[s, step].name if (s, step) in table else "" for step in steps)] for s in states]
    return _table([title, *(s.name for s in steps)], rows, right=0)


# -- the nominal cycle -------------------------------------------------------------------------------------------------


def _steps() -> str:
    rows = []
    for n, m in enumerate(nominal.cycle(), 1):
        control, status = Control(m.ctrl["CONTROL"]), Status(m.stat["STATUS"])
        rows.append((n, m.at_ms, _WRITTEN_BY[m.who], m.what, _names(control), _names(status)))
    return _table(("step", "at", "who", "what", "CONTROL", "STATUS"), rows, right=2)


def _names(flags: IntFlag) -> str:
    return f"{flags.value:04X}: " + " ".join(str(bit.name) for bit in type(flags) if bit & flags)


def _frames(exchanges: list[nominal.Exchange]) -> str:
    out = []
    for exchange in exchanges:
        out.append(f"Step {exchange.step}, {exchange.moment.at_ms} ms: {exchange.moment.what}.")
        lines = []
        for frame in exchange.frames:
            lines += [f"{'PLC' if frame.sender == 'plc' else 'appliance'}, {len(frame.data)} bytes"]
            lines += _hex(frame.data)
        out.append("```text\n" + "\n".join(lines) + "\n```")
    return "\n\n".join(out)


def _hex(data: bytes) -> list[str]:
    """Header, function with its address and count, and the registers ten a line."""
    payload = data[7:]
    head = {(3, 5): 5, (16, 5): 5}.get((payload[0], len(payload)), 2 if payload[0] == 3 else 6)
    words = payload[head:]
    lines = [f"  {data[:7].hex(' ').upper()} | {payload[:head].hex(' ').upper()}"]
    return lines + [f"    {words[i : i + 20].hex(' ', 2).upper()}" for i in range(0, len(words), 20)]


# -- the function blocks -----------------------------------------------------------------------------------------------


def _signals(name: str) -> str:
    """Inputs and outputs of a block, from its text."""
    rows = _declared(name)
    if name == "FB_Station":  # it hands most of them on: what they mean stands where they are used
        meanings = {row[1]: row[4] for block in ("FB_ChangeOver", "FB_Track", "FB_Inspect") for row in _declared(block)}
        rows = [(*row[:4], row[4] or meanings.get(row[1], "")) for row in rows]
    return f"**{name}**\n\n" + _table(("", "name", "type", "default", "meaning"), rows, right=0)


def _declared(name: str) -> list[tuple[str, str, str, str, str]]:
    """(in or out, name, type, default, meaning) of each."""
    rows: list[tuple[str, str, str, str, str]] = []
    for section, title in (("VAR_INPUT", "in"), ("VAR_IN_OUT", "in and out"), ("VAR_OUTPUT", "out")):
        for body in re.findall(rf"^{section}\n(.*?)^END_VAR", texts()[name], flags=re.M | re.S):
            for line in body.splitlines():
                found = re.match(r"\s*(\w+) : ([^:;]+?)(?: := (\w+))?;(?: // (.*))?$", line)
                if found:
                    rows.append((title, found[1], found[2], found[3] or "", found[4] or ""))
                elif rows:
                    rows[-1] = (*rows[-1][:4], f"{rows[-1][4]} {line.strip().removeprefix('// ')}")
    return rows


def _note(dialect: str) -> str:
    text = (files("plc.st") / f"notes_{dialect}.md").read_text(encoding="utf-8").strip()
    return "##" + text if text.startswith("# ") else text
