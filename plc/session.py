"""LINK of section 4 of the contract: which connection, and which run of the PLC's program, an image belongs to."""

from __future__ import annotations

from plc.cycle import LINK_NEXT, Link, LinkStep
from plc.images import Image
from plc.parts import HandshakeConfig
from plc.registers import SIGNATURE, SIMULATOR_SIGNATURE, Reason
from plc.watch import PlcWatch


class Session:
    """Connection, signature, baseline and heartbeat of one PLC. No PASS crosses `key` (P8).

    ctrl: the newest image of CTRL, the reference for the next one; None: the next one is a reference, not an event.
    doubt: why the link is not LIVE, as the reason that a part in flight is answered with.
    """

    def __init__(self, cfg: HandshakeConfig) -> None:
        self._kinds = {SIMULATOR_SIGNATURE + cfg.number: True, SIGNATURE + cfg.number: False}
        self.watch = PlcWatch(cfg.heartbeat_timeout_s, cfg.max_trigger_age_s)
        self.link, self.doubt = Link.DOWN, Reason.LINK_LOST
        self.simulator: bool | None = None  # None: this connection has not shown the right signature
        self.ctrl: Image | None = None
        self._connections = self._programs = 0
        self._plc_session: int | None = None  # of the newest image, over connections

    @property
    def key(self) -> tuple[int, int]:
        """Link session and PLC session; a part accepted under another key never passes."""
        return self._connections, self._programs

    @property
    def control(self) -> int:
        """The newest CONTROL; 0 where there is no reference."""
        return self.ctrl["CONTROL"] if self.ctrl is not None else 0

    def connected(self) -> bool:
        """A connection stands. True: it is the first of this process."""
        self._connections += 1
        return self._connections == 1

    def step(self, step: LinkStep, doubt: Reason) -> None:
        """Leave LIVE: what was seen before counts no more (P7)."""
        self.link, self.doubt, self.ctrl = LINK_NEXT[self.link, step], doubt, None
        self.watch.restart()

    def signed(self, signature: int) -> bool:
        """Is it this station's PLC, or its simulator? To any other nothing is ever written (row 21)."""
        self.simulator = self._kinds.get(signature)
        if self.simulator is None:
            self._programs += 1  # a PLC that cleared its memory, or another one: no PASS crosses this (P8)
        return self.simulator is not None

    def doubted(self, ctrl: Image, sent_s: float, received_s: float) -> Reason | None:
        """Take an image's heartbeats. A reason: the PLC's program started anew or stood still, a new PLC session."""
        restarted = self.watch.sample(self.ctrl, ctrl, sent_s, received_s)
        if restarted or (self.link is Link.LIVE and not self.watch.beating(received_s)):
            self._programs += 1
            return Reason.LINK_LOST if restarted else Reason.PLC_HEARTBEAT
        return None

    def another_program(self, ctrl: Image) -> bool:
        """True: PLC_SESSION is another than when we last saw this PLC, on whichever connection."""
        before, self._plc_session = self._plc_session, ctrl["PLC_SESSION"]
        return before is not None and before != self._plc_session

    def saw_no_trigger(self, sent_s: float) -> None:
        """TRIGGER=0 in the reply to a request sent at `sent_s`: with two heartbeats the baseline is made."""
        self.watch.saw_no_trigger(sent_s)
        if self.link is Link.BASELINE and self.watch.beats >= 2:
            self.link = LINK_NEXT[self.link, LinkStep.BASED]
