"""Runs the tests one after another, the checker on all of them, and keeps what became of each."""

from __future__ import annotations

import asyncio
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Literal, Protocol

from plc.conformance.appliance import ABILITIES
from plc.conformance.case import Case, CaseFailed, Direction, Profile, Step, Steps, Subject
from plc.conformance.checker import Checker, Violation
from plc.conformance.tape import Tape, Trace

CASE_LIMIT_S = {"quick": 120.0, "full": 900.0, "soak": 100_000.0}
Status = Literal["passed", "failed", "not applicable", "not run", "elsewhere"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one test. why: of a failure, or why it was not run; for "elsewhere", where it lives."""

    number: str
    title: str
    status: Status
    why: str = ""
    seconds: float = 0.0
    steps: tuple[Step, ...] = ()
    violations: tuple[Violation, ...] = ()
    traces: tuple[Trace, ...] = ()  # the wire around the first of them


@dataclass(slots=True)
class Report:
    """One run. seed: of the faults at random; None: nothing was at random."""

    subject: Subject
    direction: Direction
    profile: Profile
    what: str  # the appliance or PLC that was judged, in words
    outcomes: list[Outcome] = field(default_factory=list)
    began_utc_s: float = field(default_factory=time.time)
    seconds: float = 0.0
    seed: int | None = None

    def count(self, status: Status) -> int:
        return sum(outcome.status == status for outcome in self.outcomes)

    @property
    def ok(self) -> bool:
        """At least one test passed and none failed."""
        return self.count("failed") == 0 and self.count("passed") > 0


class World(Protocol):
    """What a runner needs of a bench of either subject."""

    @property
    def steps(self) -> Steps: ...

    @property
    def checker(self) -> Checker | None: ...

    @property
    def tape(self) -> Tape | None: ...


Open = Callable[[Case], AbstractAsyncContextManager[World]]


def why_not(case: Case, direction: Direction, abilities: frozenset[str]) -> tuple[Status, str] | None:
    """Why a test is not run, or None."""
    if direction not in case.directions:
        return "not applicable", f"only in the {case.directions[0]} direction"
    missing = sorted(case.needs - abilities)
    if missing:
        return "not run", "; ".join(ABILITIES[name] for name in missing)
    return None


async def run_case(case: Case, open_world: Open, limit_s: float) -> Outcome:
    """Run one test to its end; whatever it raises is its failure."""
    begun, world, why = time.monotonic(), None, ""
    try:
        async with asyncio.timeout(limit_s), open_world(case) as world:
            await case.run(world)
    except CaseFailed as exc:
        why = str(exc)
    except TimeoutError:
        why = f"not done within {limit_s:.0f} s"
    except Exception as exc:  # a bug of the suite or of an appliance in this process: told, never passed
        why = f"{type(exc).__name__}: {exc}\n{traceback.format_exc(limit=-2)}"
    violations = tuple(world.checker.violations) if world is not None and world.checker is not None else ()
    why = "; ".join(filter(None, [why, *(f"{v.rule}: {v.told}" for v in violations)]))
    steps = tuple(world.steps.taken) if world is not None else ()
    status: Status = "failed" if why else "passed"
    if not why and not steps:
        status, why = "failed", "the test left no evidence"
    traces = world.tape.traces() if world is not None and world.tape is not None else ()
    return Outcome(case.number, case.title, status, why, time.monotonic() - begun, steps, violations, traces)


async def run_all(
    cases: Sequence[Case], report: Report, abilities: frozenset[str], open_world: Open, told: Callable[[Outcome], None]
) -> Report:
    """Fill `report`; `told` hears of each outcome as it comes."""
    begun = time.monotonic()
    for case in cases:
        not_run = why_not(case, report.direction, abilities)
        if not_run is not None:
            outcome = Outcome(case.number, case.title, *not_run)
        else:
            outcome = await run_case(case, open_world, CASE_LIMIT_S[report.profile])
        report.outcomes.append(outcome)
        told(outcome)
    report.seconds = time.monotonic() - begun
    return report
