"""Appliances that the suite can judge: a running one, one that a command starts, and our own links in this process."""

from __future__ import annotations

import asyncio
import shlex
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from plc.cycle import Cycle
from plc.handshake import Handshake
from plc.parts import HandshakeConfig, HealthInput, Part, Record
from plc.registers import Command, CommandResult, OfflineReason, Reason, Verdict
from plc.station import Link, StationPlace, StationPort, Told

END_S = 8.0
ABILITIES = {
    "start": "the suite must be able to start and end the appliance",
    "kill": "the suite must be able to kill the appliance",
    "pause": "the suite must be able to stop the appliance's process (SIGSTOP)",
    "judge": "the suite must be able to slow its judge down",
    "simulated": "the appliance's camera must be a simulated one",
    "settled": "a person has nothing to acknowledge after a latched alarm",
}


@dataclass(frozen=True, slots=True)
class ApplianceSettings:
    """What the appliance is configured to, and the suite must know. Seconds; recipe: the active one's number.

    test_part_parts: TEST_PART expires after so many parts; None: not known, and its expiry is not judged.
    """

    number: int = 1
    deadline_s: float = 0.15
    max_trigger_age_s: float = 0.05
    ack_timeout_s: float = 10.0
    request_timeout_s: float = 0.25
    comm_timeout_s: float = 1.0
    heartbeat_timeout_s: float = 0.5
    reconnect_max_s: float = 2.0
    max_connections: int = 4
    recipe: int = 1
    two_phase: bool = True
    test_part_parts: int | None = None


HERE = ApplianceSettings(
    deadline_s=0.5, max_trigger_age_s=0.3, ack_timeout_s=1.0, request_timeout_s=0.25, reconnect_max_s=0.5,
    heartbeat_timeout_s=0.6, test_part_parts=6,
)  # fmt: skip


class Appliance(Protocol):
    """What is judged. `start` returns once it was asked to run, not once it is READY; both ends may be called twice."""

    settings: ApplianceSettings
    abilities: frozenset[str]

    async def start(self) -> None: ...

    async def stop(self) -> None:
        """Orderly, as by SIGTERM."""

    async def kill(self) -> None:
        """At once, as by SIGKILL."""


class Standing:
    """An appliance that runs already: it is only spoken to."""

    def __init__(self, settings: ApplianceSettings, *, simulated: bool = False) -> None:
        self.settings = settings
        self.abilities = frozenset({"simulated"} if simulated else ())

    async def start(self) -> None:
        return

    async def stop(self) -> None:
        return

    async def kill(self) -> None:
        return


