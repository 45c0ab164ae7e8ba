"""Whatever a PLC, a link, a line and the clock do: the contract's principles hold after every call of the handshake."""

from __future__ import annotations

import os
from dataclasses import replace
from enum import Enum

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from plc.handshake import Cycle, HealthInput, Link, Record
from plc.images import Image
from plc.registers import CTRL, SIGNATURE, SIMULATOR_SIGNATURE, Control, OfflineReason, Reason, Status
from tests.support.checked_handshake import CheckedHandshake, Known

pytestmark = pytest.mark.timeout(600)  # some seconds on a free core; the cores may be busy
READY = HealthInput(True, OfflineReason.NONE)
HEALTH = [
    READY, READY, HealthInput(), HealthInput(False, OfflineReason.CAMERA, Reason.CAMERA),
    HealthInput(True, OfflineReason.NONE, Reason.STORAGE, degraded=True, storage_warn=True),
]  # fmt: skip
GAPS = st.sampled_from([0.0, 0.002, 0.005, 0.02, 0.049, 0.051, 0.2, 0.6, 11.0])
DELAYS = st.sampled_from([0.0, 0.0, 0.0, 0.07, 0.2])
EVENTS = ["none", "disable", "link", "heartbeat", "session", "zero", "recipe", "test part"]
IDS = st.sampled_from([0, 1, 2, 3, 4, 0xFFFE, 0xFFFF])
RECORDS = st.builds(
    Record, st.sampled_from([1, 1, 1, 2, 3, 4]), st.just(Reason.CLASS), recipe_used=st.sampled_from([1, 1, 1, 0, 2]),
    simulated=st.booleans(), would_pass=st.booleans(),
)  # fmt: skip
PASS = Record(1, Reason.NONE, recipe_used=1)
MOST_STEPS = 60  # of a line that runs well; 16 refused parts may wait in front


class Stage(Enum):
    """Where the next part shall be."""

    READY = Cycle.IDLE
    ACQUIRING = Cycle.ACQUIRING
    INSPECTING = Cycle.INSPECTING
    PUBLISH = Cycle.PUBLISH
    WAIT_ACK = Cycle.WAIT_ACK
    WAIT_DROP = Cycle.WAIT_DROP


IN_FLIGHT = st.sampled_from([Stage.ACQUIRING, Stage.INSPECTING, Stage.PUBLISH])


