"""Recipe change-over from the PLC's side: section 6 of the contract, one call a scan, no I/O, time injected."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from plc.images import Image
from plc.registers import Command, CommandResult, Control, Status
from plc.sim.inspect import set_bit
from plc.values import meaning

Step = Enum("Step", "QUIET COMMAND EXECUTE WAIT CLEAR READY DONE")


@dataclass(frozen=True, slots=True)
class ChangedOver:
    """What came of one change-over. `text` says it in words."""

    recipe: int
    ok: bool
    result: int  # COMMAND_RESULT; 0: none came in time
    text: str
    seconds: float


class ChangeOver:
    """Steps 1 to 6. After a failure TRIGGER_ENABLE stays 0 and RECIPE_EXPECTED names the recipe that was wanted:
    nothing can pass with the old one, which the appliance does not restore by itself either.
    """

    def __init__(self, recipe: int, command_id: int, ctrl: Image, now_s: float, *, timeout_s: float = 30.0) -> None:
        self.recipe, self.command_id, self.ctrl, self._timeout_s = recipe, command_id, ctrl, timeout_s
        self.step = Step.QUIET
        self.outcome: ChangedOver | None = None
        self._begun_s = now_s
        self._result, self._ok = 0, False
        set_bit(ctrl, Control.TRIGGER_ENABLE, False)

    def scan(self, stat: Image, now_s: float) -> ChangedOver | None:
        """One scan; the outcome once there is one. The caller stops calling then."""
        status = Status(stat["STATUS"])
        match self.step:
            case Step.QUIET if not status & (Status.TRIGGER_READY | Status.SYSTEM_BUSY):
                self.ctrl["COMMAND"], self.ctrl["COMMAND_ARG"] = Command.PREPARE_RECIPE, self.recipe
                self.ctrl["COMMAND_ID"] = self.command_id
                self.step = Step.EXECUTE  # the words are there a scan before the bit
            case Step.EXECUTE:
                set_bit(self.ctrl, Control.EXECUTE_COMMAND, True)
                self.step = Step.WAIT
            case Step.WAIT if self._answered(status, stat):
                self._result, self._ok = stat["COMMAND_RESULT"], self._prepared(status, stat)
                set_bit(self.ctrl, Control.EXECUTE_COMMAND, False)
                self.step = Step.CLEAR
            case Step.CLEAR if not status & (Status.COMMAND_COMPLETED | Status.COMMAND_FAILED):
                self.ctrl["RECIPE_EXPECTED"] = self.recipe
                if not self._ok:
                    return self._end(f"refused: {meaning('COMMAND_RESULT', self._result)}", now_s)
                set_bit(self.ctrl, Control.TRIGGER_ENABLE, True)
                self.step = Step.READY
            case Step.READY if status & Status.TRIGGER_READY:
                return self._end("ready", now_s)
        if now_s - self._begun_s > self._timeout_s:
            return self._timed_out(now_s)
        return None

    def _answered(self, status: Status, stat: Image) -> bool:
        answered = status & (Status.COMMAND_COMPLETED | Status.COMMAND_FAILED)
        return bool(answered) and stat["COMMAND_ID_ACK"] == self.command_id and not status & Status.COMMAND_EXECUTING

    def _prepared(self, status: Status, stat: Image) -> bool:
        """Doubt is no: both bits, another recipe, or a result that is not ok."""
        wanted = status & (Status.COMMAND_COMPLETED | Status.COMMAND_FAILED) == Status.COMMAND_COMPLETED
        return wanted and stat["COMMAND_RESULT"] == CommandResult.OK and stat["ACTIVE_RECIPE"] == self.recipe

    def _timed_out(self, now_s: float) -> ChangedOver:
        waited = {
            Step.QUIET: "READY or SYSTEM_BUSY did not fall", Step.WAIT: "no answer to the command",
            Step.EXECUTE: "no answer to the command", Step.CLEAR: "COMPLETED and FAILED did not fall",
            Step.READY: "recipe prepared, but READY did not come",
        }  # fmt: skip
        self._ok = False
        set_bit(self.ctrl, Control.EXECUTE_COMMAND, False)
        set_bit(self.ctrl, Control.TRIGGER_ENABLE, False)
        self.ctrl["RECIPE_EXPECTED"] = self.recipe
        return self._end(f"{waited[self.step]} within {self._timeout_s:g} s", now_s)

    def _end(self, text: str, now_s: float) -> ChangedOver:
        self.step = Step.DONE
        self.outcome = ChangedOver(self.recipe, self._ok, self._result, text, now_s - self._begun_s)
        return self.outcome
