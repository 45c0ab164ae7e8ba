"""`make bench-screen`: how soon a result is on the line screen, how soon the screen says STALE when the daemon stops,
how soon the filmstrip of a hundred is open, and how soon a reviewer has the next picture.

The real daemon on the demo's bundle and the page are processes of their own, chromium shows the page, the simulated PLC
is in this process; all on this machine's cores. Writes docs/bench/screen.json; exit status 1 if a bar is missed.

    python -m tests.bench.screen [--parts 120] [--out docs/bench/screen.json]
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import random
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from inspector.demo.processes import child, config_text, daemon, last_words
from inspector.runtime import cpu_model, instruction_sets
from plc.free_port import free_port as a_free_port
from plc.sim import SimConfig
from tests.bench import rows
from tests.bench.line import precise_loop
from tests.bench.review_screen import review_ms
from tests.bench.rows import Row
from tests.bench.stages import WatchedPlc
from training.train import source_commit

PARTS, WARM_UP = 120, 10
PERIOD_S = 0.3  # of the parts, unevenly
READY_S, SHOWN_S = 120.0, 3.0
RESULT_BAR_MS, FILMSTRIP_BAR_MS = 300.0, 200.0
STALE_BAR_MS, REVIEW_BAR_MS = 2000.0, 2000.0
STOPS = 5  # of the daemon
OPENINGS, STRIP = 15, 100
SIZE = {"width": 1280, "height": 800}
FLAGS = ("avx2", "avx512_vnni", "avx_vnni")
WATCH = """() => { // part id -> when word, reason and filmstrip showed it, and when that was painted
    window.seen = {};
    new MutationObserver(() => {
        const part = document.querySelector('#verdict-facts dd')?.textContent;
        if (!part || seen[part]) return;
        seen[part] = [performance.now(), null];
        requestAnimationFrame(() => {
            const painted = new MessageChannel(); // its turn comes after the frame
            painted.port1.onmessage = () => { seen[part][1] = performance.now(); };
            painted.port2.postMessage(0);
        });
    }).observe(document.querySelector('#verdict'), {subtree: true, childList: true, characterData: true});
}"""
STALE = """() => { // when the big word became STALE
    window.staleAt = null;
    const word = document.querySelector('#verdict-word');
    window.isStale = () => word.textContent === 'STALE';
    new MutationObserver(() => { if (window.isStale()) window.staleAt ??= performance.now(); })
        .observe(word, {childList: true, characterData: true, subtree: true});
}"""
OPENED = """() => { // from the beginning of the navigation, by the browser's own clock; from the first result, too
    window.opened = null;
    const look = () => {
        const strip = document.querySelector('#strip'), all = strip ? strip.children.length : 0;
        if (all && !window.begun) window.begun = performance.now();
        const right = strip ? strip.getBoundingClientRect().right : 0;
        const near = [...document.querySelectorAll('#strip img')]
            .filter((img) => img.parentElement.getBoundingClientRect().left < right);
        const drawn = near.length > 5 && near.every((img) => img.complete && img.naturalWidth > 0);
        if (all === %d && drawn) window.opened = [performance.now(), performance.now() - window.begun];
        else requestAnimationFrame(look);
    };
    look();
}"""


async def measure(parts: int, folder: Path) -> list[Row]:
    """Raises RuntimeError: the line or the screen did not do its work."""
    async with _browser() as browser:
        found = await _of_the_line(parts, folder, browser)
        review = folder / "review"
        review.mkdir()
        next_ms = await review_ms(browser, SIZE, review)
    return [*found, *_spread("review: from the key to the next picture, painted", next_ms, REVIEW_BAR_MS), *_machine()]


async def _of_the_line(parts: int, folder: Path, browser: Any) -> list[Row]:
    async with _line(folder) as (plc, process, origin):
        page = await (await browser.new_context(viewport=SIZE)).new_page()
        await page.goto(origin)
        await page.evaluate(WATCH)
        valid_s = await _play(plc, page, WARM_UP + parts)
        zero_s, doubt_ms = await _clock_of(page)
        seen: Mapping[str, list[float | None]] = await page.evaluate("seen")
        told = [p for p in list(valid_s)[WARM_UP:] if str(p) in seen]
        shown = [_ms(seen[str(p)][0], zero_s, valid_s[p]) for p in told]
        painted = [_ms(seen[str(p)][1], zero_s, valid_s[p]) for p in told]
        openings = [await _open(browser, origin, min(STRIP, WARM_UP + parts)) for _ in range(OPENINGS)]
        stale = [await _stale_ms(plc, page, process, zero_s) for _ in range(STOPS)]
    return [
        Row("parts whose result was on the screen", len(told), "parts", f"all {parts}", len(told) == parts),
        *_spread("RESULTS_VALID to the text in the page", shown),
        *_spread("RESULTS_VALID to painted", painted, RESULT_BAR_MS),
        Row("the two clocks agree within", doubt_ms, "ms"),
        rows.at_most(f"the daemon stops: until STALE is in the page, the longest of {STOPS}", max(stale), "ms",
                     STALE_BAR_MS),
        *_spread("filmstrip of 100: from its first result in the page to drawn", [one[1] for one in openings]),
        *_spread("filmstrip of 100: from the click to drawn, page and all", [one[0] for one in openings],
                 FILMSTRIP_BAR_MS),
    ]  # fmt: skip


def _ms(in_page_ms: float | None, zero_s: float, valid_s: float) -> float:
    """NaN meets no bar."""
    return float("nan") if in_page_ms is None else in_page_ms + 1000 * (zero_s - valid_s)


def _spread(name: str, values_ms: list[float], bar_ms: float | None = None) -> list[Row]:
    p50, p95 = (float(np.percentile(values_ms, q)) for q in (50, 95))
    last = Row(f"{name}, p95", p95, "ms") if bar_ms is None else rows.at_most(f"{name}, p95", p95, "ms", bar_ms)
    return [Row(f"{name}, p50", p50, "ms"), last]


@asynccontextmanager
async def _line(folder: Path) -> AsyncIterator[tuple[WatchedPlc, asyncio.subprocess.Process, str]]:
    """The simulated PLC, the daemon, and the origin of the page; READY."""
    waits = {"ack_timeout_s": 1, "result_timeout_s": 3, "heartbeat_timeout_s": 2, "ready_timeout_s": 30}
    plc = WatchedPlc(SimConfig(scan_s=0.001, **waits))
    await plc.start()
    page_port = a_free_port()
    config = folder / "station.toml"
    text = config_text(plc.port, folder, page_port=page_port).replace("deadline_ms = 300", "deadline_ms = 2000")
    config.write_text(text, encoding="utf-8")
    try:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(child("inspector", "web", str(config), log=folder / "page.log"))
            process = await stack.enter_async_context(daemon(config))
            if not await plc.wait_ready(READY_S):
                raise RuntimeError(f"not READY within {READY_S:.0f} s:\n{last_words(folder / 'daemon.log')}")
            yield plc, process, f"http://127.0.0.1:{page_port}"
    finally:
        await plc.close()


@asynccontextmanager
async def _browser() -> AsyncIterator[Any]:
    from playwright.async_api import async_playwright

    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        raise RuntimeError("no chromium on this machine (apt install chromium)")
    async with async_playwright() as driver:
        started = await driver.chromium.launch(executable_path=found, args=["--no-sandbox"])
        try:
            yield started
        finally:
            await started.close()


async def _play(plc: WatchedPlc, page: Any, parts: int) -> dict[int, float]:
    """part id -> when its RESULTS_VALID arrived at the PLC, monotonic seconds."""
    valid_s: dict[int, float] = {}
    for part_id in range(1, parts + 1):
        await plc.idle_for(PERIOD_S * random.uniform(0.5, 1.5))
        result = await plc.inspect(part_id)
        valid_s[part_id] = plc.seen(result).flags_s
    end_s = time.monotonic() + SHOWN_S
    ask = f"Boolean(seen['{parts}'] && seen['{parts}'][1])"
    while not await page.evaluate(ask) and time.monotonic() < end_s:
        await plc.idle_for(0.05)
    return valid_s


async def _stale_ms(plc: WatchedPlc, page: Any, process: asyncio.subprocess.Process, zero_s: float) -> float:
    """From the moment at which the daemon was stopped; it goes on after that."""
    await page.evaluate(STALE)
    await plc.idle_for(random.uniform(0.0, 1.0))  # its word comes once a second
    stopped_s = time.monotonic()
    process.send_signal(signal.SIGSTOP)
    try:
        await page.wait_for_function("() => window.staleAt", timeout=10_000)
    finally:
        process.send_signal(signal.SIGCONT)
    found = _ms(await page.evaluate("window.staleAt"), zero_s, stopped_s)
    await page.wait_for_function("() => !window.isStale()", timeout=20_000)
    if not await plc.wait_ready(READY_S):
        raise RuntimeError("not READY again after it was stopped")
    return found


async def _clock_of(page: Any) -> tuple[float, float]:
    """(monotonic seconds at which the page's performance.now() was 0, and how far that may be off in ms)."""
    asked = []
    for _ in range(40):
        begun_s = time.monotonic()
        now_ms = await page.evaluate("performance.now()")
        ended_s = time.monotonic()
        asked.append((ended_s - begun_s, (begun_s + ended_s) / 2 - now_ms / 1000))
    took_s, zero_s = min(asked)
    return zero_s, 1000 * took_s / 2


SETTLED_S = 1.0  # a person clicks in a window that stands; chromium takes half a second of processor to build a new one


async def _open(browser: Any, origin: str, results: int) -> list[float]:
    """One more screen, with nothing in its cache: (ms since its navigation, ms since the first result in it)."""
    context = await browser.new_context(viewport=SIZE)
    try:
        page = await context.new_page()
        await page.add_init_script(f"({OPENED % results})()")
        await asyncio.sleep(SETTLED_S)
        await page.goto(origin)
        await page.wait_for_function("() => window.opened", timeout=10_000)
        found: list[float] = await page.evaluate("window.opened")
        return found
    finally:
        await context.close()


def _machine() -> list[Row]:
    found = instruction_sets()
    return [
        Row("processor", cpu_model()), Row("cores", os.cpu_count() or 0),
        Row("instruction sets", " ".join(flag for flag in FLAGS if flag in found) or "none of " + ", ".join(FLAGS)),
        Row("load average at the end", os.getloadavg()[0]),
        Row("Python", platform.python_version()), Row("measured", f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"),
        Row("source", source_commit()),
    ]  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--parts", type=int, default=PARTS)
    parser.add_argument("--out", type=Path, default=Path("docs/bench/screen.json"))
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, asyncio.Runner(loop_factory=precise_loop) as runner:
        found = runner.run(measure(asked.parts, Path(folder)))
    rows.show(found, Console(), "make bench-screen")
    rows.write_json(found, asked.out)
    missed = rows.missed(found)
    for row in missed:
        print(f"missed: {row.name}: {row.value:.4g} {row.unit}, {row.bar}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
