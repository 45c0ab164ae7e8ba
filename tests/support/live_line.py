"""A whole line for tests of faults: the real daemon as a process, and a simulated PLC that it serves over Modbus."""

from __future__ import annotations

import asyncio
import time
import tomllib
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import apsw

from inspector.bundle.keys import load_keys
from inspector.bundle.slots import Slots
from inspector.cameras.faults import Fault
from inspector.control import connect_control
from inspector.demo.parts import Kind, kind_of
from inspector.demo.processes import daemon, last_words
from plc.images import Image
from plc.registers import DIAG, STAT, Control, OfflineReason, Reason, Status, Verdict
from plc.sim import SimConfig, SimPlc, SimResult
from tests.support.fair import FairTime
from tests.support.invariants import Row, check
from tests.support.station import PATIENT as PATIENT
from tests.support.station import PATIENT_LINK as PATIENT_LINK
from tests.support.station import RENDERED as RENDERED
from tests.support.station import START_S as START_S
from tests.support.station import station_text
from tests.support.tiny_bundle import make_bundle, make_key, trusted_key

KEY = make_key()
TOLD_WITHIN_S = 2.0  # I6
READY_AGAIN_S = 10.0  # I4
TRIES, HELD_UP_S = 3, 0.25
LATE = (  # what a part is refused for where a limit was passed
    Reason.DEADLINE, Reason.STORAGE, Reason.STALE_TRIGGER, Reason.LINK_LOST, Reason.PLC_HEARTBEAT, Reason.CAMERA,
)  # fmt: skip
LOOK_S = 0.02  # how often what is waited for is looked at
DEMO_KEY = tomllib.loads(Path("configs/demo.toml").read_text())["bundle"]["trusted_keys"][0]
DEMO = f'[bundle]\nfile = "demo"\ntrusted_keys = ["{DEMO_KEY}"]'


def parts_of(kind: Kind) -> Iterator[int]:
    """PART_IDs whose rendered picture shows `kind`, without end."""
    part_id = 0
    while True:
        part_id += 1
        if kind_of(part_id) is kind:
            yield part_id


