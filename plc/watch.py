"""Is the PLC's program alive, and how old is what we know of its trigger? Freshness as numbers, no I/O."""

from __future__ import annotations

import math

from plc.images import Image

MAX_HEARTBEAT_STEP = 1000  # more between two samples is no count any more: the program started anew
DEGRADED_S = 5.0  # a late poll is shown that long
_REMEMBERED = 64  # own heartbeats whose echo may still come


class PlcWatch:
    """Heartbeat, echo and trigger age of one PLC. All times are seconds on one monotonic clock."""

    def __init__(self, heartbeat_timeout_s: float, max_gap_s: float) -> None:
        self._timeout_s, self._max_gap_s = heartbeat_timeout_s, max_gap_s
        self._sent: dict[int, float] = {}
        self._echo_s = self._beat_s = self._last_sent_s = self._late_s = -math.inf
        self._zero_sent_s = -math.inf
        self.beats = 0  # of the PLC, since the last restart of the baseline

    def restart(self) -> None:
        """What was seen before counts no more (P7): new connection, new PLC session, doubt."""
        self.beats, self._zero_sent_s, self._last_sent_s = 0, -math.inf, -math.inf

    def sent_heartbeat(self, value: int, now_s: float) -> None:
        self._sent.pop(value, None)
        self._sent[value] = now_s
        while len(self._sent) > _REMEMBERED:
            del self._sent[next(iter(self._sent))]

    def sample(self, prev: Image | None, ctrl: Image, sent_s: float, received_s: float) -> bool:
        """Take one image. True: the PLC's program started anew (heartbeat went back, or PLC_SESSION changed)."""
        if sent_s - self._last_sent_s > self._max_gap_s and math.isfinite(self._last_sent_s):
            self._late_s = received_s
        self._last_sent_s = sent_s
        self._echo_s = max(self._echo_s, self._sent.get(ctrl["HB_ECHO"], -math.inf))
        if prev is None:
            return False
        step = (ctrl["PLC_HEARTBEAT"] - prev["PLC_HEARTBEAT"]) & 0xFFFF
        if step:
            self.beats += 1
            self._beat_s = received_s
        return step > MAX_HEARTBEAT_STEP or ctrl["PLC_SESSION"] != prev["PLC_SESSION"]

    def saw_no_trigger(self, sent_s: float) -> None:
        """The reply to the request sent at `sent_s` showed TRIGGER=0; the reply itself may have been late."""
        self._zero_sent_s = sent_s

    def forget_no_trigger(self) -> None:
        """Whether TRIGGER was 0 a moment ago is not known any more."""
        self._zero_sent_s = -math.inf

    def trigger_age_s(self, now_s: float) -> float:
        """Upper bound of how long ago the edge came; inf: TRIGGER=0 was not seen yet."""
        return now_s - self._zero_sent_s

    def beating(self, now_s: float) -> bool:
        """PLC_HEARTBEAT moved within the timeout: the program runs, not only its communication processor."""
        return now_s - self._beat_s <= self._timeout_s

    def alive(self, now_s: float) -> bool:
        """The program runs, and it saw our heartbeat of late: both directions work."""
        return self.beating(now_s) and now_s - self._echo_s <= self._timeout_s

    def degraded(self, now_s: float) -> bool:
        """A poll came so late that a trigger may have been refused for it."""
        return now_s - self._late_s <= DEGRADED_S
