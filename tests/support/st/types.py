"""The types of Structured Text that the shipped text uses, as strict as in the standard: nothing converts itself."""

from __future__ import annotations

import keyword
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

RANGES = {
    "INT": (-0x8000, 0x7FFF), "UINT": (0, 0xFFFF), "UDINT": (0, 0xFFFFFFFF), "DINT": (-0x80000000, 0x7FFFFFFF),
    "BYTE": (0, 0xFF), "WORD": (0, 0xFFFF), "DWORD": (0, 0xFFFFFFFF),
}  # fmt: skip
NUMBERS = {"INT", "UINT", "UDINT", "DINT"}
BIT_STRINGS = {"BOOL", "BYTE", "WORD", "DWORD"}
LITERAL = "a literal"  # takes the type of what it stands beside, if that is a number


def key(name: str) -> str:
    """ST knows no upper and lower case; Python has words of its own."""
    low = name.lower()
    return f"{low}_" if keyword.iskeyword(low) else low


class StError(Exception):
    """The text is not what a strict compiler takes, or it left a type's range while it ran."""


@dataclass(frozen=True)
class Array:
    low: int
    high: int
    of: Any  # str (elementary), Array or Struct


@dataclass
class Struct:
    """A STRUCT or a function block: fields by lower-case name."""

    name: str
    fields: dict[str, Any] = field(default_factory=dict)
    initial: dict[str, Any] = field(default_factory=dict)
    inputs: set[str] = field(default_factory=set)
    in_outs: set[str] = field(default_factory=set)
    constants: set[str] = field(default_factory=set)
    body: Any = None  # of a function block: its compiled scan


class Instance:
    """Memory of one STRUCT or function block."""

    def __init__(self, of: Struct) -> None:
        self.of = of
        for name, kind in of.fields.items():
            if name not in of.in_outs:
                setattr(self, name, of.initial.get(name, fresh(kind)))


def fresh(kind: Any) -> Any:
    """The initial value of a type: zero, as the standard has it."""
    if isinstance(kind, Array):
        return [fresh(kind.of) for _ in range(kind.high - kind.low + 1)]
    if isinstance(kind, Struct):
        return Instance(kind)
    return False if kind == "BOOL" else 0


def copy(value: Any) -> Any:
    """Assigning an array copies it; structures are not assigned in our subset."""
    if isinstance(value, Instance):
        raise StError(f"{value.of.name} is not assigned as a whole in our subset")
    return [copy(v) for v in value] if isinstance(value, list) else value


def checked(value: int, kind: str) -> int:
    """No value leaves its type's range: whether it would wrap or trap differs from one PLC to the next."""
    low, high = RANGES[kind]
    if not low <= value <= high:
        raise StError(f"{value} is no {kind}")
    return value


def at(array: Sequence[Any], index: int, low: int) -> int:
    if not 0 <= index - low < len(array):
        raise StError(f"index {index} is outside the array")
    return index - low
