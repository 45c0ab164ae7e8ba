"""What a test of an appliance has at hand: a fake PLC, a fault proxy between the two, the checker, and the evidence."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from plc.conformance.appliance import Appliance, Here, Started
from plc.conformance.case import Case, Direction, Profile, Steps
from plc.conformance.checker import Checker, named
from plc.conformance.fake_plc import ENABLE, FakePlc, Piece, PlcSettings, Seen, counted
from plc.conformance.ports import MemoryPort, WirePort
from plc.conformance.raw import RawModbus
from plc.conformance.tape import Tape
from plc.fault_proxy import FaultProxy
from plc.registers import Control, Reason, Status, Verdict

SETTLE_S = 20.0  # until an appliance is READY before a test
START_S = 40.0  # the same, where its process starts
SEED = 63


@dataclass(frozen=True, slots=True)
class Pieces:
    """PART_IDs whose part passes and whose part fails, each without end. bad: None where the line has none to show."""

    good: Iterator[int]
    bad: Iterator[int] | None


def even_and_odd() -> Pieces:
    """The null judge passes even PART_IDs."""
    return Pieces(itertools.count(2, 2), itertools.count(1, 2))


def chosen(good: list[int], bad: list[int]) -> Pieces:
    """PART_IDs that the user names, again and again."""
    return Pieces(itertools.cycle(good), itertools.cycle(bad) if bad else None)


@dataclass(eq=False)
class Plan:
    """One run of the suite against one appliance. ids: of triggers, never repeated but on purpose.

    address: of an appliance that serves (server direction), without the proxy. seed: of the faults at random.
    """

    direction: Direction
    profile: Profile
    appliance: Appliance
    pieces: Pieces
    proxy: FaultProxy = field(default_factory=FaultProxy)
    address: tuple[str, int] | None = None
    plc: PlcSettings = field(default_factory=PlcSettings)
    ids: Iterator[int] = field(default_factory=lambda: counted(1))
    seed: int = SEED


@dataclass(eq=False)
class Bench:
    """One test's world. `plc` scans from the start."""

    plan: Plan
    plc: FakePlc
    port: MemoryPort | WirePort
    checker: Checker
    steps: Steps
    tape: Tape

    @property
    def direction(self) -> Direction:
        return self.plan.direction

    @property
    def proxy(self) -> FaultProxy:
        return self.plan.proxy

    @property
    def appliance(self) -> Appliance:
        return self.plan.appliance

    @property
    def here(self) -> Here:
        """The appliance in this process; only tests that need "judge" ask."""
        if not isinstance(self.plan.appliance, Here):
            raise TypeError("this test needs an appliance in this process")
        return self.plan.appliance

    @property
    def process(self) -> Started:
        if not isinstance(self.plan.appliance, Started):
            raise TypeError("this test needs an appliance that the suite started")
        return self.plan.appliance

    @property
    def memory(self) -> MemoryPort:
        """The PLC's memory; client direction only."""
        if not isinstance(self.port, MemoryPort):
            raise TypeError("this test is of the client direction")
        return self.port

    @property
    def wire(self) -> WirePort:
        """The PLC's connection; server direction only."""
        if not isinstance(self.port, WirePort):
            raise TypeError("this test is of the server direction")
        return self.port

    def can(self, ability: str) -> bool:
        return ability in self.appliance.abilities

    def of_profile(self, quick: float, full: float, soak: float) -> float:
        return {"quick": quick, "full": full, "soak": soak}[self.plan.profile]

    def good(self) -> Piece:
        return Piece(next(self.plan.pieces.good), True)

    def bad(self) -> Piece:
        """A part that must not pass; where the line can show none, a good one."""
        return self.good() if self.plan.pieces.bad is None else Piece(next(self.plan.pieces.bad), False)

    # -- evidence that most tests need ---------------------------------------------------------------------------------

    async def passes(self, piece: Piece | None = None) -> Seen:
        """A good part is inspected and passes: the line works. Raises CaseFailed."""
        seen = await self.plc.inspect(piece or self.good())
        offline = self.plc.stat["OFFLINE_REASON"]
        shown = f"{seen} {' '.join(seen.why)} (READY {self.plc.is_ready()}, OFFLINE_REASON {offline})"
        self.steps.check(f"a good part, id {seen.id}", "1/0, taken as good", shown, seen.good)
        await self.plc.ready(3.0)  # so that what comes next begins under READY
        return seen

    async def ready(self, what: str, within_s: float = SETTLE_S) -> None:
        """Raises CaseFailed."""
        came = await self.plc.ready(within_s)
        self.steps.check(what, f"READY within {within_s:g} s", "READY" if came else self.shown(), came)

    async def happens(self, sent: str, expected: str, true: Callable[[], bool], within_s: float = 3.0) -> None:
        """Raises CaseFailed where it does not come to that in time."""
        came = await self.plc.until(true, within_s)
        self.steps.check(sent, expected, expected if came else f"{self.shown()} after {within_s:g} s", came)

    async def taken(self, id_: int) -> None:
        """The trigger is acknowledged; a fast judge may have answered it by now. Raises CaseFailed."""
        plc = self.plc
        await self.happens(f"TRIGGER with id {id_}", "ACK", lambda: plc.acked(id_) or plc.valid_for(id_))

    async def stays(self, sent: str, expected: str, true: Callable[[], bool], for_s: float) -> None:
        """Raises CaseFailed where it is ever otherwise."""
        held = await self.plc.always(true, for_s)
        self.steps.check(sent, f"{expected}, for {for_s:g} s", expected if held else self.shown(), held)

    async def answers(
        self, sent: str, id_: int, *wanted: tuple[int, int], within_s: float | None = None
    ) -> tuple[int, int]:
        """The result for `id_` is one of `wanted` (code, reason); then it is acknowledged. Raises CaseFailed."""
        came = await self.plc.answered(id_, within_s)
        expected = " or ".join(f"{int(code)}/{int(reason)}" for code, reason in wanted)
        told = f"{came[0]}/{came[1]}" if came else f"no result ({self.shown()})"
        self.steps.check(sent, expected, told, came in wanted)
        await self.plc.release()
        return came or (0, 0)

    async def never_passes(self, sent: str, id_: int, for_s: float = 1.0) -> None:
        """No PASS is shown for `id_` in this time. Raises CaseFailed."""
        plc = self.plc
        await self.stays(
            sent, f"no PASS for id {id_}", lambda: not (plc.valid_for(id_) and plc.has(Status.PASS)), for_s
        )

    def shown(self) -> str:
        stat = self.plc.stat
        numbers = {name: stat[name] for name in ("TRIGGER_ID_ACK", "OFFLINE_REASON", "ERROR_CODE")}
        told = ", ".join(f"{name} {value}" for name, value in numbers.items())
        return f"{named(self.plc.status)}, {told}{'' if self.plc.linked else ', no link'}"

    async def settle(self, within_s: float) -> bool:
        """Bring the appliance to READY without an error: enable, acknowledge what is latched."""
        plc = self.plc
        plc.ctrl["CONTROL"] = ENABLE
        for _ in range(20):
            if await plc.ready(within_s) and not plc.has(Status.ERROR) and not plc.stat["ERROR_CODE"]:
                return True
            await plc.pulse(Control.CLEAR_ERROR)
            within_s = min(within_s, 1.0)
        return False

    async def directly(self) -> RawModbus:
        """A further connection to an appliance that serves. Raises Lost."""
        if self.plan.address is None:
            raise TypeError("this test is of the server direction")
        return await RawModbus.connect(*self.plan.address)


