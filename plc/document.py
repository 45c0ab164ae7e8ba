"""The register map as a page, from the same table that client, server and simulator use."""

from __future__ import annotations

from plc.registers import BLOCKS, Control, Reason, Status, Status2, Verdict

REFERENCE = 40001  # PLC manuals count from here: their 40001 is our address 0


def markdown() -> str:
    """docs/registers.md. Addresses are 0-based as on the wire, of station 1; each further station adds 200."""
    lines = ["# Registers", "", "Made by `inspector-plc docs`; addresses are 0-based, of station 1.", ""]
    for block in BLOCKS:
        lines += [f"## {block.name}, written by the {block.writer}", ""]
        lines += ["| address | reference | name | type | meaning |", "| ---: | ---: | --- | --- | --- |"]
        for r in block.registers:
            first = block.base + r.offset
            where = str(first) if r.length == 1 else f"{first}..{first + r.length - 1}"
            lines.append(f"| {where} | {first + REFERENCE} | {r.name} | {r.kind} | {r.meaning} |")
        lines.append("")
    for title, bits in (("CONTROL", Control), ("STATUS", Status), ("STATUS2", Status2)):
        lines += [f"## Bits of {title}", ""]
        lines += [f"- b{bit.value.bit_length() - 1} {bit.name}" for bit in bits] + [""]
    lines += ["## RESULT_CODE and REASON", ""]
    lines += [f"- RESULT_CODE {v.value}: {v.name}" for v in Verdict] + [f"- REASON {r.value}: {r.name}" for r in Reason]
    return "\n".join(lines) + "\n"
