"""Fault scripts: one timed fault a line, in words.

# comments, and empty lines
at part 20: stop 2 s
at part 30: freeze ids for 3 parts
at part 40 + 5 ms: cut link         # 5 ms after part 40 was seen by the sensor
at 12.5 s: zero memory              # since the start
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

MAX_PARTS, MAX_S, MAX_NUMBER = 1_000_000, 86_400.0, 0xFFFFFFFF


class ScriptError(ValueError):
    """The script cannot be read; `line` counts from 1."""

    def __init__(self, line: int, text: str) -> None:
        super().__init__(f"line {line}: {text}")
        self.line = line


class Argument(StrEnum):
    NONE = ""
    NUMBER = "N"
    TIME = "T"  # a number and s or ms


@dataclass(frozen=True, slots=True)
class Kind:
    """One fault. lasting: it may be followed by `for N parts` or `for T`; without, it lasts for one part."""

    words: str
    meaning: str
    argument: Argument = Argument.NONE
    lasting: bool = False
    after: str = ""  # words behind the argument
    most: int = 0xFFFF  # the greatest number


KINDS = (
    Kind("stop", "the program stops (PLC in STOP): outputs off, the server answers on", Argument.TIME),
    Kind("restart", "the PLC starts anew: memory cleared, ids from 1, a new PLC_SESSION"),
    Kind("restart retained", "the same, but its memory keeps what it held"),
    Kind("new session", "PLC_SESSION changes, nothing else does"),
    Kind("zero memory", "all registers are 0 until somebody writes them again (a watchdog)"),
    Kind("hold memory", "the communication processor hangs on to the images it has", Argument.TIME),
    Kind("cut link", "every connection is cut once"),
    Kind("unplug", "every connection is cut, and none is taken", Argument.TIME),
    Kind("freeze ids", "each part has the TRIGGER_ID of the one before", lasting=True),
    Kind("zero ids", "TRIGGER_ID is 0", lasting=True),
    Kind("tear ids", "TRIGGER is written one scan before its id", lasting=True),
    Kind("skip", "so many trigger ids are left out", Argument.NUMBER, after="ids"),
    Kind("drop trigger after", "TRIGGER falls after so many scans, seen or not", Argument.NUMBER, lasting=True,
         after="scans"),
    Kind("hold trigger", "TRIGGER stays 1 for so long, whatever is answered", Argument.TIME),
    Kind("never ack", "RESULTS_ACK is never raised", lasting=True),
    Kind("ack early", "RESULTS_ACK is up before there is a result", lasting=True),
    Kind("claim good", "PLC_VERDICT says good, whatever was read", lasting=True),
    Kind("bypass", "a keyed by-pass: parts go on as they are, PLC_VERDICT says 4", lasting=True),
    Kind("bounce", "the part sensor gives a second edge for each part", lasting=True),
    Kind("dwell", "the part stands at the camera for so long", Argument.TIME),
    Kind("stick ejector", "rejected parts that come to the gate meanwhile stay on the belt", lasting=True),
    Kind("hide signature", "CTRL shows no signature", lasting=True),
    Kind("disable", "TRIGGER_ENABLE is 0", lasting=True),
    Kind("set offline", "SET_OFFLINE is 1", lasting=True),
    Kind("clear error", "CLEAR_ERROR is 1 for 200 ms"),
    Kind("expect recipe", "RECIPE_EXPECTED is N without a change-over", Argument.NUMBER, lasting=True),
    Kind("recipe", "change over to recipe N (COMMAND 2); the belt stands meanwhile", Argument.NUMBER),
    Kind("test part", "this part is a challenge part (TEST_PART), and N its PART_ID", Argument.NUMBER, most=MAX_NUMBER),
    Kind("wait", "no part comes for so long", Argument.TIME),
)  # fmt: skip
BY_WORDS = {kind.words: kind for kind in KINDS}


@dataclass(frozen=True, slots=True)
class Fault:
    """kind.words at a part (1 = the first), delay_s after the sensor saw it (None: as it comes); or at at_s."""

    kind: Kind
    line: int
    part: int | None = None
    delay_s: float | None = None
    at_s: float | None = None
    number: int = 0
    seconds: float = 0.0  # the argument
    for_parts: int | None = None
    for_s: float | None = None


_TIME = r"(\d{1,9}(?:\.\d{1,9})?)\s*(s|ms)"
_WHEN = re.compile(rf"at\s+(?:{_TIME}|(?:part\s+)?(\d{{1,9}})(?:\s*\+\s*{_TIME})?)\s*", re.IGNORECASE | re.ASCII)
_LASTING = re.compile(rf"(.*?)\s+for\s+(?:(\d{{1,9}})\s+parts?|{_TIME})", re.IGNORECASE | re.ASCII)


def parse(text: str) -> tuple[Fault, ...]:
    """The faults in the order of their lines. Raises ScriptError."""
    lines = ((number, line.partition("#")[0].strip()) for number, line in enumerate(text.split("\n"), 1))
    return tuple(_parse_line(number, line) for number, line in lines if line)


def _parse_line(number: int, text: str) -> Fault:
    when, colon, what = text.partition(":")
    found = _WHEN.fullmatch(when)
    if not colon or found is None:
        raise ScriptError(number, f'"{text}" does not begin with `at part 20:`, `at part 20 + 5 ms:` or `at 1.5 s:`')
    at, unit, part, delay, delay_unit = found.groups()
    part_no = _bounded(number, int(part), 1, MAX_PARTS, "part") if part is not None else None
    what, for_parts, for_s = _lasting(number, " ".join(what.lower().split()))
    kind, argument = _kind(number, what)
    if (for_parts is not None or for_s is not None) and not kind.lasting:
        raise ScriptError(number, f'"{kind.words}" takes no `for`: it happens once, or says its own time')
    value, seconds = _argument(number, kind, argument)
    if kind.lasting and for_parts is None and for_s is None:
        for_parts = 1
    return Fault(
        kind, number, part_no, _seconds(number, delay, delay_unit), _seconds(number, at, unit), value, seconds,
        for_parts, for_s,
    )  # fmt: skip


def _lasting(number: int, what: str) -> tuple[str, int | None, float | None]:
    found = _LASTING.fullmatch(what)
    if found is None:
        return what, None, None
    rest, parts, time, unit = found.groups()
    if parts is not None:
        return rest, _bounded(number, int(parts), 1, MAX_PARTS, "for parts"), None
    return rest, None, _seconds(number, time, unit)


def _kind(number: int, what: str) -> tuple[Kind, str]:
    """The fault with the longest words that `what` begins with, and what stands behind them."""
    fitting = [k for k in KINDS if what == k.words or what.startswith(k.words + " ")]
    if not fitting:
        near = difflib.get_close_matches(what, [_usage(k) for k in KINDS], 1, 0.6)
        hint = f'; did you mean "{near[0]}"?' if near else "; `inspector-plc sim --list-faults` names them all"
        raise ScriptError(number, f'unknown fault "{what}"{hint}')
    kind = max(fitting, key=lambda k: len(k.words))
    return kind, what[len(kind.words) :].strip()


def _argument(number: int, kind: Kind, text: str) -> tuple[int, float]:
    if kind.after:
        text = re.sub(rf"\s+{kind.after[:-1]}s?$", "", text)
    if kind.argument is Argument.TIME:
        found = re.fullmatch(_TIME, text, re.ASCII)
        if found is None:
            raise ScriptError(number, f'"{kind.words}" needs a time such as `2 s` or `500 ms`, not "{text}"')
        return 0, _seconds(number, *found.groups()) or 0.0
    if kind.argument is Argument.NUMBER:
        if not re.fullmatch(r"\d{1,12}", text, re.ASCII):
            raise ScriptError(number, f'"{_usage(kind)}" needs a whole number, not "{text}"')
        return _bounded(number, int(text), 0, kind.most, kind.words), 0.0
    if text:
        raise ScriptError(number, f'nothing may follow "{kind.words}", found "{text}"')
    return 0, 0.0


def _seconds(number: int, value: str | None, unit: str | None) -> float | None:
    if value is None:
        return None
    seconds = float(value) / (1000 if unit == "ms" or unit == "MS" else 1)
    if seconds > MAX_S:
        raise ScriptError(number, f"{value} {unit} is more than a day")
    return seconds


def _bounded(number: int, value: int, least: int, most: int, what: str) -> int:
    if not least <= value <= most:
        raise ScriptError(number, f"{what}: {value} is not within {least}..{most}")
    return value


def _usage(kind: Kind) -> str:
    return " ".join(filter(None, (kind.words, kind.argument.value, kind.after)))


def usage(kinds: Sequence[Kind] = KINDS) -> str:
    """Every fault with what it does, one a line."""
    lines = [f"  {_usage(kind) + (' [for ...]' if kind.lasting else ''):36} {kind.meaning}" for kind in kinds]
    head = (
        "One fault a line; # begins a comment:\n"
        "  at part 20: FAULT            as part 20 comes\n"
        "  at part 20 + 5 ms: FAULT     5 ms after the part sensor saw it\n"
        "  at 1.5 s: FAULT              since the start\n"
        "N is a number, T a time such as `2 s` or `500 ms`, [for ...] is `for 3 parts` or `for 2 s`; else one part."
    )
    return "\n".join([head, "", *lines])
