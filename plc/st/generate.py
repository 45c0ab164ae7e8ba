"""The function blocks as Structured Text: what repeats the register map is made here, the logic is in the .st files.

There is one text. CODESYS takes it as it is (IEC 61131-3, third edition); for S7-SCL the same text is written with
SCL's spelling (`#` before names, quoted types, BEGIN), so there are no twins that could come apart.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Callable
from enum import IntFlag
from importlib.resources import files
from pathlib import Path
from typing import Literal

from plc.registers import BLOCKS, CTRL, DIAG, IDENT, RECORD, STAT, Block, Control, Register, Status, Status2
from plc.st.scl import to_scl

Dialect = Literal["codesys", "scl"]
LOGIC = ("ST_PLACE", "FB_ChangeOver", "FB_Inspect", "FB_Track", "FB_Station")  # in the order that a compiler needs
STATION_REGISTERS = IDENT.base + IDENT.size  # from CTRL to the end of IDENT: the area of one station
REFERENCE = 40001  # PLC manuals count from here: their 40001 is our address 0
_BITS = {"CONTROL": Control, "STATUS": Status, "STATUS2": Status2}
_HEAD = "// Made by inspector-plc from its register map, version 1.0; do not edit: make it anew.\n"


def texts() -> dict[str, str]:
    """Name of the block or type -> its text for CODESYS, in the order that a compiler needs."""
    made = {f"ST_{b.name}": _HEAD + _type(b) for b in (CTRL, STAT, DIAG, IDENT)}
    made |= {f"FB_Read{b.name.capitalize()}": _HEAD + _reader(b) for b in (STAT, DIAG)}
    made |= {f"FB_Write{b.name.capitalize()}": _HEAD + _writer(b) for b in (IDENT, CTRL)}
    folder = files("plc.st")
    return made | {name: (folder / f"{name}.st").read_text(encoding="utf-8") for name in LOGIC}


def source(dialect: Dialect) -> dict[str, str]:
    """File name -> text, one file for each type and block, and the notes on how to wire them."""
    made, notes = texts(), (files("plc.st") / f"notes_{dialect}.md").read_text(encoding="utf-8")
    if dialect == "scl":
        return {f"{n}.{'udt' if n.startswith('ST_') else 'scl'}": to_scl(t) for n, t in made.items()} | {
            "README.md": notes
        }
    return {f"{n}.st": t for n, t in made.items()} | {"README.md": notes}


def write_st(folder: Path, dialect: Dialect) -> list[Path]:
    """Write all files of one dialect into `folder`, which is made where it is missing. Returns what was written."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for name, text in source(dialect).items():
        path = folder / name
        path.write_text(text, encoding="utf-8")
        written.append(path)
    return written


def symbols_csv() -> str:
    """Every register and bit of station 1, and DEVICE: one line each, for import into a symbol table or a tag list."""
    out = io.StringIO()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["symbol", "address", "reference", "bit", "type", "registers", "written_by", "meaning"])
    for block in BLOCKS:
        for r in block.registers:
            first = block.base + r.offset
            name = f"{block.name}.{r.name}"
            table.writerow([name, first, first + REFERENCE, "", r.kind, r.length, block.writer, r.meaning])
            for bit in _BITS.get(r.name, ()):
                number = bit.value.bit_length() - 1
                row = [f"{block.name}.{bit.name}", first, first + REFERENCE, number, "bit", 1, block.writer]
                table.writerow([*row, f"b{number} of {r.name}"])
    return out.getvalue()


def _type(block: Block) -> str:
    lines = [f"TYPE ST_{block.name} :", "STRUCT"]
    for r in block.registers:
        where = f"{r.offset}" if r.length == 1 else f"{r.offset}..{r.offset + r.length - 1}"
        if r.name in _BITS:
            lines += [f"    {b.name} : BOOL; // {where} b{b.value.bit_length() - 1}" for b in _BITS[r.name]]
        else:
            lines.append(f"    {r.name} : {_st_type(r)}; // {where}: {r.meaning}")
    if block is STAT:
        lines.append("    RES_XOR_OK : BOOL; // RES_XOR is right for what was read")
    return "\n".join([*lines, "END_STRUCT;", "END_TYPE", ""])


def _st_type(r: Register) -> str:
    if r.kind == "string":
        return f"ARRAY[0..{2 * r.length - 1}] OF BYTE"
    one = {"u16": "UINT", "u32": "UDINT", "bits": "WORD"}[r.kind]
    return one if r.length == 1 or r.kind == "u32" else f"ARRAY[0..{r.length - 1}] OF {one}"


