"""Registers in a person's words: values spelled out, and names and values read back from them."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from plc.images import Image
from plc.registers import (
    BLOCKS,
    CTRL,
    DIAG,
    IDENT,
    SIGNATURE,
    SIMULATOR_SIGNATURE,
    STAT,
    Block,
    Command,
    CommandResult,
    Control,
    OfflineReason,
    Reason,
    Register,
    Status,
    Status2,
    Verdict,
    VisionState,
)


class ResultFlag(IntFlag):
    """Bits of STAT.RESULT_FLAGS."""

    TEST_PART = 1 << 0
    SIMULATED_PICTURE = 1 << 1
    BUFFERED = 1 << 2
    LATE_DISCARD = 1 << 3


BITS: Mapping[str, type[IntFlag]] = {
    "CONTROL": Control, "STATUS": Status, "STATUS2": Status2, "RESULT_FLAGS": ResultFlag,
}  # fmt: skip
_ENUMS: Mapping[str, type[IntEnum]] = {
    "STATE": VisionState, "ERROR_CODE": Reason, "REASON": Reason, "OFFLINE_REASON": OfflineReason,
}  # fmt: skip


def _words(member: IntEnum) -> str:
    return member.name.lower().replace("_", " ")


_WORDS: Mapping[str, Mapping[int, str]] = {
    "RESULT_CODE": {0: "none", **{v.value: v.name for v in Verdict}, 5: "test as expected", 6: "test missed"},
    "PLC_VERDICT": {0: "none", 1: "good", 2: "reject", 3: "not inspected", 4: "bypassed"},
    "COMMAND": {0: "none", **{c.value: _words(c) for c in Command}},
    "COMMAND_RESULT": {r.value: _words(r) for r in CommandResult},
}  # fmt: skip


class NameProblem(ValueError):
    """No such register or bit, or no such value for it; the text says what would do."""


@dataclass(frozen=True, slots=True)
class Place:
    """A register, or one bit of it."""

    block: Block
    register: Register
    bit: IntFlag | None = None

    def __str__(self) -> str:
        bit = f".{self.bit.name}" if self.bit is not None else ""
        return f"{self.block.name}.{self.register.name}{bit}"


@dataclass(frozen=True, slots=True)
class Assignment:
    """What to write: a number, or a text for a string register."""

    place: Place
    value: int | str


def set_bits(name: str, value: int) -> list[str]:
    """Names of the bits that are set in register `name`; those without a name as b0, b1 ..."""
    kind = BITS.get(name)
    names = {bit.value: str(bit.name) for bit in kind} if kind is not None else {}
    return [names.get(1 << i, f"b{i}") for i in range(16) if value >> i & 1]


CODES: Mapping[str, Mapping[int, str]] = {  # register -> what each of its numbers says
    **{name: {member.value: _words(member) for member in kind if member.value} for name, kind in _ENUMS.items()},
    **_WORDS,
}


def meaning(name: str, value: int) -> str:
    """What a number says in register `name`: its word, or nothing."""
    return CODES.get(name, {}).get(value, "")


def spelled(image: Image, register: Register) -> str:
    """The value as a person reads it: bits by name, codes with their word, signatures in hex."""
    name = register.name
    if register.kind == "string":
        return image.text(name)
    value = image[name]
    if register.kind == "bits":
        return " ".join(set_bits(name, value)) or "-"
    if register.length > 2:
        return " ".join(map(str, image.words[register.offset : register.offset + register.length]))
    if "SIGNATURE" in name or name in ("SETTINGS_CHECKSUM", "WORD_ORDER", "RES_XOR", "TRIGGER_ID_INV"):
        return f"0x{value:0{4 * min(register.length, 2)}X}"
    word = meaning(name, value)
    return f"{value} {word}".strip()


def as_json(image: Image) -> dict[str, int | str | list[int] | list[str]]:
    """Every register of a block by name: numbers, bits as lists of names, strings as text."""
    found: dict[str, int | str | list[int] | list[str]] = {}
    for register in image.block.registers:
        if register.kind == "string":
            found[register.name] = image.text(register.name)
        elif register.name in BITS:
            found[register.name] = set_bits(register.name, image[register.name])
        elif register.length > 2:
            found[register.name] = image.words[register.offset : register.offset + register.length]
        else:
            found[register.name] = image[register.name]
    return found


def signatures(number: int) -> dict[int, str]:
    """What SIGNATURE may read in a PLC of station `number`."""
    return {SIGNATURE + number: "PLC", SIMULATOR_SIGNATURE + number: "simulated PLC"}


def find(name: str) -> Place:
    """`TRIGGER_ID`, `CTRL.TRIGGER_ID`, `CONTROL.TRIGGER`, `CTRL.CONTROL.TRIGGER`; case does not matter.

    Raises NameProblem, with names that are near.
    """
    wanted = name.strip().upper()
    known = _places()
    if wanted in known:
        return known[wanted]
    bits = [key for key in known if key.count(".") == 1 and key.split(".")[1] == wanted and key.split(".")[0] in BITS]
    near = bits or difflib.get_close_matches(wanted, known, 3, 0.6)
    hint = f"; did you mean {' or '.join(near)}?" if near else "; `inspector-plc docs` lists them"
    raise NameProblem(f"no register or bit is called {name.strip()}{hint}")


def _places() -> dict[str, Place]:
    found: dict[str, Place] = {}
    for block in (CTRL, STAT, DIAG, IDENT):
        for register in block.registers:
            place = Place(block, register)
            found.setdefault(register.name, place)
            found[f"{block.name}.{register.name}"] = place
            for bit in BITS.get(register.name, ()):
                found[f"{register.name}.{bit.name}"] = found[f"{block.name}.{register.name}.{bit.name}"] = Place(
                    block, register, bit
                )
    return found


def assign(image: Image, assignment: Assignment) -> None:
    """Set one register, or one bit of it, in `image`."""
    place, value = assignment.place, assignment.value
    if isinstance(value, str):
        image.set_text(place.register.name, value)
    elif place.bit is None:
        image[place.register.name] = value
    else:
        old = image[place.register.name]
        image[place.register.name] = old | place.bit if value else old & ~place.bit


def parse_assignment(text: str) -> Assignment:
    """`NAME=VALUE`; numbers decimal or 0x hexadecimal. Raises NameProblem."""
    name, equals, value = text.partition("=")
    if not equals:
        raise NameProblem(f'"{text}" is no NAME=VALUE')
    place = find(name)
    register = place.register
    if register.kind == "string":
        if not value.isascii() or len(value) > 2 * register.length:
            raise NameProblem(f"{place} takes at most {2 * register.length} ASCII characters")
        return Assignment(place, value)
    if register.length > 2:
        raise NameProblem(f"{place} is {register.length} registers: write to none of them by this name")
    if not re.fullmatch(r"\d+|0x[0-9a-f]+", value, re.IGNORECASE | re.ASCII):
        raise NameProblem(f'{place} takes a number, decimal or 0x hexadecimal, not "{value}"')
    number = int(value, 16 if value.lower().startswith("0x") else 10)
    most = 1 if place.bit is not None else (1 << 16 * register.length) - 1
    if number > most:
        raise NameProblem(f"{place} takes 0 to {most}, not {number}")
    return Assignment(place, number)


assert all(name in {r.name for block in BLOCKS for r in block.registers} for name in (*BITS, *_ENUMS, *_WORDS))
