"""A clock that a test moves by hand, for rules about time."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext


class SimClock:
    """Monotonic time starts at 1000 s; `sleep` only moves it. UTC stands still."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        return self.now_s

    def utc_s(self) -> float:
        return 1_700_000_000.0

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds
        await asyncio.sleep(0)

    def deadline(self, at_mono_s: float) -> AbstractAsyncContextManager[object]:
        if self.now_s >= at_mono_s:
            raise TimeoutError
        return nullcontext()