class LiveLine:
    """One station's folder, its PLC and, while it runs, its daemon.

    told: every result that ever stood valid in the PLC's memory, as (trigger id, code, reason), seen at each write.
    acknowledged: every trigger id that was ever acknowledged there.
    """

    def __init__(self, folder: Path, sim: SimPlc) -> None:
        self.folder, self.sim = folder, sim
        self.config = folder / "station.toml"
        self.log = folder / "daemon.log"
        self.db = folder / "state" / "results.db"
        self.process: asyncio.subprocess.Process | None = None
        self.told: list[tuple[int, int, int]] = []
        self.acknowledged: set[int] = set()
        self.held: list[SimResult] = []
        self.goods = parts_of(Kind.GOOD)
        self._ending = AsyncExitStack()
        sim.server._on_write = self._wrote

    def configure(
        self, *, deadline_ms: int = 4000, ack_timeout_ms: int = 10_000, camera: str = RENDERED, bundle: str = "",
        more: str = "", station: str = "", port: int = 0, link: str = PATIENT_LINK,
    ) -> None:  # fmt: skip
        """Write the station's file; without `bundle` it judges with a small one that is signed here.

        port: where the daemon finds the PLC, if not at the PLC itself; in the server direction where it listens.
        """
        if not bundle:
            bundle = signed_bundle(self.folder / "tiny.bundle")
        text = station_text(
            self.folder / "state", self.folder / "run", port or self.sim.port, deadline_ms=deadline_ms, link=link,
            station=f"ack_timeout_ms = {ack_timeout_ms}\n{station}", camera=camera, more=bundle,
        )  # fmt: skip
        self.config.write_text(text + more)

    # -- the daemon ----------------------------------------------------------------------------------------------------

    async def start(self) -> asyncio.subprocess.Process:
        """Start the daemon, as systemd would after its end."""
        assert self.process is None or self.process.returncode is not None, "it runs already"
        self.process = await self._ending.enter_async_context(daemon(self.config))
        return self.process

    def fair(self) -> FairTime:
        """What counts against a bound of the contract: the daemon's time, not that in which the machine held it up."""
        return FairTime(lambda: [p.pid] if (p := self.process) is not None and p.returncode is None else [])

    async def ready(self, within_s: float = START_S, since: FairTime | None = None) -> float:
        """Wait for READY; returns how long that took, from now or `since` then."""
        taken = since or self.fair()
        while not await self.sim.wait_ready(LOOK_S):
            assert taken.s() < within_s, f"not READY within {within_s} s\n{self.words()}"
        return taken.s()

    async def end(self) -> None:
        """SIGTERM to whatever runs."""
        await self._ending.aclose()

    async def status(self) -> Mapping[str, Any]:
        """What the page is told."""
        async with connect_control(self.folder / "run" / "control.sock", "test") as control:
            return await control.status()

    async def act(self, method: str, **params: object) -> Any:
        """What Anna does by the control socket. Raises ControlError."""
        async with connect_control(self.folder / "run" / "control.sock", "anna") as control:
            return await control.call(method, params)

    async def listed(self, alarm: str, within_s: float = TOLD_WITHIN_S) -> Mapping[str, Any]:
        """An alarm of the list that people see to, by its id."""
        return await self._shown("alarm_list", lambda found: found["id"] == alarm, within_s)

    def words(self) -> str:
        """The end of the daemon's log."""
        return last_words(self.log)

    # -- parts ---------------------------------------------------------------------------------------------------------

    async def play(self, part_id: int) -> SimResult:
        """One part past the camera, once the line is READY."""
        await self.sim.idle_for(0.05)  # the PLC may have stood still between two tests
        (result,) = await self.sim.play([part_id])
        return result

    async def fairly(self, part_ids: Iterator[int]) -> SimResult:
        """The next of these parts; where the machine held the line up beyond one of its limits, the one after it."""
        for _ in range(TRIES):
            taken = self.fair()
            result = await self.play(next(part_ids))
            taken.s()
            if not result.edge_s or taken.waited_s < HELD_UP_S or (result.code and result.reason not in LATE):
                break
        return result

    async def good(self) -> SimResult:
        """A good part, which must pass."""
        result = await self.fairly(self.goods)
        assert (result.verdict, result.code) == ("good", Verdict.PASS), f"{result}\n{self.words()}"
        return result

    def next_good(self) -> int:
        """PART_ID of a good part that was not played yet."""
        return next(self.goods)

    def raise_trigger(self, part_id: int) -> SimResult:
        """Raise TRIGGER, READY or not, and hold it; `answer` waits for the result."""
        sim, result = self.sim, SimResult(self.sim.next_id, part_id, edge_s=time.monotonic())
        sim.next_id += 1
        sim.ctrl["TRIGGER_ID"], sim.ctrl["TRIGGER_ID_INV"] = result.trigger_id, result.trigger_id ^ 0xFFFF
        sim.ctrl["PART_ID"], sim.ctrl["PLC_PART_COUNT"] = part_id, sim.ctrl["PLC_PART_COUNT"] + 1
        sim.ctrl["CONTROL"] = Control.TRIGGER_ENABLE | Control.TRIGGER
        return result

    async def answer(self, result: SimResult, within_s: float = START_S) -> tuple[int, int]:
        """(code, reason) that the PLC reads for a held trigger; then it acknowledges and drops TRIGGER."""

        def valid() -> bool:
            stat = self.sim.stat()
            return bool(stat["STATUS"] & Status.RESULTS_VALID) and stat["RES_TRIGGER_ID"] == result.trigger_id

        assert await self.until(valid, within_s), f"no answer to {result}\n{self.words()}"
        stat = self.sim.stat()
        result.code, result.reason = stat["RESULT_CODE"], stat["REASON"]
        self.held.append(result)
        self.sim.ctrl["CONTROL"] = Control.TRIGGER_ENABLE | Control.RESULTS_ACK
        await self.until(lambda: not self.sim.stat()["STATUS"] & (Status.RESULTS_VALID | Status.TRIGGER_ACK), 5)
        self.sim.ctrl["CONTROL"] = Control.TRIGGER_ENABLE
        await self.sim.idle_for(0)
        return result.code, result.reason

    async def clear_error(self) -> None:
        """The PLC's CLEAR_ERROR, once."""
        self.sim.ctrl["CONTROL"] = Control.TRIGGER_ENABLE | Control.CLEAR_ERROR
        await self.polled()
        self.sim.ctrl["CONTROL"] = Control.TRIGGER_ENABLE
        await self.polled()

    async def polled(self) -> None:
        """The daemon has fetched what the PLC shows now: between two of its heartbeats it does."""
        await self._changes(lambda: self.sim.stat()["HEARTBEAT"], 3)

    async def _changes(self, value: Callable[[], int], times: int) -> None:
        for _ in range(times):
            before = value()
            assert await self.until(lambda before=before: value() != before, START_S), f"it stands\n{self.words()}"

    async def until(self, true: Any, within_s: float) -> bool:
        """Let the PLC scan until `true()`; False if that does not come in time."""
        taken = self.fair()
        while not true():
            if taken.s() > within_s:
                return False
            await self.sim.idle_for(LOOK_S)
        return True

    # -- what is told --------------------------------------------------------------------------------------------------

    @contextmanager
    def fault(self, fault: Fault) -> Iterator[None]:
        """The camera has this fault as long as the block runs; needs `standing(folder, fault)` in its script."""
        file = self.folder / fault
        file.touch()
        try:
            yield
        finally:
            file.unlink()

    async def not_ready(self, reason: OfflineReason, text: str, within_s: float = TOLD_WITHIN_S) -> Mapping[str, Any]:
        """PLC and page both say so in time (I6). Returns the alarm with `text` in its cause."""
        taken = self.fair()
        told = await self.until(lambda: self.sim.stat()["OFFLINE_REASON"] == reason, within_s)
        stat = self.sim.stat()
        assert told, f"the PLC reads OFFLINE_REASON {stat['OFFLINE_REASON']}, not {reason!r}\n{self.words()}"
        assert not stat["STATUS"] & Status.TRIGGER_READY
        while True:
            status = await self.status()
            found = [a for a in status["alarms"] if text in a["cause"]]
            if not status["ready"] and status["offline_reason"] == reason and found:
                assert len(found) == 1, found
                return dict(found[0])
            assert taken.s() < within_s, f"the page says {status['alarms']}, not {text!r}"
            await self.sim.idle_for(0.02)

    async def alarm(self, text: str, within_s: float = TOLD_WITHIN_S) -> Mapping[str, Any]:
        """The page's alarm with `text` in its cause."""
        return await self._shown("alarms", lambda found: text in found["cause"], within_s)

    async def _shown(self, where: str, wanted: Callable[[Any], bool], within_s: float) -> Mapping[str, Any]:
        taken = self.fair()
        while True:
            alarms = (await self.status())[where]
            for found in filter(wanted, alarms):
                return dict(found)
            assert taken.s() < within_s, f"it is not among {alarms}"
            await self.sim.idle_for(0.05)

    async def no_alarm(self, within_s: float = START_S) -> None:
        """The page shows none, at once or before long: one that tells of a busy machine goes by itself."""
        taken = self.fair()
        while alarms := (await self.status())["alarms"]:
            assert taken.s() < within_s, alarms
            await self.sim.idle_for(0.05)

    def _wrote(self, address: int, words: list[int]) -> None:
        if address != STAT.base or len(words) != STAT.size:
            return
        stat = Image(STAT, words)
        if stat["STATUS"] & Status.TRIGGER_ACK:
            self.acknowledged.add(stat["TRIGGER_ID_ACK"])
        if stat["STATUS"] & Status.RESULTS_VALID:
            told = stat["RES_TRIGGER_ID"], stat["RESULT_CODE"], stat["REASON"]
            if told not in self.told[-1:]:
                self.told.append(told)

    def codes_told(self, trigger_id: int) -> list[tuple[int, int]]:
        """Every (code, reason) that stood valid for this id, in order."""
        return [(code, reason) for id_, code, reason in self.told if id_ == trigger_id]

    def journalled(self, alarm: str) -> list[str]:
        """What happened to this alarm so far, oldest first."""
        with closing(apsw.Connection(str(self.db), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            rows = db.execute("SELECT event FROM alarm_changes WHERE alarm = ? ORDER BY n", (alarm,))
            return [str(event) for (event,) in rows]

    # -- the record ----------------------------------------------------------------------------------------------------

    def checked(self, *, settled: bool = True) -> list[Row]:
        """The invariants over all that this line did so far; returns the rows."""
        rows = check(self.db, map(asdict, [*self.sim.results, *self.held]), settled=settled)
        passed = {r["trigger_id"] for r in rows if r["decided_code"] == Verdict.PASS}
        for id_, code, _ in self.told:
            assert code != Verdict.PASS or id_ in passed, f"I1: the PLC's memory showed PASS for {id_}, no row does"
        without = self.acknowledged - {r["trigger_id"] for r in rows}
        assert not settled or not without, f"I2: acknowledged, and no row: {without}"
        slots = Slots(self.folder / "state" / "bundles")
        for product in slots.products():
            assert slots.active([trusted_key(KEY), *load_keys([DEMO_KEY], ())], product) is not None, "I5"
        return rows

    def row(self, result: SimResult) -> Row:
        """The one row of this trigger."""
        found = [r for r in self.checked() if (r["trigger_id"], r["part_id"]) == (result.trigger_id, result.part_id)]
        assert len(found) == 1, f"I2: {found}"
        return found[0]

    async def told_row(self, result: SimResult) -> Row:
        """The same once it says what the PLC was told, which is committed after the result. Raises TimeoutError."""
        async with asyncio.timeout(START_S):
            while (row := self.row(result))["delivery"] is None:
                await self.sim.idle_for(0.02)
        return row

    async def counted(self) -> Mapping[str, int]:
        """The DIAG counters, once they are of now."""
        await self._changes(lambda: self._diag()["UPTIME"], 2)
        diag = self._diag()
        return {register.name: diag[register.name] for register in DIAG.registers}

    def _diag(self) -> Image:
        return Image(DIAG, self.sim.memory.words[DIAG.base : DIAG.base + DIAG.size])


def signed_bundle(path: Path) -> str:
    """The [bundle] section of a small bundle at `path`, which is made where there is none."""
    if not path.exists():
        make_bundle(path, KEY)
    return f'[bundle]\nfile = "{path}"\ntrusted_keys = ["{trusted_key(KEY).raw.hex()}"]'


def standing(folder: Path, *faults: Fault) -> list[str]:
    """Camera faults that meet every grab while a file of their name is in `folder`."""
    return [f"{fault} while {folder / fault}" for fault in faults]


def broken(points: Mapping[str, str] | None = None, camera: Sequence[str] = ()) -> str:
    """The [test] section: failpoints, and what the camera does in its grabs, one after another."""
    armed = ", ".join(f'{point} = "{action}"' for point, action in (points or {}).items())
    return f"\n[test]\nfailpoints = {{ {armed} }}\ncamera_faults = {list(camera)}\n"


@asynccontextmanager
async def live_line(folder: Path, sim_config: SimConfig = PATIENT) -> AsyncIterator[LiveLine]:
    """The line without its daemon yet: configure() and start() it. At the end nothing of it runs."""
    sim = SimPlc(sim_config)
    await sim.start()
    try:
        line = LiveLine(folder, sim)
        try:
            yield line
        finally:
            await line.end()
    finally:
        await sim.close()
