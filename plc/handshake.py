"""The contract's state machine, without I/O: CTRL images in, accepted triggers and STAT images out. Time is injected.

Both directions are thin adapters on this. It holds the rules that need more than one of its parts (session, triggers,
the part in flight, commands, the PLC's verdicts). Here is what happens, and what is refused; why READY is 0 and what
the PLC is shown stands in standing.py, what may only be published as less in publishing.py. All times are seconds on
one monotonic clock. The rules' numbers (P1 to P12) are those of the contract.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from plc.commands import CommandRequest
from plc.cycle import Cycle, HandshakeError, Link, LinkStep
from plc.forcing import ForceRefused
from plc.images import Image
from plc.parts import HandshakeConfig, HealthInput, Part, Record
from plc.publishing import Publishing
from plc.registers import (
    LATCHED2,
    Command,
    CommandResult,
    Control,
    OfflineReason,
    Reason,
    Status,
    Status2,
)
from plc.values import Assignment

__all__ = [
    "CommandRequest",
    "Cycle",
    "Handshake",
    "HandshakeConfig",
    "HandshakeError",
    "HealthInput",
    "Link",
    "Part",
    "Record",
]

_TRIGGER, _TEST_PART, _CLEAR_ERROR = (
    bit.value for bit in (Control.TRIGGER, Control.TEST_PART, Control.CLEAR_ERROR)
)  # fmt: skip
_COUNTED_AS = {Reason.OVERRUN: "MISSED", Reason.DUPLICATE_ID: "DUPLICATES", Reason.STALE_TRIGGER: "STALE"}
_REFUSED_BECAUSE = {
    OfflineReason.CAMERA: Reason.CAMERA,
    OfflineReason.MODEL: Reason.INFERENCE,
    OfflineReason.STORAGE: Reason.STORAGE,
    OfflineReason.PLC_HEARTBEAT: Reason.PLC_HEARTBEAT,
    OfflineReason.CHANGE_OVER: Reason.RECIPE_MISMATCH,
    OfflineReason.NO_RECIPE: Reason.RECIPE_MISMATCH,
}


class Handshake(Publishing):
    """Feed samples and decisions; take parts from `events`, and write `stat` whenever it changed and each heartbeat.

    known: does the store have a row of this trigger id? Commands that take time are in `requests`; `answer` them.
    """

    def link_up(self, now_s: float, id_ack_in_plc: int = 0) -> None:
        """A connection stands. `id_ack_in_plc`: TRIGGER_ID_ACK found in our STAT there, of a former life perhaps."""
        self.counts["LINK_SESSIONS"] += 1
        if self._session.connected():
            self._restarted = True  # until an image was seen: this connection may end before
            self._acked_before = self.stat["TRIGGER_ID_ACK"] = id_ack_in_plc
        self._link_step(LinkStep.CONNECTED, Reason.LINK_LOST)
        self._compose(now_s)

    def link_down(self, now_s: float) -> None:
        """No PASS crosses a session: what is in flight ends in the log only, or as 4/107 where its id still stands.

        The signature has to be shown anew: behind the same address another PLC may answer next time (P8, row 21).
        """
        self._session.simulator = None
        self._link_step(LinkStep.LOST, Reason.LINK_LOST)
        self._compose(now_s)

    def sample(self, ctrl: Image, sent_s: float, received_s: float) -> None:
        """One image of CTRL, with the send time of the request that fetched it (P7: a reply may be late)."""
        if self._session.signed(ctrl["SIGNATURE"]):
            self._take(ctrl, sent_s, received_s)
        else:
            self._link_step(LinkStep.DOUBTED, Reason.LINK_LOST)
        self._compose(received_s)

    def _take(self, ctrl: Image, sent_s: float, received_s: float) -> None:
        session = self._session
        self.part_count.see(ctrl["PLC_PART_COUNT"])
        doubt = session.doubted(ctrl, sent_s, received_s)
        if doubt is not None:
            self._triggers.new_plc_session()
            self._link_step(LinkStep.DOUBTED, doubt)
        if session.another_program(ctrl) or doubt is Reason.LINK_LOST:  # one that only stood still goes on with its ids
            self._triggers.new_plc_session()
            self._commands.new_plc_session()
        prev, session.ctrl = session.ctrl, ctrl
        if prev is None:
            self._first_image(ctrl, received_s)
        elif self._triggers.edge(prev, ctrl):
            self._edge(ctrl, received_s)
        control = session.control
        if not control & _TRIGGER:
            session.saw_no_trigger(sent_s)
        self._flight.see(ctrl, received_s)
        before = prev["CONTROL"] if prev is not None else control  # a first image is no event
        self._obey(control, before, ctrl, received_s)
        if (wrong := self._verdicts.wrong(ctrl)) is not None:
            self.wrong_parts.append(wrong)
            self._wrongly_accepted = True
        if (reported := self._verdicts.reported(ctrl, received_s)) is not None:
            self.reactions.append(reported)

    def queued(self) -> None:
        """The next image lay unread while we stood still (P7, server direction): an edge in it has no known age."""
        self._session.watch.forget_no_trigger()

    def tick(self, now_s: float) -> None:
        """Time passed: timeouts and freshness. At the time of a sample it costs little beside it."""
        late = self._flight.unacknowledged(now_s, self.cfg.ack_timeout_s)
        if late:
            self._latched |= Status2.ACK_TIMEOUT.value
            self.counts["ACK_TIMEOUTS"] += 1
            self._flight.clear_valid(now_s, by_plc=False)
        late |= self._commands.tick(now_s)
        late |= self._challenge.tick(now_s)
        self.forcing.tick(now_s)
        if late or now_s != self._composed_s:
            self._compose(now_s)

    def answer(
        self, request: CommandRequest, result: int, now_s: float, active_recipe: int | None = None,
        settings_checksum: int | None = None,
    ) -> bool:  # fmt: skip
        """The appliance did what `request` asked, or says why not (a CommandResult). After OK `active_recipe` judges.

        False: too late, the PLC was told so; nothing changes, and after a change-over no recipe is active.
        """
        taken = self._commands.answer(request, CommandResult(result), now_s)
        if taken and result == CommandResult.OK and active_recipe is not None:
            self._activate(active_recipe, settings_checksum or 0)
        self._compose(now_s)
        return taken

    def recall_told(self, told: Iterable[tuple[int, int, int, int]]) -> None:
        """(trigger id, part id, RESULT_CODE, INSPECTION_NO) of a former life, oldest first: PLC_VERDICT is held against
        them too."""
        for trigger_id, part_id, code, inspection_no in told:
            self._verdicts.recalled(trigger_id, part_id, code, inspection_no)

    def recall_wrong_parts(self, parts: Iterable[tuple[int, int]], now_s: float) -> None:
        """(trigger, part) that the PLC took as good in a former life, and nobody took note of yet: latched as then."""
        self.wrong_parts.extend(parts)
        self._wrongly_accepted |= bool(self.wrong_parts)
        self._compose(now_s)

    def deactivate(self, now_s: float) -> None:
        """Nothing judges any more: the active recipe is none (P8)."""
        self._activate(0, 0)
        self._compose(now_s)

    def _activate(self, recipe: int, settings_checksum: int) -> None:
        self._activations += 1
        self.active_recipe, self.settings_checksum = recipe, settings_checksum

    def health(self, health: HealthInput, now_s: float) -> None:
        self._health = health
        self._compose(now_s)

    def line_free(self, free: bool, now_s: float) -> None:
        """The line waits for a part, or is still at work (also after the PLC was told): READY needs a free line."""
        self._line_busy = not free
        self._compose(now_s)

    def beat(self, now_s: float) -> None:
        """The appliance's own heartbeat, every 100 ms by the supervisor's loop."""
        self.stat["HEARTBEAT"] += 1
        self._session.watch.sent_heartbeat(self.stat["HEARTBEAT"], now_s)

    def hold_offline(self, offline: bool, now_s: float) -> None:
        """A person takes the station Offline, or back; what is in flight becomes 4/110. The PLC has its own say."""
        self.set_offline = offline
        self._compose(now_s)

    def force(self, wanted: Assignment, now_s: float) -> None:
        """Let the PLC read a value that is not so, until it is released, the station leaves Offline, the link's session
        ends, or FORCED_FOR_S passed. Raises ForceRefused."""
        if self._offline_reason(now_s) is not OfflineReason.SET_OFFLINE or self._stopping:
            raise ForceRefused("the station is not Offline: values are forced only while it is")
        self._compose(now_s)
        if not self.may_force:
            raise ForceRefused("a part or its result is still on its way: wait until it is done")
        self.forcing.set(wanted, now_s)

    def stop(self, now_s: float) -> None:
        """Orderly end: READY and ONLINE fall, what is in flight becomes 4/110 (row 28)."""
        self._stopping = True
        self._compose(now_s)

    def owner_conflict(self, now_s: float) -> None:
        """Another appliance writes into our STAT (row 22)."""
        self._latched |= Status2.OWNER_CONFLICT.value
        self._compose(now_s)

    def _link_step(self, step: LinkStep, doubt: Reason) -> None:
        """Leave LIVE: the next image is a reference, not an event. A result that stands ends here."""
        self.forcing.end()  # what was forced for one session is not shown to another
        self._session.step(step, doubt)
        self._triggers.forget_image()
        self._commands.forget_image()
        self._flight.session_ended(doubt)

    def _first_image(self, ctrl: Image, now_s: float) -> None:
        """A trigger that was up before we looked: never an inspection, but never silence either."""
        id_, trigger = ctrl["TRIGGER_ID"], self._session.control & _TRIGGER
        if trigger and id_ and not (self.current is not None and self.current.trigger_id == id_):
            self._answer_standing(id_, ctrl, now_s)
        elif not trigger and id_:
            self._count_gap(id_)
            self._triggers.last_id = id_
        before, answered = self._acked_before, bool(trigger) and id_ == self._acked_before
        if before and not answered and not self._known(before):
            self._close_former_life(before, now_s)
        self._restarted, self._acked_before = False, 0

    def _answer_standing(self, id_: int, ctrl: Image, now_s: float) -> None:
        has_row = id_ == self._triggers.last_id or self._known(id_)
        if has_row or id_ == self._acked_before:
            reason = Reason.RESTARTED if self._restarted else Reason.LINK_LOST
        else:
            reason = Reason.STALE_TRIGGER
            self._latched |= Status2.STALE_TRIGGER.value
        self._refuse(ctrl, now_s, reason, has_row=has_row)

    def _close_former_life(self, id_: int, now_s: float) -> None:
        """An id that a former life acknowledged and that has no row gets one (I2)."""
        self._triggers.last_id = self._triggers.last_id or id_
        self._flight.record_only(Part(
            id_, 0, 0, now_s, now_s + self.cfg.deadline_s, math.inf, False, bool(self.simulator),
            self._session.key, Reason.RESTARTED, record_only=True,
        ))  # fmt: skip

    def _edge(self, ctrl: Image, now_s: float) -> None:
        reason = self._why_refused(ctrl, now_s)
        if reason is not Reason.DUPLICATE_ID:
            self._count_gap(ctrl["TRIGGER_ID"])
        if reason is not None:
            self._refuse(ctrl, now_s, reason)
            return
        self._duplicate_error = False
        part = self._part(ctrl, now_s, None, has_row=False)
        self._flight.accept(part)
        if part.test_part:
            self._challenge.accepted()
        self._triggers.last_id = ctrl["TRIGGER_ID"]

    def _why_refused(self, ctrl: Image, now_s: float) -> Reason | None:
        session = self._session
        if ctrl["TRIGGER_ID"] == self._triggers.last_id:
            self._latched |= Status2.DUPLICATE_ID.value
            self._duplicate_error = True
            return Reason.DUPLICATE_ID
        if not self._flight.idle or self._line_busy:
            self._flight.flags |= Status.MISSED_TRIGGER.value
            return Reason.OVERRUN
        if session.link is not Link.LIVE or not session.watch.trigger_age_s(now_s) <= self.cfg.max_trigger_age_s:
            self._latched |= Status2.STALE_TRIGGER.value
            return Reason.STALE_TRIGGER
        offline = self._offline_reason(now_s)
        if offline is not OfflineReason.NONE:
            return _REFUSED_BECAUSE.get(offline, Reason.OFFLINE)
        if ctrl["RECIPE_EXPECTED"] not in (0, self.active_recipe):
            return Reason.RECIPE_MISMATCH
        return None if self._ready else Reason.RESYNC  # a trigger without READY, e.g. RESULTS_ACK still up

    def _count_gap(self, id_: int) -> None:
        gap = self._triggers.gap(id_)
        self.counts["ID_GAPS"] += gap
        self._latched |= Status2.ID_GAP.value * bool(gap)

    def _refuse(self, ctrl: Image, now_s: float, reason: Reason, *, has_row: bool = False) -> None:
        if self._flight.refuse(self._part(ctrl, now_s, reason, has_row=has_row)):
            self._triggers.last_id = ctrl["TRIGGER_ID"]
            if reason in _COUNTED_AS:
                self.counts[_COUNTED_AS[reason]] += 1

    def _part(self, ctrl: Image, now_s: float, refused: Reason | None, *, has_row: bool) -> Part:
        return Part(
            ctrl["TRIGGER_ID"], ctrl["PART_ID"], ctrl["ENCODER"], now_s, now_s + self.cfg.deadline_s,
            self._session.watch.trigger_age_s(now_s), bool(ctrl["CONTROL"] & _TEST_PART),
            bool(self.simulator), self._session.key, refused, has_row, activation=self._activations,
        )  # fmt: skip

    def _obey(self, control: int, before: int, ctrl: Image, now_s: float) -> None:
        """control, before: CONTROL now and in the image before."""
        self._challenge.see(bool(control & _TEST_PART), now_s)
        if control & ~before & _CLEAR_ERROR:
            self._clear_error()
        command = self._commands.see(ctrl, now_s, idle=self._flight.idle)
        if command is not None:
            self._do(command)

    def _do(self, command: Command) -> None:
        match command:
            case Command.PREPARE_RECIPE | Command.UNPREPARE_RECIPE:
                self._activate(0, 0)  # never restored by itself, whatever comes of it
            case Command.RESET_COUNTERS:
                self.counts.update(dict.fromkeys(self.counts, 0))
            case Command.HALT:
                self._halted = True
            case Command.ABORT:
                self._flight.abort(Reason.OFFLINE)
            case Command.RESET:
                self._halted = False
                self._flight.abort(Reason.OFFLINE)
                self._clear_error()
            case Command.ACKNOWLEDGE_ERROR:
                self._clear_error()

    def _clear_error(self) -> None:
        self._latched &= ~LATCHED2.value
        self._flight.flags &= ~Status.MISSED_TRIGGER.value
        self._duplicate_error = False
        self._wrongly_accepted = False
        self.wrong_parts.clear()
        self._challenge.acknowledge()
        self._errors.acknowledge()
        self.clear_errors += 1
