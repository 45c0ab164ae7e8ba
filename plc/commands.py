"""EXECUTE_COMMAND: commands by number, idempotent by COMMAND_ID."""

from __future__ import annotations

import math

from plc.images import Image
from plc.registers import Control, Status

HELD_S = 10.0  # EXECUTE_COMMAND kept high so long after the answer: the answer is taken away
ACKNOWLEDGE_ERROR = 11
OK, NOT_ALLOWED = 1, 4  # COMMAND_RESULT


class Commands:
    """Acknowledge is obeyed; recipe change-over by the PLC is refused as "not allowed" in this version.

    flags: COMMAND_COMPLETED or COMMAND_FAILED while an answer stands.
    """

    def __init__(self, stat: Image) -> None:
        self._stat = stat
        self.flags = Status(0)
        self._answered_s = math.inf

    def see(self, ctrl: Image, now_s: float) -> bool:
        """True: errors shall be acknowledged."""
        if not Control(ctrl["CONTROL"]) & Control.EXECUTE_COMMAND:
            self.flags, self._answered_s = Status(0), math.inf
            return False
        if math.isfinite(self._answered_s):
            return False
        self._answered_s = now_s
        stat = self._stat
        again = ctrl["COMMAND_ID"] != 0 and ctrl["COMMAND_ID"] == stat["COMMAND_ID_ACK"]  # not executed twice
        obeyed = not again and ctrl["COMMAND"] == ACKNOWLEDGE_ERROR
        stat["COMMAND_ID_ACK"] = ctrl["COMMAND_ID"]
        if not again:
            stat["COMMAND_RESULT"] = OK if obeyed else NOT_ALLOWED
        self.flags = Status.COMMAND_COMPLETED if stat["COMMAND_RESULT"] == OK else Status.COMMAND_FAILED
        return obeyed

    def tick(self, now_s: float) -> None:
        if now_s - self._answered_s > HELD_S:
            self.flags = Status(0)
