"""An appliance under full control of a test, which judges a PLC's program: it answers as the contract says, or lies."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from plc.conformance.case import Case, CaseFailed, Direction, Profile, Steps
from plc.conformance.checker import Checker
from plc.conformance.raw import Lost, RawModbus, Refused
from plc.conformance.tape import Tape
from plc.images import Image, clear_record, seal_record
from plc.registers import CTRL, DIAG, SIGNATURE, SIMULATOR_SIGNATURE, STAT, Control, Status, VisionState
from plc.server import Memory, RegisterServer

TURN_S, BEAT_S = 0.004, 0.1
GOOD = 1  # PLC_VERDICT
Lie = Callable[[Image], None]


class Side(Protocol):
    """How the images get to the PLC and back."""

    async def exchange(self, stat: list[int]) -> list[int] | None:
        """Show STAT; returns CTRL, or None while there is no connection."""

    async def cut(self) -> None: ...

    async def close(self) -> None: ...


class Polling:
    """Client direction: we poll the PLC's memory. Nothing is written before it shows the signature."""

    def __init__(self, host: str, port: int, number: int = 1) -> None:
        self._where, self._signatures = (host, port), (SIGNATURE + number, SIMULATOR_SIGNATURE + number)
        self._raw: RawModbus | None = None

    async def exchange(self, stat: list[int]) -> list[int] | None:
        try:
            if self._raw is None:
                self._raw = await RawModbus.connect(*self._where)
            words = await self._raw.read(CTRL.base, CTRL.size)
            if words[CTRL["SIGNATURE"].offset] not in self._signatures:
                return None
            await self._raw.write(STAT.base, stat)
        except (Lost, Refused):
            await self.cut()
            return None
        return words

    async def cut(self) -> None:
        raw, self._raw = self._raw, None
        if raw is not None:
            raw.reset()

    async def close(self) -> None:
        await self.cut()


class Listening:
    """Server direction: the PLC connects to us."""

    def __init__(self) -> None:
        plc_writes = (range(CTRL.size), range(140, 170))
        self.memory = Memory(writable=lambda address: any(address in area for area in plc_writes))
        self.server = RegisterServer(self.memory)

    async def start(self, host: str, port: int) -> None:
        await self.server.start(host, port)

    async def exchange(self, stat: list[int]) -> list[int] | None:
        self.memory.words[STAT.base : DIAG.base] = stat + [0] * (DIAG.base - STAT.base - STAT.size)
        ctrl = self.memory.words[: CTRL.size]
        return ctrl if any(ctrl) else None

    async def cut(self) -> None:
        await self.server.drop_connections()

    async def close(self) -> None:
        await self.server.close()


@dataclass(frozen=True, slots=True)
class Answer:
    """What the appliance tells of the next part. lie: changes the image that shows the result, as it is shown.

    acks, ack_s: whether and how late TRIGGER_ACK comes. after_s: the result, after the ACK. silent: the heartbeat
    stands from the trigger on. shows: whether any result comes at all.
    """

    code: int = 1
    reason: int = 0
    acks: bool = True
    ack_s: float = 0.0
    after_s: float = 0.02
    silent: bool = False
    shows: bool = True
    lie: Lie = lambda stat: None


@dataclass(slots=True)
class Heard:
    """What the PLC did: its id, its PLC_VERDICT (0: none came), and whether it acknowledged the result."""

    id: int
    verdict: int = 0
    acknowledged: bool = False

    def __str__(self) -> str:
        meaning = {0: "no verdict", 1: "good", 2: "reject", 3: "not inspected", 4: "bypassed"}
        return f"id {self.id}: PLC_VERDICT {self.verdict} ({meaning.get(self.verdict, '?')})"


