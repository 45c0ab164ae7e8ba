"""When a word came on the screen, and how long the machine let page or test stand still meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import Any

LONG_MS = 60_000  # for a screen that others' work on the same cores holds up: how long is asked elsewhere
# Stamped by the page itself: the way of an answer through driver and test is none of the product's time.
_WATCH = """(word) => {
    const node = document.querySelector('#verdict-word'), seen = {at: null, stood: 0, last: performance.now()};
    const look = () => { if (seen.at === null && node.textContent === word) seen.at = Date.now(); };
    new MutationObserver(look).observe(node, {childList: true, characterData: true, subtree: true});
    setInterval(() => {
        const now = performance.now();
        seen.stood += Math.max(0, now - seen.last - 30);
        seen.last = now;
    }, 10);
    window.watchedWord = seen;
}"""


class Watch:
    """Waits for a big word that is not on the screen yet. `begin` when what it answers to happens."""

    def __init__(self, page: Any) -> None:
        self._page, self._stood_s = page, 0.0
        self._began_s = time.time()
        self._ticking = asyncio.create_task(self._tick(), name="watch of a word")

    def begin(self) -> None:
        """From now on its time counts."""
        self._began_s, self._stood_s = time.time(), 0.0

    async def within(self, bound_s: float) -> None:
        """It came in time. What page or this process stood still is the machine's, and counts for nobody."""
        try:
            await self._page.wait_for_function("() => window.watchedWord.at !== null", timeout=LONG_MS, polling=20)
        finally:
            self._ticking.cancel()
            await asyncio.gather(self._ticking, return_exceptions=True)
        at_ms, page_ms = await self._page.evaluate("() => [window.watchedWord.at, window.watchedWord.stood]")
        took_s, stood_s = at_ms / 1000 - self._began_s, self._stood_s + page_ms / 1000
        assert took_s <= bound_s + stood_s, f"after {took_s:.3f} s, of which {stood_s:.3f} s stood still"

    async def _tick(self) -> None:
        last_s = time.monotonic()
        while True:
            await asyncio.sleep(0.01)
            now_s = time.monotonic()
            self._stood_s += max(0.0, now_s - last_s - 0.03)
            last_s = now_s


async def watch(page: Any, word: str) -> Watch:
    """Watch for the big word, which is another one now."""
    await page.evaluate(_WATCH, word)
    return Watch(page)
