"""Edges of TRIGGER between two images of CTRL: which of them ask for an answer, and which ids went missing."""

from __future__ import annotations

from plc.images import Image
from plc.registers import Control

_TRIGGER, _ENABLE = Control.TRIGGER.value, Control.TRIGGER_ENABLE.value


class Triggers:
    """Levels in, edges out (P3). Whether an edge is accepted is decided elsewhere.

    confirming: an edge was seen that is perhaps torn; the next image decides.
    protocol_error: the PLC breaks the contract's rules; it ends with TRIGGER=0.
    last_id: of the newest edge that was answered; 0 = none.
    """

    def __init__(self) -> None:
        self.confirming = self.protocol_error = False
        self.last_id = 0
        self._anywhere = True  # the PLC started anew: its ids may begin anywhere

    def forget_image(self) -> None:
        """The next image is a reference, not an event."""
        self.confirming = self.protocol_error = False

    def new_plc_session(self) -> None:
        self._anywhere = True

    def edge(self, prev: Image, ctrl: Image) -> bool:
        """True: `ctrl` shows a trigger that needs an answer."""
        control = ctrl["CONTROL"]
        if not control & _TRIGGER:
            self.forget_image()
        elif self.confirming or not prev["CONTROL"] & _TRIGGER:
            return self._whole(control, ctrl)
        elif ctrl["TRIGGER_ID"] != prev["TRIGGER_ID"]:
            self.protocol_error = True  # an id that changes while TRIGGER stands is no trigger
        return False

    def _whole(self, control: int, ctrl: Image) -> bool:
        """An edge counts once its id is whole and new, or is still the same one poll later."""
        if not control & _ENABLE:
            self.confirming = False
            return False
        id_, inverse = ctrl["TRIGGER_ID"], ctrl["TRIGGER_ID_INV"]
        torn = inverse not in (0, id_ ^ 0xFFFF)
        if (torn or id_ in (0, self.last_id)) and not self.confirming:
            self.confirming = True  # perhaps torn: look once more
            return False
        self.confirming = False
        if id_ == 0 or torn:
            self.protocol_error = True
            return False
        return True

    def gap(self, id_: int) -> int:
        """How many triggers were never seen before this one. A counter that went back is one gap."""
        gap = 0 if self._anywhere or not self.last_id else (id_ - self.last_id - 1) % 0xFFFF
        self._anywhere = False
        if not gap or id_ == self.last_id:
            return 0
        return gap if gap < 0x8000 else 1