def _declarations(block: Block, name: str, local: str) -> list[str]:
    return [
        f"FUNCTION_BLOCK {name}",
        "VAR_INPUT", '    littleWords : BOOL; // TRUE where the appliance has word_order = "little"', "END_VAR",
        "VAR_IN_OUT", f"    regs : ARRAY[0..{STATION_REGISTERS - 1}] OF WORD;",
        f"    {block.name.lower()} : ST_{block.name};", "END_VAR",
        "VAR", local, "END_VAR", "",
    ]  # fmt: skip


def _reader(block: Block) -> str:
    """Words to fields, from one copy of the area: what the other side writes meanwhile comes with the next scan."""
    struct = block.name.lower()
    local = f"    w : ARRAY[0..{block.size - 1}] OF WORD;\n    i : INT;" + "\n    x : WORD;" * (block is STAT)
    lines = _declarations(block, f"FB_Read{block.name.capitalize()}", local)
    lines += [f"FOR i := 0 TO {block.size - 1} DO", f"    w[i] := regs[{block.base} + i];", "END_FOR;"]
    if block is STAT:
        lines += ["x := WORD#16#0;", f"FOR i := {RECORD.start} TO {RECORD.stop - 1} DO", "    x := x XOR w[i];"]
        lines += ["END_FOR;", f"stat.RES_XOR_OK := x = w[{STAT['RES_XOR'].offset}];"]
    for r in block.registers:
        if r.name in _BITS:
            lines += [f"{struct}.{b.name} := (w[{r.offset}] AND {_mask(b)}) <> WORD#16#0;" for b in _BITS[r.name]]
        elif r.length > 1 and r.kind == "u16":
            lines += [f"FOR i := 0 TO {r.length - 1} DO"]
            lines += [f"    {struct}.{r.name}[i] := WORD_TO_UINT(w[{r.offset} + i]);", "END_FOR;"]
        elif r.kind != "u32":
            value = f"WORD_TO_UINT(w[{r.offset}])" if r.kind == "u16" else f"w[{r.offset}]"
            lines.append(f"{struct}.{r.name} := {value};")
    lines += _wide(block, lambda r, high, low: f"{struct}.{r.name} := {_joined(high, low)};")
    return "\n".join([*lines, "END_FUNCTION_BLOCK", ""])


def _writer(block: Block) -> str:
    """Fields to words. The word with TRIGGER comes last, so that whoever reads meanwhile sees data before flags."""
    struct, bits = block.name.lower(), [r for r in block.registers if r.name in _BITS]
    local = "    i : INT;" if block is IDENT else "    x : WORD;"
    lines = _declarations(block, f"FB_Write{block.name.capitalize()}", local)
    if not any(r.kind == "u32" for r in block.registers):
        del lines[1:4]  # no word order in strings
    for r in block.registers:
        at = block.base + r.offset
        if r.kind == "string":
            first, second = f"{struct}.{r.name}[2 * i]", f"{struct}.{r.name}[2 * i + 1]"
            value = f"UINT_TO_WORD(BYTE_TO_UINT({first}) * 256 + BYTE_TO_UINT({second}))"
            lines += [f"FOR i := 0 TO {r.length - 1} DO", f"    regs[{at} + i] := {value};", "END_FOR;"]
        elif r.kind == "u16":
            lines.append(f"regs[{at}] := UINT_TO_WORD({struct}.{r.name});")
    lines += _wide(block, lambda r, high, low: _split(f"{struct}.{r.name}", high, low), base=block.base, array="regs")
    for r in bits:
        lines.append("x := WORD#16#0;")
        for b in _BITS[r.name]:
            lines += [f"IF {struct}.{b.name} THEN", f"    x := x OR {_mask(b)};", "END_IF;"]
        lines.append(f"regs[{block.base + r.offset}] := x;")
    return "\n".join([*lines, "END_FUNCTION_BLOCK", ""])


def _wide(block: Block, line: Callable[[Register, str, str], str], *, base: int = 0, array: str = "w") -> list[str]:
    """The u32 of a block, in both word orders; `line` makes one assignment from (register, high, low)."""
    wide = [(r, f"{array}[{base + r.offset}]", f"{array}[{base + r.offset + 1}]") for r in block.registers
            if r.kind == "u32"]  # fmt: skip
    if not wide:
        return []
    little = [f"    {line(r, second, first)}" for r, first, second in wide]
    big = [f"    {line(r, first, second)}" for r, first, second in wide]
    return ["IF littleWords THEN", *little, "ELSE", *big, "END_IF;"]


def _joined(high: str, low: str) -> str:
    return f"WORD_TO_UDINT({high}) * 65536 + WORD_TO_UDINT({low})"


def _split(value: str, high: str, low: str) -> str:
    return f"{high} := UDINT_TO_WORD({value} / 65536); {low} := UDINT_TO_WORD({value} MOD 65536);"


def _mask(bit: IntFlag) -> str:
    return f"WORD#16#{bit.value:X}"
