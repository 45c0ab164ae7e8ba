"""EXECUTE_COMMAND: commands by number, idempotent by COMMAND_ID. Pure: what takes time is asked of the appliance.

A command is accepted, refused or obeyed when it is seen; one that takes time becomes a CommandRequest, shown as
COMMAND_EXECUTING until its answer or its timeout. Change-over: section 6 of the contract.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

from plc.images import Image
from plc.registers import Command, CommandResult, Control, Status

OBEYED = 64  # commands done at once that nobody has put on record yet
HELD_S = 10.0  # EXECUTE_COMMAND kept high so long after the answer: the answer is taken away
CHANGES_OVER = (Command.PREPARE_RECIPE, Command.UNPREPARE_RECIPE)
ASKED = (*CHANGES_OVER, Command.RESET_COUNTERS, Command.SELF_TEST)  # of the appliance; the others are ours
NEED_DISABLED = (*CHANGES_OVER, Command.SELF_TEST)  # only with TRIGGER_ENABLE=0
NEED_IDLE = ASKED  # only with nothing in flight
_EXECUTE, _EXECUTING = Control.EXECUTE_COMMAND.value, Status.COMMAND_EXECUTING.value


@dataclass(frozen=True, slots=True)
class CommandRequest:
    """What the appliance is asked to do; answered with Handshake.answer()."""

    command: Command
    arg: int  # of a recipe: its number
    id: int
    accepted_s: float


class Commands:
    """One at a time. flags: COMMAND_EXECUTING, or COMMAND_COMPLETED or COMMAND_FAILED while an answer stands.

    requests: for the appliance. running: what it is at work on, also after its timeout. obeyed: what was done at once,
    for whoever keeps a record of it.
    """

    def __init__(self, stat: Image, timeout_s: float) -> None:
        self._stat, self._timeout_s = stat, timeout_s
        self.requests: deque[CommandRequest] = deque()
        self.obeyed: deque[CommandRequest] = deque(maxlen=OBEYED)
        self.running: CommandRequest | None = None
        self._timed_out = False
        self._answer, self._answered_s = 0, math.inf  # a bit of STATUS
        self._looked = False  # at this EXECUTE_COMMAND
        self._last_id = 0  # newest that was looked at; 0: none

    @property
    def flags(self) -> int:
        running = self.running is not None and not self._timed_out and self.running.id == self._stat["COMMAND_ID_ACK"]
        return self._answer | _EXECUTING * running

    def runs(self, *commands: Command) -> bool:
        """Is the appliance at work on one of these? Also where the PLC was told already that it takes too long."""
        return self.running is not None and self.running.command in commands

    def forget_image(self) -> None:
        """Connection lost or doubted: the level of EXECUTE_COMMAND is looked at anew, and its id tells what is new."""
        self._looked = False
        self._answer, self._answered_s = 0, math.inf

    def new_plc_session(self) -> None:
        """The PLC's program started anew: its ids may begin anywhere, and say nothing of what was asked before."""
        self._last_id = 0

    def see(self, ctrl: Image, now_s: float, *, idle: bool) -> Command | None:
        """One image. Returns a command that the handshake itself has to obey; it was answered OK already.

        idle: no part is in flight, nor waits for an answer.
        """
        if not ctrl["CONTROL"] & _EXECUTE:
            self.forget_image()
            return None
        if self._looked:
            return None
        self._looked = True
        id_, stat = ctrl["COMMAND_ID"], self._stat
        again, self._last_id = bool(id_) and id_ == self._last_id, id_
        stat["COMMAND_ID_ACK"] = id_
        if self._executing(id_):
            stat["COMMAND_RESULT"] = CommandResult.IDLE
            return None
        if again:  # the same answer, not executed twice
            self._show(CommandResult(stat["COMMAND_RESULT"]), now_s)
            return None
        result = self._why_not(ctrl, idle=idle)
        if result is not None:
            self._show(result, now_s)
            return None
        command = Command(ctrl["COMMAND"])
        if command not in ASKED:
            self._show(CommandResult.OK, now_s)
            self.obeyed.append(CommandRequest(command, ctrl["COMMAND_ARG"], id_, now_s))
            return command
        stat["COMMAND_RESULT"] = CommandResult.IDLE
        self.running, self._timed_out = CommandRequest(command, ctrl["COMMAND_ARG"], id_, now_s), False
        self.requests.append(self.running)
        return command

    def answer(self, request: CommandRequest, result: CommandResult, now_s: float) -> bool:
        """The appliance is done. False: too late, or nobody asked; it changes nothing."""
        if request != self.running:
            return False
        late, self.running = self._timed_out, None
        if late:
            return False
        if request.id == self._stat["COMMAND_ID_ACK"]:  # else the PLC has asked something else meanwhile
            self._stat["COMMAND_RESULT"] = result
            if self._looked:  # EXECUTE_COMMAND still stands; who took it away asks again with the same id
                self._show(result, now_s)
        return True

    def tick(self, now_s: float) -> bool:
        """True: the running command takes too long, and the PLC is told so; or an answer has stood for long enough."""
        held = self._answer != 0 and now_s - self._answered_s > HELD_S
        if held:
            self._answer = 0
        running = self.running
        if running is None or self._timed_out or not now_s - running.accepted_s > self._timeout_s:
            return held
        self._timed_out = True
        if running.id == self._stat["COMMAND_ID_ACK"]:
            self._stat["COMMAND_RESULT"] = CommandResult.TIMEOUT
            if self._looked:
                self._show(CommandResult.TIMEOUT, now_s)
        return True

    def _executing(self, id_: int) -> bool:
        return self.running is not None and not self._timed_out and self.running.id == id_

    def _why_not(self, ctrl: Image, *, idle: bool) -> CommandResult | None:
        """None: it may be done. Id 0 tells no repetition from a new command, so it is none."""
        command = ctrl["COMMAND"]
        if ctrl["COMMAND_ID"] == 0 or command not in set(Command) or command == Command.DEQUEUE_RESULT:
            return CommandResult.NOT_ALLOWED
        if command in NEED_DISABLED and ctrl["CONTROL"] & Control.TRIGGER_ENABLE.value:
            return CommandResult.NOT_ALLOWED
        if (command in NEED_IDLE and not idle) or (command in ASKED and self.running is not None):
            return CommandResult.BUSY
        return None

    def _show(self, result: CommandResult, now_s: float) -> None:
        self._stat["COMMAND_RESULT"] = result
        answer = Status.COMMAND_COMPLETED if result is CommandResult.OK else Status.COMMAND_FAILED
        self._answer = answer.value
        self._answered_s = now_s
