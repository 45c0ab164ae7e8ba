"""How soon the next picture is there for somebody who reviews by keyboard (F9): a part of `make bench-screen`.

The page is a process of its own on a record of rejects; from the key's event to after the frame that shows the picture.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from inspector.demo.parts import Kind
from inspector.demo.processes import child, last_words
from inspector.office.office import Office
from plc.free_port import free_port as a_free_port
from tests.support.office import PASSWORD
from tests.support.reviewing import REJECT, Part, write_parts

PICTURES = 40
START_S = 60.0
TOOK = """() => { // ms from each key to the picture that it brought
    window.took = [];
    let pressed = null;
    addEventListener('keydown', (event) => { pressed = event.timeStamp; }, true);
    new MutationObserver(() => {
        const begun = pressed;
        pressed = null;
        if (begun === null) return;
        requestAnimationFrame(() => {
            const painted = new MessageChannel(); // its turn comes after the frame
            painted.port1.onmessage = () => { took.push(performance.now() - begun); };
            painted.port2.postMessage(0);
        });
    }).observe(document.querySelector('#stage'), {attributeFilter: ['data-shown']});
}"""


async def review_ms(browser: Any, size: dict[str, int], folder: Path, pictures: int = PICTURES) -> list[float]:
    """For each label but the last: ms until the next picture was painted. Raises RuntimeError: the page ended."""
    kinds = (Kind.SCRATCH, Kind.DENT, Kind.STAIN)
    await write_parts(folder, [Part(kinds[n % 3], REJECT, lot="L-7") for n in range(pictures)])
    office = Office(folder / "office.db")
    await office.begin_first(await office.first_code() or "", "anna", PASSWORD, "setup")
    office.close()
    async with _page(folder) as origin:
        page = await (await browser.new_context(viewport=size)).new_page()
        await page.goto(f"{origin}/log-in?next=/review")
        await page.fill("[name=name]", "anna")
        await page.fill("[name=password]", PASSWORD)
        await page.press("[name=password]", "Enter")
        await page.wait_for_selector(f"#stage[data-shown='{pictures}']")
        await page.evaluate(TOOK)
        for n in range(1, pictures):
            await page.keyboard.press("u" if n % 2 else "g")
            await page.wait_for_function("n => took.length === n", arg=n)
        found: list[float] = await page.evaluate("took")
        await page.context.close()
    return found


@asynccontextmanager
async def _page(folder: Path) -> AsyncIterator[str]:
    """Its origin, once it listens."""
    port = a_free_port()
    async with child("tests.support.reviewing", str(folder), str(port), log=folder / "page.log") as process:
        async with asyncio.timeout(START_S):
            while True:
                try:
                    _, writer = await asyncio.open_connection("127.0.0.1", port)
                except OSError:
                    if process.returncode is not None:
                        raise RuntimeError(f"the page ended:\n{last_words(folder / 'page.log')}") from None
                    await asyncio.sleep(0.05)
                else:
                    writer.close()
                    break
        yield f"http://127.0.0.1:{port}"
