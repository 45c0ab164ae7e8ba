"""One named thread for each blocking device, so that the event loop never waits for hardware."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any, ParamSpec, TypeVar

import structlog

log = structlog.get_logger(__name__)
P = ParamSpec("P")
R = TypeVar("R")


async def ended(future: Future[R]) -> R:
    """Its result, as soon as it is there. Who stops waiting leaves the call alone: it runs, or waits, to its end."""
    loop = asyncio.get_running_loop()
    waiter: asyncio.Future[None] = loop.create_future()

    def wake() -> None:
        if not waiter.done():
            waiter.set_result(None)

    def tell(_: Future[R]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(wake)

    future.add_done_callback(tell)
    await waiter
    if future.cancelled():  # the thread was closed
        raise asyncio.CancelledError
    return future.result()


class DeviceThread:
    """Runs blocking calls one after another on a thread of its own.

    A call that hangs cannot be ended (a thread cannot be killed): health.py sees that the thread makes no full turn
    any more and ends the process, which systemd starts again. No thread pool: the interpreter joins the threads of a
    pool at its end, and a hung driver would hold up SIGTERM.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._calls: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._closed = False
        self._thread: threading.Thread | None = None

    def submit(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Queue a call; the caller holds the future. Raises RuntimeError: the thread was closed."""
        future: Future[R] = Future()
        with self._lock:
            if self._closed:
                raise RuntimeError(f"the {self.name} thread was closed")
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name=self.name, daemon=True)
                self._thread.start()
            self._calls.put((future, partial(fn, *args, **kwargs)))
        return future

    async def call(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` on the thread. If the awaiting task is cancelled the call itself still runs to its end."""
        future = self.submit(fn, *args, **kwargs)
        try:
            return await ended(future)
        except asyncio.CancelledError:
            future.cancel()  # what has not begun
            future.add_done_callback(self._log_late)
            raise

    def close(self) -> None:
        """What waits is cancelled. Does not wait for what runs: a hung driver must not hold up a clean end."""
        with self._lock:
            self._closed = True
            with suppress(Empty):
                while (waiting := self._calls.get_nowait()) is not None:
                    waiting[0].cancel()
            self._calls.put(None)

    def _work(self) -> None:
        while (taken := self._calls.get()) is not None:
            future, run = taken
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(run())
                except BaseException as exc:  # the caller's, whatever it is
                    future.set_exception(exc)
            del taken, future, run  # what the call held is free while we wait

    def _log_late(self, future: Future[Any]) -> None:
        """Nobody waits any more, a part's deadline has passed: what comes is only told (contract, row 12)."""
        if not future.cancelled():
            error = future.exception()
            came = type(future.result()).__name__ if error is None else f"{type(error).__name__}: {error}"
            log.warning("came too late and is thrown away", device=self.name, came=came)
