"""Plays a fault script on a simulated line: what is due, what begins, and what ends again."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Protocol

from plc.sim.parts import Habits, NewPart
from plc.sim.program import PlcProgram
from plc.sim.script import Fault

_CLEAR_ERROR_S = 0.2


class Playable(Protocol):
    """What a script can do to a line, beside its program's habits."""

    @property
    def program(self) -> PlcProgram: ...

    frozen: bool
    dwell_s: float
    wait_s: float
    recipe_wanted: int | None

    def restart(self, *, retained: bool) -> None: ...
    def zero_memory(self) -> None: ...
    def hold_memory(self, held: bool) -> None: ...
    def cut_link(self) -> None: ...
    def plug(self, plugged: bool) -> None: ...


@dataclass(slots=True)
class _Ending:
    """Something that a fault began and that ends at a part or a time."""

    undo: Callable[[], None]
    before_part: int | None
    at_s: float | None


class ScriptPlayer:
    """Times are seconds on the line's clock; the script's own zero is the first call of `scan`."""

    def __init__(self, faults: tuple[Fault, ...], line: Playable, told: Callable[[str], None]) -> None:
        self._line, self._told = line, told
        self._at_part = [f for f in faults if f.part is not None and f.delay_s is None]
        self._after_part = [f for f in faults if f.part is not None and f.delay_s is not None]
        self._at_s = [f for f in faults if f.at_s is not None]
        self._due: list[tuple[float, Fault]] = []
        self._endings: list[_Ending] = []
        self._begun_s: float | None = None
        self._part_no = 0
        self._test_part: int | None = None

    def comes(self, part: NewPart, now_s: float) -> NewPart:
        """The next part comes; the part as the script wants it."""
        self._part_no += 1
        self._end(now_s, self._part_no)
        for fault in self._at_part:
            if fault.part == self._part_no:
                self._begin(fault, now_s)
        wanted, self._test_part = self._test_part, None
        return part if wanted is None else replace(part, part_id=wanted, test_part=True)

    def seen(self, number: int, now_s: float) -> None:
        """The sensor sees part `number` (1 = the first)."""
        self._due += [(now_s + (f.delay_s or 0.0), f) for f in self._after_part if f.part == number]

    def scan(self, now_s: float) -> None:
        if self._begun_s is None:
            self._begun_s = now_s
            self._due += [(now_s + (f.at_s or 0.0), f) for f in self._at_s]
        self._end(now_s, None)
        due = [entry for entry in self._due if entry[0] <= now_s]
        self._due = [entry for entry in self._due if entry[0] > now_s]
        for _, fault in due:
            self._begin(fault, now_s)

    def _end(self, now_s: float, part: int | None) -> None:
        over = [
            e for e in self._endings
            if (e.at_s is not None and now_s >= e.at_s)
            or (part is not None and e.before_part is not None and part >= e.before_part)
        ]  # fmt: skip
        self._endings = [e for e in self._endings if e not in over]
        for ending in over:
            ending.undo()

    def _begin(self, fault: Fault, now_s: float) -> None:
        self._told(f"line {fault.line} of the script: {fault.kind.words}")
        habit = _HABITS.get(fault.kind.words)
        if habit is not None:
            self._habit(fault, now_s, habit)
        else:
            self._once(fault, now_s)

    def _habit(self, fault: Fault, now_s: float, name: str) -> None:
        value = fault.number if fault.kind.argument else True
        off = None if fault.kind.argument else False
        setattr(self._line.program.habits, name, value)
        before = None if fault.for_parts is None else max(self._part_no, 1) + fault.for_parts
        ends_s = None if fault.for_s is None else now_s + fault.for_s
        self._until(before, ends_s, lambda: setattr(self._line.program.habits, name, off))

    def _once(self, fault: Fault, now_s: float) -> None:
        line, program, until_s = self._line, self._line.program, now_s + fault.seconds
        match fault.kind.words:
            case "stop":
                line.frozen = True
                self._until(None, until_s, lambda: setattr(line, "frozen", False))
            case "hold memory":
                line.hold_memory(True)
                self._until(None, until_s, lambda: line.hold_memory(False))
            case "unplug":
                line.plug(False)
                self._until(None, until_s, lambda: line.plug(True))
            case "hold trigger" | "clear error" as words:
                name = words.replace(" ", "_")
                setattr(program.habits, name, True)
                ends_s = until_s if words == "hold trigger" else now_s + _CLEAR_ERROR_S
                self._until(None, ends_s, lambda: setattr(line.program.habits, name, False))
            case "restart" | "restart retained" as words:
                line.restart(retained=words != "restart")
            case "new session":
                program.ctrl["PLC_SESSION"] = program.ctrl["PLC_SESSION"] % 0xFFFF + 1
            case "zero memory":
                line.zero_memory()
            case "cut link":
                line.cut_link()
            case "skip":
                program.next_id = (program.next_id - 1 + fault.number) % 0xFFFF + 1
            case "dwell":
                line.dwell_s = fault.seconds
            case "wait":
                line.wait_s = fault.seconds
            case "recipe":
                line.recipe_wanted = fault.number
            case "test part":
                self._test_part = fault.number
            case words:
                raise NotImplementedError(words)

    def _until(self, before_part: int | None, at_s: float | None, undo: Callable[[], None]) -> None:
        self._endings.append(_Ending(undo, before_part, at_s))


_HABITS = {
    "freeze ids": "freeze_ids", "zero ids": "zero_ids", "tear ids": "tear_ids", "never ack": "never_ack",
    "drop trigger after": "drop_after_scans", "ack early": "ack_early", "claim good": "claim_good",
    "bypass": "bypass", "bounce": "bounce", "stick ejector": "stick_ejector", "hide signature": "hide_signature",
    "disable": "disable", "set offline": "set_offline", "expect recipe": "expect_recipe",
}  # fmt: skip
assert set(_HABITS.values()) <= set(Habits.__dataclass_fields__)