NOT_INSPECTED = int(Verdict.NOT_INSPECTED)


def refused(reason: Reason) -> tuple[int, int]:
    return NOT_INSPECTED, int(reason)


@asynccontextmanager
async def bench_for(case: Case, plan: Plan) -> AsyncIterator[Bench]:
    """Fake PLC and proxy stand, the appliance runs and is READY (unless the test starts it). Raises CaseFailed."""
    polls = plan.direction == "client"
    checker = Checker(plan.plc.number, complete=polls, two_phase=plan.appliance.settings.two_phase)
    plan.proxy.heal()
    steps = Steps()
    tape = Tape(steps.begun_s, plan.proxy.wrong)
    checker.on_broken, plan.proxy.watch = tape.broken, tape
    if plan.direction == "client":
        memory = MemoryPort(checker)
        await memory.start()
        port: MemoryPort | WirePort = memory
        plan.proxy.target = "127.0.0.1", memory.server.port
    else:
        port = WirePort(checker, ("127.0.0.1", plan.proxy.port))
        plan.proxy.target = plan.address
    async with FakePlc(plan.plc, port, checker, plan.ids) as plc:
        bench = Bench(plan, plc, port, checker, steps, tape)
        if isinstance(plan.appliance, Here):
            plan.appliance.judge.in_view = lambda: plc.in_view.good if plc.in_view is not None else None
            plan.appliance.judge.delay_s = 0.0
        try:
            if case.started:
                await plan.appliance.start()
                settled = await bench.settle(START_S if isinstance(plan.appliance, Started) else SETTLE_S)
                bench.steps.check("the appliance before the test", "READY, no error", bench.shown(), settled)
                bench.steps.taken.clear()
            yield bench
            await plc.release()
            checker.settled()
        finally:
            if isinstance(plan.appliance, Here):
                await plan.appliance.kill()
            plan.proxy.target = plan.proxy.watch = None
            plan.proxy.reset()
            await asyncio.sleep(0)