class AnyEvents(RuleBasedStateMachine):
    """Random events at random times, between stretches of a line that runs as it should."""

    def __init__(self) -> None:
        super().__init__()
        self.it = CheckedHandshake()
        self.ctrl = Image(CTRL)
        self.ctrl["SIGNATURE"] = SIMULATOR_SIGNATURE + 1
        self.ctrl["CONTROL"] = Control.TRIGGER_ENABLE
        self.loaded: tuple[Known, Record] | None = None

    @initialize()
    def start(self) -> None:
        self.it.set_health(READY)
        self.it.link_up()
        self.run_well_until(Stage.READY, True, False)
        assert self._reached(Stage.READY)

    # -- a PLC, a link and a line that do what they should -----------------------------------------------------------

    @rule(stage=st.sampled_from(Stage), simulator=st.booleans(), test_part=st.booleans())
    def run_well_until(self, stage: Stage, simulator: bool, test_part: bool) -> None:
        """Whatever came before is mended; then all run as they should until the next part is at `stage`."""
        if self.it.stopping or not self.it.hs.active_recipe:
            self.restart(row_lost=False)
        if self.it.hs.link is Link.DOWN:
            self.it.link_up()
        self.it.set_health(READY)
        self.ctrl["SIGNATURE"] = (SIMULATOR_SIGNATURE if simulator else SIGNATURE) + 1
        self.ctrl["RECIPE_EXPECTED"] = self.ctrl["PLC_VERDICT"] = self.ctrl["RESULT_ACK_ID"] = 0
        self.ctrl["CONTROL"] = Control.TRIGGER_ENABLE | Control.CLEAR_ERROR | Control.TEST_PART * test_part
        for _ in range(MOST_STEPS):
            self._right_plc()
            self.look(0.002, 0.002)
            self.bits(Control.CLEAR_ERROR, False)
            if self._reached(stage):
                return
            self._right_line(stage)
            if self._reached(stage):
                return

    @rule(stage=IN_FLIGHT, event=st.sampled_from(EVENTS), simulated=st.booleans(), delay_s=DELAYS)
    def disturb_a_part_in_flight(self, stage: Stage, event: str, simulated: bool, delay_s: float) -> None:
        """All is well but for one event between accept and publish; the line says PASS."""
        self.run_well_until(stage, simulator=not simulated, test_part=event == "test part")
        if not self._reached(stage):
            return
        match event:
            case "disable":
                self.bits(Control.TRIGGER_ENABLE, False)
                self.look(0.002, 0.002)
                self.bits(Control.TRIGGER_ENABLE, True)
            case "link":
                self.it.link_down()
                self.it.link_up()
            case "recipe":
                self.it.deactivate()
            case "heartbeat" | "session" | "zero":
                self.plc_restarts(event)
        for _ in range(4):
            self.bits(Control.TRIGGER, False)
            self.beat(True)
            self.look(0.002, 0.002)
        self.it.now += delay_s
        self.expose(0.0)
        self.load(replace(PASS, simulated=simulated))
        self.raise_flags()

    def _reached(self, stage: Stage) -> bool:
        hs = self.it.hs
        if stage is Stage.READY:
            return bool(Status(hs.stat["STATUS"]) & Status.TRIGGER_READY)
        return hs.cycle is stage.value and hs.current is not None and hs.current.refused is None

    def _right_plc(self) -> None:
        status = Status(self.it.hs.stat["STATUS"])
        self.bits(Control.RESULTS_ACK, bool(status & Status.RESULTS_VALID))
        if status & (Status.TRIGGER_ACK | Status.RESULTS_VALID):
            self.bits(Control.TRIGGER, False)
        elif status & Status.TRIGGER_READY:
            self.ctrl["TRIGGER_ID"] = self.ctrl["TRIGGER_ID"] % 0xFFFF + 1
            self.ctrl["TRIGGER_ID_INV"] = self.ctrl["TRIGGER_ID"] ^ 0xFFFF
            self.bits(Control.TRIGGER, True)
        else:
            self.bits(Control.TRIGGER, False)
        self.beat(True)

    def _right_line(self, stage: Stage) -> None:
        """The next thing that the line does: take, expose, load, raise."""
        it = self.it
        if it.parts and it.free:
            it.line_free(False)
        elif not it.parts and not it.free:
            it.line_free(True)
        elif it.parts and it.hs.cycle is Cycle.ACQUIRING:
            it.exposed(it.parts[0], it.now)
        elif it.parts and self.loaded is None:
            self.load(PASS)
        elif it.parts:
            self.raise_flags()

    # -- the PLC -----------------------------------------------------------------------------------------------------

    @rule(bit=st.sampled_from(list(Control)), on=st.booleans())
    def bits(self, bit: Control, on: bool) -> None:
        control = Control(self.ctrl["CONTROL"])
        self.ctrl["CONTROL"] = control | bit if on else control & ~bit

    @rule(id_=IDS, inverse=st.sampled_from(["right", "right", "none", "wrong"]))
    def id(self, id_: int, inverse: str) -> None:
        self.ctrl["TRIGGER_ID"] = id_
        self.ctrl["TRIGGER_ID_INV"] = {"right": id_ ^ 0xFFFF, "none": 0, "wrong": id_}[inverse]

    @rule(inverse=st.sampled_from(["wrong", "none", "right"]))
    def trigger_whose_id_may_be_torn(self, inverse: str) -> None:
        self.run_well_until(Stage.READY, True, False)
        self.id(self.ctrl["TRIGGER_ID"] % 0xFFFF + 1, inverse)
        self.bits(Control.TRIGGER, True)
        for _ in range(3):
            self.look(0.002, 0.002)

    @rule(id_=IDS, inverse=st.sampled_from(["right", "right", "none", "wrong"]), took_s=GAPS, age_s=GAPS)
    def trigger(self, id_: int, inverse: str, took_s: float, age_s: float) -> None:
        """TRIGGER=0 in a reply that took a while, then an edge, seen at some age."""
        self.bits(Control.TRIGGER, False)
        self.beat(True)
        self.look(took_s, took_s)
        self.id(id_, inverse)
        self.bits(Control.TRIGGER, True)
        self.beat(True)
        self.look(age_s, age_s / 2)
        self.look(0.002, 0.002)  # an id that was perhaps torn is looked at again

    @rule(echo=st.booleans())
    def beat(self, echo: bool) -> None:
        self.it.beat()
        self.ctrl["PLC_HEARTBEAT"] += 1
        if echo:
            self.ctrl["HB_ECHO"] = self.it.hs.stat["HEARTBEAT"]

    @rule(name=st.sampled_from(["RECIPE_EXPECTED", "RESULT_ACK_ID", "PLC_VERDICT_ID", "PLC_VERDICT"]), n=IDS)
    def register(self, name: str, n: int) -> None:
        self.ctrl[name] = n

    @rule()
    def storm(self) -> None:
        """More triggers than are remembered, whatever READY says."""
        for _ in range(18):
            self.trigger(self.ctrl["TRIGGER_ID"] % 0xFFFF + 1, "right", 0.002, 0.002)

    @rule(verdict=st.sampled_from([1, 1, 2]))
    def plc_decides(self, verdict: int) -> None:
        """What it did with the newest id, whatever it was told."""
        self.ctrl["PLC_VERDICT_ID"], self.ctrl["PLC_VERDICT"] = self.ctrl["TRIGGER_ID"], verdict
        for _ in range(2):
            self.beat(True)
            self.look(0.002, 0.002)

    @rule(which=st.sampled_from(["heartbeat", "session", "both", "zero"]))
    def plc_restarts(self, which: str) -> None:
        if which in ("heartbeat", "both"):
            self.ctrl["PLC_HEARTBEAT"] = 0xFFFF & (self.ctrl["PLC_HEARTBEAT"] - 3)
        if which in ("session", "both"):
            self.ctrl["PLC_SESSION"] += 1
        if which == "zero":
            signature = self.ctrl["SIGNATURE"]
            self.ctrl = Image(CTRL)
            self.look(0.002, 0.002)
            self.ctrl["SIGNATURE"], self.ctrl["CONTROL"] = signature, Control.TRIGGER_ENABLE

    @rule(signature=st.sampled_from([0, SIGNATURE + 1, SIMULATOR_SIGNATURE + 1, SIGNATURE + 2]))
    def signature(self, signature: int) -> None:
        self.ctrl["SIGNATURE"] = signature

    # -- the link ----------------------------------------------------------------------------------------------------

    @rule(gap_s=GAPS, took_s=GAPS)
    def look(self, gap_s: float, took_s: float) -> None:
        """A reply arrives `gap_s` later, to a request sent `took_s` before that."""
        self.it.now += gap_s
        self.it.sample(self.ctrl, self.it.now - took_s)

    @rule()
    def link_down(self) -> None:
        self.it.link_down()

    @rule()
    def link_up(self) -> None:
        self.it.link_up()

    # -- the appliance -----------------------------------------------------------------------------------------------

    @rule(dt_s=GAPS)
    def time_passes(self, dt_s: float) -> None:
        self.it.now += dt_s
        self.it.tick()

    @rule(health=st.sampled_from(HEALTH))
    def health(self, health: HealthInput) -> None:
        self.it.set_health(health)

    @rule(changes=st.sampled_from([False] * 4 + [True]))
    def recipe_goes(self, changes: bool) -> None:
        if changes:
            self.it.deactivate()

    @rule(free=st.booleans())
    def line_free(self, free: bool) -> None:
        self.it.line_free(free)

    @rule(ago_s=st.sampled_from([0.0, 0.01, -0.07]))
    def expose(self, ago_s: float) -> None:
        if self.it.parts:
            known = self.it.parts[0]
            self.it.exposed(known, max(known.part.accepted_s, self.it.now - ago_s))

    @rule(record=RECORDS)
    def load(self, record: Record) -> None:
        if not self.it.parts:
            return
        known = self.it.parts[0]
        loaded = self.it.load(known, record)
        if loaded is None:
            self.it.give_up(known, record)
            self.loaded = None
        else:
            self.loaded = known, loaded

    @rule(record=RECORDS, wait_s=GAPS)
    def publish(self, record: Record, wait_s: float) -> None:
        self.load(record)
        self.it.now += wait_s
        self.raise_flags()

    @rule()
    def raise_flags(self) -> None:
        if self.loaded is None:
            return
        known, record = self.loaded
        self.loaded = None
        if known in self.it.parts and not self.it.raise_flags(known, record):
            self.load(record)

    @rule(record=RECORDS)
    def give_up(self, record: Record) -> None:
        if self.it.parts:
            self.loaded = None
            self.it.give_up(self.it.parts[0], record)

    @rule()
    def owner_conflict(self) -> None:
        self.it.owner_conflict()

    @rule(row_lost=st.booleans())
    def restart(self, row_lost: bool) -> None:
        self.loaded = None
        self.it.restart(row_lost=row_lost)
        self.it.set_health(READY)
        self.it.link_up()

    @rule(stops=st.sampled_from([False] * 9 + [True]))
    def stop(self, stops: bool) -> None:
        if stops:
            self.it.stop()


TestAnyEvents = AnyEvents.TestCase
TestAnyEvents.settings = settings(
    max_examples=int(os.environ.get("HANDSHAKE_EXAMPLES", "150")),
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