class Started:
    """An appliance that a command starts, as a process; what it says goes to `log`."""

    def __init__(self, command: str, log: Path, settings: ApplianceSettings, *, simulated: bool = False) -> None:
        self.settings = settings
        self.abilities = frozenset({"start", "kill", "pause", *(("simulated",) if simulated else ())})
        self._command, self._log = shlex.split(command), log
        self.process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        if self.process is not None and self.process.returncode is None:
            return
        with self._log.open("ab") as out:
            self.process = await asyncio.create_subprocess_exec(
                *self._command, stdin=asyncio.subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    async def stop(self) -> None:
        await self._end(signal.SIGTERM)

    async def kill(self) -> None:
        await self._end(signal.SIGKILL)

    def pause(self) -> None:
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        self._send(signal.SIGCONT)

    def _send(self, number: signal.Signals) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(number)

    async def _end(self, number: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None or process.returncode is not None:
            return
        process.send_signal(number)
        try:
            async with asyncio.timeout(END_S):
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()


@dataclass(slots=True)
class Judge:
    """The null judge and camera of `Here`. in_view: would the part that a camera sees now pass? None: there is none."""

    exposure_s: float = 0.002
    delay_s: float = 0.0
    simulated: bool = True
    in_view: Callable[[], bool | None] = lambda: None


MakeLink = Callable[[StationPlace], Link]


@dataclass(eq=False)
class Here:
    """Our own link and handshake in this process, before a judge that a test holds. Rows outlive a restart.

    make_link: the link to be judged, around the one station that it is given.
    """

    make_link: MakeLink
    settings: ApplianceSettings = HERE
    judge: Judge = field(default_factory=Judge)
    rows: dict[int, tuple[int, int]] = field(default_factory=dict)  # by trigger id: newest (code, reason)
    abilities: frozenset[str] = frozenset({"start", "kill", "judge", "simulated", "settled"})
    told: list[tuple[Part, Told]] = field(default_factory=list)
    link: Link | None = None
    _tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def start(self) -> None:
        if self._tasks:
            return
        s = self.settings
        cfg = HandshakeConfig(
            s.number, s.max_trigger_age_s, s.deadline_s, s.ack_timeout_s, s.heartbeat_timeout_s, s.recipe
        )
        if s.test_part_parts is not None:
            cfg = replace(cfg, test_part_max_parts=s.test_part_parts)
        handshake = Handshake(cfg, self.rows.__contains__)
        handshake.recall_told((id_, 0, code, 0) for id_, (code, _) in self.rows.items())
        self.link = self.make_link(StationPlace(handshake))
        station = self.link.stations[0]
        station.set_health(HealthInput(True, OfflineReason.NONE))
        self._tasks = [
            asyncio.create_task(self.link.run(), name="appliance link"),
            asyncio.create_task(self._inspect_forever(station), name="appliance line"),
            asyncio.create_task(self._obey_forever(), name="appliance commands"),
        ]

    @property
    def handshake(self) -> Handshake:
        if self.link is None:
            raise RuntimeError("not started")
        return self.link.stations[0].handshake

    async def stop(self) -> None:
        if self._tasks and self.link is not None:
            self.handshake.stop(asyncio.get_running_loop().time())
            end = asyncio.get_running_loop().time() + self.settings.deadline_s
            while self.handshake.cycle is not Cycle.IDLE and asyncio.get_running_loop().time() < end:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            await self.link.stop()
        await self.kill()

    async def kill(self) -> None:
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        for error in ended:
            if isinstance(error, Exception):
                raise error

    async def _inspect_forever(self, station: StationPort) -> None:
        while True:
            part = await station.next()
            if part.refused is None:
                record = await self._judge(station, part)
            else:
                record = Record(int(Verdict.NOT_INSPECTED), part.refused)
            self.rows[part.trigger_id] = record.code, record.reason
            told = await station.publish(part, record)
            self.rows[part.trigger_id] = told.record.code, told.record.reason
            self.told.append((part, told))

    async def _obey_forever(self) -> None:
        """The appliance has one recipe; what else is asked of it is done at once."""
        handshake, clock = self.handshake, asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(0.005)
            while handshake.requests:
                request = handshake.requests.popleft()
                known = request.arg == self.settings.recipe
                if request.command is not Command.PREPARE_RECIPE:
                    handshake.answer(request, CommandResult.OK, clock())
                elif known:
                    handshake.answer(request, CommandResult.OK, clock(), request.arg)
                else:
                    handshake.answer(request, CommandResult.UNKNOWN_RECIPE, clock())

    async def _judge(self, station: StationPort, part: Part) -> Record:
        exposed_s = asyncio.get_running_loop().time()
        passes = self.judge.in_view()
        await asyncio.sleep(self.judge.exposure_s)
        station.exposed(part, exposed_s)
        await asyncio.sleep(self.judge.delay_s)
        code, reason = {
            True: (Verdict.PASS, Reason.NONE), False: (Verdict.FAIL, Reason.CLASS),
            None: (Verdict.NOT_INSPECTED, Reason.NO_PART),
        }[passes]  # fmt: skip
        return Record(
            int(code), reason, inspection_no=len(self.rows) + 1, recipe_used=self.settings.recipe, confidence=9000,
            simulated=self.judge.simulated,
        )  # fmt: skip
