"""A line on the PLC's side: brings parts to the program's sensors, scan by scan, however its images travel."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

from plc.images import Image
from plc.registers import Control
from plc.sim.belt import Belt, BeltConfig
from plc.sim.inspect import set_bit
from plc.sim.parts import NewPart, SimConfig, SimResult
from plc.sim.player import ScriptPlayer
from plc.sim.program import Inputs, PlcProgram
from plc.sim.script import Fault

CHANGE_OVER_S = 60.0  # a change-over has its own, shorter timeout
ALARM_S = 1.0  # a person comes, clears the gate and acknowledges


@dataclass
class SimLine:
    """The program of one station and what moves parts past it. `frozen` stops the program (PLC in STOP).

    on_event: what a fault script did, change-overs and alarms, in words.
    """

    cfg: SimConfig = field(default_factory=SimConfig)
    results: list[SimResult] = field(default_factory=list)
    on_result: Callable[[SimResult], None] | None = None
    frozen: bool = False
    on_event: Callable[[str], None] | None = None
    script: tuple[Fault, ...] = ()

    def __post_init__(self) -> None:
        self.program = PlcProgram(self.cfg)
        self.stopping = False  # True: no further part is brought
        self.dwell_s = self.wait_s = 0.0  # of the next part
        self.recipe_wanted: int | None = None
        self._player = ScriptPlayer(self.script, self, self._tell)
        self._told_changes = self._brought = 0
        self._inputs = Inputs()  # what the sensors show
        self._at: NewPart | None = None
        self._alarm_s = self._stands_until_s = 0.0

    # -- how the images travel -------------------------------------------------------------------------------------

    def stat(self) -> Image:
        """What the PLC reads of STAT now."""
        raise NotImplementedError

    def _write(self) -> None:
        """CTRL and IDENT leave the program."""
        raise NotImplementedError

    async def _pause(self) -> None:
        """To the next scan."""
        await asyncio.sleep(self.cfg.scan_s)

    def zero_memory(self) -> None: ...
    def hold_memory(self, held: bool) -> None: ...
    def cut_link(self) -> None: ...
    def plug(self, plugged: bool) -> None: ...

    # -- for tests and the demo ------------------------------------------------------------------------------------

    @property
    def ctrl(self) -> Image:
        """The program's own image of CTRL; what is changed in it goes out with the next scan."""
        return self.program.ctrl

    def _set(self, bit: Control, on: bool) -> None:
        """By hand; while TRIGGER is up by hand too, an idle program leaves CONTROL alone."""
        set_bit(self.program.ctrl, bit, on)

    @property
    def next_id(self) -> int:
        return self.program.inspect.next_id

    @next_id.setter
    def next_id(self, value: int) -> None:
        self.program.inspect.next_id = value

    async def play(self, part_ids: Iterable[int | NewPart], period_s: float = 0.0) -> list[SimResult]:
        """Bring parts past the camera, one after another, at least `period_s` apart; returns their results.

        An indexed line: each part waits for READY, and stands until its result was read.
        """
        first = len(self.results)
        for part in self._fed(part_ids):
            begun = time.monotonic()
            await self._until_ready()
            if self.stopping:
                break
            await self._indexed(part)
            await self.idle_for(max(0.0, period_s - (time.monotonic() - begun)))
        return self.results[first:]

    async def idle_for(self, seconds: float) -> None:
        """Scan on without a part."""
        end = time.monotonic() + seconds
        while True:
            await self._scan()
            if time.monotonic() >= end:
                return

    async def wait_ready(self, timeout_s: float) -> bool:
        end = time.monotonic() + timeout_s
        while True:
            await self._scan()
            if not self.frozen and self.program.ready(self.stat(), time.monotonic()):
                return True
            if self.stopping or time.monotonic() >= end:
                return False

    async def inspect(self, part_id: int) -> SimResult:
        """One part on an indexed line, to its end; the default is reject."""
        await self._until_ready()
        return await self._indexed(NewPart(part_id))

    async def change_over(self, recipe: int) -> bool:
        """Section 6 of the contract, to its end. True: the appliance is READY with `recipe`."""
        end = time.monotonic() + CHANGE_OVER_S
        while self.program.busy and time.monotonic() < end:
            await self._scan()  # the part in flight first: TRIGGER_ENABLE=0 would abort it
        before = len(self.program.changed_over)
        self.program.change_over(recipe, self.stat(), time.monotonic())
        while len(self.program.changed_over) == before:
            if self.stopping:
                return False
            await self._scan()
        return self.program.changed_over[-1].ok

    async def run_belt(
        self, cfg: BeltConfig, parts: Iterable[int | NewPart], stop: asyncio.Event | None = None
    ) -> Belt:
        """Carry `parts` past camera and gate on a belt that waits for nobody; returns it when it is empty.

        The belt stands while the program is stopped, a recipe is changed over, or an alarm stands. Needs `cfg.track`.
        """
        if self.cfg.track is None or self.cfg.track.gate != cfg.gate:
            raise ValueError("the program's track must know where the belt's gate is")
        belt, last_s = Belt(cfg, self._fed(parts)), time.monotonic()
        while not belt.empty or not self.program.track.empty or self.program.track.alarm:
            belt.feeding = not self.stopping
            now_s = time.monotonic()
            if self._belt_runs(now_s):
                open_, stuck = self.program.track.gate_open and not self.frozen, self.program.habits.stick_ejector
                belt.move(now_s - last_s, gate_open=open_, ejector_stuck=stuck)
            last_s = now_s
            if belt.next_part() is not None:
                belt.delay_newest(self._taken("wait_s"))
                await self._change_if_wanted()
            self._inputs = Inputs(self._at_camera(belt, now_s), belt.encoder, len(belt.binned))
            await self._scan()
        return belt

    # -- in detail -------------------------------------------------------------------------------------------------

    def _fed(self, parts: Iterable[int | NewPart]) -> Iterator[NewPart]:
        """The parts as the fault script wants them; it is asked as each of them comes."""
        for part in parts:
            new = part if isinstance(part, NewPart) else NewPart(part)
            yield self._player.comes(new, time.monotonic())

    async def _until_ready(self) -> None:
        """Before a part of an indexed line: what a script wants first, and READY, for as long as the line waits."""
        if wait_s := self._taken("wait_s"):
            await self.idle_for(wait_s)
        await self._change_if_wanted()
        await self.wait_ready(self.cfg.ready_timeout_s if self.program.enabled else 0.0)

    async def _indexed(self, part: NewPart) -> SimResult:
        self._brought += 1
        self._player.seen(self._brought, time.monotonic())
        first, leaves_s = len(self.results), time.monotonic() + self._taken("dwell_s")
        self._inputs = Inputs(part)  # a level: whoever scans beside us sees the part as well
        try:
            while True:
                self._step()
                mine = [result for result in self.results[first:] if result.part_id == part.part_id]
                if mine and not self.program.busy and time.monotonic() >= leaves_s:
                    return mine[-1]
                await self._pause()
        finally:
            self._inputs = Inputs()

    def _at_camera(self, belt: Belt, now_s: float) -> NewPart | None:
        part = belt.at_camera
        if part is not None and part is not self._at:
            self._brought += 1
            self._player.seen(self._brought, now_s)
            self._stands_until_s = now_s + self._taken("dwell_s")
        self._at = part
        return part

    def _belt_runs(self, now_s: float) -> bool:
        """It stands for a part that dwells, for a stopped PLC, and for an alarm until a person came."""
        track = self.program.track
        if track.alarm and not self._alarm_s:
            self._tell(f"the belt stands: {track.alarm}")
            self._alarm_s = now_s + ALARM_S
        if track.alarm and now_s >= self._alarm_s:
            track.acknowledge()
        if not track.alarm:
            self._alarm_s = 0.0
        return not (self.frozen or track.alarm or now_s < self._stands_until_s)

    async def _change_if_wanted(self) -> None:
        recipe, self.recipe_wanted = self.recipe_wanted, None
        if recipe is not None:
            await self.change_over(recipe)

    def _taken(self, name: str) -> float:
        """A time that a script set for one part."""
        value: float = getattr(self, name)
        setattr(self, name, 0.0)
        return value

    async def _scan(self) -> None:
        self._step()
        await self._pause()

    def _step(self) -> None:
        """One scan of the program: inputs, logic, outputs."""
        now_s = time.monotonic()
        self._player.scan(now_s)
        if self.frozen:
            return
        self.program.scan(self.stat(), self._inputs, now_s)
        self._write()
        self._take(self.program.results)
        self.program.results = []
        for outcome in self.program.changed_over[self._told_changes :]:
            self._told_changes += 1
            done = "changed over" if outcome.ok else "CHANGE-OVER FAILED"
            self._tell(f"{done} to recipe {outcome.recipe} in {outcome.seconds:.2f} s: {outcome.text}")

    def _take(self, results: Iterable[SimResult]) -> None:
        for result in results:
            self.results.append(result)
            if self.on_result is not None:
                self.on_result(result)

    def _tell(self, text: str) -> None:
        if self.on_event is not None:
            self.on_event(text)

    def restart(self, *, retained: bool) -> None:
        """The PLC starts anew: ids from 1, a new session. What was on its way is rejected, known to nobody."""
        self._take(self.program.abandon())
        if not retained:
            self.zero_memory()
        self.program = PlcProgram(self.cfg, self.program.habits)
        self._told_changes = 0
