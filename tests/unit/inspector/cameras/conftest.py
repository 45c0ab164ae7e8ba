"""What tests of cameras share: a device thread that is closed again, and triggers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import pytest

from inspector.core.clock import SystemClock
from inspector.core.types import Trigger
from inspector.threads import DeviceThread

MakeTrigger = Callable[..., Trigger]


class Hang(threading.Event):
    """What a rendered camera's driver hangs at, and whether it does by now."""

    def __init__(self) -> None:
        super().__init__()
        self.begun = threading.Event()

    def wait(self, timeout: float | None = None) -> bool:
        self.begun.set()
        return super().wait(timeout)


@pytest.fixture
def thread() -> Iterator[DeviceThread]:
    made = DeviceThread("camera")
    yield made
    made.close()


@pytest.fixture
def trigger() -> MakeTrigger:
    """trigger(part_id): accepted now, due in a minute; TRIGGER_ID counts up."""
    clock, seq = SystemClock(), 0

    def make(part_id: int = 1) -> Trigger:
        nonlocal seq
        seq += 1
        now_s = clock.monotonic_s()
        return Trigger(seq, part_id, now_s + 60, now_s, simulator=True)

    return make
