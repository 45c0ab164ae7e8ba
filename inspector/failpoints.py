"""Places where a test may break a cycle on purpose; inert unless the config's [test] section names one."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Mapping

from inspector.core.errors import ConfigError

POINTS = (
    "accepted", "opening", "grabbed", "checked", "predicted", "judged",
    "decided", "loaded", "published", "stamped", "archived", "refused",
)  # fmt: skip
OF_A_CHANGE_OVER = ("preparing", "prepared", "recorded")
_ACTIONS = ("kill", "stop", "stall")


class Failpoints:
    """Call it with a stage's name: kills, stops or stalls the process where the config says so.

    Each entry is `point = "kill"`, `"stop"` (SIGSTOP) or `"stall:400"` (blocks the loop for 400 ms); with `@n` it acts
    at the n-th time only: `"kill@5"`.
    """

    def __init__(self, spec: Mapping[str, str]) -> None:
        self._armed: dict[str, tuple[str, float, int]] = {}
        self._hits: dict[str, int] = {}
        for point, text in spec.items():
            action, _, nth = text.partition("@")
            action, _, amount = action.partition(":")
            if point not in (*POINTS, *OF_A_CHANGE_OVER) or action not in _ACTIONS:
                raise ConfigError(f"[test] failpoint {point} = {text!r}: points {POINTS}, actions {_ACTIONS}")
            self._armed[point] = (action, float(amount or 0), int(nth or 0))

    def __call__(self, point: str) -> None:
        armed = self._armed.get(point)
        if armed is None:
            return
        action, amount, nth = armed
        self._hits[point] = self._hits.get(point, 0) + 1
        if nth and self._hits[point] != nth:
            return
        if action == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif action == "stop":
            os.kill(os.getpid(), signal.SIGSTOP)
        else:
            time.sleep(amount / 1000)
