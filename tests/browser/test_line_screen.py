"""What an operator sees, in a real browser."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import pytest_asyncio

from inspector.demo.parts import Kind
from tests.support.browser import Open, Watched
from tests.support.fake_daemon import FakeDaemon
from tests.support.looking import AXE, SERIOUS
from tests.support.page import page_process, site_in, until
from tests.support.record import heat_map, line_of, write_record
from tests.support.shown import LONG_MS, found

pytestmark = [pytest.mark.browser, pytest.mark.asyncio(loop_scope="module")]

WIDE, PHONE = (1280, 800), (390, 844)
STALE_WITHIN_MS = 2000
ALL_IN_SIGHT_DRAWN = """() => {
    const strip = document.querySelector('#strip').getBoundingClientRect();
    const near = [...document.querySelectorAll('#strip img')].filter((img) => {
        const box = img.parentElement.getBoundingClientRect();
        return box.right > strip.left && box.left < strip.right;
    });
    return near.length > 0 && near.every((img) => img.complete && img.naturalWidth > 0);
}"""
SECOND_OPENING = (
    f"async () => {{ const drawn = {ALL_IN_SIGHT_DRAWN};"
    """
    const {strip} = await import('/static/draw.js'), words = JSON.parse(document.querySelector('#board').dataset.words);
    const source = new EventSource('/events');
    const told = await new Promise((done) => source.addEventListener('hello', (e) => done(JSON.parse(e.data))));
    source.close();
    document.querySelector('#strip').replaceChildren(); // emptied, and drawn anew as on a screen that just opened
    strip(told.parts.slice(0, 5), told.last_fail, words); // those from before the daemon's start come later
    strip(told.parts, told.last_fail, words);
    while (!drawn()) await new Promise(requestAnimationFrame);
}"""
)
NOTHING_KNOWN = ("", {"unknown #sign-waiting Not known"})
CAMERA_ALARM = {
    "id": "camera", "key": "camera", "params": {"detail": "link lost within 2 s"}, "priority": "high",
    "cause": "camera: link lost within 2 s", "phase": "unacknowledged", "event": "raised", "actor": "inspector",
    "since_utc_ms": 1_790_000_000_000, "changed_utc_ms": 1_790_000_000_000, "shelved_until_utc_ms": None,
}  # fmt: skip


@pytest_asyncio.fixture(loop_scope="module")
async def origin(daemon: FakeDaemon, tmp_path: Path) -> AsyncIterator[str]:
    site = site_in(tmp_path)
    async with page_process(site) as address:
        await until(lambda: site.feed.ready)
        yield address


async def shows(page: Any, word: str) -> None:
    """Wait for the big word."""
    ask = "w => document.querySelector('#verdict-word').textContent === w"
    await page.wait_for_function(ask, arg=word, timeout=LONG_MS, polling=20)


async def panel(page: Any, word: str) -> dict[str, str]:
    """Word, shape and colours of the big panel once it shows this word."""
    ask = """(word) => {
        const p = document.querySelector('#verdict'), style = getComputedStyle(p);
        const text = (id) => document.querySelector(id).textContent;
        return text('#verdict-word') === word && {word, shape: p.querySelector('use').getAttribute('href'),
                text: text('#verdict-text'), background: style.backgroundColor, ink: style.color}}"""
    return dict(await found(page, ask, word))


async def claims(page: Any, word: str) -> tuple[str, set[str]]:
    """What the header says that the line does ("": nothing in sight), and the states that are shown, with this word."""
    ask = """(word) => document.querySelector('#verdict-word').textContent === word && [
        document.querySelector('#mode').checkVisibility() ? document.querySelector('#mode').textContent : '',
        [...document.querySelectorAll('#states li')].map((one) => [one.dataset.state,
            one.querySelector('use').getAttribute('href'), one.querySelector('.text').textContent].join(' '))]
    """
    mode, states = await found(page, ask, word)
    return mode, set(states)


async def screenshot_of(page: Any, word: str, path: Path) -> bytes:
    """Of the screen while it shows this word, before and after: a machine that stands still makes it STALE between."""
    while True:
        png: bytes = await page.screenshot(path=path)
        if await page.text_content("#verdict-word") == word:
            return png
        await shows(page, word)


@asynccontextmanager
async def page_time_stands(daemon: FakeDaemon, page: Any) -> AsyncIterator[None]:
    """The page says PASS, has heard the daemon's last word just now, and its clock goes on only when it is told to."""
    await page.clock.install()
    await page.reload()
    await shows(page, "PASS")
    await page.clock.pause_at(await page.evaluate("Date.now() + 1000"))
    daemon.hang()
    daemon.changes["product"] = "the last word"
    daemon.push("status", daemon.status())
    await page.wait_for_function("() => document.querySelector('#product').textContent === 'the last word'", polling=20)
    assert await word_of(page) == "PASS"
    yield
    await page.clock.resume()


