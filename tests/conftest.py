"""What every test gets: nothing may be left behind, and free ports."""

from __future__ import annotations

import asyncio
import inspect
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator

import psutil
import pytest
from hypothesis import settings

from plc.free_port import free_port as a_free_port
from tests.support import signal_stack

# Before torch comes, and for processes that tests start: OpenMP's threads wait for each other asleep. Spinning, two of
# them on cores that other tests use as well took twenty times the processor.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Hypothesis gives each example 200 ms, and calls a test flaky that took longer once and not again: on cores that others
# use as well any example may. What hangs is for pytest's timeout.
settings.register_profile("busy cores", deadline=None)
settings.load_profile("busy cores")

GRACE_S = 30.0  # what is on its way out when a test ends: a cancelled task, a closing process, an ending thread
# The interpreter's own helpers live as long as it does; asyncio_N threads end with their loop, after us.
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
LOOP_THREADS = "asyncio_"


@pytest.fixture(autouse=True)
def no_dangling_signal_stack() -> Iterator[None]:
    """A test that compiled models must not leave the main thread on a stack that is gone.

    After each test, for the next signal may come at once: torch handles SIGCHLD once a loader had processes.
    """
    yield
    signal_stack.drop()


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves an asyncio task, a child process, a thread or an open socket behind.

    What wider fixtures hold (a browser, a server of the module) is there before and so is not counted.
    """
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("_no_task_left_behind")
    kinds = {"child process": _children, "open socket": _sockets, "thread": _threads}
    before = {what: found() for what, found in kinds.items()}
    yield
    for what, found in kinds.items():
        left = _settled(lambda found=found, what=what: found() - before[what])  # type: ignore[misc]
        if left:
            pytest.fail(f"the test left something behind: {what} {', '.join(sorted(map(_told, left)))}", pytrace=False)


@pytest.fixture
async def _no_task_left_behind() -> AsyncIterator[None]:
    """Set up before, and so torn down after, every other fixture of the test's own loop."""
    yield
    this = asyncio.current_task()
    end = time.monotonic() + GRACE_S
    while (left := asyncio.all_tasks() - {this}) and time.monotonic() < end:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    if left:
        names = ", ".join(sorted(f"{task.get_name()} ({task.get_coro()!r})" for task in left))
        pytest.fail(f"the test left something behind: asyncio task {names}", pytrace=False)


@pytest.fixture
def free_port() -> int:
    """A TCP port of the loopback interface that nobody listened on a moment ago."""
    return a_free_port()


def _settled(left: Callable[[], set[object]]) -> set[object]:
    end = time.monotonic() + GRACE_S
    while (found := left()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def _children() -> set[object]:
    found: set[object] = set()
    for child in psutil.Process().children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE and not any(h in " ".join(child.cmdline()) for h in HELPERS):
                found.add(child)
        except psutil.NoSuchProcess:
            continue  # it ended while we looked
    return found


def _sockets() -> set[object]:
    """TCP and UDP sockets with a peer or listening, and Unix sockets that listen at a path."""
    kept = (psutil.CONN_LISTEN, psutil.CONN_ESTABLISHED, psutil.CONN_NONE)
    mine = psutil.Process()
    internet = {(c.fd, c.laddr, c.raddr) for c in mine.net_connections(kind="inet") if c.status in kept}
    return {*internet, *((c.fd, c.laddr, None) for c in mine.net_connections(kind="unix") if c.laddr)}


def _threads() -> set[object]:
    """A daemon thread may end with the process; every other one must have been ended by its owner."""
    return {t for t in threading.enumerate() if not t.daemon and not t.name.startswith(LOOP_THREADS)}


def _told(left: object) -> str:
    match left:
        case psutil.Process():
            return f"pid {left.pid}: {' '.join(left.cmdline())[:120]}" if left.is_running() else f"pid {left.pid}"
        case threading.Thread():
            return left.name
        case _:
            return str(left)