@dataclass(eq=False)
class FakeAppliance:
    """Exchanges images in the background; `part` plays one cycle, and starts when the PLC triggers."""

    side: Side
    number: int = 1
    stat: Image = field(default_factory=lambda: Image(STAT))
    ctrl: Image = field(default_factory=lambda: Image(CTRL))
    linked: bool = False
    silent: bool = False
    seq: int = 0
    ids: list[int] = field(default_factory=list)
    verdicts: dict[int, int] = field(default_factory=dict)  # newest PLC_VERDICT by id
    _tick: asyncio.Event = field(default_factory=asyncio.Event)
    _beat_s: float = 0.0

    def __post_init__(self) -> None:
        self.idle()

    def idle(self, status: Status = Status.ONLINE) -> None:
        """No result, no error: what an appliance shows between two parts."""
        beat = self.stat["HEARTBEAT"]
        self.stat.words[:] = [0] * STAT.size
        self.stat["HEARTBEAT"], self.stat["STATUS"], self.stat["STATE"] = beat, status, VisionState.READY
        self.stat["STAT_SIGNATURE"], self.stat["ACTIVE_RECIPE"] = SIGNATURE + self.number, 1

    async def run(self) -> None:
        """Until it is cancelled."""
        try:
            while True:
                if not self.silent and time.monotonic() - self._beat_s >= BEAT_S:
                    self._beat_s = time.monotonic()
                    self.stat["HEARTBEAT"] += 1
                words = await self.side.exchange(list(self.stat.words))
                self.linked = words is not None
                if words is not None:
                    self.ctrl = Image(CTRL, words)
                    self.verdicts[self.ctrl["PLC_VERDICT_ID"]] = self.ctrl["PLC_VERDICT"]
                tick, self._tick = self._tick, asyncio.Event()
                tick.set()
                await asyncio.sleep(TURN_S)
        finally:
            self._tick.set()

    async def until(self, true: Callable[[], bool], within_s: float) -> bool:
        end = time.monotonic() + within_s
        while not true():
            if time.monotonic() >= end:
                return False
            await self._tick.wait()
        return True

    def commanded(self, bit: Control) -> bool:
        return bool(self.ctrl["CONTROL"] & bit)

    def show(self, status: Status) -> None:
        self.stat["STATUS"] = status

    async def part(self, answer: Answer, within_s: float, verdict_s: float) -> Heard:
        """One part, from READY to the PLC's verdict. Raises CaseFailed: the PLC triggers nothing."""
        self.idle()
        free = await self.until(lambda: self._free, within_s)
        self.show(Status.ONLINE | Status.TRIGGER_READY)
        if not free or not await self.until(lambda: self.commanded(Control.TRIGGER), within_s):
            control = f"CONTROL 0x{self.ctrl['CONTROL']:04X}{'' if self.linked else ', no link'}"
            raise CaseFailed(f"no TRIGGER within {within_s:g} s of READY ({control})")
        heard = Heard(self.ctrl["TRIGGER_ID"])
        self.ids.append(heard.id)
        self.verdicts.pop(heard.id, None)
        self.silent = answer.silent
        await self._answer(answer, heard)
        await self.until(lambda: bool(self.verdicts.get(heard.id)), verdict_s)
        heard.verdict = self.verdicts.get(heard.id, 0)
        self.silent = False
        self.idle()
        return heard

    @property
    def _free(self) -> bool:
        return (
            self.linked
            and self.commanded(Control.TRIGGER_ENABLE)
            and not self.commanded(Control.TRIGGER | Control.RESULTS_ACK)
        )

    async def _answer(self, answer: Answer, heard: Heard) -> None:
        status = Status.ONLINE
        self.show(status)
        await asyncio.sleep(answer.ack_s)
        if answer.acks:
            status |= Status.TRIGGER_ACK
            self.stat["TRIGGER_ID_ACK"] = heard.id
        self.show(status | Status.ACQUIRING)
        await asyncio.sleep(answer.after_s)
        self.show(status)
        if not answer.shows:
            return
        self._load(answer, heard.id)
        await asyncio.sleep(3 * TURN_S)  # the record stands before its flags
        shown = Image(STAT, self.stat.words)
        shown["STATUS"] = status | Status.RESULTS_VALID | (Status.PASS if answer.code == GOOD else Status.FAIL)
        answer.lie(shown)
        shown["HEARTBEAT"] = self.stat["HEARTBEAT"]
        self.stat.words[:] = shown.words
        heard.acknowledged = await self.until(lambda: self.commanded(Control.RESULTS_ACK), 3.0)
        self.stat["STATUS"] &= ~(Status.RESULTS_VALID | Status.PASS | Status.FAIL)
        await self.until(lambda: not self.commanded(Control.TRIGGER), 3.0)
        self.stat["STATUS"] &= ~Status.TRIGGER_ACK

    def _load(self, answer: Answer, id_: int) -> None:
        clear_record(self.stat)
        self.seq = self.seq % 0xFFFF + 1
        self.stat["RES_TRIGGER_ID"], self.stat["RESULT_CODE"], self.stat["REASON"] = id_, answer.code, answer.reason
        self.stat["PART_ID_ECHO"], self.stat["ENCODER_ECHO"] = self.ctrl["PART_ID"], self.ctrl["ENCODER"]
        self.stat["RECIPE_USED"] = self.ctrl["RECIPE_EXPECTED"] or 1
        seal_record(self.stat, self.seq)


@dataclass(frozen=True, slots=True)
class ProgramSettings:
    """Of the PLC program that is judged. Seconds. part_s: it brings a part at least that often while READY stands."""

    ack_timeout_s: float = 0.1
    result_timeout_s: float = 0.5
    heartbeat_timeout_s: float = 0.5
    part_s: float = 15.0
    verdict_s: float = 5.0


@dataclass(eq=False)
class ProgramBench:
    """One test of a PLC's program."""

    direction: Direction
    profile: Profile
    appliance: FakeAppliance
    program: ProgramSettings
    steps: Steps = field(default_factory=Steps)
    checker: Checker | None = None  # a lying appliance breaks its rules on purpose
    tape: Tape | None = None

    async def part(self, answer: Answer | None = None) -> Heard:
        return await self.appliance.part(answer or Answer(), self.program.part_s, self.program.verdict_s)

    async def accepts(self) -> None:
        """A right answer of PASS: the part is good. Raises CaseFailed."""
        heard = await self.part()
        self.steps.check("a whole and right PASS", "PLC_VERDICT 1 (good)", heard, heard.verdict == GOOD)

    async def rejects(self, what: str, answer: Answer) -> Heard:
        """The PLC must not take the part as good, and must say what it did. Raises CaseFailed."""
        heard = await self.part(answer)
        self.steps.check(what, "PLC_VERDICT, and not good", heard, heard.verdict not in (0, GOOD))
        return heard


@asynccontextmanager
async def program_bench(
    case: Case, side: Side, direction: Direction, profile: Profile, program: ProgramSettings, number: int
) -> AsyncIterator[ProgramBench]:
    appliance = FakeAppliance(side, number)
    task = asyncio.create_task(appliance.run(), name="fake appliance")
    try:
        yield ProgramBench(direction, profile, appliance, program)
    finally:
        appliance.idle()
        task.cancel()
        ended = await asyncio.gather(task, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error
