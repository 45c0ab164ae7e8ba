"""What is wrong with a screen, as a browser sees it: axe's findings, what does not fit, errors, requests to others."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from inspector.web.speech import COOKIE
from tests.support.screens import Screen
from tests.support.shown import LONG_MS

AXE = (Path(__file__).parents[1] / "browser" / "axe" / "axe.min.js").read_text("utf-8")
SETTLE_MS = 150  # what a screen's own script asks for has come
SIZES = ((1280, 800), (390, 844), (1920, 1080))
SERIOUS = """async (rules) => {
    const found = await axe.run(document, {resultTypes: ['violations'], ...(rules ? {runOnly: rules} : {})});
    return found.violations.filter((v) => ['serious', 'critical'].includes(v.impact)).flatMap((v) =>
        v.nodes.map((n) => `${v.id}: ${n.target} ${(n.any[0] || n.all[0] || n.none[0] || {message: ''}).message}`));
}"""
# Wider than the window; and text that its own box hides, without a title that would tell it.
CUT_OFF = """() => {
    const wide = document.documentElement.scrollWidth - innerWidth;
    const clips = (n) => ['hidden', 'clip'].includes(getComputedStyle(n).overflowX);
    const hides = (n) => clips(n) && n.scrollWidth > n.clientWidth + 1;
    const told = (n) => n.closest('[title]') || n.closest('svg, .sprite, canvas');
    const words = (n) => [...n.childNodes].some((c) => c.nodeType === 3 && c.textContent.trim());
    const cut = [...document.body.querySelectorAll('*')]
        .filter((n) => n.checkVisibility() && words(n) && !told(n))
        .filter((n) => n.clientWidth > 1 && hides(n));
    return [...(wide > 0 ? [`${wide} px too wide`] : []), ...cut.map((n) => `cut off: ${n.textContent.trim()}`)];
}"""

# A script finds only the first element of an id.
TWICE = """() => {
    const ids = [...document.querySelectorAll('[id]')].map((n) => n.id);
    return ids.filter((id, n) => ids.indexOf(id) !== n).map((id) => `two elements are called ${id}`);
}"""

# Text, and what is told of pictures and fields; not what has to be typed so, nor the names of registers and their bits.
TEXTS = """() => {
    const found = [document.title], walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const typed = 'script, style, noscript, code, pre, kbd, [lang=en], .registers th, .bits';
    while (walk.nextNode())
        if (!walk.currentNode.parentElement.closest(typed)) found.push(walk.currentNode.data);
    for (const n of document.querySelectorAll('[title], [alt], [aria-label], [placeholder]'))
        found.push(...['title', 'alt', 'aria-label', 'placeholder'].map((a) => n.getAttribute(a) ?? ''));
    return found.map((t) => t.trim()).filter((t) => /[A-Za-z]{3}/.test(t));
}"""
# What a line of the tests is called and has in its record: names of people, stations, products, classes, bundles, lots.
GIVEN = re.compile(
    r"anna|page|annegret\S*|Line 1|st\d|SN-\d+|L-\d+-\d+|turned.disc\S*|disc-1-abc|rendered, \d+ x \d+|[0-9a-f:]{32,}"
    r"|a customer complained|ring|scratch|dent|stain|missing hole|good|empty|127\.0\.0\.1:\d+",
    re.IGNORECASE,
)
PROPER = re.compile(
    r"Inspector|Excel|UTC|CEST|Cookie|JavaScript|SHA-256|[A-Z][A-Z0-9_]*[A-Z0-9](\.[A-Z0-9_]+)*|\[\w+\] \w+"
)
COMMAND = re.compile(r"`[^`]*`|\[\[?[\w.]+\]?\](?: [a-z_]+)?")  # in backticks, or a key of the configuration
KEYS = re.compile(r"Shift|Enter|Esc|manifest\.csv|p99|ISA-18\.2|0x[0-9A-F]+|inspector-plc|monitor|\.sha256|tls = true")


def english_in(text: str) -> str:
    """What of a text of a Chinese page is an English word: no name, and nothing that somebody gave one."""
    for known in (COMMAND, GIVEN, KEYS, PROPER):
        text = known.sub(" ", text)
    return " ".join(re.findall(r"[A-Za-z]{3,}", text))


async def opened(browser: Any, origin: str, token: str, language: str) -> tuple[Any, list[str]]:
    """A page of a browser of its own, and what goes wrong in it."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800}, color_scheme="light")
    cookies = {"inspector-local": token, COOKIE: language}
    context.set_default_timeout(LONG_MS)
    await context.add_cookies([{"name": k, "value": v, "url": origin} for k, v in cookies.items() if v])
    await context.add_init_script(AXE)
    page, wrong = await context.new_page(), list[str]()
    page.on("console", lambda m: wrong.append(f"console: {m.text}") if m.type in ("error", "warning") else None)
    page.on("pageerror", lambda e: wrong.append(f"script: {e}"))
    page.on("request", lambda r: None if r.url.startswith(origin) else wrong.append(f"request to {r.url}"))
    return page, wrong


async def faults_of(page: Any, *, colours: bool) -> list[str]:
    """Of the screen that is open: in light with all rules of axe, in dark those of colour, and at each size."""
    found = [*await page.evaluate(TWICE), *(f"light: {told}" for told in await page.evaluate(SERIOUS, None))]
    for width, height in SIZES:
        await page.set_viewport_size({"width": width, "height": height})
        found += [f"{width}x{height}: {told}" for told in await page.evaluate(CUT_OFF)]
    await page.set_viewport_size({"width": SIZES[0][0], "height": SIZES[0][1]})
    if colours:  # they do not depend on the language
        await page.emulate_media(color_scheme="dark")
        found += [f"dark: {told}" for told in await page.evaluate(SERIOUS, ["color-contrast"])]
        await page.emulate_media(color_scheme="light")
    return found


async def look_at(browser: Any, origin: str, token: str, screens: list[Screen], language: str) -> list[str]:
    """What is wrong with these screens, each named."""
    found = list[str]()
    page, wrong = await opened(browser, origin, token, language)
    try:
        for screen in screens:
            await page.goto(origin + screen.address)
            await page.wait_for_timeout(SETTLE_MS)
            faults = [*await faults_of(page, colours=language == "en"), *wrong]
            if language == "zh":
                shown = await page.evaluate(TEXTS)
                faults += [f"in English: {left!r} of {text!r}" for text in shown if (left := english_in(text))]
            wrong.clear()
            found += [f"{screen.address} ({language}): {fault}" for fault in faults]
            assert await page.get_attribute("html", "lang") == language
    finally:
        await page.context.close()
    return found
