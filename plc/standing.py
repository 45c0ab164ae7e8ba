"""What the PLC is shown: STAT composed from the states of session, triggers, part in flight, commands and health."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from plc.challenge import Challenge
from plc.commands import CHANGES_OVER, CommandRequest, Commands
from plc.cycle import Cycle, Link
from plc.errors import ErrorQueue
from plc.forcing import ALIVE, Forcing
from plc.images import Image
from plc.inflight import InFlight
from plc.part_count import PartCount
from plc.parts import HandshakeConfig, HealthInput, Part
from plc.reactions import Reaction
from plc.registers import SIGNATURE, STAT, Command, Control, OfflineReason, Reason, Status, Status2, VisionState
from plc.session import Session
from plc.triggers import Triggers
from plc.verdicts import PlcVerdicts

COUNTED = "TRIGGERS PASS FAIL UNCERTAIN NOT_INSPECTED TEST MISSED DUPLICATES STALE ID_GAPS LINK_SESSIONS ACK_TIMEOUTS"
WRONG_IDS = 16  # newest that an alarm names
# What follows runs with every poll, and an IntFlag's own operators make an object each time: so plain numbers.
_ENABLE, _SET_OFFLINE, _TRIGGER = Control.TRIGGER_ENABLE.value, Control.SET_OFFLINE.value, Control.TRIGGER.value
_HELD = (Control.TRIGGER | Control.RESULTS_ACK).value  # no READY while one of them is up
_READY, _ERROR, _ONLINE = Status.TRIGGER_READY.value, Status.ERROR.value, Status.ONLINE.value
_CONFLICT, _HB_OK, _DEGRADED, _SIMULATION, _STORAGE, _UNSYNCED = (
    bit.value for bit in (
        Status2.OWNER_CONFLICT, Status2.PLC_HB_OK, Status2.DEGRADED, Status2.SIMULATION, Status2.STORAGE_WARN,
        Status2.CLOCK_UNSYNCED,
    )
)  # fmt: skip


class Standing:
    """The states, why READY is 0, and the image that follows from both. Nothing happens here."""

    def __init__(self, cfg: HandshakeConfig, known: Callable[[int], bool]) -> None:
        self.cfg, self._known = cfg, known
        self.stat = Image(STAT, word_order=cfg.word_order)
        self.counts = dict.fromkeys(COUNTED.split(), 0)
        self.part_count = PartCount()  # of the PLC's own parts
        self.clear_errors = 0  # how often the PLC asked; health watches it
        self.wrong_parts: deque[tuple[int, int]] = deque(maxlen=WRONG_IDS)  # (trigger, part) taken as good unasked
        self.active_recipe, self.settings_checksum = cfg.active_recipe, cfg.settings_checksum  # as the PLC is told
        self.simulated_camera = False  # the camera's pictures are not of this moment (P12)
        self._session, self._triggers, self._challenge = Session(cfg), Triggers(), Challenge(cfg)
        self._commands = Commands(self.stat, cfg.command_timeout_s)
        self._verdicts, self._errors = PlcVerdicts(), ErrorQueue()
        self._flight = InFlight(self.stat, self.counts, self._verdicts)
        self._health = HealthInput()
        self.forcing = Forcing()  # what a person makes the PLC read while the station is Offline
        self.set_offline = False  # by a person; the PLC's own SET_OFFLINE and HALT stand beside it
        self._stopping = self._line_busy = self._been_ready = self._ready = False
        self._duplicate_error = self._wrongly_accepted = self._halted = False
        self._activations = 0
        self._restarted, self._acked_before = False, 0
        self._latched = 0  # bits of STATUS2
        self._composed_s = 0.0
        self._compose(0.0)

    @property
    def link(self) -> Link:
        return self._session.link

    @property
    def cycle(self) -> Cycle:
        return self._flight.cycle

    @property
    def current(self) -> Part | None:
        """The part in flight."""
        return self._flight.current

    @property
    def events(self) -> deque[Part]:
        """Parts for the line: accepted, or refused with the reason why."""
        return self._flight.events

    @property
    def reactions(self) -> deque[Reaction]:
        """What the PLC did after it was told results; whoever keeps a record takes it from here."""
        return self._flight.reactions

    @property
    def quiet(self) -> bool:
        """No part is under way and none is announced: what PLC and appliance have counted can be compared."""
        return self._flight.idle and not self._session.control & _TRIGGER

    @property
    def obeyed(self) -> deque[CommandRequest]:
        """What was done at once; whoever keeps a record takes it from here."""
        return self._commands.obeyed

    @property
    def requests(self) -> deque[CommandRequest]:
        """Commands for the appliance, each to be taken and answered."""
        return self._commands.requests

    @property
    def wrong_accepts(self) -> tuple[int, ...]:
        """Trigger ids of the newest parts that the PLC took as good and that were not passed, until CLEAR_ERROR."""
        return tuple(trigger_id for trigger_id, _ in self.wrong_parts)

    @property
    def test_part_expired(self) -> bool:
        """TEST_PART stood too long: not READY until it is 0 and the error was acknowledged."""
        return self._challenge.expired

    @property
    def protocol_error(self) -> bool:
        """The PLC breaks the contract's rules: TRIGGER_ID is 0 or torn, or changed while TRIGGER stood."""
        return self._triggers.protocol_error

    @property
    def repeats_ids(self) -> bool:
        """The newest trigger came with the id of the one before."""
        return self._duplicate_error

    @property
    def simulator(self) -> bool | None:
        """Does the PLC show the simulator's signature? None: this connection has not shown the right one yet."""
        return self._session.simulator

    @property
    def armed(self) -> bool:
        """The PLC may trigger: now, or as soon as what is under way is done."""
        wanted = bool(self._session.control & _ENABLE)
        return wanted and self.stat["OFFLINE_REASON"] == OfflineReason.NONE

    @property
    def owner_doubted(self) -> bool:
        """Latched until CLEAR_ERROR: nothing may be written meanwhile."""
        return bool(self._latched & _CONFLICT)

    @property
    def may_force(self) -> bool:
        """Offline, and nothing of a part is in flight or shown."""
        offline = self.stat["OFFLINE_REASON"] == OfflineReason.SET_OFFLINE and not self._stopping
        return offline and self._flight.idle and not self.stat.any_set("STATUS", ALIVE)

    @property
    def outgoing(self) -> list[int]:
        """The words of STAT that the PLC gets: as composed, and while the station is Offline with what is forced."""
        return self.forcing.over(self.stat)

    def _offline_reason(self, now_s: float) -> OfflineReason:
        session = self._session
        if self._stopping or self._halted or self.set_offline or session.control & _SET_OFFLINE:
            return OfflineReason.SET_OFFLINE
        if session.link is not Link.LIVE:
            stopped = session.doubt is Reason.PLC_HEARTBEAT
            return OfflineReason.PLC_HEARTBEAT if stopped else OfflineReason.NO_LINK_BASELINE
        if not session.watch.alive(now_s):
            return OfflineReason.PLC_HEARTBEAT
        if self._commands.runs(*CHANGES_OVER):
            return OfflineReason.CHANGE_OVER
        if self._commands.runs(Command.SELF_TEST):
            return OfflineReason.CHECK_DUE
        if not self._health.ready:
            return self._health.offline_reason
        if self._wrongly_accepted or self._challenge.expired:
            return OfflineReason.LATCHED_ERROR
        if not self.active_recipe:
            return OfflineReason.NO_RECIPE
        return OfflineReason.CONFIGURATION if self.owner_doubted else OfflineReason.NONE

    def _is_ready(self, offline: OfflineReason) -> bool:
        control, triggers = self._session.control, self._triggers
        return (
            offline is OfflineReason.NONE and self._flight.idle and not self._line_busy
            and not triggers.protocol_error and not triggers.confirming
            and bool(control & _ENABLE) and not control & _HELD
        )  # fmt: skip

    def _compose(self, now_s: float) -> None:
        """STATUS and its companions from the states; everything else in the image stands until it is replaced (P5)."""
        s, cfg, health, watch = self.stat, self.cfg, self._health, self._session.watch
        self._composed_s = now_s
        offline = self._offline_reason(now_s)
        ready = self._is_ready(offline)
        if not self._triggers.confirming:
            self._ready = ready  # what the PLC was shown before the edge
        self._been_ready |= ready
        own = self._wrongly_accepted or self._challenge.expired or self._triggers.protocol_error
        doubled = Reason.DUPLICATE_ID if self._duplicate_error else Reason.NONE
        self._errors.see((Reason.RESYNC if own else Reason.NONE, health.error, doubled), keep=self._been_ready)
        halted = offline is OfflineReason.SET_OFFLINE
        if not halted or self._stopping or not self._flight.idle:
            self.forcing.end()
        starting = health.offline_reason is OfflineReason.STARTING and not health.ready
        status = self._flight.flags | self._commands.flags
        status |= _READY * ready | _ERROR * self._errors.present
        status |= _ONLINE * (self.link is Link.LIVE and not halted and not starting)
        s["STATUS"], s["STATE"] = status, self._state(halted, starting, offline)
        s["STATUS2"] = (
            self._latched | _HB_OK * watch.alive(now_s) | _DEGRADED * (health.degraded or watch.degraded(now_s))
            | _SIMULATION * (self.simulated_camera and self.simulator is False)
            | _STORAGE * health.storage_warn | _UNSYNCED * health.clock_unsynced
        )  # fmt: skip
        s["ERROR_CODE"], s["OFFLINE_REASON"] = self._errors.code, offline
        s["ACTIVE_RECIPE"], s["STAT_SIGNATURE"] = self.active_recipe, SIGNATURE + cfg.number
        s["SETTINGS_CHECKSUM"] = self.settings_checksum

    def _state(self, halted: bool, starting: bool, offline: OfflineReason) -> VisionState:
        if halted:
            return VisionState.HALTED
        if starting:
            return VisionState.PREOPERATIONAL
        if offline is OfflineReason.CHANGE_OVER:
            return VisionState.INITIALIZED
        if self._errors.present:
            return VisionState.ERROR
        if offline is not OfflineReason.NONE:
            return VisionState.INITIALIZED
        return VisionState.READY if self.cycle is Cycle.IDLE else VisionState.SINGLE_EXECUTION
