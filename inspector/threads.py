"""One named thread for each blocking device, so that the event loop never waits for hardware."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class DeviceThread:
    """Runs blocking calls one after another on a thread of its own.

    A call that hangs cannot be ended (a thread cannot be killed): health.py sees that the thread makes no full turn
    any more and ends the process, which systemd starts again.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    def submit(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> Future[R]:
        """Queue a call; the caller holds the future."""
        return self._pool.submit(fn, *args, **kwargs)

    async def call(self, fn: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run `fn` on the thread. If the awaiting task is cancelled the call itself still runs to its end."""
        return await asyncio.wrap_future(self._pool.submit(fn, *args, **kwargs))

    def close(self) -> None:
        """Do not wait: a hung driver must not hold up a clean end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
