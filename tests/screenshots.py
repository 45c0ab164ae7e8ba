"""Maker's tool: pictures of every screen for docs/screens, of the demo's own line at work.

    python -m tests.screenshots [OUT]

Plays `inspector demo`, makes the first administrator with the page's one-time code, and looks at each screen once.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from playwright.async_api import async_playwright

from plc.free_port import free_port
from tests.browser.conftest import CHROMIUM

OUT = Path("docs/screens")
PARTS = 100  # until the strip is full
RATE = 5.0
PANEL, PHONE = (1280, 800), (390, 844)
PASSWORD = "a password for pictures"
COLOURS = 128  # of the files; screens are grey
SHOWN = (  # file, address, size, dark, language
    ("line", "/", PANEL, False, "en"),
    ("line-fail", "/", PANEL, False, "en"),
    ("line-dark", "/", PANEL, True, "en"),
    ("line-phone", "/", PHONE, False, "en"),
    ("line-zh", "/", PANEL, False, "zh"),
    ("alarms", "/alarms", PANEL, False, "en"),
    ("history", "/history", PANEL, False, "en"),
    ("part", "part", PANEL, False, "en"),
    ("timing", "/timing", PANEL, False, "en"),
    ("review", "/review", PANEL, False, "en"),
    ("collect", "/collect", PANEL, False, "en"),
    ("controls", "/controls", PANEL, False, "en"),
    ("maintenance", "/maintenance", PANEL, False, "en"),
    ("storage", "/storage", PANEL, False, "en"),
    ("admin", "/admin", PANEL, False, "en"),
    ("audit", "/admin/audit?of=line&check=1", PANEL, False, "en"),
    ("me", "/me", PANEL, False, "en"),
)
FAIL_WITH_ITS_HEAT = """() => document.querySelector('#verdict-word').textContent === 'FAIL'
    && ['picture-img', 'picture-heat'].map(id => document.getElementById(id)).every(i => !i.hidden && i.complete)"""


@asynccontextmanager
async def demo(folder: Path) -> AsyncIterator[str]:
    """The page's origin once the line is READY. Raises RuntimeError: it ended before."""
    port = free_port()
    command = ("-m", "inspector", "demo", "--parts", "0", "--rate", str(RATE), "--port", str(port))
    process = await asyncio.create_subprocess_exec(
        sys.executable, *command, stdout=asyncio.subprocess.PIPE, env=os.environ | {"TMPDIR": str(folder)}
    )
    assert process.stdout is not None
    try:
        while b"READY after" not in (line := await process.stdout.readline()):
            if not line:
                raise RuntimeError("the demo ended before it was READY")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.communicate()


def one_time_code(folder: Path) -> str:
    """From the page's log. Raises RuntimeError: there is none."""
    (log,) = folder.glob("inspector-demo-*/page.log")
    found = re.findall(r"\b[A-Z2-9]{4}(?:-[A-Z2-9]{4}){3}\b", log.read_text())
    if not found:
        raise RuntimeError(f"no one-time code in {log}")
    return str(found[-1])


async def first_start(page: Any, origin: str, code: str, out: Path) -> None:
    await page.goto(origin + "/log-in")
    await page.screenshot(path=out / "first-start.png")
    for name, value in (("code", code), ("name", "Anna"), ("password", PASSWORD), ("again", PASSWORD)):
        await page.fill(f"[name={name}]", value)
    await page.press("[name=again]", "Enter")
    await page.wait_for_url("**/admin")


async def take(context: Any, origin: str, shot: tuple[Any, ...], out: Path) -> None:
    name, address, (width, height), dark, language = shot
    page = await context.new_page()
    await page.set_viewport_size({"width": width, "height": height})
    await page.emulate_media(color_scheme="dark" if dark else "light")
    await page.goto(f"{origin}/language/{language}")
    if address == "part":
        await page.goto(origin + "/history?label=scratch")
        address = await page.locator("tbody a[href^='/part/']").first.get_attribute("href")
    await page.goto(origin + address)
    if name in ("line-fail", "part"):  # the line's heat map stays off elsewhere, as it is at first
        await page.click("#heat-toggle")
    await page.wait_for_timeout(2500)  # streams, traces and pictures come after the page
    if name == "line-fail":
        await page.wait_for_function(FAIL_WITH_ITS_HEAT, polling=20, timeout=60_000)
    await page.screenshot(path=out / f"{name}.png")
    if name == "line-fail":
        await page.click("#heat-toggle")  # this browser remembers it
    await page.close()


def make_small(folder: Path) -> None:
    for file in folder.glob("*.png"):
        Image.open(file).convert("RGB").quantize(COLOURS).save(file, optimize=True)


async def main(out: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="screenshots-") as name:
        folder = Path(name)
        async with demo(folder) as origin, async_playwright() as playwright:
            browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
            context = await browser.new_context()
            page = await context.new_page()
            await first_start(page, origin, one_time_code(folder), out)
            await page.goto(origin)
            await page.wait_for_function(
                f"() => Number(document.querySelector('#count-total').textContent) >= {PARTS}", timeout=120_000
            )
            for shot in SHOWN:
                await take(context, origin, shot, out)
                print(shot[0], flush=True)
            await browser.close()
    make_small(out)


if __name__ == "__main__":
    chosen = Path(sys.argv[1]) if len(sys.argv) > 1 else OUT
    chosen.mkdir(parents=True, exist_ok=True)
    asyncio.run(main(chosen))
