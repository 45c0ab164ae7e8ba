"""The system's clock behind the Clock port."""

from __future__ import annotations

import asyncio
import time
from contextlib import AbstractAsyncContextManager


class SystemClock:
    """CLOCK_MONOTONIC for rules, UTC for people."""

    def monotonic_s(self) -> float:
        return time.monotonic()

    def utc_s(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def deadline(self, at_mono_s: float) -> AbstractAsyncContextManager[object]:
        """asyncio's loop runs on the same CLOCK_MONOTONIC, so the times can be shared."""
        return asyncio.timeout_at(at_mono_s)
