"""A test of the contract's section 8: its number, what it applies to, and the evidence that it leaves."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from plc.conformance.bench import Bench

Direction = Literal["client", "server"]
Subject = Literal["appliance", "plc"]  # what is judged
Profile = Literal["quick", "full", "soak"]
PROFILES: tuple[Profile, ...] = ("quick", "full", "soak")
BOTH: tuple[Direction, ...] = ("client", "server")


class CaseFailed(Exception):
    """What came is not what the contract wants."""


@dataclass(frozen=True, slots=True)
class Step:
    """One line of evidence: what was sent, what the contract expects, what came."""

    at_s: float  # since the test began
    sent: str
    expected: str
    came: str
    ok: bool


@dataclass(slots=True)
class Steps:
    """The evidence of one test, in order."""

    begun_s: float = field(default_factory=time.monotonic)
    taken: list[Step] = field(default_factory=list)

    def note(self, sent: str, expected: str, came: object, ok: bool) -> None:
        """Record a step without ending the test."""
        self.taken.append(Step(time.monotonic() - self.begun_s, sent, expected, str(came), ok))

    def check(self, sent: str, expected: str, came: object, ok: bool) -> None:
        """Record a step. Raises CaseFailed where it is not `ok`."""
        self.note(sent, expected, came, ok)
        if not ok:
            raise CaseFailed(f"{sent}: expected {expected}, came {came}")

    def equal(self, sent: str, expected: object, came: object) -> None:
        """Raises CaseFailed."""
        self.check(sent, str(expected), came, expected == came)


@dataclass(frozen=True, slots=True)
class Case:
    """One test of section 8.

    needs: what the subject must let the suite do beyond speaking Modbus, as names of `appliance.Ability`; where it does
    not, the test is reported as not run, with the reason.
    """

    number: str
    title: str
    subject: Subject
    directions: tuple[Direction, ...]
    needs: frozenset[str]
    started: bool  # the appliance is up and READY when the test begins
    run: Callable[[Any], Awaitable[None]]

    @property
    def order(self) -> tuple[int, str, str]:
        """53b stands between 53 and 54."""
        digits = "".join(c for c in self.number if c.isdigit())
        return int(digits), self.number, self.title


Test = Callable[["Bench"], Awaitable[None]]


class Register:
    """The tests of one subject, in order of their numbers."""

    def __init__(self, subject: Subject) -> None:
        self.subject: Subject = subject
        self.cases: list[Case] = []

    def case(
        self, number: str, *, directions: tuple[Direction, ...] = BOTH, needs: str = "", started: bool = True
    ) -> Callable[[Callable[[Any], Awaitable[None]]], Callable[[Any], Awaitable[None]]]:
        """Register a function whose name is a sentence; `needs` are names of abilities, parted by spaces."""

        def register(run: Callable[[Any], Awaitable[None]]) -> Callable[[Any], Awaitable[None]]:
            title = run.__name__.replace("_", " ")
            made = Case(number, title, self.subject, directions, frozenset(needs.split()), started, run)
            self.cases.append(made)
            self.cases.sort(key=lambda case: case.order)
            return run

        return register


APPLIANCE = Register("appliance")
PLC = Register("plc")