async def word_of(page: Any) -> str:
    """The big word now."""
    return str(await page.text_content("#verdict-word"))


def channels(color: str) -> list[int]:
    return [int(float(x)) for x in color[color.index("(") + 1 : -1].split(",")[:3]]


def saturation(color: str) -> float:
    low, high = min(channels(color)), max(channels(color))
    return (high - low) / high if high else 0.0


def contrast(one: str, other: str) -> float:
    """WCAG contrast ratio of two colours, 1..21."""

    def light(color: str) -> float:
        linear = [
            c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in (x / 255 for x in channels(color))
        ]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    dark, bright = sorted((light(one), light(other)))
    return (bright + 0.05) / (dark + 0.05)


def saturated_areas(png: bytes) -> int:
    """Areas of strong colour in a screenshot, those nearer than a finger's breadth together as one."""
    hue_saturation_value = cv2.cvtColor(cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR), cv2.COLOR_BGR2HSV)
    strong = (hue_saturation_value[..., 1] > 110) & (hue_saturation_value[..., 2] > 70)
    merged = cv2.morphologyEx(strong.astype(np.uint8), cv2.MORPH_CLOSE, np.ones((41, 41), np.uint8))
    _, _, stats, _ = cv2.connectedComponentsWithStats(merged)
    return int(np.count_nonzero(stats[1:, cv2.CC_STAT_AREA] > 60))


def clean(seen: Watched) -> None:
    assert seen.errors == [] and seen.foreign == []


async def test_a_new_result_is_on_the_screen_with_word_shape_reason_and_picture(
    daemon: FakeDaemon, origin: str, open_page: Open, shots: Path
) -> None:
    seen = await open_page(origin)
    calm = await panel(seen.page, "PASS")
    assert calm["shape"] == "#sign-pass" and saturation(calm["background"]) < 0.1
    await seen.page.wait_for_function(ALL_IN_SIGHT_DRAWN, timeout=LONG_MS)
    png = await screenshot_of(seen.page, "PASS", shots / "line-pass.png")
    assert saturated_areas(png) == 1, "PASS, and rejects of before"

    part = daemon.part(Kind.SCRATCH)
    alarming = await panel(seen.page, "FAIL")  # how soon: make bench-screen
    assert alarming["shape"] == "#sign-fail" and alarming["text"] == "Defect found: scratch"
    assert saturation(alarming["background"]) > 0.5
    assert contrast(alarming["background"], alarming["ink"]) >= 4.5
    await seen.page.wait_for_function("() => document.querySelector('#picture-img').naturalWidth === 320")
    assert part["preview"] in await seen.page.get_attribute("#picture-img", "src")
    assert await seen.page.get_attribute("#strip li:first-child", "data-no") == str(part["no"])
    assert await seen.page.get_attribute("#pinned", "data-no") == str(part["no"])
    await seen.page.screenshot(path=shots / "line-fail.png")
    clean(seen)


async def test_the_last_fail_stays_pinned_while_good_parts_pass(
    daemon: FakeDaemon, origin: str, open_page: Open
) -> None:
    fail = daemon.part(Kind.DENT)
    seen = await open_page(origin)
    await shows(seen.page, "FAIL")
    daemon.part(Kind.GOOD)
    await shows(seen.page, "PASS")
    assert await seen.page.get_attribute("#pinned", "data-no") == str(fail["no"])
    clean(seen)


async def test_each_state_differs_in_word_and_shape_and_reads_in_light_and_dark(
    daemon: FakeDaemon, origin: str, open_page: Open, shots: Path
) -> None:
    for dark in (False, True):
        seen, told = await open_page(origin, dark=dark), []
        told.append(await panel(seen.page, "PASS"))
        for word, kind, changes in (
            ("FAIL", Kind.SCRATCH, {}), ("FAULT", Kind.EMPTY, {}), ("TEST", Kind.SCRATCH, {"code": 5}),
        ):  # fmt: skip
            daemon.part(kind, **changes)
            told.append(await panel(seen.page, word))
            await seen.page.screenshot(path=shots / f"line-{word.lower()}-{'dark' if dark else 'light'}.png")
        daemon.part(Kind.GOOD)
        assert len({t["word"] for t in told}) == len({t["shape"] for t in told}) == 4
        assert all(contrast(t["background"], t["ink"]) >= 4.5 for t in told)
        clean(seen)
        await seen.page.close()


