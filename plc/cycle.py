"""The states of link and cycle, and which step leads where. Section 4 of the contract, as tables."""

from __future__ import annotations

from enum import Enum

Link = Enum("Link", "DOWN BASELINE LIVE")
LinkStep = Enum("LinkStep", "CONNECTED BASED DOUBTED LOST")
Cycle = Enum("Cycle", "IDLE ACQUIRING INSPECTING PUBLISH WAIT_ACK WAIT_DROP DROPPED")
Step = Enum("Step", "ACCEPTED REFUSED EXPOSED LOADED FLAGGED ACKED RELEASED ABORTED SETTLED")

LINK_NEXT: dict[tuple[Link, LinkStep], Link] = {
    **{(link, LinkStep.CONNECTED): Link.BASELINE for link in Link},
    (Link.BASELINE, LinkStep.BASED): Link.LIVE,  # signature, two heartbeats, TRIGGER seen 0
    (Link.BASELINE, LinkStep.DOUBTED): Link.BASELINE,
    (Link.LIVE, LinkStep.DOUBTED): Link.BASELINE,  # wrong signature, PLC restarted or stopped
    (Link.DOWN, LinkStep.DOUBTED): Link.DOWN,
    **{(link, LinkStep.LOST): Link.DOWN for link in Link},
}

_AT_WORK = (Cycle.ACQUIRING, Cycle.INSPECTING, Cycle.PUBLISH)  # the line has the part in its hands
NEXT: dict[tuple[Cycle, Step], Cycle] = {
    (Cycle.IDLE, Step.ACCEPTED): Cycle.ACQUIRING,
    (Cycle.IDLE, Step.REFUSED): Cycle.INSPECTING,  # its row is written, nothing is grabbed
    (Cycle.ACQUIRING, Step.EXPOSED): Cycle.INSPECTING,
    **{(cycle, Step.LOADED): Cycle.PUBLISH for cycle in _AT_WORK},  # once more when downgraded before the flags
    (Cycle.PUBLISH, Step.FLAGGED): Cycle.WAIT_ACK,
    (Cycle.WAIT_ACK, Step.ACKED): Cycle.WAIT_DROP,  # acknowledged, or given up after ack_timeout
    (Cycle.WAIT_DROP, Step.RELEASED): Cycle.IDLE,  # TRIGGER is 0 again
    **{(cycle, Step.ABORTED): Cycle.DROPPED for cycle in _AT_WORK},  # no result, but the line still works on it
    (Cycle.DROPPED, Step.ABORTED): Cycle.DROPPED,
    (Cycle.WAIT_ACK, Step.ABORTED): Cycle.IDLE,
    (Cycle.WAIT_DROP, Step.ABORTED): Cycle.IDLE,
    **{(cycle, Step.SETTLED): Cycle.IDLE for cycle in (*_AT_WORK, Cycle.DROPPED)},  # the line knows: nothing was told
}


class HandshakeError(Exception):
    """A step that the table does not allow: a bug, never a PLC's doing."""


def advance(cycle: Cycle, step: Step) -> Cycle:
    """Raises HandshakeError."""
    if (cycle, step) not in NEXT:
        raise HandshakeError(f"{step.name} is not allowed in {cycle.name}")
    return NEXT[cycle, step]
