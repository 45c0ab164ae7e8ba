"""A device's thread: one call after another, late output told, and no hang that holds up an end."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
import time
from concurrent.futures import CancelledError

import pytest
from structlog.testing import capture_logs

from inspector.threads import DeviceThread
from tests.support.patience import LONG_S

HANGS = """
import asyncio, time
from inspector.threads import DeviceThread

async def main():
    thread = DeviceThread("camera")
    thread.submit(time.sleep, 600)
    try:
        async with asyncio.timeout(0.2):
            await thread.call(print, "never")
    except TimeoutError:
        thread.close()

asyncio.run(main())
"""


@pytest.fixture
def thread():
    one = DeviceThread("camera")
    yield one
    one.close()


async def test_calls_run_one_after_another_on_the_named_thread(thread):
    order: list[int] = []
    first = thread.submit(lambda: (time.sleep(0.05), order.append(1)))
    assert await thread.call(lambda: (order.append(2), threading.current_thread().name)[1]) == "camera"
    assert first.done() and order == [1, 2]


async def test_an_error_of_the_call_is_the_callers(thread):
    with pytest.raises(ZeroDivisionError):
        await thread.call(lambda: 1 // 0)
    assert await thread.call(lambda: 5) == 5


async def test_what_comes_after_the_deadline_is_told_and_thrown_away(thread):
    release, loop = threading.Event(), asyncio.get_running_loop()

    def late() -> bool:
        loop.call_soon_threadsafe(patience.reschedule, loop.time())  # it has begun, and nobody waits any longer
        return release.wait(LONG_S)

    with capture_logs() as logs:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(None) as patience:
                await thread.call(late)
        release.set()
        await thread.call(lambda: None)
    assert [(line["device"], line["came"]) for line in logs] == [("camera", "bool")]


def test_a_closed_thread_takes_nothing_and_cancels_what_waits(thread):
    release = threading.Event()
    running = thread.submit(release.wait, LONG_S)
    while not running.running():
        time.sleep(0.001)
    waiting = thread.submit(lambda: 1)
    thread.close()
    release.set()
    with pytest.raises(CancelledError):
        waiting.result(LONG_S)
    assert running.result(LONG_S) is True
    with pytest.raises(RuntimeError, match="the camera thread was closed"):
        thread.submit(lambda: 2)


def test_a_driver_that_hangs_does_not_hold_up_the_end_of_the_process():
    subprocess.run([sys.executable, "-c", HANGS], check=True, timeout=LONG_S)  # the call would have taken longer