async def test_not_ready_says_why_and_the_alarm_says_what_to_do(
    daemon: FakeDaemon, origin: str, open_page: Open, shots: Path
) -> None:
    seen = await open_page(origin)
    await shows(seen.page, "PASS")
    camera = {"ok": False, "text": "link lost within 2 s", "age_s": None}
    parts = {**daemon.status()["parts"], "camera": camera}
    daemon.changes = {"ready": False, "offline_reason": 4, "parts": parts, "alarm_list": [CAMERA_ALARM]}
    assert (await panel(seen.page, "NOT READY"))["text"] == "Camera does not answer"
    for told in ("does not work: link lost within 2 s", "every part that comes now is a reject", "cable and power"):
        await found(seen.page, "text => document.querySelector('#alarms').innerText.includes(text)", told)
    said = "No part is inspected now: see NOT READY below"
    assert (await claims(seen.page, "NOT READY"))[0] == said, "and why, and what to do"
    await seen.page.screenshot(path=shots / "line-not-ready.png")
    daemon.changes = {}
    await shows(seen.page, "PASS")
    clean(seen)


async def test_a_daemon_that_hangs_shows_stale_within_two_seconds(
    daemon: FakeDaemon, origin: str, open_page: Open, shots: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("inspector.web.feed.SILENT_S", 600.0)  # after it the feed asks the daemon anew
    seen = await open_page(origin)
    async with page_time_stands(daemon, seen.page):
        await seen.page.clock.run_for(STALE_WITHIN_MS // 2)
        assert await word_of(seen.page) == "PASS", "a message that is late is no end"
        await seen.page.clock.run_for(STALE_WITHIN_MS // 2)
        assert await word_of(seen.page) == "STALE"
    assert await claims(seen.page, "STALE") == NOTHING_KNOWN
    await seen.page.screenshot(path=shots / "line-stale.png")
    await seen.page.evaluate(AXE)
    for scheme in ("light", "dark"):
        await seen.page.emulate_media(color_scheme=scheme)
        assert await seen.page.evaluate(SERIOUS, ["color-contrast"]) == [], "what is old is pale, and legible"
    clean(seen)


async def test_a_daemon_that_dies_shows_offline_and_comes_back_by_itself(
    daemon: FakeDaemon, origin: str, open_page: Open, tmp_path: Path, shots: Path
) -> None:
    seen = await open_page(origin)
    async with page_time_stands(daemon, seen.page):
        await daemon.stop()
        assert await claims(seen.page, "OFFLINE") == NOTHING_KNOWN, "as soon as it is told, by no time of the page"
    await seen.page.screenshot(path=shots / "line-offline.png")
    again = FakeDaemon(tmp_path)
    await again.start()
    try:
        await shows(seen.page, "READY")
        again.part(Kind.GOOD)
        mode, states = await claims(seen.page, "PASS")
        assert mode == "Inspecting" and "ok #sign-pass rendered, 320 x 256" in states
    finally:
        await again.stop()
    clean(seen)


async def test_a_page_process_that_dies_shows_stale_within_two_seconds_and_comes_back(
    daemon: FakeDaemon, tmp_path: Path, open_page: Open, free_port: int
) -> None:
    site = site_in(tmp_path, port=free_port)
    async with AsyncExitStack() as stands:
        async with page_process(site) as address:
            await until(lambda: site.feed.ready)
            seen = await open_page(address)
            await stands.enter_async_context(page_time_stands(daemon, seen.page))
        await seen.page.clock.run_for(STALE_WITHIN_MS)
        assert await word_of(seen.page) == "STALE"
    async with page_process(site_in(tmp_path, port=free_port)):
        await shows(seen.page, "PASS")


async def test_a_panel_pc_shows_it_all_without_scrolling_and_a_phone_without_sideways(
    daemon: FakeDaemon, origin: str, open_page: Open, shots: Path
) -> None:
    daemon.part(Kind.SCRATCH)
    seen = await open_page(origin, size=WIDE)
    size = "parseFloat(getComputedStyle(document.querySelector('#verdict-word')).fontSize)"
    fits = "document.documentElement.scrollHeight <= innerHeight"
    told = f"() => document.querySelector('#verdict-word').textContent === 'FAIL' && [{size}, {fits}]"
    high, whole = await found(seen.page, told)
    assert high > 120 and whole
    phone = await open_page(origin, size=PHONE)
    await shows(phone.page, "FAIL")
    assert await phone.page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert await phone.page.evaluate("document.querySelector('#picture').getBoundingClientRect().bottom <= innerHeight")
    await phone.page.screenshot(path=shots / "line-phone.png", full_page=True)
    clean(seen)
    clean(phone)
    assert await seen.page.is_hidden("nav .nav-help") and await phone.page.is_hidden(".top-help")
    await phone.page.click("nav .nav-help")
    await phone.page.wait_for_url("**/help#line")


async def test_simulated_pictures_are_announced_and_real_ones_are_not(
    daemon: FakeDaemon, origin: str, open_page: Open
) -> None:
    seen = await open_page(origin)
    await shows(seen.page, "PASS")
    assert await seen.page.is_visible("#simulated")
    daemon.changes = {"simulated": False}
    await seen.page.wait_for_selector("#simulated", state="hidden", timeout=LONG_MS)
    clean(seen)


async def test_a_hundred_results_open_at_once_and_lead_to_their_parts(
    daemon: FakeDaemon, origin: str, open_page: Open, shots: Path
) -> None:
    for _ in range(90):
        daemon.part(Kind.GOOD, seed=3)
        await asyncio.sleep(0.002)  # the page takes them meanwhile
    seen = await open_page(origin)
    newest = "no => document.querySelector('#strip li')?.dataset.no === no"
    await seen.page.wait_for_function(newest, arg=str(daemon.parts[0]["no"]))  # the page has all of them
    await seen.page.wait_for_function(ALL_IN_SIGHT_DRAWN, timeout=LONG_MS)
    await seen.page.evaluate(SECOND_OPENING)
    numbers = await seen.page.evaluate("[...document.querySelectorAll('#strip li')].map(li => Number(li.dataset.no))")
    assert numbers == [part["no"] for part in daemon.parts[:100]]
    assert await seen.page.get_attribute("#strip li:nth-child(7) a", "href") == f"/part/{numbers[6]}"
    assert await seen.page.get_attribute("#pinned a", "href") == "/part/8"
    await seen.page.focus("#strip li:last-child a")
    await seen.page.wait_for_function(ALL_IN_SIGHT_DRAWN, timeout=LONG_MS)
    await seen.page.screenshot(path=shots / "line-strip.png")
    clean(seen)


async def test_the_heat_map_is_set_by_keyboard_and_the_browser_remembers_it(
    daemon: FakeDaemon, origin: str, open_page: Open, shots: Path
) -> None:
    (daemon.run / "previews" / "hot.jpg").write_bytes(heat_map())
    daemon.part(Kind.SCRATCH, heat="hot.jpg")
    seen = await open_page(origin)
    await shows(seen.page, "FAIL")
    assert not await seen.page.is_visible("#heat-opacity"), "nothing to set while it is off"
    await seen.page.focus("#heat-toggle")
    await seen.page.keyboard.press("Enter")
    await seen.page.wait_for_selector("#picture-heat", state="visible")
    await seen.page.focus("#heat-opacity")
    for _ in range(3):
        await seen.page.keyboard.press("ArrowRight")
    strength = "Number(getComputedStyle(document.querySelector('#picture-heat')).opacity)"
    assert await seen.page.evaluate(strength) == 0.7
    await seen.page.screenshot(path=shots / "line-heat.png")
    await seen.page.reload()
    await seen.page.wait_for_selector("#picture-heat", state="visible")
    assert await seen.page.evaluate(strength) == 0.7
    clean(seen)


async def test_a_part_from_before_the_daemons_start_is_in_the_filmstrip_and_no_news(
    tmp_path: Path, open_page: Open
) -> None:
    await write_record(tmp_path, line_of(12))
    fake = FakeDaemon(tmp_path)
    fake.changes = {"station": "st1"}
    await fake.start()
    site = site_in(tmp_path)
    async with page_process(site) as address:
        seen = await open_page(address)
        await shows(seen.page, "READY")
        await seen.page.wait_for_function("() => document.querySelectorAll('#strip li').length === 12")
        await seen.page.wait_for_function(ALL_IN_SIGHT_DRAWN, timeout=LONG_MS)
        shown = "() => ['#verdict-word', '#picture-caption'].map((id) => document.querySelector(id).textContent)"
        assert await seen.page.evaluate(shown) == ["READY", ""], "none of them is the result of now"
        rejects = await seen.page.evaluate("document.querySelectorAll('#strip img').length")
        assert rejects == len(list((tmp_path / "pictures").rglob("*.png"))) > 0
        clean(seen)
        await seen.page.close()
    await fake.stop()
